import { type Html, html } from '../../portal/html.js'
import type { Lang } from '../../portal/texts.js'
import type { AuditEntry, AuditOutcome } from '../../wire.js'
import { opened } from '../log-reads.js'
import { eventInWords } from './event-words.js'
import type { Names } from './names.js'
import { consoleTexts, count, utc } from './texts.js'

/** The outcome as a mark that does not need its colour. */
export function outcomeMark(lang: Lang, outcome: AuditOutcome): Html {
  return html`<span class="mark ${outcome}">${consoleTexts(lang).outcomes[outcome]}</span>`
}

export const moment = (instant: string): Html =>
  html`<time datetime="${instant}">${utc(instant).slice(0, 10)} <b>${utc(instant).slice(11)}</b></time>`

/** Who did it, as far as the log still tells, and through which client. */
export function whoDid(lang: Lang, entry: AuditEntry, names: Names): string {
  const texts = consoleTexts(lang)
  const { act } = entry.leaf
  const id = opened(entry, 'actor')
  const client = opened(entry, 'client')
  const kind = texts.actors[act] ?? act
  const who =
    act === 'anonymous'
      ? [kind, opened(entry, 'ip')].filter(Boolean).join(', ')
      : id === undefined
        ? kind
        : act === 'signer'
          ? names.signer(id)
          : act === 'client'
            ? names.client(id)
            : `${kind} …${id.slice(-8)}`
  return client === undefined || act === 'client' ? who : `${who} ${texts.through(names.client(client))}`
}

/** What is public of it beside its event: how many, why, and the facts. */
export function factsOf(lang: Lang, { leaf }: AuditEntry): Html[] {
  const texts = consoleTexts(lang)
  return [
    ...(leaf.n === undefined || leaf.n === 0 ? [] : [html`<span>${texts.documents(leaf.n)}</span> `]),
    ...(leaf.why === undefined ? [] : [html`<code>${leaf.why}</code> `]),
    ...Object.entries(leaf.f ?? {}).map(([name, value]) => html`<code class="fact">${name} ${value}</code> `),
  ]
}

/** Entries as a table, which is a list of cards where there is no room for one. */
export function entryTable(lang: Lang, entries: readonly AuditEntry[], names: Names, label: string): Html {
  const texts = consoleTexts(lang)
  const heads = [texts.time, texts.event, texts.outcome, texts.who, texts.details, texts.index].map(
    (head) => html`<th role="columnheader" scope="col">${head}</th>`,
  )
  const rows = entries.map((entry) => {
    const { leaf, index } = entry
    return html`<tr role="row"><td role="cell" class="when">${moment(leaf.t)}</td>
<td role="cell" class="what"><a href="/auditor/operations/${leaf.op}">${eventInWords(lang, leaf.ev)}</a> <code>${leaf.ev}</code></td>
<td role="cell" class="out">${outcomeMark(lang, leaf.out)}</td><td role="cell" class="who">${whoDid(lang, entry, names)}</td>
<td role="cell" class="more">${factsOf(lang, entry)}</td><td role="cell" class="index">${count(lang, index)}</td></tr>
`
  })
  return html`<table role="table" class="entries" aria-label="${label}"><thead role="rowgroup"><tr role="row">${heads}</tr></thead><tbody role="rowgroup">${rows}</tbody></table>`
}
