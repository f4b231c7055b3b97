import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSecretFile } from '../secret-file.js'
import { withFileLock } from './file-lock.js'
import type { KeySpec } from './hsm.js'

/** What the memory device keeps; bytes in base64. */
export interface StoredKeys {
  readonly version: 1
  /** Stands for a serial number. */
  readonly id: string
  /** AES-256, by epoch. */
  readonly keks: Readonly<Record<string, string>>
  /** AES-256, by epoch. */
  readonly seals: Readonly<Record<string, string>>
  readonly services: readonly StoredServiceKey[]
}

export interface StoredServiceKey {
  readonly name: string
  readonly spec: KeySpec
  /** PKCS#8 DER. */
  readonly privateKey: string
  /** SubjectPublicKeyInfo DER. */
  readonly publicKey: string
}

/** One file, 0600, replaced as a whole, so that a reader sees the old or the new and a crash leaves one of them. */
export class MemoryStore {
  readonly #folder: string
  readonly #file: string

  /** Makes the folder, not the file. */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    this.#folder = folder
    this.#file = join(folder, 'memory-device.json')
  }

  /** @throws Error when there is no file, others can read it, or this version does not know its form */
  read(): StoredKeys {
    const stored = JSON.parse(readSecretFile(this.#file)) as StoredKeys
    if (stored.version !== 1) throw new Error(`${this.#file} was written by another version`)
    return stored
  }

  /** Replaces the content, or makes it, while no other process does so. Durable on return. */
  async update(change: (stored: StoredKeys | undefined) => StoredKeys | Promise<StoredKeys>): Promise<StoredKeys> {
    return await withFileLock(`${this.#file}.lock`, async () => {
      const before = this.#exists() ? this.read() : undefined
      const after = await change(before)
      if (after !== before) this.#replace(JSON.stringify(after))
      return after
    })
  }

  #exists(): boolean {
    try {
      closeSync(openSync(this.#file, 'r'))
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
  }

  #replace(content: string): void {
    const next = `${this.#file}.new`
    const file = openSync(next, 'w', 0o600)
    try {
      writeFileSync(file, content)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(next, this.#file)
    const folder = openSync(this.#folder, 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
  }
}
