import { createHash, randomUUID } from 'node:crypto'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateSync } from 'otplib'
import { type Logger, pino } from 'pino'
import { ADMIN_ROLE, type AdminVerb, type AdminVerbs } from '../../src/activation.js'
import type { Clock } from '../../src/clock.js'
import { freePort } from '../../src/db/cluster.js'
import { type Client, openClient } from '../../src/db/pool.js'
import { startFront } from '../../src/front/main.js'
import type { FrontSettings } from '../../src/front/settings.js'
import { type CheckpointKey, openCheckpointKey } from '../../src/hsm/checkpoint-key.js'
import type { Hsm, KeySpec } from '../../src/hsm/hsm.js'
import { openHsm } from '../../src/hsm/open-hsm.js'
import { Keeper, type KeeperOptions } from '../../src/keeper/keeper.js'
import type { ClockQuality } from '../../src/kernel-clock.js'
import { callAdmin } from '../../src/sam/admin-client.js'
import {
  demoTimeStamps,
  initDemo,
  makeTimeStampAuthority,
  operatorTokenFile,
  timeStampChainFile,
} from '../../src/sam/demo.js'
import type { WorkerSettings } from '../../src/sam/supervisor.js'
import { startWorker } from '../../src/sam/worker.js'
import { formatVkey, noteKey } from '../../src/tlog/note.js'
import { checkWorld, type World, type WorldOptions } from './check-world.js'
import { setClock, tempDatabase } from './temp-database.js'
import { type TempToken, tempToken } from './temp-token.js'

/** A clock that moves with the real one, from where it was put. */
class MovedClock implements Clock {
  offset = 0
  now(): number {
    return Date.now() + this.offset
  }
}

export interface TestSigner {
  readonly login: string
  readonly password: string
  readonly secret: string
}

export interface TestServiceOptions {
  readonly workers?: number
  readonly fronts?: number
  /** Puts something between a worker and its device. */
  readonly device?: (real: Hsm) => Hsm
  /** Puts something between the service and its database; the owner's own connection goes around it. */
  readonly network?: (url: string) => Promise<string>
  /** What the signer's credentials are made of; RSA-2048 and P-256 unless said. */
  readonly keys?: readonly KeySpec[]
  /** How it is reached, where that matters: passkeys belong to names, and to no numbers. */
  readonly publicUrl?: string
  /** More settings of every worker. */
  readonly settings?: Partial<WorkerSettings>
  /** Whether a keeper signs the log from the beginning, as it must for signing; yes unless said. */
  readonly keeper?: boolean
  /** Listens where a browser may keep passkeys: under a name, and on a port known before. One front. */
  readonly forBrowser?: boolean
  /** Whether its workers give time-stamps; no unless said. */
  readonly timeStamps?: boolean
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look at answers of every shape
  readonly body: any
}

/** Tells the run's secret scan of a value that must never show in any output. */
export function keepSecret(...values: (string | undefined)[]): void {
  const file = process.env['PARAPH_TEST_SECRETS']
  if (file === undefined) return
  for (const value of values) if (value !== undefined && value.length >= 6) appendFileSync(file, `${value}\n`)
}

/** The whole service on real parts: database, SoftHSM tokens, workers and fronts, with a clock that a test moves. */
export class TestService {
  readonly clock = new MovedClock()
  /** What sets the clock of the machine that runs the tests is no matter of theirs. */
  clockQuality: ClockQuality = { source: 'kernel', synchronized: true, offset: 0, error: 500 }
  readonly urls: string[] = []
  readonly keysDir: string
  readonly folder: string
  readonly workerSettings: WorkerSettings[] = []
  readonly credentials: Partial<Record<KeySpec, string>> = {}
  readonly released: Uint8Array[] = []
  ownerUrl = ''
  frontUrl = ''
  samUrl = ''
  keeperUrl = ''
  signer: TestSigner = { login: '', password: '', secret: '' }
  readonly logger: Logger
  /** How a browser reaches it. */
  publicUrl = 'http://127.0.0.1'
  #owner: Client | undefined
  readonly #workers: { close(): Promise<void> }[] = []
  readonly #closers: (() => Promise<unknown> | unknown)[] = []
  readonly #instance = randomUUID()
  #token: TempToken | undefined
  #settings: Partial<WorkerSettings> = {}
  #steps = 0
  #port = 0
  #onClock: ((offset: number) => void) | undefined
  #clockMoved: (() => Promise<void>) | undefined

