/** FILE.tlog-proof: the receipt of the signing that made FILE.p7s (docs/audit-format.md §8). */
import { hash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parsePolicy, type TrustPolicy } from '../../tlog/policy.js'
import { sameHash } from '../../tlog/tree.js'
import { type ProvenEntry, readReceipt } from '../../verifier/receipts.js'
import { RECEIPT_SUFFIX, writeWhole } from './detached-signature.js'

/** Verifier key of a demo's log, in the keys folder. */
const DEMO_VKEY = 'log.vkey'

/** What a service says with the signatures: where in which log their outcome stands. */
export interface ReceiptClaim {
  readonly origin: string
  readonly operation: string
  readonly index: number
  readonly leafHash: Uint8Array
}

const CLAIM = /^([!-:<-~]{1,256});op=([0-9a-f-]{36});index=(0|[1-9][0-9]{0,15});leaf=([A-Za-z0-9_-]{43})$/

/** The header `Audit-Receipt`; undefined where the service gives none, or none that can be read. */
export function readClaim(header: string | null): ReceiptClaim | undefined {
  const [, origin, operation, index, leaf] = CLAIM.exec(header ?? '') ?? []
  if (origin === undefined || operation === undefined || leaf === undefined) return undefined
  return { origin, operation, index: Number(index), leafHash: new Uint8Array(Buffer.from(leaf, 'base64url')) }
}

/** @throws RangeError, or the file system's error */
export function readPolicy(path: string): TrustPolicy {
  return parsePolicy(readFileSync(path, 'utf8'))
}

/** Trusts the key of the demo that was started here; undefined where there is none. */
export function demoPolicy(keys: string): TrustPolicy | undefined {
  const path = join(keys, DEMO_VKEY)
  return existsSync(path) ? parsePolicy(`log ${readFileSync(path, 'utf8').trim()}\nquorum none\n`) : undefined
}

/**
 * The receipt is of the very entry that the service named, and that names these signatures, in their order.
 * @param policy whose log it must be; witnesses, who cosign later, are not asked for
 * @throws RangeError with what is wrong
 */
export function requireReceipt(
  text: string,
  policy: TrustPolicy,
  claim: ReceiptClaim,
  signatures: readonly Uint8Array[],
): void {
  const entry = readReceipt(text, policy, claim.origin)
  if (entry.index !== claim.index || !sameHash(entry.leafHash, claim.leafHash) || entry.leaf.op !== claim.operation) {
    throw new RangeError('the receipt is of another entry than the service named')
  }
  const named = signatures.every((signature, i) => entry.opened.get(`sigh[${i}]`) === nameOf(signature))
  if (!isRelease(entry) || !named) throw new RangeError('the entry of the receipt does not name the signatures')
}

/**
 * What the receipt beside a signature proves of it.
 * @throws RangeError with what is wrong, or the file system's error
 */
export async function checkReceipt(path: string, policy: TrustPolicy, signature: Uint8Array): Promise<ProvenEntry> {
  const entry = readReceipt(await readFile(path, 'utf8'), policy)
  requireNamed(entry, signature)
  if (!entry.quorum) throw new RangeError('too few witnesses of the policy cosigned its checkpoint')
  return entry
}

/** @throws RangeError when the entry is not one of a signing that gave out this signature */
export function requireNamed(entry: ProvenEntry, signature: Uint8Array): void {
  const name = nameOf(signature)
  const named = [...entry.opened].some(([field, value]) => field.startsWith('sigh[') && value === name)
  if (!isRelease(entry) || !named) throw new RangeError('the receipt is of another signature')
}

const isRelease = ({ leaf }: ProvenEntry) => leaf.ev === 'sign.outcome' && leaf.out === 'ok'
const nameOf = (signature: Uint8Array) => hash('sha256', signature, 'base64url')

/** Writes FILE.tlog-proof. @throws Error when there is one and `replace` is false */
export async function writeReceipt(path: string, text: string, replace: boolean): Promise<string> {
  const target = path + RECEIPT_SUFFIX
  await writeWhole(target, Buffer.from(text), replace, async () => undefined)
  return target
}
