import { html } from '../../portal/html.js'
import { formStart, type PageRequest, type Section } from '../../portal/page.js'
import { CONSOLE_STYLE_PATH } from './style.js'
import { consoleTexts } from './texts.js'

/** The console's own links, for whoever is signed in. */
export function consoleSection(request: PageRequest): Section {
  const texts = consoleTexts(request.lang)
  const path = request.url.split('?')[0]
  const places = [
    ['/auditor', texts.overview],
    ['/auditor/entries', texts.entries],
    ['/auditor/export', texts.verify],
  ] as const
  const links = places.map(
    ([place, text]) => html`<a href="${place}"${path === place ? html` aria-current="page"` : undefined}>${text}</a>`,
  )
  return {
    style: CONSOLE_STYLE_PATH,
    links:
      request.operator === undefined
        ? undefined
        : html`<nav class="console" aria-label="${texts.audit}">${links}<form method="post" action="/auditor/sign-out">${formStart(request)}<button class="quiet">${texts.signOut}</button></form></nav>`,
  }
}
