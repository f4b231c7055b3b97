import { EVENTS } from '../../../audit/event.js'
import { type StoredCheckpoint, shownCheckpoint } from '../../../audit/stored-tree.js'
import { parseNote } from '../../../tlog/note.js'
import { type Html, html } from '../../portal/html.js'
import type { PageHandler, PageRequest } from '../../portal/page.js'
import type { Lang } from '../../portal/texts.js'
import type { AuditEntry, AuditSummary } from '../../wire.js'
import { findEntries } from '../log-reads.js'
import { summarize } from '../summary.js'
import { chart } from './chart.js'
import { entryTable } from './entry-table.js'
import { looking } from './looking.js'
import { namesIn } from './names.js'
import { consoleSection } from './section.js'
import { ageInWords, consoleTexts, count, utc } from './texts.js'

const NEWEST = 15
const LIVE_SECONDS = 10

/** The log at a glance. */
const show: PageHandler = looking('overview', async ({ auditors }, request, look) => {
  const { lang, query } = request
  const texts = consoleTexts(lang)
  const summary = await summarize(auditors, look)
  const { entries } = await findEntries(auditors, look, { newest: true, most: NEWEST })
  const anchored = { events: [EVENTS['audit.anchored'].ev], newest: true, most: 1 }
  const [anchor] = (await findEntries(auditors, look, anchored)).entries
  const shown = await shownCheckpoint((name, text, values) => auditors.query(name, text, values))
  const names = await namesIn(auditors, entries)
  const live = query.live === '1'
  return {
    title: texts.overview,
    section: consoleSection(request),
    ...(live ? { refresh: LIVE_SECONDS } : {}),
    body: html`<p class="lead">${texts.overviewLead(utc(summary.time))}</p>
${tiles(request, summary, shown, anchor)}
${unresolved(request, summary)}
<section><h2>${texts.chart}</h2>${chart(lang, summary)}</section>
<section><div class="head"><h2>${texts.latest}</h2><span class="hint" id="live-hint">${texts.liveHint}</span>${
      live
        ? html`<a class="button quiet" href="/auditor" aria-describedby="live-hint">${texts.liveOff}</a>`
        : html`<a class="button quiet" href="/auditor?live=1" aria-describedby="live-hint">${texts.live}</a>`
    }</div>
${entryTable(lang, entries, names, texts.latest)}
<p><a href="/auditor/entries">${texts.allEntries}</a></p></section>`,
  }
})

/** One thing to know at once. `bad` asks for a look at it. */
function tile(state: 'plain' | 'good' | 'bad', name: string, figure: string, hint: string | Html): Html {
  return html`<div class="tile ${state}"><dt>${name}</dt><dd class="figure">${figure}</dd><dd class="hint">${hint}</dd></div>`
}

function tiles(
  { lang }: PageRequest,
  summary: AuditSummary,
  shown: StoredCheckpoint | undefined,
  anchor: AuditEntry | undefined,
): Html {
  const texts = consoleTexts(lang)
  const { size, time } = summary
  return html`<dl class="tiles">${[
    tile('plain', texts.size, count(lang, size), texts.sizeHint),
    signedTile(lang, summary),
    tile(
      summary.unresolved.length === 0 ? 'good' : 'bad',
      texts.unresolvedShort,
      count(lang, summary.unresolved.length),
      texts.unresolvedHint,
    ),
    witnessTile(lang, shown),
    anchorTile(lang, anchor, time),
    clockTile(lang, summary, time),
  ]}</dl>`
}

/** For how long entries without a checkpoint are nothing to worry about. */
const SOON = 10_000

function signedTile(lang: Lang, { size, time, checkpoint }: AuditSummary): Html {
  const texts = consoleTexts(lang)
  if (checkpoint === undefined) return tile('bad', texts.signed, texts.noCheckpoint, '')
  const unsigned = Math.max(0, size - checkpoint.size)
  const age = Date.parse(time) - Date.parse(checkpoint.createdAt)
  return tile(
    unsigned > 0 && age > SOON ? 'bad' : 'good',
    texts.signed,
    unsigned === 0 ? texts.allSigned : texts.unsigned(count(lang, unsigned)),
    texts.checkpointHint(count(lang, checkpoint.size), ageInWords(lang, age)),
  )
}

/** Who else signed the checkpoint that is shown to others. */
function witnessTile(lang: Lang, shown: StoredCheckpoint | undefined): Html {
  const texts = consoleTexts(lang)
  const { text, signatures } = shown === undefined ? { text: '', signatures: [] } : parseNote(shown.note)
  const witnesses = signatures.map(({ name }) => name).filter((name) => name !== text.split('\n')[0])
  return shown === undefined || witnesses.length === 0
    ? tile('plain', texts.witnesses, texts.noWitness, texts.noWitnessHint)
    : tile(
        'good',
        texts.witnesses,
        texts.cosigned(count(lang, witnesses.length)),
        texts.witnessHint(witnesses.join(', '), count(lang, shown.size)),
      )
}

function anchorTile(lang: Lang, anchor: AuditEntry | undefined, time: string): Html {
  const texts = consoleTexts(lang)
  if (anchor === undefined) return tile('plain', texts.anchor, texts.noAnchor, texts.noAnchorHint)
  const { t, op, f = {} } = anchor.leaf
  const age = ageInWords(lang, Date.parse(time) - Date.parse(t))
  const of = texts.anchorHint(count(lang, Number(f.size)))
  return tile('good', texts.anchor, texts.ago(age), html`<a href="/auditor/operations/${op}">${utc(t)}</a>, ${of}`)
}

/** What the newest of all entries about clocks says. */
function clockTile(lang: Lang, { clock }: AuditSummary, time: string): Html {
  const texts = consoleTexts(lang)
  const newest = clock.at(-1)
  if (newest === undefined) return tile('plain', texts.clock, texts.noClock, texts.noClockHint)
  const { ev, out, t, op } = newest.leaf
  const age = ageInWords(lang, Date.parse(time) - Date.parse(t))
  return tile(
    ev === 'clock.sync' && out === 'ok' ? 'good' : 'bad',
    texts.clock,
    texts.clockStates[ev] ?? ev,
    html`<a href="/auditor/operations/${op}">${utc(t)}</a>, ${texts.ago(age)}`,
  )
}

function unresolved({ lang }: PageRequest, { unresolved: open }: AuditSummary): Html | undefined {
  if (open.length === 0) return undefined
  const texts = consoleTexts(lang)
  const rows = open.map(
    ({ op, intendedAt, deadline }) =>
      html`<li><a class="mono" href="/auditor/operations/${op}">${op}</a><span class="faint">${texts.begunAt(utc(intendedAt))} · ${texts.dueAt(utc(deadline))}</span></li>`,
  )
  return html`<section class="alarm"><h2>${texts.unresolved}</h2><ul class="rows">${rows}</ul></section>`
}

export const overviewPages = { 'GET /auditor': show } as const
