import { ServiceError } from '../../errors.js'
import { closed } from '../contract.js'
import type { Health } from '../health.js'
import type { FrontServices } from '../services.js'
import { askWorker } from '../worker.js'
import { credentialV2, detailOf } from './credential-view.js'

/** CSC v2.2 §11.4; not there where certificates come from outside. */
export function createDoors({ sam, db, config }: FrontServices, health: Health) {
  return {
    v2CredentialsCreate: closed<'v2CredentialsCreate'>(
      async ({ caller, origin, bearer, body }) => {
        const { certificatePolicy, subjectData } = body.credentialCreationRequest
        const creation = { certificatePolicy, subjectData: subjectData ?? {} }
        const { credentialId: credentialID } = await askWorker(sam, 'createCredential', { origin, bearer, creation })
        if (body.credentialInfo === false) return { credentialID }
        const row = await db.credential(caller, credentialID)
        if (row === undefined) throw new ServiceError('internal')
        return { credentialID, ...credentialV2(row, detailOf(body, config)) }
      },
      () => health.demo(),
    ),
  }
}
