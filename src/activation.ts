/**
 * The activation protocol: what a front may ask of a SAM worker, and what the command line may ask of it on the other
 * socket. There is deliberately no message that says "sign this digest with that key": a signature takes a bearer
 * token, a SAD and digests, and the worker checks all three itself.
 *
 * A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON; requests carry an `id` that the answer
 * repeats, and answers may come in any order. Binary values are standard base64.
 */
import type { DigestAlgorithm } from './digest.js'
import type { ErrorCode } from './errors.js'
import type { FactorKind } from './factor-kind.js'
import type { KeySpec, Mechanism } from './hsm/hsm.js'

/** Largest frame either side accepts, in bytes. 500 SHA-512 digests and their signatures stay far below. */
export const MAX_FRAME = 1024 * 1024

/** Where a request came from, for the log. */
export interface Origin {
  readonly requestId: string
  readonly address: string
  readonly api: 'v1' | 'v2' | 'oauth2' | 'cli' | 'audit'
}

/** What the signer presented with an authorization. */
export interface PresentedFactors {
  readonly code?: string
  /** What the code is of, where the version names it. */
  readonly kind?: Exclude<FactorKind, 'passkey'>
  readonly pin?: string
  /** JSON of a passkey's AuthenticationResponse (WebAuthn §5.1); on our own page only. */
  readonly assertion?: string
}

/** What a signer asks for on our own pages. */
interface OnPage {
  readonly origin: Origin
  readonly bearer: string
  /** Cookie of a browser that may be known to be the signer's. */
  readonly browser?: string
}

/** What a browser is to be asked for an assertion; binary members in base64url. */
export interface PasskeyRequest {
  readonly rpId: string
  readonly challenge: string
  /** Instead, where the signer chose that the answer covers the session. */
  readonly sessionChallenge?: string
  readonly allow: readonly string[]
}

export interface Account {
  readonly login: string
  readonly name: string
  readonly authenticators: readonly {
    readonly id: string
    readonly kind: 'totp' | 'sms' | 'email' | 'passkey'
    readonly label?: string
    readonly createdAt: string
  }[]
  readonly recoveryCodesLeft: number
  readonly sessions: readonly {
    readonly id: string
    /** Name of the client. */
    readonly client: string
    readonly endsAt: string
    readonly remembered: boolean
    readonly signaturesLeft: number
    /** The one that asks. */
    readonly own: boolean
  }[]
  /** From when on a link works that an operator gave and that has not been used. */
  readonly replacementFrom?: string
}

/** An entry of the log and its openings. */
export interface ReceiptParts {
  pending?: never
  index: number
  /** Base64. */
  leaf: string
  /** Those that were not erased: the seed in base64url, and JSON of its fields. */
  openings: { class: number; seed: string; fields: string }[]
}

export type ApprovalKind = 'service' | 'credential' | 'creation' | 'deletion'

/** What a token of an approval is good for (CSC API v2.2 §8.2.2). */
export const SCOPE_OF_KIND = {
  service: 'service',
  credential: 'credential',
  creation: 'credential-creation',
  deletion: 'credential-deletion',
} as const satisfies Record<ApprovalKind, string>
export type TokenScope = (typeof SCOPE_OF_KIND)[ApprovalKind]

/** What a client wants to have made (CSC API v2.2 §11.4), as it was sent. */
export interface CreationRequest {
  /** OID. */
  certificatePolicy: string
  subjectData: Record<string, unknown>
}

/** An approval as its signer sees it. */
export interface ShownApproval {
  approvalId: string
  /** `approved`: the answer is given, and only the way back to the client is left. */
  state: 'pending' | 'approved'
  kind: ApprovalKind
  clientId: string
  /** Its name. */
  client: string
  signerId: string
  credential?: {
    credentialId: string
    subject: string
    description?: string
    pin: boolean
    /** Whether a code of an app may agree: the signer has one, and the credential accepts it. */
    code: boolean
    /** Whether the service can send the signer a code that may agree. */
    sends: boolean
  }
  /** What will be made, and the name that its certificate will have. */
  creation?: { certificatePolicy: string; key: KeySpec; name: string }
  numSignatures?: number
  labels: string[]
  description?: string
  /** Six digits. */
  comparison: string
  /** What a browser is to be asked for where a passkey of the signer may agree. */
  passkey?: PasskeyRequest
  /** How far the answer may go where the credential's policy lets the signer choose that it covers the session. */
  session?: { ceiling: number; minutes: number }
  expiresIn: number
}

