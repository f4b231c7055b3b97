import { Ajv, type JSONSchemaType, type ValidateFunction } from 'ajv'
import type { FrontVerb } from '../activation.js'

/** Only hashed, compared or looked up, so that any length is just a wrong value; no longer than a front's whole body. */
const value = { type: 'string', maxLength: 262_144 } as const
/** Goes into the database, which has no text with a NUL. */
const text = { type: 'string', maxLength: 4096, pattern: '^[^\\u0000]*$' } as const
const algorithm = { enum: ['sha-256', 'sha-384', 'sha-512'] } as const
const digests = {
  type: 'array',
  maxItems: 500,
  items: { type: 'string', maxLength: 88, pattern: '^[A-Za-z0-9+/]*={0,2}$' },
} as const
const origin = {
  type: 'object',
  required: ['requestId', 'address', 'api'],
  additionalProperties: false,
  properties: {
    requestId: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}$' },
    address: { type: 'string', maxLength: 64 },
    api: { enum: ['v1', 'v2', 'oauth2', 'cli', 'audit'] },
  },
} as const

const object = (required: Record<string, unknown>, optional: Record<string, unknown> = {}) => ({
  type: 'object',
  required: Object.keys(required),
  additionalProperties: false,
  properties: { ...required, ...optional },
})

const onPage = { origin, bearer: value }

const mechanism = {
  type: 'object',
  required: ['scheme', 'hash'],
  additionalProperties: false,
  properties: {
    scheme: { enum: ['rsa-pkcs1', 'rsa-pss', 'ecdsa'] },
    hash: algorithm,
    saltLength: { type: 'integer', minimum: 0, maximum: 1024 },
  },
  if: { properties: { scheme: { const: 'rsa-pss' } } },
  // biome-ignore lint/suspicious/noThenProperty: JSON Schema's keyword, not a promise
  then: { required: ['saltLength'] },
  else: { properties: { saltLength: false } },
}

const sha256 = { type: 'string', pattern: '^[A-Za-z0-9+/]{43}=$' } as const
const confirmation = { type: 'string', pattern: '^(jkt|x5t):[A-Za-z0-9_-]{43}$' } as const

const creation = object({ certificatePolicy: value, subjectData: { type: 'object' } })

