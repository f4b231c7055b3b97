import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import {
  checkpointText,
  cosignatureBytes,
  cosignedText,
  formatVkey,
  noteKey,
  parseCheckpoint,
  parseNote,
  parseVkey,
  signatureLine,
  verifyNote,
} from '../../src/tlog/note.js'
import { judge, parsePolicy } from '../../src/tlog/policy.js'
import { formatProof, parseProof } from '../../src/tlog/proof-file.js'
import { EMPTY_ROOT } from '../../src/tlog/tree.js'

/** The example of C2SP signed-note. */
const VKEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'
const NOTE = `This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
`

function signer(name: string, type: 'ed25519' | 'ecdsa' | 'cosignature') {
  const pair =
    type === 'ecdsa' ? generateKeyPairSync('ec', { namedCurve: 'prime256v1' }) : generateKeyPairSync('ed25519')
  const key = noteKey(name, type, pair.publicKey.export({ type: 'spki', format: 'der' }))
  const line = (text: string, time = 1679315147) => {
    const bytes = (data: string) => sign(type === 'ecdsa' ? 'sha256' : null, Buffer.from(data), pair.privateKey)
    return signatureLine(
      key,
      type === 'cosignature' ? cosignatureBytes(time, bytes(cosignedText(text, time))) : bytes(text),
    )
  }
  return { key, line, vkey: formatVkey(key) }
}

const text = checkpointText({ origin: 'example.com/log', size: 7, root: EMPTY_ROOT })

test('the example of the specification verifies, and goes through unchanged', () => {
  const key = parseVkey(VKEY)
  assert.equal(formatVkey(key), VKEY)
  const note = parseNote(NOTE)
  assert.equal(verifyNote(note, key), 0)
  assert.equal(`${note.text}\n${note.signatures.map((one) => signatureLine(one, one.bytes)).join('')}`, NOTE)
})

test('a changed text under a known key is no note at all; an unknown key says nothing', () => {
  const key = parseVkey(VKEY)
  assert.throws(() => verifyNote(parseNote(NOTE.replace('example', 'exbmple')), key), RangeError)
  assert.equal(verifyNote(parseNote(NOTE), signer('example.com/foo', 'ed25519').key), undefined)
})

test('what is not a note, a verifier key or a checkpoint is refused', () => {
  for (const note of ['', 'text\n', 'text\n\n', 'text\n\n— a b\n', NOTE.slice(0, -1), NOTE.replace(' is', '\tis')]) {
    assert.throws(() => parseNote(note), RangeError, JSON.stringify(note))
  }
  for (const vkey of ['', VKEY.replace('530d903a', '530d903b'), VKEY.slice(0, -4), VKEY.replace('+Ae', '+Ce')]) {
    assert.throws(() => parseVkey(vkey), RangeError, vkey)
  }
  const root = Buffer.from(EMPTY_ROOT).toString('base64')
  for (const wrong of [
    `o\n07\n${root}\n`,
    `o\n7\n${root}`,
    `\n7\n${root}\n`,
    'o\n7\nAAAA\n',
    `o\n-1\n${root}\n`,
    `o\n9007199254740993\n${root}\n`,
  ]) {
    assert.throws(() => parseCheckpoint(wrong), RangeError, JSON.stringify(wrong))
  }
  assert.deepEqual(parseCheckpoint(text), { origin: 'example.com/log', size: 7, root: Buffer.from(EMPTY_ROOT) })
})

test('each type of signature verifies, and only over its own text', () => {
  for (const type of ['ed25519', 'ecdsa', 'cosignature'] as const) {
    const { key, line, vkey } = signer('example.com/log', type)
    assert.equal(formatVkey(parseVkey(vkey)), vkey)
    assert.equal(verifyNote(parseNote(`${text}\n${line(text)}`), key), type === 'cosignature' ? 1679315147 : 0)
    const other = text.replace('\n7\n', '\n8\n')
    assert.throws(() => verifyNote(parseNote(`${other}\n${line(text)}`), key), RangeError)
  }
})

test('a policy wants a listed log and its quorum', () => {
  const log = signer('example.com/log', 'ed25519')
  const [a, b, c] = ['a', 'b', 'c'].map((name) => signer(`${name}.example`, 'cosignature')) as [
    ReturnType<typeof signer>,
    ReturnType<typeof signer>,
    ReturnType<typeof signer>,
  ]
  const policy = parsePolicy(
    [
      '# whom we trust',
      `log ${log.vkey} https://example.com/log`,
      `witness A ${a.vkey}`,
      `\twitness B ${b.vkey} https://b.example`,
      `witness C ${c.vkey}`,
      'group AB any A B',
      'group all all AB C',
      'quorum all',
      '',
    ].join('\n'),
  )
  const judged = (...lines: string[]) =>
    judge(policy, parseNote(`${text}\n${log.line(text)}${lines.join('')}`), 'example.com/log')
  assert.equal(judged().log?.name, 'example.com/log')
  assert.equal(judged().quorum, false)
  assert.equal(judged(a.line(text), b.line(text)).quorum, false)
  assert.equal(judged(b.line(text), c.line(text)).quorum, true)
  assert.equal(judge(policy, parseNote(`${text}\n${a.line(text)}`), 'example.com/log').log, undefined)
  assert.equal(judge(policy, parseNote(`${text}\n${log.line(text)}`), 'example.com/other').log, undefined)
})

test('a wrong policy is refused with its line', () => {
  const log = `log ${signer('l', 'ed25519').vkey}`
  const witness = `witness w ${signer('w', 'cosignature').vkey}`
  for (const [lines, line] of [
    [[log], ''],
    [[log, log, 'quorum none'], 'line 2'],
    [[witness.replace('witness w', 'log'), 'quorum none'], 'line 1'],
    [[log, 'quorum w'], 'line 2'],
    [[witness, 'group g 2 w', 'quorum g'], 'line 2'],
    [[witness, 'group g any w', 'group h any w', 'quorum g'], 'line 3'],
    [[witness, 'quorum w', 'quorum none'], 'line 3'],
    [['log'], 'line 1'],
    [['hello'], 'line 1'],
  ] as const) {
    assert.throws(() => parsePolicy(lines.join('\n')), new RegExp(`^RangeError: policy.*${line}`), lines.join('|'))
  }
})

test('a proof file goes through unchanged, and nothing sloppy is taken', () => {
  const proof = { extra: Buffer.from('{}'), index: 3, hashes: [EMPTY_ROOT, EMPTY_ROOT], checkpoint: NOTE }
  const file = formatProof(proof)
  assert.equal(formatProof(parseProof(file)), file)
  assert.deepEqual(parseProof(formatProof({ index: 0, hashes: [], checkpoint: NOTE })).hashes, [])
  for (const wrong of [
    file.replace('@v1', '@v2'),
    file.replace('index 3', 'index 03'),
    file.replace('extra e30=', 'extra e31='),
    file.replace('index 3', 'index'),
    file.replace(/\n47DEQ[^\n]*/, '\nAAAA'),
  ]) {
    assert.notEqual(wrong, file)
    assert.throws(() => parseProof(wrong), RangeError)
  }
})