export interface FrontVerbs {
  /** Password login of the built-in client `basic` (CSC API v1 §11.2, v2.2 §11.2). */
  login: {
    request: { origin: Origin; login: string; password: string; rememberMe: boolean }
    response: { accessToken: string; refreshToken?: string; expiresIn: number }
  }
  /** Login on our own pages; `browser` is the cookie of a browser that may be known to be the signer's. */
  signIn: {
    request: { origin: Origin; login: string; password: string; browser?: string }
    response: { token: string; expiresIn: number }
  }
  /** What a one-use link shows: `secret` is base32, `uri` an otpauth URI. Nothing is used up. */
  openLink: {
    request: { origin: Origin; link: string }
    response: {
      login: string
      name: string
      setsPassword: boolean
      replaces: boolean
      /** Absent where the link enrols nothing. */
      uri?: string
      secret?: string
    }
  }
  /** Uses a link up: sets the password where the link says so, and enrols the authenticator whose code this is; the code is one of the signer's own where it enrols none. */
  activate: {
    request: { origin: Origin; link: string; password?: string; code: string }
    response: { recoveryCodes: string[]; browser: string }
  }
  /** Password and recovery code for a link that enrols a new authenticator and ends the others. */
  recover: {
    request: { origin: Origin; login: string; password: string; recoveryCode: string; browser?: string }
    response: { link: string }
  }
  /** What a signer sees of the own account; `bearer` is a token of `signIn` here and below. */
  account: { request: { origin: Origin; bearer: string }; response: Account }
  changePassword: { request: OnPage & { code: string; password: string }; response: Record<string, never> }
  renewRecoveryCodes: { request: OnPage & { code: string }; response: { recoveryCodes: string[] } }
  /** A link that enrols one more authenticator. */
  addAuthenticator: { request: OnPage & { code: string }; response: { link: string } }
  removeAuthenticator: {
    request: OnPage & { code: string; authenticatorId: string }
    response: Record<string, never>
  }
  /** The way to one more passkey: what the browser is to be asked; binary members in base64url. */
  beginPasskey: {
    request: OnPage & { code: string }
    response: {
      ticket: string
      rpId: string
      challenge: string
      userId: string
      login: string
      name: string
      exclude: string[]
    }
  }
  /** `response` is the JSON of what the browser answered (WebAuthn RegistrationResponseJSON). */
  registerPasskey: {
    request: OnPage & { ticket: string; response: string; label: string }
    response: Record<string, never>
  }
  /** Stops the link that a notice told of; the token is the notice's. */
  stopReplacement: { request: { origin: Origin; token: string }; response: Record<string, never> }
  /** Stops a link that an operator gave; takes no code. */
  cancelReplacement: { request: OnPage; response: Record<string, never> }
  /** A refresh token opens a new session without authorizations; the old refresh token dies with it. */
  refresh: {
    request: { origin: Origin; refreshToken: string }
    response: { accessToken: string; refreshToken?: string; expiresIn: number }
  }
  /** Revokes a token of the caller's own client and signer (CSC `auth/revoke`). */
  revoke: {
    request: { origin: Origin; bearer: string; token: string; hint?: 'access_token' | 'refresh_token' }
    response: Record<string, never>
  }
  authorize: {
    request: {
      origin: Origin
      bearer: string
      credentialId: string
      numSignatures: number
      /** Base64; absent for an open authorization. */
      digests?: string[]
      /** Sent by v2 only; v1 tells the algorithm by the length of the digests. */
      digestAlgorithm?: DigestAlgorithm
      factors: PresentedFactors
      description?: string
      /** One agreement for all files of the session, whose end moves; where the credential's policy allows it. */
      rememberSession?: boolean
    }
    response: { sad: string; expiresIn: number }
  }
  /** Ends the caller's session, or all of the signer's; takes no code. */
  stop: { request: { origin: Origin; bearer: string; all: boolean }; response: Record<string, never> }
  /** Sends a code to the signer's phone or mailbox (CSC `credentials/getChallenge`, `credentials/sendOTP`). */
  sendCode: {
    request: { origin: Origin; bearer: string; credentialId: string; kind?: 'sms' | 'email' }
    response: Record<string, never>
  }
  /** A new SAD for the same authorization (CSC `credentials/extendTransaction`). */
  extend: {
    request: {
      origin: Origin
      bearer: string
      sad: string
      credentialId: string
      /** Base64 of what is still to be signed; more than was agreed to only in a remembered session. */
      digests?: string[]
      digestAlgorithm?: DigestAlgorithm
    }
    response: { sad: string; expiresIn: number }
  }
  sign: {
    request: {
      origin: Origin
      bearer: string
      /** Absent where the bearer token is itself the authorization: one of scope `credential`. */
      sad?: string
      credentialId: string
      /** Base64, each of the length of `mechanism.hash`. */
      digests: string[]
      mechanism: Mechanism
      /** The client's name for this request: whoever sends it again under it gets the same signatures. */
      retryKey?: string
    }
    /** Base64, in the order of the digests; `receipt` says where the log has the outcome. */
    response: { operation: string; signatures: string[]; receipt: { origin: string; index: number; leafHash: string } }
  }
  /** An entry of a signing with what opens it, for who asked for the signing, once a signed checkpoint covers it. */
  receipt: {
    request: { origin: Origin; bearer: string; operation: string; phase: 'intent' | 'outcome' }
    response: ReceiptParts | { pending: true; index?: number }
  }
  /** A time-stamp (RFC 3161) over a digest (CSC `signatures/timestamp`). */
  timestamp: {
    request: {
      origin: Origin
      bearer: string
      /** Base64. */
      digest: string
      digestAlgorithm: DigestAlgorithm
      /** Hexadecimal digits. */
      nonce?: string
    }
    /** Base64 of the DER token. */
    response: { token: string }
  }
  /** A time-stamp query as RFC 3161 has it, of a program on the front's machine; so many a minute, whoever asks. */
  timeStampQuery: {
    request: {
      origin: Origin
      /** Base64. */
      query: string
    }
    /** Base64 of the DER response, which may be a rejection. */
    response: { response: string }
  }
  /** What a signer shall be asked on our own pages: by an OAuth client, or by a session that gets a handle. */
  requestApproval: {
    request: {
      origin: Origin
      /** The uid of the interaction, or the handle. Only its hash is stored. */
      name: string
      kind: ApprovalKind
      credentialId?: string
      /** CSC `signatureQualifier`: the service picks the credential. */
      qualifier?: string
      numSignatures?: number
      /** Base64; absent for an open authorization. */
      digests?: string[]
      digestAlgorithm?: DigestAlgorithm
      /** What the client calls the files. */
      labels?: string[]
      description?: string
      /** For the kind `creation`. */
      creation?: CreationRequest
    } & ({ way: 'oauth'; clientId: string; redirectUri: string } | { way: 'handle'; bearer: string })
    /** `nonce` is the key of the comparison code, base64url. */
    response: { approvalId: string; comparison: string; nonce: string; expiresIn: number }
  }
  /** What the page shows to the signer; the first whose credential it is becomes the one who is asked. */
  readApproval: {
    request: { origin: Origin; bearer: string } & ({ name: string } | { approvalId: string })
    response: ShownApproval
  }
  /** What waits for the signer's answer and was asked for with a handle. */
  listApprovals: {
    request: { origin: Origin; bearer: string }
    response: { approvals: ShownApproval[] }
  }
  /**
   * The signer's yes. `remember` lets the client come back without asking, for service approvals of an OAuth client.
   * `session` lets further files follow: the ceiling that the signer was shown when he chose it.
   */
  approve: {
    request: OnPage & { approvalId: string; factors: PresentedFactors; remember?: boolean; session?: number }
    response: Record<string, never>
  }
  /** Sends the signer who is asked a code. `sentTo` is the address, masked. */
  sendApprovalCode: {
    request: { origin: Origin; bearer: string; approvalId: string }
    response: { sentTo: string }
  }
  deny: {
    request: { origin: Origin; bearer: string; approvalId: string }
    response: Record<string, never>
  }
  /** The access token of an approval that was given: once. */
  exchange: {
    request: {
      origin: Origin
      name: string
      /** SHA-256 of the access token, base64. */
      tokenHash: string
      /** `jkt:` or `x5t:` and a SHA-256, base64url: what must come with the token. */
      confirmation?: string
    }
    response: {
      expiresIn: number
      kind: ApprovalKind
      approvalId: string
      remember: boolean
      nonce: string
      credentialId?: string
    }
  }
  /** The SAD of an approval that a handle names: once, and only for the session that asked. */
  collect: {
    request: { origin: Origin; bearer: string; name: string }
    response: { pending: true } | { pending?: never; sad: string; expiresIn: number }
  }
  /** Another access token by an approval that is remembered. The front has seen the refresh token and spent it. */
  refreshGrant: {
    request: { origin: Origin; name: string; tokenHash: string; confirmation?: string }
    response: { expiresIn: number }
  }
  /** Makes the key and certificate that a token of scope `credential-creation` is for: once. */
  createCredential: {
    request: { origin: Origin; bearer: string; creation: CreationRequest }
    response: { credentialId: string }
  }
  /** Deletes the credential that a token of scope `credential-deletion` names: once. */
  deleteCredential: {
    request: {
      origin: Origin
      bearer: string
      credentialId: string
      /** As in RFC 5280 §5.3.1, where the client wants it revoked, too. */
      revocationReason?: number
    }
    response: Record<string, never>
  }
  /** Ends everything that was made of an approval. */
  revokeGrant: {
    request: { origin: Origin; name: string; why: 'token_revoked' | 'code_replayed' | 'refresh_token_replayed' }
    response: Record<string, never>
  }
  /** Ends one access token of a client, and its session. */
  revokeAccess: {
    request: { origin: Origin; clientId: string; tokenHash: string }
    response: { found: boolean }
  }
  /** A token of a client itself, without a signer (client credentials). */
  clientToken: {
    request: { origin: Origin; clientId: string; tokenHash: string; confirmation?: string }
    response: { expiresIn: number }
  }
  /**
   * An auditor's way to the log. `token` is an operator's; what is asked for is in the log before anything can be read.
   * The ticket (32 bytes, base64) opens to the front what an entry says that was looked at, and nothing else does.
   */
  look: {
    request: {
      origin: Origin
      token: string
      kind: 'read' | 'export'
      /** A fixed word. */
      what: string
      /** What is looked for, as it was asked. */
      query?: string
    }
    /** `size`: entries of the log before the one about this look. */
    response: { ticket: string; size: number; expiresAt: string }
  }
  /** 32 bytes, base64, the same for every front: the key of its cookies and of what the OAuth 2 server keeps. */
  frontSecret: {
    request: Record<string, never>
    response: { secret: string }
  }
  /** Announces the boot key of a front's log writer: DER SubjectPublicKeyInfo (Ed25519), base64. */
  announce: {
    request: { bootId: string; node: string; publicKey: string }
    response: Record<string, never>
  }
  /** Whether this worker can sign now: device, database, clock, and a log that is being signed. */
  health: {
    request: Record<string, never>
    response: {
      device: boolean
      database: boolean
      clock: boolean
      log: boolean
      demo: boolean
      /** Whether it gives time-stamps. */
      timeStamps: boolean
    }
  }
}

