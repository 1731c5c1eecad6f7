// Walks the vendor's own JavaScript client through the gateway, unchanged: logins with each
// factor, enrolling, disabling, recovery, the settings, and what its users see when they are
// refused.
//
// On stdin: first the world as one line of JSON (where gateway and vendor are, who is there),
// then each code that the vendor sends to somebody. On stdout: a line for each walk.

import assert from 'node:assert/strict';
import readline from 'node:readline';

import { Browser } from './browser.mjs';
import { assertion, attestation, secretIn, totp } from './factors.mjs';

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const world = JSON.parse((await lines.next()).value);
const { ada, barbara, edith, grace, hedy, katherine } = world.people;
const WRONG = '12345';

// The next code that is sent, which must go to this number or address.
async function codeSentTo(to) {
  const sent = JSON.parse((await lines.next()).value);
  assert.equal(sent.to, to);
  return sent.code;
}

// The first factor was right, and a second one is asked for.
async function begin(browser) {
  const { user } = await browser.auth.loginv2({ email: browser.person.email, password: world.password });
  assert.equal(user.mfaRequired, true);
  return user;
}

// Someone who needs no second factor logs in.
async function logIn(browser) {
  const answer = await browser.auth.loginv2({ email: browser.person.email, password: world.password });
  isLoggedIn(browser, answer);
}

// Someone who has an app logs in with it.
async function logInWithApp(browser) {
  const { mfaToken } = await begin(browser);
  const value = totp(browser.person.secret);
  isLoggedIn(browser, await browser.auth.loginWithMfaV2({ mfaToken, value }));
}

function isLoggedIn(browser, { user, activeTenant }) {
  assert.equal(user.id, browser.person.id);
  assert.equal(user.mfaRequired, false);
  assert.equal(activeTenant.tenantId, browser.person.tenant);
  assert.ok(browser.cookie('fe_refresh_'), 'the refresh token came as a cookie');
}

// The client's own error, with the message that its users see.
const refused = (statusCode, message) => ({ statusCode, message });

