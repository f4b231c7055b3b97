/** Answers that say the right thing in the wrong form, or the wrong thing, as servers and clients have met them. */
import type { Json } from '../../src/conformance/values.js'
import type { Answered } from './tiny-server.js'
import type { Body } from './tiny-world.js'

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
/** The same address with its parameters changed, where a browser is sent back. */
const back =
  (change: (to: URL) => void) =>
  (answer: Answered): Answered => {
    if (answer.headers.location === undefined) return answer
    const to = new URL(answer.headers.location)
    change(to)
    return { ...answer, headers: { ...answer.headers, location: to.href } }
  }
const info = 'credentials/info'
const token = 'oauth2/token'
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
  'info does not say where the OAuth server is': {
    file: 'both/oauth-authorize',
    rewrite: body('info', ({ oauth2: _, ...b }) => b),
  },
  'the state does not come back': {
    file: 'both/oauth-authorize',
    rewrite: back((to) => to.searchParams.delete('state')),
  },
  'a no comes back in words of its own': {
    file: 'both/oauth-authorize',
    rewrite: back((to) => {
      if (to.searchParams.get('error') === 'access_denied') to.searchParams.set('error', 'denied')
    }),
  },
  'a wrong scope comes back as a wrong request': {
    file: 'both/oauth-authorize',
    rewrite: back((to) => {
      if (to.searchParams.has('error')) to.searchParams.set('error', 'invalid_request')
    }),
  },
  'the types of tokens are those of the other version': {
    file: '/oauth.txt',
    rewrite: body(token, (b) => ({ ...b, token_type: b.token_type === 'SAD' ? 'Bearer' : 'SAD' })),
  },
  'a token tells its end as a text': {
    file: 'both/oauth-token',
    rewrite: body(token, (b) => ({ ...b, expires_in: String(b.expires_in) })),
  },
  'a token may be kept by caches': {
    file: 'both/oauth-token',
    rewrite: ({ headers: { 'cache-control': _, ...headers }, ...answer }) => ({ ...answer, headers }),
  },
  'an unknown kind of grant has the word of OAuth': {
    file: 'both/oauth-token',
    rewrite: (answer) =>
      answer.body?.error_description === 'Invalid parameter grant_type'
        ? { ...answer, body: { ...answer.body, error: 'unsupported_grant_type' } }
        : answer,
  },
  'a wrong secret in the header is 400': {
    file: 'both/oauth-token',
    rewrite: (answer, method) => (method === token && answer.status === 401 ? { ...answer, status: 400 } : answer),
  },
  'a token for signatures can be refreshed': {
    file: '/oauth.txt',
    rewrite: body(token, (b) => ({ refresh_token: 'for ever', ...b })),
  },
  'revoking at the OAuth server answers 200': {
    file: 'both/oauth-revoke',
    rewrite: (answer, method) =>
      method === 'oauth2/revoke' && answer.status === 204 ? { ...answer, status: 200 } : answer,
  },
  'revoking an unknown token answers as if it had been one': {
    file: 'both/oauth-revoke',
    rewrite: (answer, method) =>
      method === 'oauth2/revoke' && answer.body?.error_description === 'Invalid string parameter token'
        ? { ...answer, status: 204, body: undefined }
        : answer,
  },
  'sendOTP answers 200': {
    file: 'both/send-otp',
    rewrite: (answer, method) =>
      method === 'credentials/sendOTP' && answer.status === 204 ? { ...answer, status: 200, body: {} } : answer,
  },
}
