import type { LogLevel } from '../config.js'
import type { AnchorSettings } from './anchor.js'

/** What a keeper (`src/keeper/main.ts`) reads from its standard input. */
export interface KeeperSettings {
  /** Role paraph_keeper. */
  readonly databaseUrl: string
  /** The token of the key that signs checkpoints, and its PIN. */
  readonly keyUri: string
  readonly guardFile: string
  readonly anchor?: AnchorSettings
  readonly node: string
  /** Text of the policy that names the witnesses. */
  readonly witnesses?: string
  readonly logLevel: LogLevel
}
