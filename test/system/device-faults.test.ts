import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { digest } from '../../src/digest.js'
import type { KeySpec, Mechanism } from '../../src/hsm/hsm.js'
import { type FaultyModule, faultyModule } from '../helpers/faulty-module.js'
import { opensslVerifies } from '../helpers/openssl-verify.js'
import { type RealProcesses, startProcesses } from '../helpers/real-processes.js'
import { type Answer, TestService, type TestSigner } from '../helpers/test-service.js'

/** Bound on waiting for something to become true. */
const PATIENCE_MS = 60_000
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
  #signers = 0
  /** Each key signs its own certificate request, which is no signing. */
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
      const processes = await startProcesses(service, {
        workers,
        hsmUri: device.uri(service.hsmUri),
        env: device.env,
      })
      return new Scene(service, device, processes)
    } catch (error) {
      await service.close()
      throw error
    }
  }

  newSigner(): Promise<TestSigner> {
    return this.service.newSigner(`signer${++this.#signers}@example.test`, 'Test Signer')
  }

  /** A signer of his own, who agreed to a hundred digests: codes that work once do not hold up the test then. */
  async agree(spec: KeySpec = 'p-256'): Promise<Agreement> {
    const signer = await this.newSigner()
    const credential = await this.service.newCredential(signer, spec)
    this.#requests++
    return Agreement.make(this, signer, credential, spec)
  }

  get alive(): Promise<boolean> {
    return fetch(`${this.service.urls[0]}/health/ready`).then(({ status }) => status === 200)
  }

  /** The promises, with the device's own word for how often it was asked. */
  check(settled = false) {
    return this.service.checkWorld({ settled, deviceCalls: this.device.calls() - this.#requests })
  }

  async close(): Promise<void> {
    await this.processes.stop()
    await this.service.close()
  }
}

/** An authorization of one signer, used piece by piece. */
class Agreement {
  readonly #scene: Scene
  readonly credential: string
  readonly bearer: string
  readonly #sad: string
  readonly #hashes: string[]
  readonly #spec: KeySpec
  #next = 0

  private constructor(scene: Scene, credential: string, spec: KeySpec, bearer: string, sad: string, hashes: string[]) {
    this.#scene = scene
    this.credential = credential
    this.bearer = bearer
    this.#sad = sad
    this.#hashes = hashes
    this.#spec = spec
  }

  static async make(scene: Scene, signer: TestSigner, credential: string, spec: KeySpec): Promise<Agreement> {
    const { service } = scene
    const bearer = await service.login(signer)
    const hashes = service.digests(...Array.from({ length: 100 }, (_, i) => `${credential} ${i}`))
    const sad = await service.authorize(bearer, credential, hashes, { signer, code: service.code(signer) })
    return new Agreement(scene, credential, spec, bearer, sad, hashes)
  }

  /** Digests of the authorization that no request had before. */
  take(count: number): string[] {
    const taken = this.#hashes.slice(this.#next, this.#next + count)
    this.#next += count
    return taken
  }

  sign(hashes: string[]): Promise<Answer> {
    const signAlgo = this.#spec === 'p-256' ? '1.2.840.10045.4.3.2' : '1.2.840.113549.1.1.1'
    return this.#scene.service.signHash(this.bearer, this.credential, this.#sad, hashes, { signAlgo })
  }

  /** The service signs now, and OpenSSL says that it signs right. */
  async requireSigned(count = 2): Promise<void> {
    const hashes = this.take(count)
    await this.requireRight(await this.sign(hashes), hashes)
  }

  async requireRight(answer: Answer, hashes: string[]): Promise<void> {
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    assert.equal(answer.body.signatures.length, hashes.length)
    const { body } = await this.#scene.service.post(
      '/csc/v2/credentials/info',
      { credentialID: this.credential },
      { bearer: this.bearer },
    )
    const certificate = new X509Certificate(Buffer.from(body.cert.certificates[0], 'base64'))
    const publicKey = certificate.publicKey.export({ type: 'spki', format: 'der' })
    const mechanism: Mechanism = { scheme: this.#spec === 'p-256' ? 'ecdsa' : 'rsa-pkcs1', hash: 'sha-256' }
    for (const [i, hash] of hashes.entries()) {
      const signature = Buffer.from(answer.body.signatures[i], 'base64')
      assert.ok(await opensslVerifies(publicKey, mechanism, digest('sha-256', Buffer.from(hash, 'base64')), signature))
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
  before(async () => {
    scene = await Scene.start(1)
    device = scene.device
  })
  after(() => scene?.close())

  const LOST = { 'lost session': SESSION_HANDLE_INVALID, 'lost login': USER_NOT_LOGGED_IN, 'device error': DEVICE_ERROR }
  const failures: {
    what: string
    spec?: KeySpec
    lines: string[]
    /** Signatures that the device is asked for. */
    asked: number
    outcome: 'failed' | 'indeterminate'
    why: string
  }[] = [
    ...Object.entries(LOST).flatMap(([what, code]) => [
      {
        what: `${what} before the signature, again and again`,
        lines: [`C_SignInit fail ${code}`],
        asked: 0,
        outcome: 'failed' as const,
        why: 'device_unavailable',
      },
      {
        what: `${what} in the middle of the first signature`,
        lines: [`C_Sign fail ${code}`],
        asked: 1,
        outcome: 'indeterminate' as const,
        why: 'device_indeterminate',
      },
      {
        what: `${what} in the middle of the third signature`,
        lines: ['C_Sign pass 2', `C_Sign fail ${code}`],
        asked: 3,
        outcome: 'indeterminate' as const,
        why: 'device_indeterminate',
      },
      {
        what: `${what} between two signatures, again and again`,
        lines: ['C_SignInit pass 1', `C_SignInit fail ${code}`],
        asked: 1,
        outcome: 'indeterminate' as const,
        why: 'device_indeterminate',
      },
    ]),
    {
      what: 'the device restarts and gives no key back',
      lines: ['C_SignInit forget 1', `C_UnwrapKey fail ${DEVICE_MEMORY}`],
      asked: 0,
      outcome: 'failed',
      why: 'device_unavailable',
    },
    {
      what: 'the device is gone',
      lines: [`* fail ${DEVICE_ERROR}`],
      asked: 0,
      outcome: 'failed',
      why: 'device_unavailable',
    },
    ...(['p-256', 'rsa-2048'] as const).flatMap((spec) => [
      {
        what: `a wrong ${spec} signature among right ones`,
        spec,
        lines: ['C_Sign pass 1', 'C_Sign wrong 1'],
        asked: 3,
        outcome: 'indeterminate' as const,
        why: 'device_indeterminate',
      },
      {
        what: `an empty ${spec} signature`,
        spec,
        lines: ['C_Sign empty'],
        asked: 3,
        outcome: 'indeterminate' as const,
        why: 'device_indeterminate',
      },
    ]),
  ]
  for (const { what, spec, lines, asked, outcome, why } of failures) {
    test(`${what}: 503, spent, ${outcome}, and afterwards it signs at once`, async () => {
      const agreement = await scene.agree(spec)
      await agreement.requireSigned()
      const pids = scene.processes.workerPids()
      const before = { asked: device.calls(), released: scene.service.released.length }
      const hashes = agreement.take(3)

      device.set(...lines)
      assertUnavailable(await agreement.sign(hashes))
      assert.equal(device.calls() - before.asked, asked)
      await agreement.requireSpent(hashes)
      device.clear()
      assert.equal(scene.service.released.length, before.released)
      const last = (await scene.check()).of('sign.outcome').at(-1)?.leaf
      assert.deepEqual([last?.out, last?.why], [outcome, why])

      await agreement.requireSigned()
      await agreement.requireSpent(hashes)
      assert.deepEqual(scene.processes.workerPids(), pids, 'the worker lived on')
      await scene.check()
    })
  }

  const accidents = {
    'a lost session': [`C_SignInit fail ${SESSION_HANDLE_INVALID} 1`],
    'a lost login': [`C_SignInit fail ${USER_NOT_LOGGED_IN} 1`],
    'a device that forgets the login': ['C_SignInit logout 1'],
    'a device that restarts': ['C_SignInit forget 1'],
    'a device that restarts between two signatures': ['C_SignInit pass 1', 'C_SignInit forget 1'],
    'a session that cannot be opened': [`C_SignInit forget 1`, `C_OpenSession fail ${DEVICE_ERROR} 1`],
    'a slow device': ['C_Sign slow 50'],
  }
  for (const [what, lines] of Object.entries(accidents)) {
    test(`${what} is not noticed outside`, async () => {
      const agreement = await scene.agree()
      const asked = device.calls()
      const hashes = agreement.take(3)
      device.set(...lines)
      const answer = await agreement.sign(hashes)
      device.clear()
      await agreement.requireRight(answer, hashes)
      assert.equal(device.calls() - asked, 3)
      await scene.check()
    })
  }
})