const walks = {
  async 'login with an authenticator app'(open) {
    const browser = await open(ada);
    const { mfaToken, mfaDevices } = await begin(browser);
    const [app] = mfaDevices.authenticators;
    const proof = (value) => ({ mfaToken, value });
    await assert.rejects(
      browser.auth.verifyMFAAuthenticatorAppForLogin(app.id, proof(WRONG)),
      refused(401, 'MFA code is invalid'),
    );
    const answer = await browser.auth.verifyMFAAuthenticatorAppForLogin(app.id, proof(totp(ada.secret)));
    assert.ok(answer.accessToken);
  },

  async 'login with whichever app it is'(open) {
    await logInWithApp(await open(ada));
  },

  async 'login with SMS'(open) {
    const browser = await open(grace);
    const { mfaToken, mfaDevices } = await begin(browser);
    const [phone] = mfaDevices.phones;
    const { otcToken, phoneNumber } = await browser.auth.preVerifyMFASMSForLogin(phone.id, { mfaToken });
    assert.equal(phoneNumber, phone.phoneNumber);
    const code = await codeSentTo(grace.phone);
    isLoggedIn(browser, await browser.auth.verifyMFASMSForLoginV2(phone.id, { mfaToken, otcToken, code }));
  },

  async 'login with a code by email'(open) {
    const browser = await open(grace);
    const { mfaToken } = await begin(browser);
    const { otcToken } = await browser.auth.preVerifyMFAEmailCode({ mfaToken });
    const code = await codeSentTo(grace.email);
    isLoggedIn(browser, await browser.auth.verifyMFAEmailCodeV2({ mfaToken, otcToken, code }));
  },

  async 'login with a security key'(open) {
    const browser = await open(hedy);
    const { mfaToken, mfaDevices } = await begin(browser);
    const [key] = mfaDevices.webauthn;
    const { webauthnToken, options } = await browser.auth.preVerifyMFAWebAuthnForLogin(key.id, { mfaToken });
    const proof = assertion(options.challenge, options.allowCredentials[0].id);
    isLoggedIn(
      browser,
      await browser.auth.verifyMFAWebAuthnForLoginV2(key.id, { mfaToken, webauthnToken, options: proof }),
    );
  },

  async 'a device that is remembered'(open) {
    const browser = await open(ada);
    const { mfaToken } = await begin(browser);
    const { isAllowedToRemember } = await browser.auth.checkIfAllowToRememberMfaDevice(mfaToken);
    assert.equal(isAllowedToRemember, true);
    const value = totp(ada.secret);
    isLoggedIn(browser, await browser.auth.loginWithMfaV2({ mfaToken, value, rememberDevice: true }));
    assert.ok(browser.cookie('fe_device_'));
    await logIn(browser);
  },

  async 'an app at login'(open) {
    const browser = await open(edith);
    const { mfaToken, mfaEnrolled } = await begin(browser);
    assert.equal(mfaEnrolled, false);
    const { qrCode } = await browser.auth.preEnrollMFAAuthenticatorAppForLogin({ mfaToken });
    const token = totp(secretIn(qrCode));
    const answer = await browser.auth.enrollMFAAuthenticatorAppForLoginV2({ mfaToken, token });
    isLoggedIn(browser, answer);
    edith.recoveryCode = answer.user.recoveryCode;
  },

  async 'recovery, then a phone at login'(open) {
    const browser = await open(edith);
    await browser.auth.recoverMfaToken({ email: edith.email, recoveryCode: edith.recoveryCode });
    const { mfaToken, mfaEnrolled } = await begin(browser);
    assert.equal(mfaEnrolled, false);
    const phoneNumber = '+15555550106';
    const { otcToken } = await browser.auth.preEnrollMFASMSForLogin({ mfaToken, phoneNumber });
    const code = await codeSentTo(phoneNumber);
    const answer = await browser.auth.enrollMFASMSForLoginV2({ mfaToken, otcToken, code });
    isLoggedIn(browser, answer);
    edith.recoveryCode = answer.user.recoveryCode;
  },

  async 'recovery, then a security key at login'(open) {
    const browser = await open(edith);
    await browser.auth.recoverMfaToken({ email: edith.email, recoveryCode: edith.recoveryCode });
    const { mfaToken } = await begin(browser);
    const { webauthnToken, options } = await browser.auth.preEnrollMFAWebAuthnForLogin({ mfaToken });
    const proof = { mfaToken, webauthnToken, deviceType: 'Platform', options: attestation(options.challenge, 'reader') };
    isLoggedIn(browser, await browser.auth.enrollMFAWebAuthnForLoginV2(proof));
  },

  async 'recovery, then login by password alone'(open) {
    const browser = await open(barbara);
    const { mfaEnrolled } = await begin(browser);
    assert.equal(mfaEnrolled, true);
    await assert.rejects(
      browser.auth.recoverMfaToken({ email: barbara.email, recoveryCode: WRONG }),
      refused(401, 'Invalid recovery code'),
    );
    await browser.auth.recoverMfaToken({ email: barbara.email, recoveryCode: barbara.recoveryCode });
    await logIn(browser);
  },

  async 'an app, enrolled and disabled'(open) {
    const browser = await open(katherine);
    await logIn(browser);
    const { qrCode } = await browser.auth.preEnrollMFAAuthenticatorApp();
    const secret = secretIn(qrCode);
    const { recoveryCode } = await browser.auth.enrollMFAAuthenticatorApp({ token: totp(secret) });
    assert.ok(recoveryCode);
    const [app] = (await browser.auth.getMFADevices()).authenticators;
    await assert.rejects(
      browser.auth.disableMFAAuthenticatorApp(app.id, { token: WRONG }),
      refused(400, 'MFA code is invalid'),
    );
    await browser.auth.disableMFAAuthenticatorApp(app.id, { token: totp(secret) });
    assert.deepEqual((await browser.auth.getMFADevices()).authenticators, []);
  },

  async 'an app, enrolled by the older calls'(open) {
    const browser = await open(katherine);
    await logIn(browser);
    const { qrCode } = await browser.auth.enrollMfa();
    await browser.auth.verifyMfa({ token: totp(secretIn(qrCode)) });
    assert.equal((await browser.auth.getMFADevices()).authenticators.length, 1);
  },

  async 'a phone, enrolled and disabled'(open) {
    const browser = await open(ada);
    await logInWithApp(browser);
    const phoneNumber = '+15555550101';
    const enrolling = await browser.auth.preEnrollMFASMS({ phoneNumber });
    await browser.auth.enrollMFASMS({ otcToken: enrolling.otcToken, code: await codeSentTo(phoneNumber) });
    const [phone] = (await browser.auth.getMFADevices()).phones;
    // the client sends application/json and no byte here
    const disabling = await browser.auth.preDisableMFASMS(phone.id);
    const code = await codeSentTo(phoneNumber);
    await browser.auth.disableMFASMS(phone.id, { otcToken: disabling.otcToken, code });
    assert.deepEqual((await browser.auth.getMFADevices()).phones, []);
  },

  async 'a security key, enrolled and disabled'(open) {
    const browser = await open(ada);
    await logInWithApp(browser);
    const enrolling = await browser.auth.preEnrollMFAWebAuthn();
    const introduction = attestation(enrolling.options.challenge, 'a-new-key');
    const { webauthnToken } = enrolling;
    await browser.auth.enrollMFAWebAuthn({ deviceType: 'CrossPlatform', webauthnToken, options: introduction });
    const [key] = (await browser.auth.getMFADevices()).webauthn;
    const disabling = await browser.auth.preDisableMFAWebAuthn(key.id);
    const options = assertion(disabling.options.challenge, 'a-new-key');
    await browser.auth.disableMFAWebAuthn(key.id, { webauthnToken: disabling.webauthnToken, options });
    assert.deepEqual((await browser.auth.getMFADevices()).webauthn, []);
  },

  async 'strategies and policies'(open) {
    const browser = await open(ada);
    await logInWithApp(browser);
    const { strategies } = await browser.auth.getMFAStrategiesConfig();
    assert.ok(strategies.length > 0);
    assert.ok((await browser.auth.getVendorMfaPolicy()).id);
    const policy = { enforceMFAType: 'DontForce', allowRememberMyDevice: true, mfaDeviceExpiration: 86_400 };
    await browser.auth.saveMfaPolicy(policy);
    // the client saves what it read, changed: with the id and all that comes with it
    const saved = await browser.auth.getMfaPolicy();
    await browser.auth.saveMfaPolicy({ ...saved, mfaDeviceExpiration: 3_600 });
    assert.equal((await browser.auth.getMfaPolicy()).mfaDeviceExpiration, 3_600);
  },

  async 'what its users see when the gateway refuses'(open) {
    const browser = await open(ada);
    await logInWithApp(browser);
    await assert.rejects(browser.auth.disableMfa({ token: totp(ada.secret) }), (error) => {
      assert.equal(error.statusCode, 403);
      assert.equal(error.errorCode, 'route-not-allowed');
      assert.match(error.message, /^The operation user\.disable is not let through here\./);
      return true;
    });
    const guess = () => browser.auth.recoverMfaToken({ email: ada.email, recoveryCode: WRONG });
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      await assert.rejects(guess(), refused(401, 'Invalid recovery code'));
    }
    await assert.rejects(guess(), (error) => {
      assert.equal(error.statusCode, 429);
      assert.equal(error.errorCode, 'rate-limited');
      assert.match(error.message, /^Too many attempts\. Try again in \d+ seconds\.$/);
      return true;
    });
  },
};

let failed = 0;
for (const [name, walk] of Object.entries(walks)) {
  const opened = [];
  const open = async (person) => {
    opened.push(await Browser.open(world, person));
    return opened.at(-1);
  };
  try {
    await walk(open);
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`failed  ${name}\n${error.stack}`);
  }
  for (const browser of opened) browser.close();
}
process.exit(failed === 0 ? 0 : 1);
