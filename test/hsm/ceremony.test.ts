import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { initializeToken } from '../../src/hsm/ceremony.js'
import { openHsm } from '../../src/hsm/open-hsm.js'
import { SOFTHSM } from '../helpers/temp-token.js'

describe('the KEK ceremony', () => {
  const folder = mkdtempSync(join(tmpdir(), 'paraph-ceremony-'))
  mkdirSync(join(folder, 'tokens'))
  process.env.SOFTHSM2_CONF = join(folder, 'softhsm2.conf')
  writeFileSync(process.env.SOFTHSM2_CONF, `directories.tokendir = ${folder}/tokens\nobjectstore.backend = file\n`)
  after(() => rmSync(folder, { recursive: true }))

  const pinFile = join(folder, 'pin')
  const uri = `pkcs11:${SOFTHSM}?token=paraph&pin-file=${pinFile}`

  it('is asked for by name when there is no token yet', async () => {
    writeFileSync(pinFile, 'made by hand', { mode: 0o600 })
    await assert.rejects(openHsm(uri), { code: 'unavailable', message: /no token labelled paraph.*paraph hsm init/ })
    rmSync(pinFile)
  })

  it('makes what is missing, tells what it made, and keeps what is there', async () => {
    const first = await initializeToken(uri)
    assert.deepEqual(first.made, [
      `PIN file ${pinFile}`,
      `security officer's PIN file ${pinFile}-so`,
      'token paraph',
      'KEK paraph-kek-1',
      'sealing key paraph-seal-1',
    ])
    assert.equal(first.kekTemplateEnforced, true)
    for (const file of [pinFile, `${pinFile}-so`]) assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.ok(!JSON.stringify(first).includes(readFileSync(pinFile, 'utf8').trim()))

    const hsm = await openHsm(uri)
    const sealed = await hsm.seal(Buffer.from('kept'), Buffer.from('place'))
    await hsm.close()

    assert.deepEqual(await initializeToken(uri), { ...first, made: [] })
    const again = await openHsm(uri)
    assert.equal(Buffer.from(await again.unseal(sealed, Buffer.from('place'))).toString(), 'kept')
    await again.close()
  })

  it('works beside an open device, on its token and on another', async () => {
    const hsm = await openHsm(uri)
    try {
      assert.deepEqual((await initializeToken(uri)).made, [])
      const soPinFile = join(folder, 'officer')
      const other = `pkcs11:${SOFTHSM}?token=other&pin-file=${join(folder, 'pin-other')}`
      assert.ok((await initializeToken(other, { soPinFile })).made.includes('token other'))
      assert.ok(existsSync(soPinFile))
      assert.equal((await hsm.random(4)).length, 4)
    } finally {
      await hsm.close()
    }
  })

  it('is done once when two processes begin it', async () => {
    const third = `pkcs11:${SOFTHSM}?token=third&pin-file=${join(folder, 'pin-third')}`
    const [one, other] = await Promise.all([initializeToken(third), initializeToken(third)])
    assert.equal(one.made.length + other.made.length, 5)
    assert.equal(one.serial, other.serial)
    await (await openHsm(third)).close()
  })

  it('refuses a PIN file that others can read, saying what to type', async () => {
    chmodSync(pinFile, 0o640)
    const message = new RegExp(`chmod 600 ${pinFile}`)
    await assert.rejects(openHsm(uri), { code: 'unavailable', message })
    await assert.rejects(initializeToken(uri), { message })
    chmodSync(pinFile, 0o600)
  })
})
