import type { Logger } from 'pino'
import { type FrontVerb, type FrontVerbs, type RequestFrame, STRANGERS_LANE } from '../activation.js'
import { ANNOUNCE_KEY, recordAnnouncement, signAnnouncement } from '../audit/announce.js'
import { type Boot, newBoot } from '../audit/boot.js'
import { countEntries } from '../audit/counted.js'
import { Guard } from '../audit/guard.js'
import { OwnEntries } from '../audit/own-entries.js'
import { Sequence } from '../audit/sequence.js'
import { TransactionLog } from '../audit/transaction-log.js'
import { authorize } from '../authorization/authorize.js'
import { approve, deny } from '../authorization/decide-approval.js'
import { deleteCredential } from '../authorization/delete-credential.js'
import { collectApproval, exchangeApproval, refreshGrant } from '../authorization/exchange-approval.js'
import { extend } from '../authorization/extend.js'
import { listApprovals, readApproval } from '../authorization/read-approval.js'
import { requestApproval } from '../authorization/request-approval.js'
import { revokeAccessToken, revokeGrant } from '../authorization/revoke-grant.js'
import { sendApprovalCode, sendCode } from '../authorization/send-code.js'
import { SigningContexts } from '../authorization/signing-context.js'
import { SigningLog } from '../authorization/signing-log.js'
import { stop } from '../authorization/stop.js'
import { RowBinding } from '../binding.js'
import { type Clock, systemClock } from '../clock.js'
import { CredentialCache } from '../credentials/credential-store.js'
import { type Executor, openPool, type Pool } from '../db/pool.js'
import { requireSafe } from '../db/require-safe.js'
import { ServiceError } from '../errors.js'
import type { Hsm, ServiceKey } from '../hsm/hsm.js'
import { openHsm } from '../hsm/open-hsm.js'
import {
  addAuthenticator,
  cancelReplacement,
  changePassword,
  readAccount,
  recover,
  removeAuthenticator,
  renewRecoveryCodes,
} from '../identity/account.js'
import { activate, openLink } from '../identity/activate.js'
import { issueClientToken } from '../identity/client-token.js'
import { Delivery } from '../identity/delivery/delivery.js'
import { login, refresh, signIn } from '../identity/login.js'
import { beginPasskey, registerPasskey } from '../identity/passkey.js'
import { PasswordHasher } from '../identity/password.js'
import { relyingPartyOf } from '../identity/relying-party.js'
import { stopReplacement } from '../identity/replacement-notice.js'
import { revokeToken } from '../identity/revoke-token.js'
import type { BootId } from '../ids.js'
import { type ReadClockQuality, readKernelClock } from '../kernel-clock.js'
import { Lane, Pace, Turns } from '../lane.js'
import { readReceipt } from '../signing/read-receipt.js'
import { signHash } from '../signing/sign-hash.js'
import { SignatureVerifier } from '../signing/verify-signature.js'
import { parsePolicy } from '../tlog/policy.js'
import type { AdminServices } from './admin-services.js'
import { administer } from './admin-verbs.js'
import { Chores } from './chores.js'
import { createAgreed } from './create-agreed.js'
import { openDemoCa } from './demo-ca-files.js'
import { guardedDevice } from './device.js'
import { FrameServer } from './frame-server.js'
import { openKeyring } from './keyring.js'
import { look } from './look.js'
import type { WorkerSettings } from './supervisor.js'
import { TailWatch } from './tail-watch.js'
import { answerQuery, openTimeStamps, STAMPS_FOR_ANYBODY, stampForBearer } from './time-stamps.js'
import { isFrontVerb, isRequestOf } from './verb-schemas.js'

export interface WorkerOptions {
  readonly logger: Logger
  readonly clock?: Clock
  /** What is known of this machine's clock; the kernel is asked unless said. */
  readonly clockQuality?: ReadClockQuality
  /** A device that is open already, for tests that put faults into it. */
  readonly hsm?: Hsm
}

