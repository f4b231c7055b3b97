import { ServiceError } from '../../../errors.js'
import { isUuid } from '../../../ids.js'
import { type Html, html } from '../../portal/html.js'
import type { PageHandler } from '../../portal/page.js'
import type { Lang } from '../../portal/texts.js'
import type { AuditEntry, AuditStory } from '../../wire.js'
import { opened } from '../log-reads.js'
import { tellStory } from '../story.js'
import { factsOf, moment, outcomeMark, whoDid } from './entry-table.js'
import { eventInWords } from './event-words.js'
import { looking } from './looking.js'
import { type Names, namesIn } from './names.js'
import { consoleSection } from './section.js'
import { consoleTexts, count, utc } from './texts.js'

/** One operation: what came of it and what proves it at a glance, then every step. */
const tell: PageHandler = looking('operation', async ({ auditors }, request, look) => {
  const { lang } = request
  const texts = consoleTexts(lang)
  const story = await tellStory(auditors, { parameters: { op: request.params.op ?? '' }, look })
  const names = await namesIn(auditors, [...story.grant, ...story.entries])
  return {
    title: result(lang, story),
    section: consoleSection(request),
    body: html`<p class="lead">${texts.storyLead}<span class="mono">${story.op}</span></p>
<section class="glance"><h2>${texts.glance}</h2>${glance(lang, story, names)}</section>
<section><h2>${texts.steps}</h2><ol class="story">${story.grant.map((entry) => step(lang, story, entry, names, true))}${story.entries.map((entry) => step(lang, story, entry, names, false))}</ol></section>`,
  }
})

const show: PageHandler = async (services, request) => {
  if (!isUuid(request.params.op ?? '')) throw new ServiceError('not_found')
  return tell(services, request)
}

function glance(lang: Lang, story: AuditStory, names: Names): Html {
  const texts = consoleTexts(lang)
  const [first] = story.entries as [AuditEntry]
  const last = story.entries.at(-1) as AuditEntry
  const said = (name: string) => {
    const value = [...story.entries, ...story.grant].map((entry) => opened(entry, name)).find(Boolean)
    return value === undefined ? undefined : html`${value}`
  }
  const signer = opened(first, 'signer')
  const client = opened(first, 'client')
  const credential = said('credential')
  const rows: [string, Html | undefined][] = [
    [texts.outcome, outcomeMark(lang, last.leaf.out)],
    [texts.who, html`${whoDid(lang, first, names)}`],
    [texts.signerName, signer === undefined ? undefined : html`${names.signer(signer)}`],
    [texts.clientName, client === undefined ? undefined : html`${names.client(client)}`],
    [texts.credential, credential && html`<span class="mono">${credential}</span>`],
    [texts.agreed, agreed(lang, story)],
    [texts.begun, moment(first.leaf.t)],
    [texts.ended, last === first ? undefined : moment(last.leaf.t)],
    [texts.address, said('ip')],
    [texts.proof, proof(lang, story)],
  ]
  return html`<dl>${rows.flatMap(([name, value]) => (value === undefined ? [] : [html`<dt>${name}</dt><dd>${value}</dd>`]))}</dl>`
}

function result(lang: Lang, { entries }: AuditStory): string {
  const { results } = consoleTexts(lang)
  const of = (event: string) => entries.find(({ leaf }) => leaf.ev === event)
  const outcome = of('sign.outcome')
  if (of('sign.withheld') !== undefined) return results.withheld
  if (outcome !== undefined) return outcome.leaf.out === 'ok' ? results.signed(outcome.leaf.n ?? 0) : results.failed
  if (of('sign.denied') !== undefined) return results.denied
  if (of('sign.abandoned') !== undefined) return results.abandoned
  if (of('sign.intent') !== undefined) return results.underWay
  return eventInWords(lang, (entries.at(-1) as AuditEntry).leaf.ev)
}

/** By which factor the signer agreed; of a signing only, and as far as openings lead there. */
function agreed(lang: Lang, { entries, grant }: AuditStory): Html | undefined {
  const texts = consoleTexts(lang)
  const granted = [...grant, ...entries].find(({ leaf }) => leaf.ev === 'sad.issued')
  const signs = entries.some(({ leaf }) => leaf.ev.startsWith('sign.'))
  if (granted === undefined) return signs ? html`<span class="faint">${texts.notOpen}</span>` : undefined
  const factor = String(granted.leaf.f?.factor ?? '')
  return html`${texts.agreedAt(texts.factors[factor] ?? factor, utc(granted.leaf.t))}`
}

function proof(lang: Lang, { entries, checkpoints }: AuditStory): Html {
  const texts = consoleTexts(lang)
  const covers = entries.map(({ index }) => checkpoints.find((one) => one.index === index))
  const last = covers.at(-1)
  if (last === undefined || covers.includes(undefined)) {
    const text = covers.some(Boolean) ? texts.partly : texts.uncovered
    return html`<span class="mark indeterminate">${text}</span>`
  }
  return html`<span class="mark ok">${texts.covered(count(lang, last.size), utc(last.createdAt))}</span>`
}

function step(lang: Lang, story: AuditStory, entry: AuditEntry, names: Names, before: boolean): Html {
  const texts = consoleTexts(lang)
  const { leaf, index, leafHash, openings } = entry
  const cover = story.checkpoints.find((one) => one.index === index)
  const title = html`${eventInWords(lang, leaf.ev)} <code>${leaf.ev}</code>`
  const fields = openings.flatMap((opening) => opening.fields as [string, string][])
  const open = fields.map(([name, value]) => html`<dt>${name}</dt><dd class="mono">${value}</dd>`)
  const covered = before
    ? undefined
    : html`<dt>${texts.proof}</dt><dd>${cover === undefined ? texts.uncovered : texts.covered(count(lang, cover.size), utc(cover.createdAt))}</dd>`
  return html`<li class="${leaf.out}${before ? ' before' : ''}"><div class="head"><h3>${
    before ? html`<a href="/auditor/operations/${leaf.op}">${title}</a>` : title
  }</h3>${outcomeMark(lang, leaf.out)}</div>
<p class="faint">${moment(leaf.t)} · ${whoDid(lang, entry, names)}</p><p class="facts">${factsOf(lang, entry)}</p>
<details><summary>${texts.index} ${count(lang, index)}</summary><dl><dt>${texts.leafHash}</dt><dd class="mono">${leafHash}</dd>${covered}<dt>${texts.writer}</dt><dd class="mono">${leaf.node} · ${leaf.boot} · ${leaf.seq}</dd>${
    leaf.rid === undefined ? undefined : html`<dt>${texts.request}</dt><dd class="mono">${leaf.rid}</dd>`
  }</dl><h4>${texts.hidden}</h4>${open.length === 0 ? html`<p class="hint">${texts.noneOpen}</p>` : html`<dl>${open}</dl>`}</details></li>
`
}

export const operationPages = { 'GET /auditor/operations/:op': show } as const