  private constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'paraph-test-'))
    this.keysDir = this.folder
    // The most talkative level there is: the run scans what it says for secrets.
    this.logger = pino(
      { level: 'trace' },
      pino.destination({ dest: process.env['PARAPH_TEST_LOGS'] ?? '/dev/null', sync: true, append: true }),
    )
  }

  static async start(options: TestServiceOptions = {}): Promise<TestService> {
    const service = new TestService()
    try {
      await service.#start(options)
      return service
    } catch (error) {
      await service.close()
      throw error
    }
  }

  async #start({
    workers = 1,
    fronts = 1,
    device,
    network = async (url) => url,
    keys = ['rsa-2048', 'p-256'],
    publicUrl = this.publicUrl,
    forBrowser = false,
    keeper = true,
    settings = {},
    timeStamps = false,
  }: TestServiceOptions): Promise<void> {
    this.publicUrl = publicUrl
    this.#settings = settings
    if (forBrowser) {
      this.#port = await freePort()
      this.publicUrl = `http://localhost:${this.#port}`
    }
    const token = await tempToken()
    this.#closers.push(
      () => token.remove(),
      () => rmSync(this.folder, { recursive: true, force: true }),
    )
    const database = await tempDatabase()
    this.#closers.push(() => database.drop())
    Object.assign(this, {
      ownerUrl: database.ownerUrl,
      frontUrl: await network(database.frontUrl),
      samUrl: await network(database.samUrl),
      keeperUrl: database.keeperUrl,
    })
    this.#token = token
    await initDemo({
      ownerUrl: this.ownerUrl,
      hsmUri: token.uri,
      caHsmUri: token.uriCa,
      keysDir: this.keysDir,
      instance: this.#instance,
    })
    keepSecret(readFileSync(token.pinFile, 'utf8').trim())
    if (timeStamps) {
      await makeTimeStampAuthority({ caHsmUri: token.uriCa, tsaHsmUri: token.uriTsa, keysDir: this.keysDir })
    }
    this.#closers.push(() => this.closeWorkers())
    for (let i = 0; i < workers; i++) this.#workers.push(await this.startWorker(this.newWorkerSettings(i), device))
    for (let i = 0; i < fronts; i++) this.urls.push(await this.startFront(i))
    if (workers > 0) await this.populate(keys, keeper)
  }

  /** The signer and his credentials; needs a worker. */
  async populate(keys: readonly KeySpec[], keeper = true): Promise<void> {
    if (keeper) await this.startKeeper()
    this.signer = await this.newSigner('signer@example.test', 'Test Signer')
    for (const key of keys) this.credentials[key] = await this.newCredential(this.signer, key)
  }

  /** The device of the key that signs the log. */
  get checkpointHsmUri(): string {
    if (this.#token === undefined) throw new Error('not started')
    return this.#token.uriLog
  }

  /** Without a keeper nothing is signed for long. Its key is announced by a worker, which must be there. */
  async startKeeper(more: Partial<KeeperOptions> = {}): Promise<Keeper> {
    const key = more.key ?? (await openCheckpointKey(this.checkpointHsmUri))
    await this.nameKey(key)
    const keeper = new Keeper({
      databaseUrl: this.keeperUrl,
      key,
      guardFile: join(this.folder, 'checkpoint'),
      node: 'test/keeper',
      clock: this.clock,
      clockQuality: () => this.clockQuality,
      logger: this.logger,
      ...more,
    })
    this.#closers.push(async () => {
      await keeper.stop()
      key.close()
    })
    keeper.start()
    return keeper
  }

  /** Has a worker write into the log that this key signs it, unless that stands there. */
  async nameKey(key: CheckpointKey): Promise<void> {
    const { origin } = await this.admin('log.origin', {})
    const vkey = formatVkey(noteKey(origin, key.type, key.publicKey))
    const known = await (await this.owner()).query('select from audit.checkpoint_key where vkey = $1', [vkey])
    if (known.rowCount === 0) await this.admin('log.key', { vkey })
  }

  /** The device of signers' keys. */
  get hsmUri(): string {
    if (this.#token === undefined) throw new Error('not started')
    return this.#token.uri
  }

  newWorkerSettings(index: number): WorkerSettings {
    if (this.#token === undefined) throw new Error('not started')
    const settings: WorkerSettings = {
      socket: join(this.folder, `sam-${index}.sock`),
      socketMode: 0o600,
      adminSocket: join(this.folder, `admin-${index}.sock`),
      databaseUrl: this.samUrl,
      hsmUri: this.#token.uri,
      caHsmUri: this.#token.uriCa,
      ...(existsSync(timeStampChainFile(this.keysDir))
        ? { timeStamps: demoTimeStamps(this.#token.uriTsa, this.keysDir) }
        : {}),
      demo: true,
      keysDir: this.keysDir,
      node: `test/sam-${index}`,
      basicLogin: true,
      publicUrl: this.publicUrl,
      delivery: { outbox: join(this.folder, 'outbox') },
      logLevel: 'trace',
      instance: this.#instance,
      guardFile: join(this.folder, 'checkpoint'),
      ...this.#settings,
    }
    this.workerSettings.push(settings)
    return settings
  }

  /** A worker in this process; the caller closes it. */
  async startWorker(
    settings: WorkerSettings,
    device: (real: Hsm) => Hsm = (real) => real,
  ): Promise<{ close(): Promise<void> }> {
    const real = await openHsm(settings.hsmUri)
    const worker = await startWorker(settings, {
      ...{ logger: this.logger, clock: this.clock, hsm: device(real) },
      clockQuality: () => this.clockQuality,
    })
    return {
      close: async () => {
        await worker.close()
        await real.close()
      },
    }
  }

  /** Ends the workers that it was started with; they write what they have only counted. */
  async closeWorkers(): Promise<void> {
    for (const worker of this.#workers.splice(0)) await worker.close()
  }

  /** One more front; every front knows every worker. */
  async startFront(index: number): Promise<string> {
    const front = await startFront({ logger: this.logger, clock: this.clock, settings: this.newFrontSettings(index) })
    this.#closers.push(() => front.close())
    return front.url
  }

  newFrontSettings(index: number): FrontSettings {
    return {
      databaseUrl: this.frontUrl,
      samSockets: this.workerSettings.map(({ socket }) => socket),
      host: '127.0.0.1',
      port: this.#port,
      publicUrl: this.publicUrl,
      trustedProxies: [],
      basicLogin: true,
      auditPublic: false,
      demo: true,
      name: 'Paraph test',
      region: 'PL',
      logLevel: 'trace',
      node: `test/front-${index}`,
    }
  }

  /** A command of the demo's operator. */
  admin<V extends AdminVerb>(verb: V, request: AdminVerbs[V]['request']): Promise<AdminVerbs[V]['response']> {
    const role = ADMIN_ROLE[verb]
    const token = readFileSync(operatorTokenFile(this.keysDir, role === 'any' ? 'registration' : role), 'utf8')
    return this.adminAs(token, verb, request)
  }

  /** A command of the operator with this token. */
  adminAs<V extends AdminVerb>(
    token: string,
    verb: V,
    request: AdminVerbs[V]['request'],
  ): Promise<AdminVerbs[V]['response']> {
    keepSecret(token)
    return callAdmin(this.workerSettings[0]?.adminSocket ?? '', token, verb, request)
  }

  async newSigner(login: string, name: string): Promise<TestSigner> {
    const { password = '' } = await this.admin('signer.create', { login, name })
    const { secret } = await this.admin('authenticator.enrol', { signer: login })
    keepSecret(password, secret)
    return { login, password, secret }
  }

  async newCredential(
    signer: TestSigner,
    key: KeySpec,
    more: Partial<AdminVerbs['credential.create']['request']> = {},
  ): Promise<string> {
    const { credentialID } = await this.admin('credential.create', { signer: signer.login, key, ...more })
    return credentialID
  }

  /** A code that no test has used before: the clocks step on to the next period. */
  async freshCode(signer: TestSigner = this.signer): Promise<string> {
    if (this.#steps++ > 0) await this.moveClock(30_000)
    return this.code(signer)
  }

  /** The code of this moment, or of `steps` periods from it. */
  code(signer: TestSigner = this.signer, steps = 0): string {
    const epoch = Math.floor(this.clock.now() / 1000) + 30 * steps
    const code = generateSync({ secret: signer.secret, digits: 8, period: 30, algorithm: 'sha1', epoch })
    keepSecret(code)
    return code
  }

  /** What else moves with the clocks, such as that of other processes, and how to see that it has. */
  onClock(move: (offset: number) => void, moved: () => Promise<void>): void {
    this.#onClock = move
    this.#clockMoved = moved
    move(this.clock.offset)
  }

  /** Moves every clock of the service: the processes' and the database's. */
  async moveClock(ms: number): Promise<void> {
    this.clock.offset += ms
    this.#onClock?.(this.clock.offset)
    await setClock(this.ownerUrl, this.clock.offset)
    await this.#clockMoved?.()
  }

  /** POST to a door of CSC, as a client that knows only the specification. */
  async post(
    path: string,
    body: unknown,
    options: { bearer?: string; front?: number; headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const response = await fetch(`${this.urls[options.front ?? 0]}${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(options.bearer === undefined ? {} : { authorization: `Bearer ${options.bearer}` }),
        ...options.headers,
      },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    const text = await response.text()
    const answer = {
      status: response.status,
      headers: response.headers,
      body: text === '' ? undefined : JSON.parse(text),
    }
    if (path.endsWith('/signHash') && response.status === 200) {
      for (const signature of answer.body.signatures) this.released.push(Buffer.from(signature, 'base64'))
    }
    return answer
  }

  async login(signer: TestSigner = this.signer, front = 0): Promise<string> {
    const basic = Buffer.from(`${signer.login}:${signer.password}`).toString('base64')
    const { status, body } = await this.post(
      '/csc/v2/auth/login',
      {},
      { front, headers: { authorization: `Basic ${basic}` } },
    )
    if (status !== 200) throw new Error(`login answered ${status} ${JSON.stringify(body)}`)
    keepSecret(basic, body.access_token)
    return body.access_token
  }

  /** SHA-256 digests to sign (base64), told to the secret scan. */
  digests(...texts: string[]): string[] {
    return texts.map((text) => {
      const bytes = createHash('sha256').update(text).digest()
      keepSecret(bytes.toString('base64'), bytes.toString('hex'), bytes.toString('base64url'))
      return bytes.toString('base64')
    })
  }

  /** A SAD for these digests (base64) by v2, or an Error with the answer. */
  async authorize(
    bearer: string,
    credentialID: string,
    hashes: string[],
    options: { code?: string; front?: number; signer?: TestSigner; hashAlgorithmOID?: string } = {},
  ): Promise<string> {
    const value = options.code ?? (await this.freshCode(options.signer))
    const { status, body } = await this.post(
      '/csc/v2/credentials/authorize',
      {
        credentialID,
        numSignatures: hashes.length,
        hashes,
        hashAlgorithmOID: options.hashAlgorithmOID ?? '2.16.840.1.101.3.4.2.1',
        authData: [{ id: 'OTP', value }],
      },
      { bearer, front: options.front ?? 0 },
    )
    if (status !== 200) throw new Error(`authorize answered ${status} ${JSON.stringify(body)}`)
    keepSecret(body.SAD)
    return body.SAD
  }

  signHash(
    bearer: string,
    credentialID: string,
    SAD: string,
    hashes: string[],
    options: { front?: number; signAlgo?: string; hashAlgorithmOID?: string; key?: string } = {},
  ): Promise<Answer> {
    const { key } = options
    return this.post(
      '/csc/v2/signatures/signHash',
      {
        credentialID,
        SAD,
        hashes,
        hashAlgorithmOID: options.hashAlgorithmOID ?? '2.16.840.1.101.3.4.2.1',
        signAlgo:
          options.signAlgo ??
          (credentialID === this.credentials['p-256'] ? '1.2.840.10045.4.3.2' : '1.2.840.113549.1.1.1'),
      },
      { bearer, front: options.front ?? 0, headers: key === undefined ? {} : { 'idempotency-key': key } },
    )
  }

  /** A connection of the database's owner. */
  async owner(): Promise<Client> {
    if (this.#owner === undefined) {
      this.#owner = await openClient(this.ownerUrl)
      // It is cut with the others in tests that end the database.
      this.#owner.on('error', () => {
        this.#owner = undefined
      })
    }
    return this.#owner
  }

  /** Verifies the whole database, and that every signature a client got is recorded. */
  checkWorld(options: WorldOptions = {}): Promise<World> {
    return checkWorld(this.ownerUrl, { released: this.released, ...options })
  }

  async close(): Promise<void> {
    await this.#owner?.end()
    for (const close of this.#closers.reverse()) await close()
  }
}
