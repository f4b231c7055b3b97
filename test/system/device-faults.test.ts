import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, afterEach, before, describe, test } from 'node:test'
import { digest } from '../../src/digest.js'
import type { KeySpec } from '../../src/hsm/hsm.js'
import { type FaultyModule, faultyModule } from '../helpers/faulty-module.js'
import { opensslVerifies } from '../helpers/openssl-verify.js'
import { type RealProcesses, startProcesses } from '../helpers/real-processes.js'
import { type Answer, TestService, type TestSigner } from '../helpers/test-service.js'

/** Bound on waiting for something to become true. */
const PATIENCE_MS = 30_000
const DEVICE_ERROR = '0x30'
const DEVICE_MEMORY = '0x31'
const SESSION_HANDLE_INVALID = '0xb3'
const USER_NOT_LOGGED_IN = '0x101'

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (performance.now() < end) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.fail(`${what}, in vain for ${PATIENCE_MS / 1000} s`)
}

function assertUnavailable({ status, headers, body }: Answer): void {
  assert.equal(status, 503, JSON.stringify(body))
  assert.equal(body.error, 'temporarily_unavailable')
  assert.ok(Number(headers.get('retry-after')) >= 1, 'says when to try again')
}

/** A service whose workers are real processes on a device that can be broken. */
class Scene {
  readonly service: TestService
  readonly device: FaultyModule
  readonly processes: RealProcesses
  readonly #agreements = new Map<KeySpec, Agreement>()
  #signers = 0
  /** A new key signs its certificate request, which is no signing. */
  #requests = 0

  private constructor(service: TestService, device: FaultyModule, processes: RealProcesses) {
    this.service = service
    this.device = device
    this.processes = processes
  }

  static async start(workers: number): Promise<Scene> {
    const service = await TestService.start({ workers: 0, fronts: 0 })
    try {
      const device = faultyModule(service.folder)
      const hsmUri = device.uri(service.hsmUri)
      const scene = new Scene(service, device, await startProcesses(service, { workers, hsmUri, env: device.env }))
      await service.startKeeper()
      return scene
    } catch (error) {
      await service.close()
      throw error
    }
  }

  newSigner(): Promise<TestSigner> {
    return this.service.newSigner(`signer${++this.#signers}@example.test`, 'Test Signer')
  }

  async newCredential(signer: TestSigner, spec: KeySpec): Promise<string> {
    const before = this.device.calls()
    try {
      return await this.service.newCredential(signer, spec)
    } finally {
      this.#requests += this.device.calls() - before
    }
  }

  /** One that has digests left; each is of another signer, so that no test has to wait for the next one-time code. */
  async agreement(spec: KeySpec = 'p-256'): Promise<Agreement> {
    const current = this.#agreements.get(spec)
    if (current !== undefined && current.left >= 50) return current
    const signer = await this.newSigner()
    const made = await Agreement.make(this, signer, await this.newCredential(signer, spec), spec)
    this.#agreements.set(spec, made)
    return made
  }

  async health(): Promise<{ status: string; parts: Record<string, string> }> {
    return (await (await fetch(`${this.service.urls[0]}/health/ready`)).json()) as never
  }

