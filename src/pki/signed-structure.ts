import * as asn1js from 'asn1js'
import type { AlgorithmIdentifier } from 'pkijs'
import type { Mechanism } from '../hsm/hsm.js'
import { digestOf, type SignDigest, signatureAlgorithm } from './algorithm.js'
import { encode } from './der.js'

/** Certificate and certificate request: a body, the name of the algorithm, the signature. */
interface SignedStructure {
  /** The algorithm once more inside the body, where the structure has it there. */
  signature?: AlgorithmIdentifier
  toSchema(encodeAll: true): asn1js.Sequence
}

/**
 * The structure with algorithm and signature filled in; only the digest of its body goes to `sign`.
 * @returns DER
 */
export async function signStructure(
  structure: SignedStructure,
  mechanism: Mechanism,
  sign: SignDigest,
): Promise<Uint8Array> {
  const algorithm = signatureAlgorithm(mechanism)
  if (structure.signature !== undefined) structure.signature = algorithm
  const body = structure.toSchema(true).valueBlock.value[0] as asn1js.Sequence
  const signature = await sign(digestOf(mechanism.hash, encode(body)), mechanism)
  return encode(
    new asn1js.Sequence({ value: [body, algorithm.toSchema(), new asn1js.BitString({ valueHex: signature })] }),
  )
}