interface LogRow {
  readonly origin: string
  readonly instance: string
  readonly demo: boolean
}

/** Further apart than this, a machine's clock and the database's cannot both be right. */
const CLOCK_TOLERANCE_MS = 2000

/**
 * One SAM worker: the only kind of process with the device login, the sealing key and the binding key. It offers the
 * verbs of activation.ts on its sockets and checks token, factor, rows and budget of each request itself.
 */
export async function startWorker(
  settings: WorkerSettings,
  options: WorkerOptions,
): Promise<{ close(): Promise<void> }> {
  const { logger, clock = systemClock, clockQuality = readKernelClock } = options
  await requireSafe(settings.databaseUrl)
  const pool = openPool(settings.databaseUrl, { max: 2 })
  const device = options.hsm ?? (await openHsm(settings.hsmUri))
  const hsm = guardedDevice(device, logger)
  const log = await requireLog(pool, settings)
  const keyring = await openKeyring(hsm, pool, log.instance)
  const binding = new RowBinding(keyring.binding)
  const passwords = new PasswordHasher(keyring.pepper)
  const announce = await hsm.serviceKey(ANNOUNCE_KEY)

  const boots = { transactions: newBoot('sam', settings.node), signing: newBoot('sam', settings.node) }
  const own = new OwnEntries()
  const transactions = new TransactionLog({
    url: settings.databaseUrl,
    sequence: new Sequence(boots.transactions, clock, own),
    clock,
  })
  const announcer = new Announcer(hsm, announce, log.origin, transactions)
  await announcer.announce(boots.transactions)
  await announcer.announce(boots.signing)
  const signingLog = new SigningLog({
    ...{ url: settings.databaseUrl, boot: boots.signing, clock, origin: log.origin, own },
    covered: () => tail.covered,
  })
  await signingLog.open()

  const requireClock = (databaseNow: Date) => {
    if (Math.abs(databaseNow.getTime() - clock.now()) > CLOCK_TOLERANCE_MS) {
      throw new ServiceError('unavailable', { retryAfter: 5, cause: new Error('clocks disagree') })
    }
    if (settings.refuseUnsyncedClock && !clockQuality().synchronized) {
      throw new ServiceError('unavailable', { retryAfter: 5, cause: new Error('nothing sets the clock') })
    }
  }
  const failures = countEntries<'auth.login_failed' | 'operator.refused'>({
    log: transactions,
    onFault: (error) =>
      logger.error({ cause: error instanceof Error ? error.message : 'unknown' }, 'a refusal was not logged'),
    onLost: (count) => logger.error({ count }, 'refusals were not logged'),
  })
  const ca = settings.caHsmUri === undefined ? undefined : await openDemoCa(settings.caHsmUri, settings.keysDir)
  const timeStamps = settings.timeStamps === undefined ? undefined : await openTimeStamps(settings.timeStamps, clock)
  const services = {
    certifies: ca !== undefined,
    delivery: Delivery.open(settings.delivery ?? {}),
    publicUrl: settings.publicUrl,
    failures,
    transactions,
    log: signingLog,
    contexts: new SigningContexts(pool, binding, new CredentialCache()),
    hsm,
    binding,
    passwords,
    linkTurns: new Turns(),
    verifier: new SignatureVerifier(),
    clock,
    requireClock,
    basicLogin: settings.basicLogin,
    relyingParty: relyingPartyOf(settings.publicUrl),
  }

  const { requiredWitnesses } = settings
  const tail = new TailWatch({
    ...{ db: pool, binding, own, guard: new Guard(settings.guardFile) },
    ...(requiredWitnesses === undefined ? {} : { witnesses: parsePolicy(requiredWitnesses) }),
    onFork: (evidence, size) => {
      logger.fatal({ evidence }, 'the log has another past than this worker knows: nothing is signed any more')
      transactions
        .append({ type: 'audit.fork_detected', outcome: 'failed', actor: { kind: 'system' }, facts: { size } })
        .catch(() => {})
    },
  })
  await tail.look()
  tail.start()
  const signServices = {
    ...services,
    requireClock: (databaseNow: Date) => {
      requireClock(databaseNow)
      tail.requireBounded()
    },
  }

  // Receipts and time-stamps: one at a time, so that they do not take the connections that signing reads with.
  const beside = new Lane({ atOnce: 1, mostWaiting: 256 })
  const db: Executor = {
    query: ((text, values) => beside.run(() => (pool as Executor).query(text, values))) as Executor['query'],
  }
  const receiptServices = { db, binding, log: signingLog }
  const stampServices = { db, log: signingLog, clock, anybody: new Pace(STAMPS_FOR_ANYBODY) }

  const verbs: { [V in FrontVerb]: (request: FrontVerbs[V]['request']) => Promise<FrontVerbs[V]['response']> } = {
    login: (request) => login(services, request),
    refresh: (request) => refresh(services, request),
    revoke: (request) => revokeToken(services, request).then(() => ({})),
    signIn: (request) => signIn(services, request),
    openLink: (request) => openLink(services, request),
    activate: (request) => activate(services, request),
    recover: (request) => recover(services, request),
    account: (request) => readAccount(services, request),
    changePassword: (request) => changePassword(services, request).then(() => ({})),
    renewRecoveryCodes: (request) => renewRecoveryCodes(services, request),
    addAuthenticator: (request) => addAuthenticator(services, request),
    removeAuthenticator: (request) => removeAuthenticator(services, request).then(() => ({})),
    beginPasskey: (request) => beginPasskey(services, request),
    registerPasskey: (request) => registerPasskey(services, request).then(() => ({})),
    stopReplacement: ({ token }) => stopReplacement(services, token).then(() => ({})),
    cancelReplacement: (request) => cancelReplacement(services, request).then(() => ({})),
    authorize: (request) => authorize(services, request),
    sendCode: (request) => sendCode(services, request).then(() => ({})),
    sendApprovalCode: (request) => sendApprovalCode(services, request),
    stop: (request) => stop(services, request).then(() => ({})),
    extend: (request) => extend(services, request),
    sign: (request) => signHash(signServices, request),
    receipt: (request) => readReceipt(receiptServices, request),
    timestamp: (request) => stampForBearer(stampServices, timeStamps?.authority, request),
    timeStampQuery: (request) => answerQuery(stampServices, timeStamps?.authority, request),
    requestApproval: (request) => requestApproval(services, request),
    readApproval: (request) => readApproval(services, request),
    listApprovals: (request) => listApprovals(services, request),
    approve: (request) => approve(services, request),
    deny: (request) => deny(services, request),
    exchange: (request) => exchangeApproval(services, request),
    collect: (request) => collectApproval(services, request),
    createCredential: (request) => createAgreed(services, ca, request),
    deleteCredential: (request) => deleteCredential(services, request),
    refreshGrant: (request) => refreshGrant(services, request),
    revokeGrant: (request) => revokeGrant(services, request),
    revokeAccess: (request) => revokeAccessToken(services, request),
    clientToken: (request) => issueClientToken(services, request),
    look: (request) => look({ transactions, binding, refusals: failures }, request),
    // Says nothing of the key that it is made with.
    frontSecret: async () => ({ secret: binding.mac('front', []).toString('base64') }),
    announce: async ({ bootId, node, publicKey }) => {
      await announcer.announce({
        id: bootId as BootId,
        kind: 'front',
        node,
        publicKey: Buffer.from(publicKey, 'base64'),
      })
      return {}
    },
    health: async () => ({
      ...(await health(pool, hsm, signingLog, requireClock, log.demo)),
      log: tail.bounded,
      timeStamps: timeStamps !== undefined,
    }),
  }
  const lanes = {
    password: new Lane({ atOnce: 8, mostWaiting: 24 }),
    value: new Lane({ atOnce: 8, mostWaiting: 120 }),
  }
  const front = new FrameServer(
    settings.socket,
    async ({ verb, body }: RequestFrame) => {
      if (!isFrontVerb(verb) || !isRequestOf(verb, body)) throw new ServiceError('request_malformed')
      const answer = () => (verbs[verb] as (request: unknown) => Promise<unknown>)(body)
      const lane = STRANGERS_LANE[verb]
      return lane === undefined ? answer() : lanes[lane].run(answer)
    },
    logger,
  )

  const adminServices: AdminServices = {
    ...services,
    pool,
    ca,
    demo: log.demo,
    log: { origin: log.origin, announceKey: announce },
  }
  const admin = new FrameServer(settings.adminSocket, (frame) => administer(adminServices, frame), logger)

  const chores = new Chores({ transactions, pool, logger })
  await chores.runOnce()
  await front.listen(settings.socketMode)
  await admin.listen(0o600)
  chores.start()
  logger.info({ device: hsm.description, demo: log.demo }, 'the worker is ready')

  return {
    async close() {
      chores.stop()
      await tail.stop()
      await Promise.all([front.close(), admin.close()])
      const stop = { type: 'audit.stop', outcome: 'ok', actor: { kind: 'system' } } as const
      await signingLog.append(stop).catch(() => {})
      await signingLog.close()
      await failures.close()
      await transactions.append(stop).catch(() => {})
      await transactions.close()
      await pool.end()
      await ca?.hsm.close()
      await timeStamps?.hsm.close()
      if (options.hsm === undefined) await device.close()
    },
  }
}

