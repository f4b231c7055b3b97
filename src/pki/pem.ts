import { ServiceError } from '../errors.js'

/** RFC 7468, lines of 64 characters, a newline at the end. */
export function toPem(label: 'CERTIFICATE' | 'CERTIFICATE REQUEST', der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

const BLOCK = /-----BEGIN ([^\r\n]*?)-----\r?\n([\s\S]*?)-----END ([^\r\n]*?)-----/g
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/**
 * The blocks of one label, in their order. Text around the blocks is allowed, as tools write it there (RFC 7468 §2).
 * @throws ServiceError `not_allowed` when a block has another label, is damaged, or there is none
 */
export function fromPem(label: 'CERTIFICATE' | 'CERTIFICATE REQUEST', pem: string): Uint8Array[] {
  const blocks = [...pem.matchAll(BLOCK)].map(([, begin, body, end]) => {
    if (begin !== label || end !== label) {
      throw new ServiceError('not_allowed', { detail: `the PEM text holds something else than ${label} blocks` })
    }
    const base64 = (body ?? '').replaceAll(/\s/g, '')
    const der = Buffer.from(base64, 'base64')
    if (!BASE64.test(base64) || der.toString('base64') !== base64) {
      throw new ServiceError('not_allowed', { detail: `a ${label} block is damaged` })
    }
    return new Uint8Array(der)
  })
  if (blocks.length === 0 || pem.split('-----BEGIN ').length - 1 !== blocks.length) {
    throw new ServiceError('not_allowed', { detail: `no complete ${label} block in the PEM text` })
  }
  return blocks
}
