import type { Actor } from '../audit/event.js'
import type { TransactionLog } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import type { Clock } from '../clock.js'
import { ServiceError } from '../errors.js'
import type { CredentialId } from '../ids.js'
import { checkChain, parseCertificate } from '../pki/certificate.js'
import { type Credential, keyName } from './credential.js'
import { readCredential, writeCredential } from './credential-store.js'

export interface BindServices {
  readonly transactions: TransactionLog
  readonly binding: RowBinding
  readonly clock: Clock
}

/**
 * Binds a certificate to the credential's key: the first one makes it active, a later one renews it on the same key.
 * Refused unless the leaf holds this key, names this signer, may sign content, and the chain holds together now.
 * @param chain DER, leaf first
 * @throws ServiceError `not_found`, `not_allowed` saying why
 */
export async function bindCertificate(
  services: BindServices,
  actor: Actor,
  id: CredentialId,
  chain: readonly Uint8Array[],
): Promise<Credential> {
  return services.transactions.transact(async (tx, record) => {
    const credential = await readCredential(tx, services.binding, id, true)
    if (credential === undefined) throw new ServiceError('not_found', { detail: 'no such credential' })
    if (credential.state === 'revoked' || credential.public_key.length === 0) {
      throw new ServiceError('not_allowed', {
        detail: 'this credential has no key that a certificate could be bound to',
      })
    }
    checkChain(chain, { publicKey: credential.public_key, now: new Date(services.clock.now()) })
    const facts = parseCertificate(chain[0] as Uint8Array)
    const { rows } = await tx.query<{ name: string }>('select name from paraph.signer where id = $1', [
      credential.signer_id,
    ])
    if (facts.commonName === undefined || !sameName(facts.commonName, rows[0]?.name ?? '')) {
      throw new ServiceError('not_allowed', { detail: 'the certificate names somebody else than the signer' })
    }
    const bound = await writeCredential(tx, services.binding, credential, {
      state: credential.state === 'pending' ? 'active' : credential.state,
      chain,
      subject_dn: facts.subjectDn,
      issuer_dn: facts.issuerDn,
      serial_number: facts.serialNumber,
      not_before: facts.notBefore,
      not_after: facts.notAfter,
    })
    await tx.query('update paraph.credential set qc_statements = $2, policies = $3 where id = $1', [
      id,
      facts.qcStatements,
      facts.policies,
    ])
    record({
      type: 'key.linked_cert',
      outcome: 'ok',
      actor,
      evidence: {
        signer: credential.signer_id,
        credential: id,
        certificate: facts.serialNumber,
        key: keyName(credential.public_key),
      },
    })
    return bound
  })
}

/** Whether two spellings are one name. */
export const sameName = (a: string, b: string): boolean =>
  a.normalize('NFKC').trim().toLowerCase() === b.normalize('NFKC').trim().toLowerCase()
