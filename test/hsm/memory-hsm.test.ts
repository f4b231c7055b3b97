import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { openHsm } from '../../src/hsm/open-hsm.js'
import { hsmContract } from '../contract/hsm.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-memory-'))
after(() => rmSync(folder, { recursive: true }))

hsmContract('memory device', (options) => openHsm(`memory:${folder}/keys`, options))

describe('the file of the memory device', () => {
  const file = join(folder, 'keys', 'memory-device.json')

  it('is for its owner only, and refused when it is not', async () => {
    assert.equal(statSync(file).mode & 0o777, 0o600)
    chmodSync(file, 0o644)
    await assert.rejects(openHsm(`memory:${folder}/keys`), { code: 'unavailable', message: /chmod 600/ })
    chmodSync(file, 0o600)
    await (await openHsm(`memory:${folder}/keys`)).close()
  })

  it('survives a crash while its successor was written', async () => {
    const hsm = await openHsm(`memory:${folder}/crashed`)
    const made = await hsm.createServiceKey('first', 'p-256')
    writeFileSync(join(folder, 'crashed', 'memory-device.json.new'), '{"version":', { mode: 0o600 })
    const second = await hsm.createServiceKey('second', 'p-256')
    await hsm.close()
    const again = await openHsm(`memory:${folder}/crashed`)
    assert.deepEqual(await again.serviceKey('first'), made)
    assert.deepEqual(await again.serviceKey('second'), second)
    await again.close()
  })

  it('is made once by those who come at the same time', async () => {
    const several = await Promise.all(Array.from({ length: 4 }, () => openHsm(`memory:${folder}/new`)))
    const [first] = several
    assert.ok(first)
    const sealed = await first.seal(Buffer.from('secret'), Buffer.from('place'))
    for (const each of several) {
      assert.equal(Buffer.from(await each.unseal(sealed, Buffer.from('place'))).toString(), 'secret')
      await each.close()
    }
  })
})
