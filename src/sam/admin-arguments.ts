import { Ajv, type JSONSchemaType, type ValidateFunction } from 'ajv'
import { type AdminVerb, type AdminVerbs, SCOPE_OF_KIND } from '../activation.js'
import { ServiceError } from '../errors.js'
import { FACTOR_KINDS } from '../factor-kind.js'
import { KEY_SPECS } from '../hsm/hsm.js'

export type AdminArguments = AdminVerbs[AdminVerb]['request']

const name = { type: 'string', minLength: 1, maxLength: 255, pattern: '^[^\\x00-\\x1f\\x7f]+$' } as const
const id = { type: 'string', pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' } as const
const password = { type: 'string', minLength: 12, maxLength: 1024 } as const

const names = { type: 'array', minItems: 1, maxItems: 100, uniqueItems: true, items: name } as const
const policy = {
  factors: { type: 'array', minItems: 1, uniqueItems: true, items: { enum: FACTOR_KINDS } },
  clients: names,
  sessionWide: { type: 'boolean' },
  sessionCeiling: { type: 'integer', minimum: 1, maximum: 1_000_000 },
  sessionClients: names,
} as const
const redirectUris = {
  type: 'array',
  maxItems: 20,
  uniqueItems: true,
  items: { type: 'string', format: 'redirect-uri', maxLength: 2048 },
} as const
const jwks = { type: 'string', format: 'public-jwks', maxLength: 65_536 } as const
const scopes = { type: 'array', minItems: 1, uniqueItems: true, items: { enum: Object.values(SCOPE_OF_KIND) } } as const

const object = (required: Record<string, unknown>, optional: Record<string, unknown> = {}) => ({
  type: 'object',
  required: Object.keys(required),
  additionalProperties: false,
  properties: { ...required, ...optional },
})

const schemas: Record<AdminVerb, object> = {
  'signer.create': object(
    { login: name, name: { ...name, maxLength: 64 } },
    {
      phone: { type: 'string', pattern: '^\\+[0-9]{6,15}$' },
      email: {
        type: 'string',
        maxLength: 254,
        pattern: "^[A-Za-z0-9][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]*@[A-Za-z0-9][A-Za-z0-9.-]*$",
      },
      password,
    },
  ),
  'signer.list': object({}),
  'signer.suspend': object({ signer: name }),
  'signer.resume': object({ signer: name }),
  'signer.unlock': object({ signer: name }),
  'signer.resetPassword': object({ signer: name }, { password }),
  'signer.inviteReset': object({ signer: name }),
  'authenticator.enrol': object({ signer: name }, { algorithm: { enum: ['SHA1', 'SHA256'] } }),
  'authenticator.invite': object({ signer: name }),
  'authenticator.vouch': object({ signer: name }),
  'authenticator.cancel': object({ signer: name }),
  'authenticator.enrolDelivered': object({ signer: name, kind: { enum: ['sms', 'email'] } }),
  'authenticator.list': object({ signer: name }),
  'authenticator.revoke': object({ authenticatorId: id }),
  'credential.create': object(
    { signer: name, key: { enum: KEY_SPECS } },
    {
      scal: { enum: ['1', '2'] },
      multisign: { type: 'integer', minimum: 1, maximum: 1_000_000 },
      ...policy,
      pin: { type: 'string', maxLength: 64 },
      description: { ...name },
    },
  ),
  'credential.list': object({}, { signer: name }),
  'credential.show': object({ credentialID: id }),
  'credential.policy': object({ credentialID: id }, policy),
  'credential.suspend': object({ credentialID: id }),
  'credential.resume': object({ credentialID: id }),
  'credential.revoke': object({ credentialID: id }),
  'credential.import': object({ credentialID: id, chain: { type: 'string', maxLength: 200_000 } }),
  'credential.renew': object({ credentialID: id }),
  'client.create': object(
    { name },
    { redirectUris, auth: { enum: ['secret', 'private-key-jwt', 'tls', 'none'] }, jwks, scopes },
  ),
  'client.change': object({ clientId: name }, { name, redirectUris, jwks, scopes }),
  'client.assign': object({ clientId: name, signer: name }),
  'client.unassign': object({ clientId: name, signer: name }),
  'client.list': object({}),
  'client.disable': object({ clientId: name }),
  'client.rotate': object({ clientId: name }),
  'operator.create': object({ name, role: { enum: ['registration', 'system', 'security', 'auditor'] } }),
  'operator.list': object({}),
  'operator.disable': object({ operatorId: id }),
  'log.origin': object({}),
  'log.key': object({ vkey: { type: 'string', maxLength: 512 } }),
  'log.erase': object({}, { signer: name, from: { type: 'integer', minimum: 0 } }),
  'ca.root': object({}),
}

const ajv = new Ajv({
  formats: {
    // https everywhere, plain http to this computer only, no fragment (RFC 6749 §3.1.2).
    'redirect-uri': (text: string) => {
      if (!URL.canParse(text)) return false
      const url = new URL(text)
      const local = url.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
      return (url.protocol === 'https:' || local) && url.hash === ''
    },
    // Public keys only, or certificates: nothing in it opens anything.
    'public-jwks': (text: string) => {
      try {
        const { keys } = JSON.parse(text) as { keys: Record<string, unknown>[] }
        return keys.length > 0 && keys.every((key) => typeof key['kty'] === 'string' && !('d' in key) && !('k' in key))
      } catch {
        return false
      }
    },
  },
})
const compiled = Object.fromEntries(
  Object.entries(schemas).map(([verb, schema]) => [verb, ajv.compile(schema as JSONSchemaType<unknown>)]),
) as Record<AdminVerb, ValidateFunction>

/** @throws ServiceError `not_allowed` naming the argument that is wrong, never its value */
export function checkArguments(verb: AdminVerb, body: unknown): AdminArguments {
  const check = compiled[verb]
  if (check(body)) return body as AdminArguments
  const [error] = check.errors ?? []
  const which =
    error?.instancePath.slice(1) || String(error?.params.missingProperty ?? error?.params.additionalProperty ?? '')
  throw new ServiceError('not_allowed', {
    detail: `${which || 'the request'} ${error?.message ?? 'is not acceptable'}`,
  })
}