const schemas: Record<FrontVerb, object> = {
  login: object({ origin, login: text, password: value, rememberMe: { type: 'boolean' } }),
  refresh: object({ origin, refreshToken: value }),
  signIn: object({ origin, login: text, password: value }, { browser: value }),
  openLink: object({ origin, link: value }),
  activate: object({ origin, link: value, code: value }, { password: value }),
  recover: object({ origin, login: text, password: value, recoveryCode: value }, { browser: value }),
  account: object({ origin, bearer: value }),
  changePassword: object({ ...onPage, code: value, password: value }, { browser: value }),
  renewRecoveryCodes: object({ ...onPage, code: value }, { browser: value }),
  addAuthenticator: object({ ...onPage, code: value }, { browser: value }),
  removeAuthenticator: object({ ...onPage, code: value, authenticatorId: value }, { browser: value }),
  beginPasskey: object({ ...onPage, code: value }, { browser: value }),
  registerPasskey: object(
    { ...onPage, ticket: value, response: value, label: { ...text, maxLength: 64 } },
    { browser: value },
  ),
  stopReplacement: object({ origin, token: value }),
  cancelReplacement: object(onPage, { browser: value }),
  revoke: object({ origin, bearer: value, token: value }, { hint: { enum: ['access_token', 'refresh_token'] } }),
  authorize: object(
    {
      origin,
      bearer: value,
      credentialId: value,
      numSignatures: { type: 'number' },
      factors: object({}, { code: value, kind: { enum: ['totp', 'sms', 'email'] }, pin: value }),
    },
    {
      digests: { ...digests, maxItems: 10_000 },
      digestAlgorithm: algorithm,
      description: text,
      rememberSession: { type: 'boolean' },
    },
  ),
  sendCode: object({ origin, bearer: value, credentialId: value }, { kind: { enum: ['sms', 'email'] } }),
  stop: object({ origin, bearer: value, all: { type: 'boolean' } }),
  extend: object({ origin, bearer: value, sad: value, credentialId: value }, { digests, digestAlgorithm: algorithm }),
  requestApproval: {
    ...object(
      {
        origin,
        name: value,
        kind: { enum: ['service', 'credential', 'creation', 'deletion'] },
        way: { enum: ['oauth', 'handle'] },
      },
      {
        clientId: text,
        redirectUri: value,
        bearer: value,
        credentialId: value,
        qualifier: text,
        numSignatures: { type: 'number' },
        digests: { ...digests, maxItems: 10_000 },
        digestAlgorithm: algorithm,
        labels: { type: 'array', maxItems: 10_000, items: text },
        description: text,
        creation,
      },
    ),
    if: { properties: { way: { const: 'oauth' } } },
    // biome-ignore lint/suspicious/noThenProperty: JSON Schema's keyword, not a promise
    then: { required: ['clientId', 'redirectUri'], properties: { bearer: false } },
    else: { required: ['bearer'], properties: { clientId: false, redirectUri: false, kind: { const: 'credential' } } },
  },
  readApproval: {
    ...object({ origin, bearer: value }, { name: value, approvalId: value }),
    oneOf: [{ required: ['name'] }, { required: ['approvalId'] }],
  },
  listApprovals: object({ origin, bearer: value }),
  approve: object(
    { origin, bearer: value, approvalId: value, factors: object({}, { code: value, pin: value, assertion: value }) },
    { remember: { type: 'boolean' }, session: { type: 'integer', minimum: 0 }, browser: value },
  ),
  deny: object({ origin, bearer: value, approvalId: value }),
  sendApprovalCode: object({ origin, bearer: value, approvalId: value }),
  exchange: object({ origin, name: value, tokenHash: sha256 }, { confirmation }),
  collect: object({ origin, bearer: value, name: value }),
  refreshGrant: object({ origin, name: value, tokenHash: sha256 }, { confirmation }),
  createCredential: object({ origin, bearer: value, creation }),
  deleteCredential: object(
    { origin, bearer: value, credentialId: value },
    { revocationReason: { type: 'integer', minimum: 0, maximum: 10 } },
  ),
  revokeGrant: object({
    origin,
    name: value,
    why: { enum: ['token_revoked', 'code_replayed', 'refresh_token_replayed'] },
  }),
  revokeAccess: object({ origin, clientId: text, tokenHash: sha256 }),
  clientToken: object({ origin, clientId: text, tokenHash: sha256 }, { confirmation }),
  look: object(
    {
      origin,
      token: value,
      kind: { enum: ['read', 'export'] },
      what: { type: 'string', pattern: '^[a-z_]{1,32}$' },
    },
    { query: text },
  ),
  frontSecret: object({}),
  sign: object(
    { origin, bearer: value, credentialId: value, digests, mechanism },
    { sad: value, retryKey: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' } },
  ),
  receipt: object({ origin, bearer: value, operation: value, phase: { enum: ['intent', 'outcome'] } }),
  timestamp: object(
    { origin, bearer: value, digest: { ...digests.items }, digestAlgorithm: algorithm },
    { nonce: { type: 'string', pattern: '^[0-9A-Fa-f]{1,128}$' } },
  ),
  timeStampQuery: object({ origin, query: { type: 'string', maxLength: 8192, pattern: '^[A-Za-z0-9+/]*={0,2}$' } }),
  announce: object({
    bootId: { type: 'string', pattern: '^[0-9a-f-]{36}$' },
    node: { type: 'string', pattern: '^[\\x20-\\x7e]{0,64}$' },
    publicKey: { type: 'string', pattern: '^[A-Za-z0-9+/]{1,100}={0,2}$' },
  }),
  health: object({}),
}

const ajv = new Ajv({ allowUnionTypes: true, strictRequired: false })
const compiled = Object.fromEntries(
  Object.entries(schemas).map(([verb, schema]) => [verb, ajv.compile(schema as JSONSchemaType<unknown>)]),
) as Record<FrontVerb, ValidateFunction>

export function isFrontVerb(verb: string): verb is FrontVerb {
  return Object.hasOwn(schemas, verb)
}

/** Whether a body is what this verb takes. The front is not trusted to have looked. */
export function isRequestOf(verb: FrontVerb, body: unknown): boolean {
  return compiled[verb](body) === true
}
