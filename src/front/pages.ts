import { Answer, open } from './contract.js'
import { DOCS_POLICY, docsPage } from './docs.js'
import type { Health } from './health.js'
import { LOGO } from './logo.js'
import type { OpenApi } from './openapi.js'
import type { Live } from './wire.js'

/** These are the same for everyone; everything else is kept by nobody. */
const PUBLIC = { 'cache-control': 'public, max-age=3600' }

export function pageDoors({ text, document }: OpenApi, health: Health) {
  const page = docsPage(document)
  return {
    healthLive: open<'healthLive'>((): Live => ({ status: 'live' })),
    healthReady: open<'healthReady'>(async () => {
      const readiness = await health.look()
      return readiness.status === 'ready' ? readiness : new Answer(503, readiness, { 'retry-after': '1' })
    }),
    openapi: open<'openapi'>(() => new Answer(200, text, PUBLIC)),
    docs: open<'docs'>(() => new Answer(200, page, { ...PUBLIC, 'content-security-policy': DOCS_POLICY })),
    logo: open<'logo'>(() => new Answer(200, LOGO, PUBLIC)),
  }
}
