/** A key in use; must be released once, and not be used afterwards. */
export interface Lease<Key> {
  readonly key: Key
  release(): void
}

interface Entry<Key> {
  readonly key: Key
  users: number
  /** No longer found under its name; destroyed when the last user releases it. */
  orphan: boolean
}

/**
 * Unwrapped keys under their names, the least recently used forgotten first. A key in use is never destroyed; while more
 * keys are in use than fit, the cache is larger than its bound.
 */
export class KeyCache<Key> {
  readonly #capacity: number
  readonly #destroy: (key: Key) => void
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry<Key>>()

  /** @param destroy called exactly once a key, when nobody uses it and nobody will find it again */
  constructor(capacity: number, destroy: (key: Key) => void) {
    this.#capacity = capacity
    this.#destroy = destroy
  }

  get size(): number {
    return this.#entries.size
  }

  /** Undefined when there is no key of that name. */
  acquire(name: string): Lease<Key> | undefined {
    const entry = this.#entries.get(name)
    if (entry === undefined) return undefined
    this.#entries.delete(name)
    this.#entries.set(name, entry)
    return this.#lease(entry)
  }

  /** Takes the key over. If there is one of that name already, that one is leased and the given one destroyed. */
  put(name: string, key: Key): Lease<Key> {
    const present = this.acquire(name)
    if (present !== undefined) {
      this.#destroy(key)
      return present
    }
    const entry = { key, users: 0, orphan: false }
    this.#entries.set(name, entry)
    const lease = this.#lease(entry)
    this.#trim()
    return lease
  }

  /** Forgets all keys; those in use are destroyed when they are released. */
  clear(): void {
    for (const entry of this.#entries.values()) {
      entry.orphan = true
      if (entry.users === 0) this.#destroy(entry.key)
    }
    this.#entries.clear()
  }

  #lease(entry: Entry<Key>): Lease<Key> {
    entry.users++
    let released = false
    return {
      key: entry.key,
      release: () => {
        if (released) return
        released = true
        entry.users--
        if (entry.users > 0) return
        if (entry.orphan) this.#destroy(entry.key)
        else this.#trim()
      },
    }
  }

  #trim(): void {
    if (this.#entries.size <= this.#capacity) return
    for (const [name, entry] of this.#entries) {
      if (entry.users > 0) continue
      this.#entries.delete(name)
      this.#destroy(entry.key)
      if (this.#entries.size <= this.#capacity) return
    }
  }
}
