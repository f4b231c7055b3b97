import { ServiceError } from './errors.js'

/**
 * Work that is done a few at a time, in the order in which it came, while a few more may wait; what comes beyond that is
 * refused at once, before any of it is done.
 */
export class Lane {
  readonly #atOnce: number
  readonly #mostWaiting: number
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(options: { readonly atOnce: number; readonly mostWaiting: number }) {
    this.#atOnce = options.atOnce
    this.#mostWaiting = options.mostWaiting
  }

  /** @throws ServiceError `overloaded`; else what `work` throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#atOnce) this.#running++
    else {
      if (this.#waiting.length >= this.#mostWaiting) throw new ServiceError('overloaded', { retryAfter: 1 })
      // Whoever ends hands over its place.
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}

/** Work on one thing at a time, in the order in which it came, whatever becomes of the work before; other things do not wait. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** @throws what `work` throws */
  async run<T>(thing: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(thing) ?? Promise.resolve()
    const mine = before.then(work, work)
    this.#last.set(thing, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(thing) === mine) this.#last.delete(thing)
    }
  }
}

/** So much in a time, and what comes beyond that is refused until the time is over. */
export class Pace {
  readonly #most: number
  readonly #ms: number
  #taken = 0
  #since = Number.NEGATIVE_INFINITY

  constructor(options: { readonly most: number; readonly seconds: number }) {
    this.#most = options.most
    this.#ms = options.seconds * 1000
  }

  /** @throws ServiceError `too_often` */
  take(): void {
    const now = performance.now()
    if (now - this.#since >= this.#ms) {
      this.#since = now
      this.#taken = 0
    }
    if (this.#taken >= this.#most) {
      throw new ServiceError('too_often', { retryAfter: Math.ceil((this.#since + this.#ms - now) / 1000) })
    }
    this.#taken++
  }
}
