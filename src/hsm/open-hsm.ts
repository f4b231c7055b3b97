import { dirname, isAbsolute, resolve } from 'node:path'
import { withFolderLock } from './file-lock.js'
import type { Hsm } from './hsm.js'
import { openMemoryHsm } from './memory-hsm.js'
import { Pin } from './pin.js'
import { Pkcs11Hsm } from './pkcs11-hsm.js'
import { openModule } from './pkcs11-module.js'

export type HsmLocation =
  | {
      readonly kind: 'pkcs11'
      /** Absolute path of the module. */
      readonly module: string
      /** Label of the token. */
      readonly token: string
      readonly pinFile: string
      /** Accepts a KEK that gives keys back readable to whoever holds the PIN. */
      readonly allowLooseKek: boolean
    }
  | { readonly kind: 'memory'; readonly folder: string }

const EXAMPLE = 'pkcs11:/usr/lib/softhsm/libsofthsm2.so?token=paraph&pin-file=keys/pin'

/**
 * Reads `pkcs11:<module>?token=<label>&pin-file=<path>`, where `&loose-kek=accepted` may follow, or `memory:<folder>`.
 * Percent encoding as in RFC 7512.
 * @throws Error saying what is wrong with it
 */
export function parseHsmUri(uri: string): HsmLocation {
  const [, scheme, path = '', query = ''] = /^(pkcs11|memory):([^?]*)(?:\?(.*))?$/.exec(uri) ?? []
  if (scheme === 'memory') {
    if (path === '' || query !== '') throw new Error('a memory device is named memory:<folder>')
    return { kind: 'memory', folder: decodeURIComponent(path) }
  }
  if (scheme !== 'pkcs11') throw new Error(`a device is named like ${EXAMPLE} or memory:<folder>`)

  const module = decodeURIComponent(path)
  if (!isAbsolute(module)) throw new Error(`the module needs its whole path, as in ${EXAMPLE}`)
  const values = new URLSearchParams(query.replaceAll('+', '%2B'))
  const unknown = [...values.keys()].filter((name) => !['token', 'pin-file', 'loose-kek'].includes(name))
  if (unknown.length > 0) throw new Error(`a device URI has no ${unknown.join(', ')}`)
  const looseKek = values.get('loose-kek')
  if (looseKek !== null && looseKek !== 'accepted') throw new Error('loose-kek can only be accepted')
  const token = requireValue(values, 'token')
  if (Buffer.byteLength(token) > 32) throw new Error('a token label has 32 bytes at most')
  return { kind: 'pkcs11', module, token, pinFile: requireValue(values, 'pin-file'), allowLooseKek: looseKek !== null }
}

function requireValue(values: URLSearchParams, name: string): string {
  const [value, another] = values.getAll(name)
  if (!value || another !== undefined) throw new Error(`a device URI needs one ${name}, as in ${EXAMPLE}`)
  return value
}

/**
 * @param options.cachedKeys how many unwrapped signers' keys to keep, 4096 unless said
 * @throws HsmError `unavailable` saying what is missing, or Error when the URI is wrong
 */
export async function openHsm(uri: string, options: { cachedKeys?: number } = {}): Promise<Hsm> {
  const location = parseHsmUri(uri)
  const { cachedKeys = 4096 } = options
  if (location.kind === 'memory') return await openMemoryHsm(location.folder, cachedKeys)
  const { token, pinFile, allowLooseKek } = location
  // SoftHSM skips, or calls broken, a token whose file another process is writing, as each login does: processes that
  // start together take turns, for all tokens whose PINs lie in one folder.
  return await withFolderLock(dirname(resolve(pinFile)), () => {
    const module = openModule(location.module)
    return Pkcs11Hsm.open({ module, token, pin: new Pin(pinFile), cachedKeys, allowLooseKek }, pinFile)
  })
}