async function requireLog(pool: Pool, settings: WorkerSettings): Promise<LogRow> {
  const { rows } = await pool.query<LogRow>('select origin, instance, demo from audit.log')
  const [log] = rows
  if (log === undefined) throw new Error('this database has no log: run `paraph audit init`')
  if (log.instance !== settings.instance) {
    throw new Error(`these keys belong to instance ${settings.instance}, this database to ${log.instance}`)
  }
  if (log.demo !== settings.demo) {
    throw new Error(
      log.demo
        ? 'this is a demo database: it takes no other start than the demo'
        : 'a demo start takes a demo database only',
    )
  }
  return log
}

/** Puts the device's word for a writer into the log, before the writer's first entry. */
class Announcer {
  readonly #hsm: Hsm
  readonly #key: ServiceKey
  readonly #origin: string
  readonly #transactions: TransactionLog

  constructor(hsm: Hsm, key: ServiceKey, origin: string, transactions: TransactionLog) {
    this.#hsm = hsm
    this.#key = key
    this.#origin = origin
    this.#transactions = transactions
  }

  async announce(boot: Pick<Boot, 'id' | 'kind' | 'node' | 'publicKey'>): Promise<void> {
    const signature = await signAnnouncement(this.#hsm, this.#key, this.#origin, boot)
    await this.#transactions.transact((tx, record) => recordAnnouncement(tx, record, boot, signature))
  }
}

async function health(
  pool: Pool,
  hsm: Hsm,
  log: SigningLog,
  requireClock: (now: Date) => void,
  demo: boolean,
): Promise<Omit<FrontVerbs['health']['response'], 'log' | 'timeStamps'>> {
  const device = hsm.random(8).then(
    () => true,
    () => false,
  )
  const now = pool.query<{ now: Date }>('select paraph.now() as now').then(
    ({ rows }) => rows[0]?.now,
    () => undefined,
  )
  const at = await now
  let clock = false
  try {
    if (at !== undefined) {
      requireClock(at)
      clock = true
    }
  } catch {
    clock = false
  }
  return { device: await device, database: at !== undefined && log.connected, clock, demo }
}