/** What a credential accepts; what is absent is at its default. */
export interface PolicyArguments {
  /** Kinds of factors that may agree; default any. */
  factors?: FactorKind[]
  /** Clients that may have it sign; default any. */
  clients?: string[]
  /** Whether one code may cover a whole session; default not. */
  sessionWide?: boolean
  /** How many signatures it covers then; default 1000. */
  sessionCeiling?: number
  /** For which clients, beside our own pages. */
  sessionClients?: string[]
}

export interface CredentialSummary extends PolicyArguments {
  credentialID: string
  signer: string
  key: KeySpec
  state: 'pending' | 'active' | 'suspended' | 'revoked' | 'expired'
  scal: '1' | '2'
  multisign: number
  sessionWide: boolean
  pin: boolean
  subject?: string
  serialNumber?: string
  notAfter?: string
}

export interface SignerSummary {
  signerId: string
  login: string
  name: string
  state: 'active' | 'suspended'
  locked: boolean
}

export interface FactorSummary {
  authenticatorId: string
  signer: string
  kind: FactorKind
  /** What the signer calls it, or the masked address its codes are sent to. */
  label?: string
  state: 'active' | 'revoked' | 'ended'
  demo: boolean
  createdAt: string
}

export type ClientAuth = 'secret' | 'private-key-jwt' | 'tls' | 'none'

