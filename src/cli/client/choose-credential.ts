import type { DigestAlgorithm } from '../../digest.js'
import type { Mechanism } from '../../hsm/hsm.js'
import { usualMechanism } from '../../pki/algorithm.js'
import { checkChain, parseCertificate } from '../../pki/certificate.js'
import { type CscCredential, offers } from './csc-client.js'
import { type SigningSession, whyNotUsable } from './signing-session.js'

/** What to sign with, and how. */
export interface Choice {
  readonly credential: CscCredential
  readonly mechanism: Mechanism
  /** DER SubjectPublicKeyInfo of the leaf. */
  readonly publicKey: Uint8Array
}

export interface Wish {
  /** Absent: the only one there is. */
  readonly credentialId: string | undefined
  /** Whether the first of several will do. */
  readonly anyWillDo: boolean
  /** Absent: what suits the key. */
  readonly hash?: DigestAlgorithm
  readonly now: Date
}

/**
 * Picks a credential that can sign now, and checks its certificates before anybody agrees to anything.
 * @throws Error saying what there is to choose from, or why it cannot sign; CscError
 */
export async function chooseCredential(session: SigningSession, wish: Wish): Promise<Choice> {
  const credential = pick(await session.credentials(), wish)
  const [leaf] = credential.certificates
  if (leaf === undefined) throw new Error(`credential ${credential.credentialId} has no certificate`)
  const { publicKey } = parseCertificate(leaf)
  checkChain(credential.certificates, { publicKey, now: wish.now })
  const usual = usualMechanism(publicKey)
  const mechanism = usual && { ...usual, hash: wish.hash ?? usual.hash }
  if (mechanism === undefined || !offers(credential, mechanism)) {
    throw new Error(`credential ${credential.credentialId} does not sign ${wish.hash ?? 'such'} digests`)
  }
  return { credential, mechanism, publicKey }
}

function pick(credentials: readonly CscCredential[], { credentialId, anyWillDo }: Wish): CscCredential {
  if (credentialId !== undefined) {
    const credential = credentials.find((one) => one.credentialId === credentialId)
    if (credential === undefined) throw new Error(`the signer has no credential ${credentialId}${listOf(credentials)}`)
    const reason = whyNotUsable(credential)
    if (reason !== undefined) throw new Error(`credential ${credentialId} cannot be used: ${reason}`)
    return credential
  }
  const usable = credentials.filter((credential) => whyNotUsable(credential) === undefined)
  const [first, ...others] = usable
  if (first === undefined) throw new Error(`the signer has no credential that can sign${listOf(credentials)}`)
  if (others.length > 0 && !anyWillDo) {
    throw new Error(`the signer has several credentials: choose one with --credential${listOf(usable)}`)
  }
  return first
}

function listOf(credentials: readonly CscCredential[]): string {
  return credentials.map((credential) => `\n  ${credential.credentialId}  ${describe(credential)}`).join('')
}

function describe(credential: CscCredential): string {
  const reason = whyNotUsable(credential)
  if (reason !== undefined) return `cannot be used: ${reason}`
  const facts = parseCertificate(credential.certificates[0] ?? new Uint8Array())
  return `${facts.subjectDn} (${usualMechanism(facts.publicKey)?.scheme})`
}
