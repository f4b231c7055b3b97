import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { test } from 'node:test'
import { OwnEntries } from '../../src/audit/own-entries.js'
import { RowBinding } from '../../src/binding.js'
import { checkpointKeyFields, TailWatch, type TailWatchOptions } from '../../src/sam/tail-watch.js'
import { checkpointText, formatVkey, noteKey, signatureLine } from '../../src/tlog/note.js'
import { EMPTY_ROOT } from '../../src/tlog/tree.js'

const ORIGIN = 'sign.example.test/paraph'
/** More entries than may go without a checkpoint. */
const HEAD = 60_000
const binding = new RowBinding(randomBytes(32))

function signer() {
  const pair = generateKeyPairSync('ed25519')
  const key = noteKey(ORIGIN, 'ed25519', pair.publicKey.export({ type: 'spki', format: 'der' }))
  const vkey = formatVkey(key)
  const note = (size: number, origin = ORIGIN) => {
    const text = checkpointText({ origin, size, root: EMPTY_ROOT })
    return `${text}\n${signatureLine(key, sign(null, Buffer.from(text), pair.privateKey))}`
  }
  return { vkey, note, bound: { vkey, binding: binding.mac('checkpoint_key', checkpointKeyFields(vkey)) } }
}
const ours = signer()
const theirs = signer()

/** A watch over what answers so, with nothing written by itself. */
function watching(query: (text: string) => Promise<unknown>, more: Partial<TailWatchOptions> = {}): TailWatch {
  const guard = { seen: undefined, fork: undefined, reportFork: () => {} }
  return new TailWatch({ db: { query } as never, binding, own: new OwnEntries(), guard, onFork: () => {}, ...more })
}

/** Whether the log counts as signed, by what the tables say. */
async function bounded(note: string | null, keys: { vkey: string; binding: Buffer }[]): Promise<boolean> {
  const rows = (text: string) => (text.includes('audit.head') ? [{ head: HEAD, origin: ORIGIN, note }] : keys)
  const watch = watching(async (text) => ({ rows: rows(text), rowCount: 1 }))
  await watch.look()
  return watch.bounded
}

test('only a checkpoint under a key that a worker named counts', async () => {
  const unbound = { vkey: theirs.vkey, binding: randomBytes(32) }
  assert.equal(await bounded(ours.note(HEAD), [ours.bound]), true)
  assert.equal(await bounded(null, [ours.bound]), false)
  assert.equal(await bounded(ours.note(10), [ours.bound]), false, 'one that covers too little')
  assert.equal(await bounded(theirs.note(HEAD), [ours.bound]), false, 'a key that nobody named')
  assert.equal(
    await bounded(theirs.note(HEAD), [ours.bound, unbound]),
    false,
    'one that the owner of the database named',
  )
  assert.equal(await bounded(ours.note(10).replace('\n10\n', `\n${HEAD}\n`), [ours.bound]), false, 'an altered one')
  assert.equal(await bounded('no note at all', [ours.bound]), false)
  assert.equal(await bounded(ours.note(HEAD, 'other.example.test'), [ours.bound]), false, 'one of another log')
})

test('a log that cannot be looked at counts as unsigned', async () => {
  const watch = watching(async () => Promise.reject(new Error('permission denied')))
  await watch.look().catch(() => {})
  assert.throws(() => watch.requireBounded(), { code: 'unavailable' })
})

test('a machine that remembers a fork signs nothing', async () => {
  const rows = (text: string) =>
    text.includes('audit.head') ? [{ head: 10, origin: ORIGIN, note: ours.note(10) }] : [ours.bound]
  const guard = { seen: undefined, fork: 'evidence', reportFork: () => {} }
  const watch = watching(async (text) => ({ rows: rows(text), rowCount: 1 }), { guard })
  await watch.look()
  assert.equal(watch.bounded, false)
})

test('a log that is shorter than what was signed was taken back: nothing is signed any more', async () => {
  const known = { seen: undefined, fork: undefined }
  for (const [seen, heads] of [
    [undefined, [HEAD, HEAD - 1]],
    [{ origin: ORIGIN, size: HEAD, root: Buffer.from(EMPTY_ROOT) }, [HEAD - 1]],
  ] as const) {
    const reported: string[] = []
    const guard = { ...known, seen, reportFork: (evidence: string) => reported.push(evidence) }
    let head = 0
    const watch = watching(
      async (text) => ({
        rows: text.includes('audit.head') ? [{ head, origin: ORIGIN, note: ours.note(head) }] : [ours.bound],
        rowCount: 1,
      }),
      { guard },
    )
    for (head of heads) await watch.look()
    assert.equal(watch.bounded, false)
    assert.deepEqual(reported, [`the log has ${HEAD - 1} entries, and ${HEAD} were signed`])
    head = HEAD + 1
    await watch.look()
    assert.equal(watch.bounded, false, 'also when it has grown again')
  }
})
