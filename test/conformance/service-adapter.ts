/** What the suite wants to know out of band, from a service of the tests. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Adapter } from '../../src/conformance/adapter.js'
import type { Json } from '../../src/conformance/values.js'
import { keepSecret, type TestService, type TestSigner } from '../helpers/test-service.js'
import { openssl } from '../pki/openssl.js'

const PERIOD_MS = 30_000

export class ServiceAdapter implements Adapter {
  readonly #service: TestService
  readonly #signers: Readonly<Record<string, TestSigner>>
  readonly #world: Readonly<Record<string, Json>>
  /** The last period whose code was told, by signer. */
  readonly #told = new Map<string, number>()

  private constructor(service: TestService, two: TestSigner, world: Record<string, Json>) {
    this.#service = service
    this.#signers = { one: service.signer, two }
    this.#world = world
  }

  /** Makes a second signer, and credentials of every sort. Two days pass, so that a certificate expires. */
  static async prepare(service: TestService): Promise<ServiceAdapter> {
    const one = service.signer
    const expired = await service.newCredential(one, 'p-256')
    await certifyForADay(service, expired)
    await service.moveClock(2 * 24 * 3600 * 1000)
    const two = await service.newSigner('two@example.test', 'Second Signer')
    const pin = '480213957'
    keepSecret(pin)
    const revoked = await service.newCredential(one, 'p-256')
    await service.admin('credential.revoke', { credentialID: revoked })
    const rsa = await service.newCredential(one, 'rsa-2048')
    const world = {
      one: {
        login: one.login,
        password: one.password,
        expired,
        rsa,
        pss: rsa,
        ecdsa: await service.newCredential(one, 'p-256'),
        open: await service.newCredential(one, 'p-256', { scal: '1' }),
        pinned: await service.newCredential(one, 'p-256', { pin }),
        pin,
        revoked,
      },
      two: { login: two.login, password: two.password, rsa: await service.newCredential(two, 'rsa-2048') },
      can: ['code', 'steps', 'clock', 'suspend', 'resume', 'unlock', 'remember', 'only-valid', 'expire-sad'],
    }
    return new ServiceAdapter(service, two, world)
  }

  async ask(question: Readonly<Record<string, Json>>): Promise<Readonly<Record<string, Json>>> {
    const { ask, signer, step = 0, of } = question
    switch (ask) {
      case 'begin':
        return this.#world
      case 'code':
        return { code: await this.#code(String(signer), question.fresh === true, Number(step)) }
      case 'near': {
        const codes = [-2, -1, 0, 1, 2].map((steps) => this.#service.code(this.#signers[String(signer)], steps))
        return { codes }
      }
      case 'clock':
        await this.#service.moveClock(Number(of) * 1000)
        return {}
      case 'unlock':
        return { ...(await this.#service.admin('signer.unlock', { signer: this.#signers[String(of)]?.login ?? '' })) }
      case 'expire-sad': {
        // A session lasts no longer than its SADs, unless somebody prolongs it.
        const owner = await this.#service.owner()
        await owner.query(`update paraph.session set ends_at = ends_at + interval '1 hour' where ended_at is null`)
        await owner.query(`update paraph.token set expires_at = expires_at + interval '1 hour' where kind = 'access'`)
        await this.#service.moveClock(301_000)
        return {}
      }
      case 'suspend':
      case 'resume':
        return { ...(await this.#service.admin(`credential.${ask}`, { credentialID: String(of) })) }
      default:
        throw new Error(`no such question: ${ask}`)
    }
  }

  async #code(signer: string, fresh: boolean, steps: number): Promise<string> {
    const told = this.#told.get(signer) ?? 0
    const period = () => Math.floor(this.#service.clock.now() / PERIOD_MS)
    // Not late in a period, so that neither this code nor one that is so many periods off becomes another on its way.
    const age = this.#service.clock.now() % PERIOD_MS
    if (age > PERIOD_MS * (fresh ? 0.5 : 0.75)) await this.#service.moveClock(PERIOD_MS - age)
    if (fresh && period() <= told) await this.#service.moveClock((told + 1 - period()) * PERIOD_MS)
    this.#told.set(signer, Math.max(told, period() + steps))
    return this.#service.code(this.#signers[signer], steps)
  }

  async close(): Promise<void> {}
}

/** A certificate by an authority of the test's own, in place of the demo's. */
async function certifyForADay(service: TestService, credentialID: string): Promise<void> {
  const path = (name: string) => join(service.folder, name)
  const run = async (...parameters: string[]) => {
    const { ok, text } = await openssl(...parameters)
    assert.ok(ok, text)
  }
  const { certificates } = await service.admin('credential.show', { credentialID })
  const { publicKey } = new X509Certificate(certificates[0] as string)
  writeFileSync(path('key.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
  writeFileSync(path('extensions'), 'keyUsage=critical,nonRepudiation')
  await run(
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'],
    ...['-keyout', path('root.key'), '-out', path('root.pem'), '-subj', '/CN=Root/O=Test'],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  )
  await run(
    ...['x509', '-new', '-force_pubkey', path('key.pem'), '-subj', '/CN=Test Signer/O=Test', '-days', '1'],
    ...['-CA', path('root.pem'), '-CAkey', path('root.key'), '-CAcreateserial'],
    ...['-extfile', path('extensions'), '-out', path('leaf.pem')],
  )
  const chain = readFileSync(path('leaf.pem'), 'utf8') + readFileSync(path('root.pem'), 'utf8')
  await service.admin('credential.import', { credentialID, chain })
}
