import { ServiceError } from '../../../errors.js'
import type { PageAnswer, PageHandler, PageRequest } from '../../portal/page.js'
import type { FrontServices } from '../../services.js'
import { loggedBefore } from '../../worker.js'
import { type Look, lookAtLog } from '../look.js'

/** Looks at the log for one page. @throws ServiceError `token_malformed` for whoever is not signed in; as `lookAtLog` */
export async function lookForPage(
  { sam }: FrontServices,
  { operator, origin }: PageRequest,
  what: string,
  query?: string,
): Promise<Look> {
  if (operator === undefined) throw new ServiceError('token_malformed')
  return lookAtLog(sam, { origin, token: operator, kind: 'read', what, ...(query === undefined ? {} : { query }) })
}

/** A page that shows the log, each view of which is an entry of it, by that word. */
export function looking(
  what: string,
  show: (services: FrontServices, request: PageRequest, look: Look) => Promise<PageAnswer>,
): PageHandler {
  return async (services, request) => {
    const look = await lookForPage(services, request, what)
    return loggedBefore(() => show(services, request, look))
  }
}
