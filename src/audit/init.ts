import type { Clock } from '../clock.js'
import { openClient } from '../db/pool.js'
import { type Hsm, HsmError, type ServiceKey } from '../hsm/hsm.js'
import type { OperatorId } from '../ids.js'
import { ANNOUNCE_KEY, recordAnnouncement, signAnnouncement } from './announce.js'
import { newBoot } from './boot.js'
import { Sequence } from './sequence.js'
import { type Record, TransactionLog, type Tx } from './transaction-log.js'

export interface InitOptions {
  /** Role that owns the schema. */
  readonly ownerUrl: string
  readonly hsm: Hsm
  readonly clock: Clock
  /** Name of this log for good, such as `sign.example.com/paraph`. */
  readonly origin: string
  readonly instance: string
  readonly demo: boolean
  /** Who performs the ceremony. */
  readonly operator: { readonly id: OperatorId; readonly name: string }
  /** What else belongs to the ceremony, in its transaction: the service's secrets and the first operator. */
  also(tx: Tx, record: Record): Promise<void>
}

/**
 * Creates the log of a database, once. Nothing else ever does: an empty database never starts a new log by itself.
 * @throws Error when there is a log already
 */
export async function initLog(options: InitOptions): Promise<void> {
  const { hsm, clock, origin } = options
  const key = await announceKey(hsm)
  const boot = newBoot('init')
  const signature = await signAnnouncement(hsm, key, origin, boot)
  const transactions = new TransactionLog({ url: options.ownerUrl, sequence: new Sequence(boot, clock), clock })
  try {
    await requireNoLog(options.ownerUrl)
    await transactions.transact(async (tx, record) => {
      await tx.query(
        `insert into audit.log (id, origin, generation, instance, demo, retention_policy, created_at) values (1, $1, 1, $2, $3, $4, paraph.now())`,
        [origin, options.instance, options.demo, 'evidence 7 years after the certificate, network addresses 1 year'],
      )
      await tx.query('insert into audit.head (id, size) values (1, 0)')
      record({
        type: 'audit.init',
        outcome: 'ok',
        actor: { kind: 'operator', id: options.operator.id },
        facts: {
          origin,
          generation: 1,
          demo: options.demo ? 1 : 0,
          device: Buffer.from(key.publicKey).toString('base64url'),
          instance: options.instance,
        },
        evidence: { operator: options.operator.name },
      })
      await recordAnnouncement(tx, record, boot, signature)
      await options.also(tx, record)
      record({ type: 'audit.stop', outcome: 'ok', actor: { kind: 'system' } })
    })
  } finally {
    await transactions.close()
  }
}

async function announceKey(hsm: Hsm): Promise<ServiceKey> {
  try {
    return await hsm.serviceKey(ANNOUNCE_KEY)
  } catch (error) {
    if (error instanceof HsmError && error.code === 'not_found') return hsm.createServiceKey(ANNOUNCE_KEY, 'p-256')
    throw error
  }
}

async function requireNoLog(url: string): Promise<void> {
  const client = await openClient(url)
  try {
    const { rowCount } = await client.query('select 1 from audit.log')
    if (rowCount !== 0) throw new Error('this database has a log already; a log is begun only once')
  } finally {
    await client.end()
  }
}
