import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newId } from '../../ids.js'
import type { Send } from './message.js'

/** Leaves each message as a file that only its owner reads, in the order of their names: what a demo has for a phone. */
export function outbox(folder: string): Send {
  return async (message) => {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const file = join(folder, `${newId()}.json`)
    writeFileSync(file, `${JSON.stringify(message, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  }
}
