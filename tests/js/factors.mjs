// What users have in their hands: an authenticator app, and a security key as far as the
// stand-in looks at it.

import { createHmac } from 'node:crypto';

// The code that an app shows now (RFC 6238): SHA-1, six digits, thirty seconds.
export function totp(base32) {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const mac = createHmac('sha1', decoded(base32)).update(counter).digest();
  const number = mac.readUInt32BE(mac[19] & 15) & 0x7fff_ffff;
  return String(number % 1_000_000).padStart(6, '0');
}

// The secret in the QR code of a new app.
export const secretIn = (qrCode) => new URL(qrCode).searchParams.get('secret');

// A key that proves to be there, for a challenge that it was given.
export function assertion(challenge, credential) {
  return {
    id: credential,
    response: {
      clientDataJSON: clientData('webauthn.get', challenge),
      authenticatorData: base64('authenticator data'),
      signature: base64('signature'),
      userHandle: '',
    },
  };
}

// A new key that introduces itself.
export function attestation(challenge, credential) {
  return {
    id: credential,
    response: {
      clientDataJSON: clientData('webauthn.create', challenge),
      attestationObject: base64('attestation'),
    },
  };
}

const base64 = (text) => Buffer.from(text).toString('base64url');

const clientData = (type, challenge) => base64(JSON.stringify({ type, challenge, origin: 'https://localhost' }));

function decoded(base32) {
  let bits = '';
  for (const letter of base32) {
    bits += 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0');
  }
  return Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
}
