import type { Operation } from '../../contract.js'
import type { Pages } from '../../portal/portal.js'
import type { FrontServices } from '../../services.js'
import { entriesPages } from './entries.js'
import { exportPages } from './export.js'
import { operationPages } from './operation.js'
import { overviewPages } from './overview.js'
import { signInPages } from './sign-in.js'

/**
 * The auditor's console: pages over the same functions as /audit/v1, each view of which is an entry of the log.
 * @throws Error where the contract has no search
 */
export function consolePages(services: FrontServices, operations: readonly Operation[]): Pages {
  const search = operations.find(({ id }) => id === 'auditEntries')
  if (search === undefined) throw new Error('openapi.yaml: the console needs the operation auditEntries')
  return {
    ...signInPages,
    ...overviewPages,
    ...entriesPages(search.checkParameters),
    ...operationPages(services),
    ...exportPages,
  }
}
