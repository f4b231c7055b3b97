import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { KeySpec } from '../../src/hsm/hsm.js'
import { TestService } from '../helpers/test-service.js'
import { PYTHON } from '../runner/python.js'

const PROGRAM = fileURLToPath(new URL('../../../test/interop/pyhanko_signs.py', import.meta.url))

let service: TestService
let root: string
before(async () => {
  service = await TestService.start({ keys: [] })
  root = (await service.admin('ca.root', {})).pem
})
after(() => service?.close())

interface Wish {
  readonly key: KeySpec
  readonly digest?: 'sha256' | 'sha384' | 'sha512'
  /** In pyHanko's words. */
  readonly mechanism: string
  readonly pss?: boolean
  readonly version?: 'v1' | 'v2'
  readonly scal?: '1' | '2'
  readonly documents?: number
  /** The SAD is obtained before there is anything to sign. */
  readonly prefetched?: boolean
}

const WISHES: Readonly<Record<string, Wish>> = {
  'with RSA': { key: 'rsa-2048', mechanism: 'sha256_rsa' },
  'with RSA-PSS': { key: 'rsa-2048', mechanism: 'rsassa_pss', pss: true },
  'with RSA-3072 and SHA-512': { key: 'rsa-3072', mechanism: 'sha512_rsa', digest: 'sha512' },
  'with P-256': { key: 'p-256', mechanism: 'sha256_ecdsa' },
  'with P-384 and SHA-384': { key: 'p-384', mechanism: 'sha384_ecdsa', digest: 'sha384' },
  'three documents under one SAD bound to them': { key: 'p-256', mechanism: 'sha256_ecdsa', documents: 3 },
  'with a SAD from before the document': { key: 'rsa-2048', mechanism: 'sha256_rsa', scal: '1', prefetched: true },
  'through version 2': { key: 'p-256', mechanism: 'sha256_ecdsa', version: 'v2' },
}

for (const [index, [name, wish]] of Object.entries(WISHES).entries()) {
  test(`pyHanko signs a PDF ${name}, and trusts it until a byte of it changes`, { timeout: 60_000 }, async () => {
    // A signer for each: a code is taken once, and nobody moves the clock of pyHanko.
    const signer = await service.newSigner(`signer${index}@example.test`, 'Żaneta Sygnatariusz')
    const scal = wish.scal ?? '2'
    const credentialID = await service.newCredential(signer, wish.key, { scal })
    await ended({
      version: 'v1',
      digest: 'sha256',
      pss: false,
      documents: 1,
      prefetched: false,
      ...wish,
      ...signer,
      scal,
      url: service.urls[0],
      credentialID,
      root,
    })
  })
}

test('the log tells of every one of those signatures', async () => {
  const { entries } = await service.checkWorld()
  const count = Object.values(WISHES).reduce((sum, { documents = 1 }) => sum + documents, 0)
  const outcomes = entries.filter(({ leaf }) => leaf.ev === 'sign.outcome' && leaf.out === 'ok')
  assert.equal(
    outcomes.reduce((sum, { leaf }) => sum + (leaf.n ?? 0), 0),
    count,
  )
})

async function ended(wish: unknown): Promise<void> {
  const child = spawn(PYTHON, [PROGRAM], { stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.end(`${JSON.stringify(wish)}\n`)
  const [status, printed, complained] = await Promise.all([
    new Promise((resolve) => child.once('close', resolve)),
    text(child.stdout),
    text(child.stderr),
  ])
  assert.equal(status, 0, `${printed}${complained}`)
}
