import type { AdminVerb, AdminVerbs } from '../activation.js'
import type { Actor } from '../audit/event.js'
import type { CredentialServices } from '../credentials/create-credential.js'
import type { Pool } from '../db/pool.js'
import type { Hsm, ServiceKey } from '../hsm/hsm.js'
import type { Delivery } from '../identity/delivery/delivery.js'
import type { OpenDemoCa } from './demo-ca-files.js'

/** What the commands of operators work with. */
export interface AdminServices extends CredentialServices {
  readonly hsm: Hsm
  readonly pool: Pool
  readonly demo: boolean
  readonly delivery: Delivery
  readonly publicUrl: string
  readonly ca: OpenDemoCa | undefined
  /** Name of the log, and the device key that vouches for what writes and signs it. */
  readonly log: { readonly origin: string; readonly announceKey: ServiceKey }
}

export type AdminHandlers<V extends AdminVerb> = {
  [Verb in V]: (
    services: AdminServices,
    actor: Actor,
    request: AdminVerbs[Verb]['request'],
  ) => Promise<AdminVerbs[Verb]['response']>
}
