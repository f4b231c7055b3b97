import { Readable } from 'node:stream'
import { ServiceError } from '../../../errors.js'
import { leafHash as hashOfLeaf } from '../../../tlog/tree.js'
import { type Html, html } from '../../portal/html.js'
import { message, type PageHandler } from '../../portal/page.js'
import type { Lang } from '../../portal/texts.js'
import type { FrontServices } from '../../services.js'
import type { AuditEntry, AuditStory } from '../../wire.js'
import { opened, readEntry } from '../log-reads.js'
import { formatReceipt } from '../receipt.js'
import { StoredProofs } from '../stored-proofs.js'
import { tellStory } from '../story.js'
import { factsOf, moment, outcomeMark, whoDid } from './entry-table.js'
import { eventInWords } from './event-words.js'
import { looking } from './looking.js'
import { type Names, namesIn } from './names.js'
import { consoleSection } from './section.js'
import { consoleTexts, count, utc } from './texts.js'

/** Entries whose proof is made for one page; the rest of a long story is proved by receipts. */
const MOST_PROVED = 20

/** What proves an entry: it is in the signed tree, not signed yet, or not found in the tree as it stands here. */
type Proofs = ReadonlyMap<number, 'proved' | 'uncovered' | 'unproved'>

/** One operation: what came of it and what proves it at a glance, then every step; and the receipt of each entry. */
export function operationPages(services: FrontServices) {
  const proofs = new StoredProofs(services.db)

  const tell: PageHandler = looking('operation', async ({ auditors }, request, look) => {
    const { lang } = request
    const texts = consoleTexts(lang)
    const story = await tellStory(auditors, { parameters: { op: request.params.op ?? '' }, look })
    const names = await namesIn(auditors, [...story.grant, ...story.entries])
    const proved = await prove(proofs, [...story.entries, ...story.grant])
    const steps = [...story.grant, ...story.entries].map((entry) => step(lang, story, entry, names, proved))
    return {
      title: result(lang, story),
      section: consoleSection(request),
      body: html`<p class="lead">${texts.storyLead}<span class="mono">${story.op}</span></p>
<section class="glance"><h2>${texts.glance}</h2>${glance(lang, story, names, proved)}</section>
<section><h2>${texts.steps}</h2><ol class="story">${steps}</ol></section>`,
    }
  })

  const receipt: PageHandler = looking('receipt', async ({ auditors }, request, look) => {
    const texts = consoleTexts(request.lang)
    const index = Number(request.params.index)
    const entry = await readEntry(auditors, look, index)
    if (entry === undefined) throw new ServiceError('not_found')
    const text = await formatReceipt(proofs, index, entry.leaf, entry.openings)
    if (text !== undefined) {
      return { file: Readable.from([text]), type: 'text/plain; charset=utf-8', fileName: `entry-${index}.tlog-proof` }
    }
    const body = message('bad', texts.uncovered) as Html
    return { title: texts.receipt, section: consoleSection(request), body, status: 202 }
  })

  return {
    'GET /auditor/operations/:op': requiring(/^[0-9a-f-]{36}$/, 'op', tell),
    'GET /auditor/entries/:index/receipt': requiring(/^(0|[1-9][0-9]{0,14})$/, 'index', receipt),
  } as const
}

/** What cannot be the name of anything is not looked for, and no entry. */
function requiring(pattern: RegExp, name: string, show: PageHandler): PageHandler {
  return async (services, request) => {
    if (!pattern.test(request.params[name] ?? '')) throw new ServiceError('not_found')
    return show(services, request)
  }
}

/** Of the leaf as it is shown, whatever else is stored with it. */
async function prove(proofs: StoredProofs, entries: readonly AuditEntry[]): Promise<Proofs> {
  const proved = new Map<number, 'proved' | 'uncovered' | 'unproved'>()
  for (const { index, leaf } of entries.slice(0, MOST_PROVED)) {
    const proof = proofs.of(index, hashOfLeaf(Buffer.from(JSON.stringify(leaf))))
    const state = proof.then((found) => (found === undefined ? 'uncovered' : 'proved'))
    proved.set(index, await state.catch(() => 'unproved' as const))
  }
  return proved
}

