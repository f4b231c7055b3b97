import { type Html, html } from '../../portal/html.js'
import type { PageHandler } from '../../portal/page.js'
import { consoleSection } from './section.js'
import { consoleTexts } from './texts.js'

/** How the log leaves this service, to be verified by whoever trusts none of it. Shows nothing of the log. */
const show: PageHandler = async ({ config }, request) => {
  const texts = consoleTexts(request.lang)
  const step = (title: string, text: string, command: string): Html =>
    html`<section><h2>${title}</h2><p>${text}</p><pre><code>${command}</code></pre></section>`
  return {
    title: texts.exportTitle,
    section: consoleSection(request),
    body: html`<p class="lead">${texts.exportLead}</p>
${step(texts.exportStep, texts.exportText, `paraph audit export --url ${config.publicUrl} --token-file token --out pack --csv`)}
${step(texts.verifyStep, texts.verifyText, 'paraph audit verify pack --policy trust.txt')}
${step(texts.againStep, texts.againText, 'python3 tools/audit_verify.py pack --policy trust.txt')}
${step(texts.laterStep, texts.laterText, 'cp pack/checkpoint checkpoint-kept\nparaph audit verify later-pack --policy trust.txt --since checkpoint-kept')}
<p class="hint">${texts.exportNote}</p>`,
  }
}

export const exportPages = { 'GET /auditor/export': show } as const
