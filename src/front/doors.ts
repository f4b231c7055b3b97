import { auditDoors } from './audit/doors.js'
import { receiptDoors } from './audit/receipt.js'
import type { BearerCheck } from './bearer.js'
import type { Doors, Operation } from './contract.js'
import { loginDoors } from './csc/auth-login.js'
import { revokeDoors } from './csc/auth-revoke.js'
import { authorizeDoors } from './csc/credentials-authorize.js'
import { authorizeCheckDoors } from './csc/credentials-authorize-check.js'
import { createDoors } from './csc/credentials-create.js'
import { deleteDoors } from './csc/credentials-delete.js'
import { extendDoors } from './csc/credentials-extend.js'
import { credentialInfoDoors } from './csc/credentials-info.js'
import { listDoors } from './csc/credentials-list.js'
import { sendCodeDoors } from './csc/credentials-send-code.js'
import { infoDoors } from './csc/info.js'
import { signHashDoors } from './csc/signatures-sign-hash.js'
import { timestampDoors } from './csc/signatures-timestamp.js'
import type { Health } from './health.js'
import type { OAuthServer } from './oauth/mount.js'
import type { OpenApi } from './openapi.js'
import { pageDoors } from './pages.js'
import type { FrontServices } from './services.js'
import { sessionDoors } from './sessions.js'

/** Every door of the house; one that the contract names and that is missing here does not compile. */
export function allDoors(
  services: FrontServices,
  contract: OpenApi,
  operations: readonly Operation[],
  bearer: BearerCheck,
  health: Health,
  oauth: OAuthServer,
): Doors {
  const paths = operations.filter(({ method, oauth }) => method === 'POST' && !oauth).map(({ path }) => path)
  return {
    ...infoDoors({ config: services.config, health, paths }),
    ...loginDoors(services, bearer),
    ...revokeDoors(services, bearer, oauth),
    ...listDoors(services),
    ...credentialInfoDoors(services),
    ...authorizeDoors(services),
    ...extendDoors(services),
    ...sendCodeDoors(services),
    ...authorizeCheckDoors(services),
    ...createDoors(services, health),
    ...deleteDoors(services),
    ...signHashDoors(services),
    ...receiptDoors(services),
    ...timestampDoors(services, health),
    ...sessionDoors(services, bearer),
    ...auditDoors(services),
    ...pageDoors(contract, health),
  }
}