  /** The promises, with the device's word for how often it was asked. */
  check(options: { settled: boolean } = { settled: false }) {
    return this.service.checkWorld({ ...options, deviceCalls: this.device.calls() - this.#requests })
  }

  async close(): Promise<void> {
    await this.processes.stop()
    await this.service.close()
  }
}

/** An authorization for a hundred digests, used piece by piece. */
class Agreement {
  readonly #scene: Scene
  readonly credential: string
  readonly bearer: string
  readonly #spec: KeySpec
  readonly #sad: string
  readonly #hashes: string[]

  private constructor(scene: Scene, credential: string, spec: KeySpec, bearer: string, sad: string, hashes: string[]) {
    this.#scene = scene
    this.credential = credential
    this.bearer = bearer
    this.#spec = spec
    this.#sad = sad
    this.#hashes = hashes
  }

  static async make(scene: Scene, signer: TestSigner, credential: string, spec: KeySpec): Promise<Agreement> {
    const { service } = scene
    const bearer = await service.login(signer)
    const hashes = service.digests(...Array.from({ length: 100 }, (_, i) => `${credential} ${i}`))
    const sad = await service.authorize(bearer, credential, hashes, { signer, code: service.code(signer) })
    return new Agreement(scene, credential, spec, bearer, sad, [...hashes])
  }

  get left(): number {
    return this.#hashes.length
  }

  /** Digests that no request had before. */
  take(count: number): string[] {
    return this.#hashes.splice(0, count)
  }

  sign(hashes: string[]): Promise<Answer> {
    const signAlgo = this.#spec === 'p-256' ? '1.2.840.10045.4.3.2' : '1.2.840.113549.1.1.1'
    return this.#scene.service.signHash(this.bearer, this.credential, this.#sad, hashes, { signAlgo })
  }

  /** The service signs at once. */
  async requireSigned(): Promise<void> {
    const hashes = this.take(1)
    await this.requireRight(await this.sign(hashes), hashes)
  }

  /** The service signs without anybody's help, for a client that comes again while it is unavailable. */
  async requireSignedAgain(): Promise<void> {
    const hashes = this.take(1)
    let answer = await this.sign(hashes)
    await until('the service signs again', async () => {
      if (answer.status === 503) answer = await this.sign(hashes)
      return answer.status !== 503
    })
    await this.requireRight(answer, hashes)
  }

  /** OpenSSL says that these are signatures of these digests by the certificate's key. */
  async requireRight(answer: Answer, hashes: string[]): Promise<void> {
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    assert.equal(answer.body.signatures.length, hashes.length)
    const { service } = this.#scene
    const { body } = await service.post(
      '/csc/v2/credentials/info',
      { credentialID: this.credential },
      { bearer: this.bearer },
    )
    const certificate = new X509Certificate(Buffer.from(body.cert.certificates[0], 'base64'))
    const publicKey = certificate.publicKey.export({ type: 'spki', format: 'der' })
    const scheme = this.#spec === 'p-256' ? 'ecdsa' : 'rsa-pkcs1'
    for (const [i, hash] of hashes.entries()) {
      const signed = digest('sha-256', Buffer.from(hash, 'base64'))
      const signature = Buffer.from(answer.body.signatures[i], 'base64')
      assert.ok(await opensslVerifies(publicKey, { scheme, hash: 'sha-256' }, signed, signature))
    }
  }

  /** These digests were spent: they are refused, and the device is not asked. */
  async requireSpent(hashes: string[]): Promise<void> {
    const asked = this.#scene.device.calls()
    const again = await this.sign(hashes)
    assert.equal(again.status, 400, JSON.stringify(again.body))
    assert.equal(this.#scene.device.calls(), asked)
  }
}

describe('one worker on a device that fails', () => {
  let scene: Scene
  let device: FaultyModule
  /** What a worker's death, or a failed creation, leaves to the reconciler. */
  const left = { intentions: 0, credentials: 0 }
  before(async () => {
    scene = await Scene.start(1)
    device = scene.device
  })
  afterEach(() => device.clear())
  after(() => scene?.close())

  const failures: {
    what: string
    spec?: KeySpec
    lines: string[]
    /** How many of three signatures the device was asked for. */
    asked: number
    outcome: 'failed' | 'indeterminate'
  }[] = [
    ...[SESSION_HANDLE_INVALID, USER_NOT_LOGGED_IN, DEVICE_ERROR].flatMap((code) => [
      {
        what: `C_SignInit answers ${code} for good`,
        lines: [`C_SignInit fail ${code}`],
        asked: 0,
        outcome: 'failed' as const,
      },
      { what: `C_Sign answers ${code}`, lines: [`C_Sign fail ${code} 1`], asked: 1, outcome: 'indeterminate' as const },
    ]),
    {
      what: 'the third C_Sign fails',
      lines: ['C_Sign pass 2', `C_Sign fail ${DEVICE_ERROR} 1`],
      asked: 3,
      outcome: 'indeterminate',
    },
    {
      what: 'the second C_SignInit fails for good',
      lines: ['C_SignInit pass 1', `C_SignInit fail ${SESSION_HANDLE_INVALID}`],
      asked: 1,
      outcome: 'indeterminate',
    },
    {
      what: 'the device restarts and unwraps no key',
      lines: ['C_SignInit forget 1', `C_UnwrapKey fail ${DEVICE_MEMORY}`],
      asked: 0,
      outcome: 'failed',
    },
    { what: 'the device is gone', lines: [`* fail ${DEVICE_ERROR}`], asked: 0, outcome: 'failed' },
    ...(['p-256', 'rsa-2048'] as const).flatMap((spec) => [
      {
        what: `the second ${spec} signature is wrong`,
        spec,
        lines: ['C_Sign pass 1', 'C_Sign wrong 1'],
        asked: 3,
        outcome: 'indeterminate' as const,
      },
      {
        what: `a ${spec} signature is empty`,
        spec,
        lines: ['C_Sign empty 1'],
        asked: 3,
        outcome: 'indeterminate' as const,
      },
    ]),
  ]
  for (const { what, spec, lines, asked, outcome } of failures) {
    test(`${what}: 503, spent, ${outcome}, and afterwards it signs at once`, async () => {
      const agreement = await scene.agreement(spec)
      await agreement.requireSigned()
      const pids = scene.processes.workerPids()
      const askedBefore = device.calls()
      const releasedBefore = scene.service.released.length
      const hashes = agreement.take(3)

      device.set(...lines)
      assertUnavailable(await agreement.sign(hashes))
      assert.equal(device.calls() - askedBefore, asked)
      await agreement.requireSpent(hashes)
      assert.equal(scene.service.released.length, releasedBefore)
      device.clear()

      await agreement.requireSigned()
      await agreement.requireSpent(hashes)
      assert.deepEqual(scene.processes.workerPids(), pids, 'the worker lives on')
      const [failed] = (await scene.check()).of('sign.outcome').slice(-2)
      const why = outcome === 'failed' ? 'device_unavailable' : 'device_indeterminate'
      assert.deepEqual([failed?.leaf.out, failed?.leaf.why], [outcome, why])
    })
  }

  const accidents = {
    'a lost session': [`C_SignInit fail ${SESSION_HANDLE_INVALID} 1`],
    'a lost login': [`C_SignInit fail ${USER_NOT_LOGGED_IN} 1`],
    'a device that forgets the login': ['C_SignInit logout 1'],
    'a device that restarts': ['C_SignInit forget 1'],
    'a device that restarts between two signatures': ['C_SignInit pass 1', 'C_SignInit forget 1'],
    'a device that takes its time': ['C_Sign slow 50'],
  }
  for (const [what, lines] of Object.entries(accidents)) {
    test(`${what} is not noticed outside`, async () => {
      const agreement = await scene.agreement()
      const askedBefore = device.calls()
      const hashes = agreement.take(3)
      device.set(...lines)
      const answer = await agreement.sign(hashes)
      device.clear()
      await agreement.requireRight(answer, hashes)
      assert.equal(device.calls() - askedBefore, 3)
      await scene.check()
    })
  }

  test('while the device is gone, the rest answers and says so', async () => {
    const { service } = scene
    const agreement = await scene.agreement()
    const signer = await scene.newSigner()
    device.set(`* fail ${DEVICE_ERROR}`)
    await until('health has noticed', async () => (await scene.health()).parts['device'] === 'down')
    assert.deepEqual(await scene.health(), {
      status: 'unavailable',
      parts: { database: 'up', worker: 'up', device: 'down', clock: 'up', log: 'up' },
    })
    const list = await service.post('/csc/v2/credentials/list', {}, { bearer: agreement.bearer })
    assert.deepEqual(list.body.credentialIDs, [agreement.credential])
    assert.equal((await service.post('/csc/v2/info', {})).status, 200)
    await assert.rejects(service.admin('authenticator.enrol', { signer: signer.login }), { code: 'unavailable' })
    await service.login(signer)
    device.clear()
    await agreement.requireSigned()
    await until('health has noticed', async () => (await scene.health()).status === 'ready')
  })

  test('an authorization while the device is gone: 503, no guess is counted, and the code is good afterwards', async () => {
    const { service } = scene
    const signer = await scene.newSigner()
    const credentialID = await scene.newCredential(signer, 'p-256')
    const bearer = await service.login(signer)
    const [hash] = service.digests('authorized later')
    const authorize = () =>
      service.post(
        '/csc/v2/credentials/authorize',
        {
          credentialID,
          numSignatures: 1,
          hashes: [hash],
          hashAlgorithmOID: '2.16.840.1.101.3.4.2.1',
          authData: [{ id: 'OTP', value: service.code(signer) }],
        },
        { bearer },
      )
    device.set(`* fail ${DEVICE_ERROR}`)
    for (let attempt = 0; attempt < 5; attempt++) assertUnavailable(await authorize())
    device.clear()
    const answer = await authorize()
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    await scene.check()
  })

  test('a device that takes a tenth of a second for a signature is not taken for a hung one', async () => {
    const agreement = await scene.agreement()
    const pids = scene.processes.workerPids()
    const hashes = agreement.take(40)
    device.set('C_Sign slow 100')
    const answer = await agreement.sign(hashes)
    device.clear()
    await agreement.requireRight(answer, hashes)
    assert.deepEqual(scene.processes.workerPids(), pids)
    await scene.check()
  })

  test('a key that cannot be made or wrapped, or signs its request wrong, becomes no credential; others sign meanwhile', async () => {
    const { service } = scene
    const agreement = await scene.agreement()
    const signer = await scene.newSigner()
    const bearer = await service.login(signer)
    for (const line of [
      `C_GenerateKeyPair fail ${DEVICE_MEMORY} 1`,
      `C_WrapKey fail ${DEVICE_MEMORY} 1`,
      `C_Sign fail ${DEVICE_MEMORY} 1`,
      'C_Sign wrong 1',
    ]) {
      device.set(line)
      await assert.rejects(scene.newCredential(signer, 'p-256'), { code: 'unavailable' }, line)
      left.credentials++
      await agreement.requireSigned()
    }
    // Taken for a lost connection; and making a key, unlike a signature, may be tried again.
    device.set(`C_GenerateKeyPair fail ${DEVICE_ERROR} 1`)
    const made = [await scene.newCredential(signer, 'p-256'), await scene.newCredential(signer, 'p-256')]
    const list = await service.post('/csc/v2/credentials/list', {}, { bearer })
    assert.deepEqual(list.body.credentialIDs.sort(), made.sort())
    await scene.check()
  })

  test('F21: a module that hangs: the front answers meanwhile, the worker is killed, another signs, and what was spent stays spent', async () => {
    const { service } = scene
    const agreement = await scene.agreement()
    const [hung] = scene.processes.workerPids()
    const askedBefore = device.calls()
    const hashes = agreement.take(3)
    device.set('C_Sign hang 1')
    const answer = agreement.sign(hashes)
    await until('the device hangs', () => device.calls() > askedBefore)
    assert.equal((await service.post('/csc/v2/info', {})).status, 200)
    const list = await service.post('/csc/v2/credentials/list', {}, { bearer: agreement.bearer })
    assert.deepEqual(list.body.credentialIDs, [agreement.credential])
    assert.deepEqual(scene.processes.workerPids(), [hung], 'all that while the worker hung')

    assertUnavailable(await answer)
    await agreement.requireSignedAgain()
    assert.notDeepEqual(scene.processes.workerPids(), [hung])
    await agreement.requireSpent(hashes)
    assert.equal(device.calls() - askedBefore, 2)
    left.intentions++
    await scene.check()
  })

  for (const call of ['C_SignInit', 'C_Sign']) {
    test(`a module that takes its process down in ${call}: another worker signs, and what was spent stays spent`, async () => {
      const agreement = await scene.agreement()
      const [crashed] = scene.processes.workerPids()
      const hashes = agreement.take(3)
      device.set(`${call} crash 1`)
      assertUnavailable(await agreement.sign(hashes))
      await agreement.requireSignedAgain()
      assert.notDeepEqual(scene.processes.workerPids(), [crashed])
      await agreement.requireSpent(hashes)
      left.intentions++
      await scene.check()
    })
  }

  test('a worker that dies while the device is gone is replaced when the device is back', async () => {
    const agreement = await scene.agreement()
    const [killed] = scene.processes.workerPids()
    device.set(`* fail ${DEVICE_ERROR}`)
    process.kill(killed as number, 'SIGKILL')
    await until('it is gone', () => !scene.processes.workerPids().includes(killed as number))
    await until('another one tries', () => scene.processes.workerPids().length === 1)
    await until('and ends', () => scene.processes.workerPids().length === 0)
    device.clear()
    await agreement.requireSignedAgain()
    await scene.check()
  })

  test('F2, F21: what the deaths of workers and failed creations left open is closed as abandoned', async () => {
    const { service } = scene
    await scene.processes.stop()
    await service.moveClock(6 * 60_000)
    await (await service.startWorker(service.newWorkerSettings(1))).close()
    const world = await scene.check({ settled: true })
    const abandoned = world.of('sign.abandoned')
    assert.equal(abandoned.length, left.intentions)
    for (const { leaf } of abandoned) assert.equal(leaf.out, 'indeterminate')
    assert.equal(world.of('credential.abandoned').length, left.credentials)
    const { rows } = await (await service.owner()).query("select id from paraph.credential where state = 'pending'")
    assert.deepEqual(rows, [])
  })
})

describe('two workers', () => {
  let scene: Scene
  before(async () => {
    scene = await Scene.start(2)
  })
  after(() => scene?.close())

  test('F21: while the module hangs in one, the other signs', async () => {
    const { device, processes } = scene
    const agreement = await scene.agreement()
    const pids = processes.workerPids()
    const askedBefore = device.calls()
    const hashes = agreement.take(2)
    device.set('C_Sign hang 1')
    const answer = agreement.sign(hashes)
    await until('the device hangs', () => device.calls() > askedBefore)
    await agreement.requireSigned()
    assert.deepEqual(processes.workerPids(), pids, 'all that while the worker hung')
    assertUnavailable(await answer)
    await agreement.requireSpent(hashes)
    await agreement.requireSigned()
    await until('there are two again', () => processes.workerPids().length === 2)
    await scene.check()
  })
})
