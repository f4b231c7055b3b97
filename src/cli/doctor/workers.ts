import { existsSync, readdirSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import type { Config } from '../../config.js'
import { socketFolder } from '../../sam/socket-folder.js'
import { findSamSockets } from '../processes.js'
import { type Finding, ok, warn } from './finding.js'

/** Whether anybody listens on the sockets of the signing workers. Nothing is sent. */
export async function examineWorkers(config: Config): Promise<Finding> {
  const sockets = await findSockets(config)
  const answers = await Promise.all(sockets.map(isListening))
  const listening = answers.filter(Boolean).length
  if (listening > 0 && listening === sockets.length) {
    return ok('workers', listening === 1 ? 'One signing worker runs.' : `${listening} signing workers run.`)
  }
  const words = listening === 0 ? 'No signing worker runs' : `${listening} of ${sockets.length} signing workers run`
  return warn('workers', `${words}.`, 'Start the service with `paraph serve`, or its workers with `paraph sam`.')
}

async function findSockets({ sam, data }: Config): Promise<string[]> {
  if (sam !== undefined) return findSamSockets(sam, 0).catch(() => [])
  if (!existsSync(data)) return []
  const folder = socketFolder(data)
  return readdirSync(folder).flatMap((name) => (/^admin-\d+\.sock$/.test(name) ? join(folder, name) : []))
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
