import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { openHsm, parseHsmUri } from '../../src/hsm/open-hsm.js'

describe('a device URI', () => {
  it('names a PKCS#11 token', () => {
    assert.deepEqual(parseHsmUri('pkcs11:/usr/lib/softhsm/libsofthsm2.so?token=paraph&pin-file=keys/pin'), {
      kind: 'pkcs11',
      module: '/usr/lib/softhsm/libsofthsm2.so',
      token: 'paraph',
      pinFile: 'keys/pin',
      allowLooseKek: false,
    })
    const odd = parseHsmUri('pkcs11:/opt/a%20b/c+d.so?token=my%20token+1&pin-file=/a%3Fb&loose-kek=accepted')
    assert.deepEqual(odd, {
      kind: 'pkcs11',
      module: '/opt/a b/c+d.so',
      token: 'my token+1',
      pinFile: '/a?b',
      allowLooseKek: true,
    })
  })

  it('names a memory device', () => {
    assert.deepEqual(parseHsmUri('memory:var/keys'), { kind: 'memory', folder: 'var/keys' })
  })

  it('is refused with an example when it is wrong', () => {
    for (const [uri, message] of [
      ['', /named like pkcs11:/],
      ['file:/x', /named like pkcs11:/],
      ['memory:', /memory:<folder>/],
      ['memory:x?y=1', /memory:<folder>/],
      ['pkcs11:libsofthsm2.so?token=a&pin-file=b', /whole path/],
      ['pkcs11:/m.so', /needs one token/],
      ['pkcs11:/m.so?token=&pin-file=b', /needs one token/],
      ['pkcs11:/m.so?token=a&token=b&pin-file=b', /needs one token/],
      ['pkcs11:/m.so?token=a', /needs one pin-file/],
      ['pkcs11:/m.so?token=a&pin-value=1234&pin-file=b', /no pin-value/],
      [`pkcs11:/m.so?token=${'a'.repeat(33)}&pin-file=b`, /32 bytes/],
      ['pkcs11:/m.so?token=a&pin-file=b&loose-kek=yes', /loose-kek/],
    ] as const) {
      assert.throws(() => parseHsmUri(uri), { message }, uri)
    }
  })
})

describe('opening a device', () => {
  const folder = mkdtempSync(join(tmpdir(), 'paraph-open-'))
  after(() => rmSync(folder, { recursive: true }))

  it('says which module cannot be loaded', async () => {
    writeFileSync(join(folder, 'module.so'), 'not a library')
    for (const module of [join(folder, 'module.so'), join(folder, 'missing.so')]) {
      const uri = `pkcs11:${module}?token=a&pin-file=b`
      await assert.rejects(openHsm(uri), { name: 'HsmError', code: 'unavailable', message: new RegExp(module) })
    }
  })
})
