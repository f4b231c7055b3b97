import type { Digest } from '../../digest.js'
import { verifyDigest } from '../../hsm/openssl.js'
import { type PreparedCms, prepareCms } from '../../pki/cms.js'
import type { TrustPolicy } from '../../tlog/policy.js'
import { type Choice, chooseCredential } from './choose-credential.js'
import type { CscCredential } from './csc-client.js'
import { digestOfFile, SUFFIX, whyNotSignable, writeSignature } from './detached-signature.js'
import { reasonOf } from './reason.js'
import { type ReceiptClaim, requireReceipt, writeReceipt } from './receipt.js'
import type { SignerAccount } from './signer-account.js'
import { batchSize, type SigningSession } from './signing-session.js'
import type { Terminal } from './terminal.js'

/** What signing takes besides the things to sign. */
export interface SigningTools {
  readonly session: SigningSession
  readonly account: SignerAccount
  readonly credentialId: string | undefined
  readonly anyCredential: boolean
  readonly clock: Pick<Terminal, 'now'>
  /** Told what is going on, for a person who waits. */
  progress(text: string): void
  /** Whose receipts are good ones; absent: they are kept, and nobody has looked at them. */
  readonly policy: TrustPolicy | undefined
  /** Told once, before anything is signed. */
  chosen(choice: Choice): void
}

/** What became of one file. */
export type FileResult =
  | ({ readonly file: string; readonly signature: string } & FileReceipt)
  | { readonly file: string; readonly error: string }

/** The receipt beside the signature, or why there is none; neither where the service gives no receipts. */
type FileReceipt =
  | { readonly receipt: string; readonly verified: boolean }
  | { readonly receipt?: never; readonly noReceipt?: string }

/**
 * Signs files, as many under one agreement as the credential allows. Either all of them can be signed and are
 * attempted, or none is. A signature counts without a receipt, too.
 * @param told hears of each file when its signature is written and verified, or why there is none
 * @throws CscError, and Error where nothing could be signed
 */
export async function signFiles(
  files: readonly string[],
  replace: boolean,
  tools: SigningTools,
  told: (result: FileResult) => void,
): Promise<void> {
  const reasons = await Promise.all(files.map((file) => whyNotSignable(file, replace)))
  const faults = reasons.filter((reason) => reason !== undefined)
  if (faults.length > 0) throw new Error(`nothing was signed:\n  ${faults.join('\n  ')}`)

  const choice = await choose(tools)
  const { credential, mechanism } = choice
  for (const batch of inBatches(files, credential, tools.account)) {
    const prepared: PreparedCms[] = []
    for (const [index, file] of batch.entries()) {
      tools.progress(`hashing ${index + 1} of ${batch.length}: ${file}`)
      prepared.push(
        prepareCms({
          messageDigest: await digestOfFile(file, mechanism.hash),
          certificates: credential.certificates,
          signingTime: new Date(tools.clock.now()),
        }),
      )
    }
    tools.progress(`signing ${batch.length} files`)
    const digests = prepared.map(({ toSign }) => toSign)
    const { signatures, claim } = await tools.session.sign(credential, mechanism, digests)
    const written: FileResult[] = []
    for (const [index, file] of batch.entries()) {
      tools.progress(`writing ${index + 1} of ${batch.length}: ${file}${SUFFIX}`)
      const write = async () => {
        const cms = at(prepared, index).finish(at(signatures, index), mechanism)
        await writeSignature(file, cms, replace)
      }
      const result = await write().then(
        () => ({ file, signature: file + SUFFIX }),
        (error: unknown) => ({ file, error: reasonOf(error) }),
      )
      written.push(result)
    }
    // The signatures are there by now, whatever becomes of the receipt.
    const receipt = await receiptOf(tools, claim, signatures)
    for (const result of written) {
      told('error' in result ? result : { ...result, ...(await keep(result.file, receipt, replace)) })
    }
  }
}

/**
 * Signs ready digests of one algorithm.
 * @param told hears of each signature in the order of the digests, after it was verified
 * @throws CscError, and Error where a signature is wrong
 */
export async function signDigests(
  digests: readonly Digest[],
  tools: SigningTools,
  told: (signature: Uint8Array) => void,
): Promise<void> {
  const hash = at(digests, 0).algorithm
  const { credential, mechanism, publicKey } = await choose(tools, hash)
  for (const batch of inBatches(digests, credential, tools.account)) {
    tools.progress(`signing ${batch.length} digests`)
    const { signatures } = await tools.session.sign(credential, mechanism, batch)
    for (const [index, digest] of batch.entries()) {
      if (!verifyDigest(publicKey, mechanism, digest, at(signatures, index))) {
        throw new Error('the service returned a signature that does not fit the certificate')
      }
    }
    for (const signature of signatures) told(signature)
  }
}

type Receipt = { readonly text: string; readonly verified: boolean } | { readonly noReceipt?: string }

/** The receipt that the service gives for these signatures, and that is what it said it would be. */
async function receiptOf(
  { session, policy, progress }: SigningTools,
  claim: ReceiptClaim | undefined,
  signatures: readonly Uint8Array[],
): Promise<Receipt> {
  if (claim === undefined) return {}
  progress('waiting for the receipt')
  try {
    const text = await session.receipt(claim.operation)
    if (policy !== undefined) requireReceipt(text, policy, claim, signatures)
    return { text, verified: policy !== undefined }
  } catch (error) {
    return { noReceipt: reasonOf(error) }
  }
}

async function keep(file: string, receipt: Receipt, replace: boolean): Promise<FileReceipt> {
  if (!('text' in receipt)) return receipt
  return writeReceipt(file, receipt.text, replace).then(
    (path) => ({ receipt: path, verified: receipt.verified }),
    (error: unknown) => ({ noReceipt: reasonOf(error) }),
  )
}

async function choose(tools: SigningTools, hash?: Digest['algorithm']): Promise<Choice> {
  const choice = await chooseCredential(tools.session, {
    credentialId: tools.credentialId,
    anyWillDo: tools.anyCredential,
    now: new Date(tools.clock.now()),
    ...(hash === undefined ? {} : { hash }),
  })
  tools.chosen(choice)
  return choice
}

/** @throws Error when there would have to be more codes than there are, before the first one is spent */
function inBatches<Item>(items: readonly Item[], credential: CscCredential, account: SignerAccount): Item[][] {
  const size = batchSize(credential)
  if (items.length > size && !account.manyCodes) {
    throw new Error(
      `the credential signs at most ${size} at once, and --code-file holds one code: sign fewer, or type the codes`,
    )
  }
  return Array.from({ length: Math.ceil(items.length / size) }, (_, batch) =>
    items.slice(batch * size, (batch + 1) * size),
  )
}

function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index]
  if (item === undefined) throw new RangeError('nothing there')
  return item
}
