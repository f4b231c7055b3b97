import type { Origin } from '../activation.js'
import type { Actor } from '../audit/event.js'
import type { Record, TransactionLog, Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import type { Clock } from '../clock.js'
import type { Digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import { type Hsm, HsmError, type KeySpec, type Mechanism } from '../hsm/hsm.js'
import { verifyDigest } from '../hsm/openssl.js'
import type { PasswordHasher } from '../identity/password.js'
import { type ClientId, type CredentialId, newId, type OperationId, type SessionId, type SignerId } from '../ids.js'
import { buildRequest } from '../pki/certificate-request.js'
import { type Credential, credentialFields, keyAssociatedData, keyName, signerKey } from './credential.js'
import { readCredential, writeCredential } from './credential-store.js'
import { type CredentialPolicy, policyText } from './policy.js'

export interface CredentialServices {
  readonly transactions: TransactionLog
  readonly hsm: Pick<Hsm, 'generateSignerKey' | 'sign'>
  readonly binding: RowBinding
  readonly passwords: PasswordHasher
  readonly clock: Clock
}

export interface NewCredential {
  readonly signer: { readonly id: SignerId; readonly name: string }
  readonly spec: KeySpec
  readonly scal: '1' | '2'
  readonly multisign: number
  readonly sessionWide: boolean
  readonly policy: CredentialPolicy
  readonly pin: string | undefined
  readonly description: string | undefined
}

/** Who has it made, and through what. */
export interface Maker {
  readonly actor: Actor
  /** Of a request that came over the API, with the agreement of the signer that it was made by. */
  readonly origin?: Origin
  readonly agreed?: { readonly approval: string; readonly client: ClientId; readonly session: SessionId }
}

/** An intention that is written down: the row of a credential that has no key yet. */
export interface BegunCredential {
  readonly operation: OperationId
  readonly maker: Maker
  readonly wanted: NewCredential
  readonly planned: Omit<Credential, 'binding'>
}

const DEVICE_MS = 30_000

/**
 * A new key pair for a signer and the request for its certificate. The intention is in the log before the device is
 * asked, and the outcome with the row; a crash between leaves a pending credential without a key, which the reconciler
 * closes. The key signs its own request here, once, and nothing else until a certificate is bound.
 * @returns the pending credential
 */
export async function createCredential(
  services: CredentialServices,
  maker: Maker,
  wanted: NewCredential,
): Promise<Credential> {
  const pinHash = wanted.pin === undefined ? null : await services.passwords.hash('pin', requirePin(wanted.pin))
  const begun = await services.transactions.transact((tx, record) =>
    beginCredential(tx, record, services.binding, maker, wanted, pinHash),
  )
  return makeKey(services, begun)
}

/** The intention, as part of a transaction: once that is durable, `makeKey` may ask the device. */
export async function beginCredential(
  tx: Tx,
  record: Record,
  binding: RowBinding,
  maker: Maker,
  wanted: NewCredential,
  pinHash: string | null,
): Promise<BegunCredential> {
  const begun = { operation: newId<OperationId>(), maker, wanted, planned: pendingCredential(wanted, pinHash) }
  await insertPending(tx, binding, begun.planned)
  record({ type: 'credential.created', ...eventOf(begun), evidence: { ...maker.agreed, ...evidenceOf(begun) } })
  return begun
}

/**
 * The key of a credential whose making is written down, and the request for its certificate.
 * @returns the pending credential
 * @throws ServiceError `unavailable`
 */
export async function makeKey(
  { transactions, hsm, binding }: Omit<CredentialServices, 'passwords' | 'clock'>,
  begun: BegunCredential,
): Promise<Credential> {
  const { planned, wanted, maker } = begun
  try {
    const { publicKey, blob } = await hsm.generateSignerKey(planned.spec, keyAssociatedData(planned))
    const made = { ...planned, public_key: publicKey, blob }
    const request = await buildRequest(
      { subject: { commonName: wanted.signer.name }, publicKey },
      (digest, mechanism) => signOnce(hsm, made, digest, mechanism),
    )
    return await transactions.transact(async (tx, record) => {
      const current = await readCredential(tx, binding, planned.id, true)
      if (current?.state !== 'pending') throw new ServiceError('unavailable')
      const evidence = { ...evidenceOf(begun), key: keyName(publicKey) }
      record({ type: 'credential.request_signed', ...eventOf(begun), evidence })
      record({
        type: 'key.generated',
        outcome: 'ok',
        actor: maker.actor,
        ...(maker.origin === undefined ? {} : { origin: maker.origin }),
        facts: { spec: planned.spec },
        evidence,
      })
      return writeCredential(tx, binding, current, { public_key: publicKey, blob, request })
    })
  } catch (error) {
    if (error instanceof HsmError) throw new ServiceError('unavailable', { retryAfter: 1, cause: error })
    throw error
  }
}

/** What intention and outcome have in common. */
function eventOf({ operation, maker: { actor, origin }, wanted: { spec, scal, multisign } }: BegunCredential) {
  return {
    op: operation,
    outcome: 'ok',
    actor,
    ...(origin === undefined ? {} : { origin }),
    facts: { spec, scal, multisign },
  } as const
}

function evidenceOf({ wanted, planned }: BegunCredential) {
  return { signer: wanted.signer.id, credential: planned.id }
}

/** The signature over the key's own certificate request, checked like any other before it is used. */
async function signOnce(
  hsm: Pick<Hsm, 'sign'>,
  credential: Omit<Credential, 'binding'>,
  digest: Digest,
  mechanism: Mechanism,
): Promise<Uint8Array> {
  const [signature] = await hsm.sign(signerKey(credential), mechanism, [digest], performance.now() + DEVICE_MS)
  if (signature === undefined || !verifyDigest(credential.public_key, mechanism, digest, signature)) {
    throw new HsmError('indeterminate', 'the device returned a signature that does not verify')
  }
  return signature
}

function pendingCredential(wanted: NewCredential, pinHash: string | null): Omit<Credential, 'binding'> {
  return {
    id: newId<CredentialId>(),
    signer_id: wanted.signer.id,
    spec: wanted.spec,
    state: 'pending',
    description: wanted.description ?? null,
    scal: wanted.scal,
    multisign: wanted.multisign,
    session_wide: wanted.sessionWide,
    policy: policyText(wanted.policy),
    pin_hash: pinHash,
    generation: 1,
    version: 1,
    public_key: Buffer.alloc(0),
    blob: Buffer.alloc(0),
    request: null,
    chain: [],
    subject_dn: null,
    issuer_dn: null,
    serial_number: null,
    not_before: null,
    not_after: null,
  }
}

async function insertPending(tx: Tx, binding: RowBinding, c: Omit<Credential, 'binding'>): Promise<void> {
  await tx.query(
    `insert into paraph.credential (id, signer_id, spec, state, description, scal, multisign, session_wide, policy, pin_hash, generation, version, binding)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [
      c.id,
      c.signer_id,
      c.spec,
      c.state,
      c.description,
      c.scal,
      c.multisign,
      c.session_wide,
      c.policy,
      c.pin_hash,
      c.generation,
      c.version,
      binding.mac('credential', credentialFields(c)),
    ],
  )
}

/** @throws ServiceError `not_allowed` */
function requirePin(pin: string): string {
  if (!/^[0-9]{4,12}$/.test(pin)) throw new ServiceError('not_allowed', { detail: 'a PIN has 4 to 12 digits' })
  return pin
}
