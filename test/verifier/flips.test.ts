/** F31: no single bit of a pack can be turned unnoticed. */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { verifyPack } from '../../src/verifier/verify.js'
import { filesOf, refreshManifest, TestLog } from '../helpers/pack.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-pack-'))
after(() => rmSync(folder, { recursive: true }))

/** Together; a slow machine tries fewer of them, unless it is told how many. */
const FLIPS = Number(process.env['FLIPS'] ?? 10_000)
const MOST_MS = process.env['FLIPS'] === undefined ? 12_000 : Number.POSITIVE_INFINITY

const log = new TestLog()
log.signOnce(log.newSigner())
log.publish()

/** Turns a bit of one file after another, and back. @returns how many */
async function flip(root: string, times: number, files: readonly string[], after: () => void): Promise<number> {
  const contents = files.map((file) => readFileSync(join(root, file)))
  const deadline = Date.now() + MOST_MS
  let done = 0
  for (; done < times && Date.now() < deadline; done++) {
    const which = randomInt(files.length)
    const [file, bytes] = [files[which] as string, Buffer.from(contents[which] as Buffer)]
    const bit = randomInt(bytes.length * 8)
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
    writeFileSync(join(root, file), bytes)
    after()
    const report = await verifyPack({ root, policy: log.policy() })
    assert.equal(report.verdict, 'fault', `bit ${bit} of ${file}`)
    writeFileSync(join(root, file), contents[which] as Buffer)
  }
  return done
}

test('F31: any bit of any file', async (t) => {
  const root = join(folder, 'any')
  await log.write(root)
  const done = await flip(root, Math.floor(FLIPS * 0.7), [...filesOf(root), 'MANIFEST'], () => {})
  t.diagnostic(`${done} bits`)
  assert.equal((await verifyPack({ root, policy: log.policy() })).verdict, 'ok')
})

test('F31: any bit of any file, with MANIFEST written anew', async (t) => {
  const root = join(folder, 'anew')
  await log.write(root)
  const done = await flip(root, Math.floor(FLIPS * 0.3), filesOf(root), () => refreshManifest(root))
  t.diagnostic(`${done} bits`)
})