export interface ClientSummary {
  clientId: string
  name: string
  state: 'active' | 'disabled'
  redirectUris: string[]
}

type Role = 'registration' | 'system' | 'security' | 'auditor'
export type OperatorRole = Role

/** Spoken on the administration socket (0600) only; every request carries the token of a named operator. */
export interface AdminVerbs {
  'signer.create': {
    request: { login: string; name: string; phone?: string; email?: string; password?: string }
    response: { signerId: string; login: string; password?: string }
  }
  'signer.list': { request: Record<string, never>; response: { signers: SignerSummary[] } }
  'signer.suspend': { request: { signer: string }; response: Record<string, never> }
  'signer.resume': { request: { signer: string }; response: Record<string, never> }
  'signer.unlock': { request: { signer: string }; response: Record<string, never> }
  'signer.resetPassword': { request: { signer: string; password?: string }; response: { password?: string } }
  /** A link with which the signer sets another password, which takes a code. */
  'signer.inviteReset': { request: { signer: string }; response: { link: string } }
  'authenticator.enrol': {
    request: { signer: string; algorithm?: 'SHA1' | 'SHA256' }
    /** In a demo only: elsewhere nobody but the signer sees a secret. */
    response: { authenticatorId: string; uri: string; secret: string }
  }
  /** Codes sent to the signer's phone or mailbox; outside a demo only as the first factor a signer has. */
  'authenticator.enrolDelivered': {
    request: { signer: string; kind: 'sms' | 'email' }
    /** The address, masked. */
    response: { authenticatorId: string; sentTo: string }
  }
  /** A link with which the signer sets a password, where there is none, and enrols an authenticator; see identity/invitation.ts. */
  'authenticator.invite': {
    request: { signer: string }
    /** `noticed`: the channels on which the signer was told that authenticators will be replaced. */
    response: { link: string; usableFrom: string; noticed: string[] }
  }
  /** A second operator has seen proof of who the signer is: the link that replaces factors need not wait. */
  'authenticator.vouch': { request: { signer: string }; response: Record<string, never> }
  'authenticator.cancel': { request: { signer: string }; response: { cancelled: number } }
  'authenticator.list': { request: { signer: string }; response: { authenticators: FactorSummary[] } }
  'authenticator.revoke': { request: { authenticatorId: string }; response: Record<string, never> }
  'credential.create': {
    request: {
      signer: string
      key: KeySpec
      scal?: '1' | '2'
      multisign?: number
      pin?: string
      description?: string
    } & PolicyArguments
    /** `request` is a PEM certificate request where no certificate could be issued at once (outside demo). */
    response: { credentialID: string; state: CredentialSummary['state']; request?: string }
  }
  'credential.list': { request: { signer?: string }; response: { credentials: CredentialSummary[] } }
  'credential.show': { request: { credentialID: string }; response: CredentialSummary & { certificates: string[] } }
  /** Another policy, whole; what was agreed to under the old one ends. */
  'credential.policy': { request: { credentialID: string } & PolicyArguments; response: PolicyArguments }
  'credential.suspend': { request: { credentialID: string }; response: Record<string, never> }
  'credential.resume': { request: { credentialID: string }; response: Record<string, never> }
  'credential.revoke': { request: { credentialID: string }; response: Record<string, never> }
  /** Chain as PEM, leaf first; refused unless it matches key and signer. Also renews on the same key. */
  'credential.import': {
    request: { credentialID: string; chain: string }
    response: { state: CredentialSummary['state'] }
  }
  /** A new certificate on the same key: from the demo CA at once, else a new request to carry out. */
  'credential.renew': {
    request: { credentialID: string }
    response: { state: CredentialSummary['state']; request?: string }
  }
  'client.create': {
    request: {
      name: string
      redirectUris?: string[]
      /** How it proves who it is; with a secret, unless said. */
      auth?: ClientAuth
      /** JSON Web Key Set of a client that has no secret, JSON. */
      jwks?: string
      /** `service` and `credential`, unless said. */
      scopes?: TokenScope[]
    }
    /** The secret, of a client that has one. */
    response: { clientId: string; clientSecret?: string }
  }
  /** What is absent stays as it is. Another way to prove who it is takes a new client. */
  'client.change': {
    request: { clientId: string; name?: string; redirectUris?: string[]; jwks?: string; scopes?: TokenScope[] }
    response: Record<string, never>
  }
  /** The signers whose credentials a client reaches with a token of its own. */
  'client.assign': { request: { clientId: string; signer: string }; response: Record<string, never> }
  'client.unassign': { request: { clientId: string; signer: string }; response: Record<string, never> }
  'client.list': { request: Record<string, never>; response: { clients: ClientSummary[] } }
  'client.disable': { request: { clientId: string }; response: Record<string, never> }
  'client.rotate': { request: { clientId: string }; response: { clientSecret: string } }
  'operator.create': { request: { name: string; role: Role }; response: { operatorId: string; token: string } }
  'operator.list': {
    request: Record<string, never>
    response: { operators: { operatorId: string; name: string; role: Role; state: 'active' | 'disabled' }[] }
  }
  'operator.disable': { request: { operatorId: string }; response: Record<string, never> }
  /** The name of the log. */
  'log.origin': { request: Record<string, never>; response: { origin: string } }
  /** Names a key that signs checkpoints from now on, as a verifier key (C2SP signed-note) under the name of the log. */
  'log.key': { request: { vkey: string }; response: { origin: string } }
  /**
   * Erases openings of the log whose time has come, of one signer or of everybody, among a bounded number of entries.
   * `next`: where to go on; absent when all were looked at. `kept`: of the signer named, what the law says must stay.
   */
  'log.erase': {
    request: { signer?: string; from?: number }
    response: { evidence: number; network: number; next?: number; kept?: { count: number; until: string } }
  }
  /** The demo CA's root certificate as PEM. */
  'ca.root': { request: Record<string, never>; response: { pem: string } }
}

