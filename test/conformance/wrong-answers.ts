/** Answers that say the right thing in the wrong form, or the wrong thing, as servers and clients have met them. */
import type { Json } from '../../src/conformance/values.js'
import type { Answered, Body } from './tiny-server.js'

interface WrongAnswer {
  /** The file whose scenarios must notice. */
  readonly file: string
  readonly rewrite: (answer: Answered, method: string) => Answered
}

/** The same answer with its body changed, where the answer is a success of this method. */
const body =
  (method: string, change: (body: Body) => Body) =>
  (answer: Answered, of: string): Answered =>
    of === method && answer.status === 200 && answer.body !== undefined
      ? { ...answer, body: change(answer.body) }
      : answer
const inside = (name: string, change: (body: Body) => Body) => (whole: Body) => ({
  ...whole,
  [name]: change(whole[name] as Body),
})
const info = 'credentials/info'
const description = (from: string, to: string) => (answer: Answered) =>
  answer.body?.error_description === from ? { ...answer, body: { ...answer.body, error_description: to } } : answer
/** r and s side by side, out of the DER that holds them. */
const raw = (signature: Json): Json => {
  const der = Buffer.from(String(signature), 'base64')
  if (der[0] !== 0x30 || der.length > 80) return signature
  const r = der.subarray(4, 4 + (der[3] ?? 0))
  const s = der.subarray(6 + r.length)
  const padded = (part: Buffer) => Buffer.concat([Buffer.alloc(32), part]).subarray(-32)
  return Buffer.concat([padded(r), padded(s)]).toString('base64')
}

export const WRONG_ANSWERS: Readonly<Record<string, WrongAnswer>> = {
  'SCAL is a number': { file: 'both/credentials-info', rewrite: body(info, (b) => ({ ...b, SCAL: 2 })) },
  'multisign is a boolean': { file: 'both/credentials-info', rewrite: body(info, (b) => ({ ...b, multisign: true })) },
  'the length of the key is a text': {
    file: 'both/credentials-info',
    rewrite: body(
      info,
      inside('key', (key) => ({ ...key, len: String(key.len) })),
    ),
  },
  'an absent member is null': {
    file: 'both/credentials-info',
    rewrite: body(info, (b) => ({ description: null, ...b })),
  },
  'the curve is missing': {
    file: 'both/credentials-info',
    rewrite: body(
      info,
      inside('key', ({ curve: _, ...key }) => key),
    ),
  },
  'certificates are PEM': {
    file: 'both/credentials-info',
    rewrite: body(
      info,
      inside('cert', (cert) =>
        cert.certificates === undefined ? cert : { ...cert, certificates: ['-----BEGIN CERTIFICATE-----'] },
      ),
    ),
  },
  'dates have fractions': {
    file: 'both/credentials-info',
    rewrite: body(
      info,
      inside('cert', (cert) => (cert.validTo === undefined ? cert : { ...cert, validTo: '20400101000000.000Z' })),
    ),
  },
  'a credential that is unknown is not found': {
    file: 'both/credentials-info',
    rewrite: (answer, method) =>
      method === info && answer.body?.error_description === 'Invalid parameter credentialID'
        ? { ...answer, status: 404 }
        : answer,
  },
  'the signature is r and s side by side': {
    file: 'abuse/a07',
    rewrite: body('signatures/signHash', (b) => ({ signatures: (b.signatures as Json[]).map(raw) })),
  },
  'signatures are base64url': {
    file: 'abuse/a07',
    rewrite: body('signatures/signHash', (b) => ({
      signatures: (b.signatures as string[]).map((one) => Buffer.from(one, 'base64').toString('base64url')),
    })),
  },
  'there is a signature too few': {
    file: 'abuse/b04',
    rewrite: body('signatures/signHash', (b) => ({ signatures: (b.signatures as Json[]).slice(1) })),
  },
  'a full stop is missing': {
    file: 'both/auth-login',
    rewrite: description('Malformed username-password.', 'Malformed username-password'),
  },
  'a wrong password is 401': {
    file: 'both/auth-login',
    rewrite: (answer) => (answer.body?.error === 'authentication_error' ? { ...answer, status: 401 } : answer),
  },
  'the life of a token is a text': {
    file: 'both/auth-login',
    rewrite: body('auth/login', (b) => ({ ...b, expires_in: String(b.expires_in) })),
  },
  'revoking answers 200': {
    file: 'both/auth-revoke',
    rewrite: (answer) => (answer.status === 204 ? { ...answer, status: 200, body: {} } : answer),
  },
  'an unknown token is 400': {
    file: 'both/transport',
    rewrite: (answer) => (answer.status === 401 ? { ...answer, status: 400 } : answer),
  },
  'a 401 does not say how': {
    file: 'both/transport',
    rewrite: ({ headers: { 'www-authenticate': _, ...headers }, ...answer }) => ({ ...answer, headers }),
  },
  'an unknown method is 404': {
    file: 'both/transport',
    rewrite: (answer) => (answer.status === 501 ? { ...answer, status: 404 } : answer),
  },
  'a wrong HTTP method does not say which': {
    file: 'both/transport',
    rewrite: ({ headers: { allow: _, ...headers }, ...answer }) => ({ ...answer, headers }),
  },
  'errors are told as text': {
    file: 'both/transport',
    rewrite: (answer) => (answer.status >= 400 ? { ...answer, body: undefined } : answer),
  },
  'info has no methods that it names in full': {
    file: 'both/info',
    rewrite: body('info', (b) => ({ ...b, methods: [...(b.methods as Json[]), 'https://tiny.test/signHash'] })),
  },
  'info is of another version': { file: '/info', rewrite: body('info', (b) => ({ ...b, specs: '3.0' })) },
  'the list is empty': {
    file: '/credentials-list',
    rewrite: body('credentials/list', (b) => ({ ...b, credentialIDs: [] })),
  },
  'a SAD tells its end as a text': {
    file: '/credentials-authorize',
    rewrite: body('credentials/authorize', (b) => ({ ...b, expiresIn: String(b.expiresIn) })),
  },
}
