import { createHmac, timingSafeEqual } from 'node:crypto'
import { ServiceError } from './errors.js'

/** A row that does not fit its binding: somebody else than a SAM worker wrote it. Nothing is done with it. */
export class TamperedRow extends ServiceError {
  constructor(table: string) {
    super('internal', { cause: new Error(`a row of ${table} does not fit its binding`) })
  }
}

/** Whether the request was refused for what it is, and not because the service cannot serve now. */
export function isRefusal(error: ServiceError): boolean {
  return error.code !== 'unavailable' && error.code !== 'overloaded'
}

/** What the log says of a refusal. */
export function reasonOf(error: ServiceError): string {
  return error instanceof TamperedRow ? 'row_tampered' : error.code
}

type Field = string | number | boolean | Date | Uint8Array | null | undefined | readonly Uint8Array[]

/**
 * The HMAC that every row a signature depends on carries, under a key that only SAM workers have. A row that somebody
 * wrote, swapped or copied in the database does not fit, and signs nothing.
 *
 * The input is the table's name and its fields in a fixed order, each with its type and length, so that no two rows
 * give the same bytes.
 */
export class RowBinding {
  readonly #key: Uint8Array

  /** @param key 32 bytes */
  constructor(key: Uint8Array) {
    this.#key = key
  }

  mac(table: string, fields: readonly Field[]): Buffer {
    const mac = createHmac('sha256', this.#key)
    for (const field of [table, ...fields]) {
      const [type, bytes] = encoded(field)
      const head = Buffer.alloc(5)
      head.write(type)
      head.writeUInt32BE(bytes.length, 1)
      mac.update(head).update(bytes)
    }
    return mac.digest()
  }

  /** Whether `binding` is the one of these fields. */
  fits(table: string, fields: readonly Field[], binding: Uint8Array): boolean {
    const expected = this.mac(table, fields)
    return binding.length === expected.length && timingSafeEqual(binding, expected)
  }
}

function encoded(field: Field): [string, Uint8Array] {
  if (field === null || field === undefined) return ['0', new Uint8Array(0)]
  if (typeof field === 'string') return ['s', Buffer.from(field)]
  if (typeof field === 'number') return ['n', Buffer.from(String(field))]
  if (typeof field === 'boolean') return ['b', Buffer.of(field ? 1 : 0)]
  if (field instanceof Date) return ['t', Buffer.from(field.toISOString())]
  if (field instanceof Uint8Array) return ['x', field]
  return [
    'a',
    Buffer.concat(
      field.flatMap((part) => {
        const length = Buffer.alloc(4)
        length.writeUInt32BE(part.length)
        return [length, part]
      }),
    ),
  ]
}