/** Who may ask for what. No role can sign for a signer or read a secret that a signer keeps. */
export const ADMIN_ROLE: { readonly [V in AdminVerb]: OperatorRole | 'any' } = {
  'signer.create': 'registration',
  'signer.list': 'any',
  'signer.suspend': 'registration',
  'signer.resume': 'registration',
  'signer.unlock': 'registration',
  'signer.resetPassword': 'registration',
  'signer.inviteReset': 'registration',
  'authenticator.enrol': 'registration',
  'authenticator.enrolDelivered': 'registration',
  'authenticator.invite': 'registration',
  'authenticator.vouch': 'registration',
  'authenticator.cancel': 'registration',
  'authenticator.list': 'any',
  'authenticator.revoke': 'registration',
  'credential.create': 'registration',
  'credential.list': 'any',
  'credential.show': 'any',
  'credential.policy': 'registration',
  'credential.suspend': 'registration',
  'credential.resume': 'registration',
  'credential.revoke': 'registration',
  'credential.import': 'registration',
  'credential.renew': 'registration',
  'client.create': 'system',
  'client.change': 'system',
  'client.assign': 'registration',
  'client.unassign': 'registration',
  'client.list': 'any',
  'client.disable': 'system',
  'client.rotate': 'system',
  'operator.create': 'security',
  'operator.list': 'any',
  'operator.disable': 'security',
  'log.origin': 'any',
  'log.key': 'security',
  'log.erase': 'security',
  'ca.root': 'any',
}

export type FrontVerb = keyof FrontVerbs
export type AdminVerb = keyof AdminVerbs

/**
 * What a stranger can ask, with a password or a value that he makes up. These share lanes, so that no number of them takes
 * the places in the queues which authorizations wait in; what is too much is refused before an attempt is counted.
 */
export const STRANGERS_LANE: { readonly [V in FrontVerb]?: 'password' | 'value' } = {
  login: 'password',
  signIn: 'password',
  recover: 'password',
  refresh: 'value',
  timeStampQuery: 'value',
  openLink: 'value',
  activate: 'value',
  // With an operator's token, which no front can judge.
  look: 'value',
}

export interface RequestFrame {
  id: number
  verb: string
  body: unknown
  /** Administration socket only. */
  operatorToken?: string
}

export type AnswerFrame =
  | { id: number; ok: unknown }
  | { id: number; error: { code: ErrorCode; detail?: string; retryAfter?: number } }
