/** `paraph sign` and `paraph verify` as a process of their own, for a real terminal. */
import { Command } from 'commander'
import { registerSign } from '../../src/cli/sign.js'
import { registerVerify } from '../../src/cli/verify.js'

const program = new Command('paraph')
registerSign(program)
registerVerify(program)
await program.parseAsync()