function glance(lang: Lang, story: AuditStory, names: Names, proofs: Proofs): Html {
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
    [texts.who, signer === undefined ? html`${whoDid(lang, first, names)}` : undefined],
    [texts.signerName, signer === undefined ? undefined : html`${names.signer(signer)}`],
    [texts.clientName, client === undefined ? undefined : html`${names.client(client)}`],
    [texts.credential, credential && html`<span class="mono">${credential}</span>`],
    [texts.agreed, agreed(lang, story)],
    [texts.begun, moment(first.leaf.t)],
    [texts.ended, last === first ? undefined : moment(last.leaf.t)],
    [texts.address, said('ip')],
    [texts.proof, proof(lang, story, proofs)],
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

function proof(lang: Lang, { entries, checkpoints }: AuditStory, proofs: Proofs): Html {
  const texts = consoleTexts(lang)
  const states = entries.map(({ index }) => proofs.get(index))
  if (states.includes('unproved')) return html`<span class="mark failed">${texts.unproved}</span>`
  if (states.includes('uncovered')) {
    return html`<span class="mark indeterminate">${states.includes('proved') ? texts.partly : texts.uncovered}</span>`
  }
  const last = checkpoints.findLast(({ index }) => index === entries.at(-1)?.index)
  const since = last === undefined ? '' : texts.covered(count(lang, last.size), utc(last.createdAt))
  return html`<span class="mark ok">${texts.proved}</span> ${since}`
}

function step(lang: Lang, story: AuditStory, entry: AuditEntry, names: Names, proofs: Proofs): Html {
  const texts = consoleTexts(lang)
  const { leaf, index, leafHash, openings } = entry
  const before = leaf.op !== story.op
  const cover = story.checkpoints.find((one) => one.index === index)
  const title = html`${eventInWords(lang, leaf.ev)} <code>${leaf.ev}</code>`
  const fields = openings.flatMap((opening) => opening.fields as [string, string][])
  const open = fields.map(([name, value]) => html`<dt>${name}</dt><dd class="mono">${value}</dd>`)
  const state = proofs.get(index)
  const proof =
    state === undefined
      ? undefined
      : state === 'proved' && cover !== undefined
        ? `${texts.proved}; ${texts.covered(count(lang, cover.size), utc(cover.createdAt))}`
        : texts[state]
  const receipt =
    state === 'uncovered'
      ? undefined
      : html`<dt>${texts.receipt}</dt><dd><a href="/auditor/entries/${index}/receipt">entry-${index}.tlog-proof</a></dd>`
  return html`<li class="${leaf.out}${before ? ' before' : ''}"><div class="head"><h3>${
    before ? html`<a href="/auditor/operations/${leaf.op}">${title}</a>` : title
  }</h3>${outcomeMark(lang, leaf.out)}</div>
<p class="faint">${moment(leaf.t)} · ${whoDid(lang, entry, names)}</p><p class="facts">${factsOf(lang, entry)}</p>
<details><summary>${texts.index} ${count(lang, index)}</summary><dl><dt>${texts.leafHash}</dt><dd class="mono">${leafHash}</dd>${
    proof === undefined ? undefined : html`<dt>${texts.proof}</dt><dd>${proof}</dd>`
  }${receipt}<dt>${texts.writer}</dt><dd class="mono">${leaf.node} · ${leaf.boot} · ${leaf.seq}</dd>${
    leaf.rid === undefined ? undefined : html`<dt>${texts.request}</dt><dd class="mono">${leaf.rid}</dd>`
  }</dl><h4>${texts.hidden}</h4>${open.length === 0 ? html`<p class="hint">${texts.noneOpen}</p>` : html`<dl>${open}</dl>`}</details></li>
`
}
