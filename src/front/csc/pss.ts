import * as asn1js from 'asn1js'
import { AlgorithmIdentifier, RSASSAPSSParams } from 'pkijs'
import { DIGEST_LENGTH, type DigestAlgorithm } from '../../digest.js'
import { digestOf, type Mechanism, MGF1 } from './oids.js'

/** Longer than any key of ours has room for. */
const LONGEST_SALT = 512

/**
 * The mechanism behind DER `RSASSA-PSS-params` (RFC 8017 A.2.3), if it is one that we sign with: SHA-2 from 256 bits, MGF1
 * with the same hash, salt as long as the hash or longer, trailer 1. Parameters of the hash may be NULL or absent. Undefined
 * for everything else, the defaults of the structure included: they mean SHA-1. How long a salt the key has room for, the
 * worker knows.
 */
export function pssMechanism(der: Uint8Array): Extract<Mechanism, { scheme: 'rsa-pss' }> | undefined {
  const params = parse(der)
  if (params === undefined || params.trailerField !== 1 || params.maskGenAlgorithm.algorithmId !== MGF1)
    return undefined
  const hash = hashOf(params.hashAlgorithm)
  const mgfHash = hashOf(identifierIn(params.maskGenAlgorithm.algorithmParams))
  if (hash === undefined || mgfHash !== hash || !isSaltLength(params.saltLength, hash)) return undefined
  return { scheme: 'rsa-pss', hash, saltLength: params.saltLength }
}

/** As long as the hash is what most clients ask for; some (pyHanko) ask for all that fits into the modulus. */
function isSaltLength(length: number, hash: DigestAlgorithm): boolean {
  return Number.isInteger(length) && length >= DIGEST_LENGTH[hash] && length <= LONGEST_SALT
}

function parse(der: Uint8Array): RSASSAPSSParams | undefined {
  try {
    const { offset, result } = asn1js.fromBER(der)
    return offset === der.length ? new RSASSAPSSParams({ schema: result }) : undefined
  } catch {
    return undefined
  }
}

function hashOf(identifier: AlgorithmIdentifier | undefined): ReturnType<typeof digestOf> {
  if (identifier === undefined) return undefined
  const { algorithmId, algorithmParams } = identifier
  return algorithmParams === undefined || algorithmParams instanceof asn1js.Null ? digestOf(algorithmId) : undefined
}

function identifierIn(value: unknown): AlgorithmIdentifier | undefined {
  try {
    return new AlgorithmIdentifier({ schema: value })
  } catch {
    return undefined
  }
}
