/** A supervised process that does what its settings say, and tells in a file that it started. */
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { supervised } from '../../src/supervised.js'

export interface FakeSettings {
  /** One line with the process id is appended at every start. */
  readonly starts: string
  readonly does: 'serve' | 'hang' | 'hang when told' | 'crash' | 'crash once' | 'refuse' | 'ignore SIGTERM'
}

const { settings, ready, refused } = await supervised<FakeSettings>()
appendFileSync(settings.starts, `${process.pid} ${Object.keys(process.env).sort().join(',')}\n`)
/** Not for ever: if the test is killed, nobody is left to end it. */
const hang = () => {
  const end = performance.now() + 30_000
  while (performance.now() < end);
  process.exit(1)
}

// Keeps the process alive, as a listening worker would.
createServer().listen(0, '127.0.0.1')

switch (settings.does) {
  case 'crash':
    process.exit(3)
    break
  case 'refuse':
    await refused('the PIN is wrong')
    process.exit(1)
    break
  case 'hang':
    ready()
    hang()
    break
  case 'hang when told':
    process.on('SIGUSR2', hang)
    break
  case 'crash once':
    process.on('SIGUSR2', () => process.exit(3))
    break
  case 'ignore SIGTERM':
    process.on('SIGTERM', () => undefined)
    break
  case 'serve':
    process.on('SIGTERM', () => process.exit(0))
}
ready()
