// One user's browser with the vendor's client in it, and the app's own server, to which the
// client talks under /frontegg: it passes MFA calls on to the gateway as they come, and all
// others to the vendor.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';

const { ContextHolder, createApiClient } = createRequire(import.meta.url)('@frontegg/rest-api');

// The client looks at the page's address for a tenant.
globalThis.window = { location: { href: 'http://localhost/', search: '' } };

const MFA = /^\/frontegg\/identity\/resources\/(auth\/v1\/user\/mfa|users\/v1\/mfa|configurations\/v1\/mfa(-policy)?)(\/|\?|$)/;

let opened = 0;

export class Browser {
  #cookies = new Map();
  #server;
  #vendor;

  // `world` says where gateway and vendor are, and whose certificate to trust.
  static async open(world, person) {
    const browser = new Browser();
    browser.#vendor = new https.Agent({ ca: readFileSync(world.ca) });
    browser.#server = http.createServer((request, response) => browser.#pass(world, request, response));
    await new Promise((listening) => browser.#server.listen(0, '127.0.0.1', listening));

    const name = `${person.name}-${(opened += 1)}`;
    browser.context = ContextHolder.for(name);
    browser.context.setContext({
      baseUrl: `http://127.0.0.1:${browser.#server.address().port}`,
      additionalHeadersResolver: () => browser.#subject(),
      metadataHeaders: { fronteggSdkVersion: '@frontegg/rest-api@7.119.0', framework: 'node' },
    });
    browser.person = person;
    browser.auth = createApiClient(name).auth;
    return browser;
  }

  close() {
    this.#vendor.destroy();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  cookie(prefix) {
    return [...this.#cookies.keys()].find((name) => name.startsWith(prefix));
  }

  // Who is logged in, in which tenant: what the app knows and the gateway is to be told.
  #subject() {
    const user = this.context.getUser();
    if (!user) return [];
    return [
      { key: 'frontegg-tenant-id', value: user.tenantId },
      { key: 'frontegg-user-id', value: user.id },
    ];
  }

  #pass(world, request, response) {
    const toGateway = MFA.test(request.url);
    const target = new URL(toGateway ? world.gateway : world.vendor);
    const headers = { ...request.headers, host: target.host };
    const cookies = [...this.#cookies].map(([name, value]) => `${name}=${value}`);
    if (cookies.length > 0) headers.cookie = cookies.join('; ');
    const options = {
      method: request.method,
      hostname: target.hostname,
      port: target.port,
      path: toGateway ? request.url : request.url.slice('/frontegg'.length),
      headers,
      ...(toGateway ? {} : { agent: this.#vendor }),
    };
    const onward = (toGateway ? http : https).request(options, (answer) => {
      for (const cookie of answer.headers['set-cookie'] ?? []) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
        this.#cookies.set(name, value);
      }
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', (error) => response.destroy(error));
    request.pipe(onward);
  }
}
