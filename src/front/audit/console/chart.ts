import { type Html, html } from '../../portal/html.js'
import type { Lang } from '../../portal/texts.js'
import type { AuditSummary } from '../../wire.js'
import { consoleTexts, count } from './texts.js'

const HOUR = 3600_000
const HOURS = 24

interface Bar {
  /** Begin of the hour. */
  readonly at: number
  signings: number
  others: number
  refused: number
  failed: number
}

/** What the service does by itself, and the beginning of what is counted when it ends. */
const NOT_OPERATIONS = /^(audit|clock)\.|^sign\.intent$/

/** The hours of the last day, those without anything included. */
function barsOf({ time, hours }: AuditSummary): Bar[] {
  const last = Math.floor(Date.parse(time) / HOUR) * HOUR
  const bars = Array.from({ length: HOURS }, (_, i): Bar => {
    return { at: last - (HOURS - 1 - i) * HOUR, signings: 0, others: 0, refused: 0, failed: 0 }
  })
  for (const { hour, event, outcome, entries } of hours) {
    const bar = bars.find(({ at }) => at === Date.parse(hour))
    if (bar === undefined) continue
    if (outcome === 'refused') bar.refused += entries
    else if (outcome !== 'ok') bar.failed += entries
    else if (event === 'sign.outcome') bar.signings += entries
    else if (!NOT_OPERATIONS.test(event)) bar.others += entries
  }
  return bars
}

type Kind = 'signings' | 'others' | 'refused' | 'failed'

/** Two pictures over the same hours, since problems are few beside what goes well, and the same as a table with links. */
export function chart(lang: Lang, summary: AuditSummary): Html {
  const texts = consoleTexts(lang)
  const bars = barsOf(summary)
  return html`<div class="charts">${picture(lang, bars, texts.operations, ['signings', 'others'])}${picture(lang, bars, texts.problems, ['refused', 'failed'])}</div>
<details><summary>${texts.asTable}</summary>${table(lang, bars)}<p class="hint">${texts.counted(count(lang, summary.counted))}</p></details>`
}

const hourOf = (at: number) => new Date(at).toISOString().slice(11, 16)

/** Bars are stretched to the width there is; what is to be read stands around them. */
function picture(lang: Lang, bars: readonly Bar[], title: string, [below, above]: readonly [Kind, Kind]): Html {
  const texts = consoleTexts(lang)
  const top = niceTop(Math.max(...bars.map((bar) => bar[below] + bar[above])))
  const height = (n: number) => Math.round((n / top) * 1000) / 10
  const columns = bars.map((bar, i) => {
    const [low, high] = [height(bar[below]), height(bar[above])]
    const rect = (kind: Kind, y: number, h: number) =>
      h === 0 ? undefined : html`<rect class="${kind}" x="${i * 10 + 1}" y="${y}" width="8" height="${h}"/>`
    return html`<g><title>${hourOf(bar.at)}: ${texts[below]} ${bar[below]}, ${texts[above]} ${bar[above]}</title>${rect(below, 100 - low, low)}${rect(above, 100 - low - high, high)}</g>`
  })
  const total = (kind: Kind) =>
    count(
      lang,
      bars.reduce((sum, bar) => sum + bar[kind], 0),
    )
  const labels = bars.filter((_, i) => i % 6 === 0).map(({ at }) => html`<span>${hourOf(at)}</span>`)
  const key = [below, above].map((kind) => html`<span class="key ${kind}">${texts[kind]} <b>${total(kind)}</b></span>`)
  return html`<figure><figcaption>${title}</figcaption><p class="keys">${key}</p>
<div class="plot" aria-hidden="true"><span class="top">${count(lang, top)}</span><svg viewBox="0 0 240 100" preserveAspectRatio="none" focusable="false"><path class="grid" d="M0 0H240M0 50H240M0 100H240"/>${columns}</svg><div class="hours">${labels}</div></div></figure>`
}

/** The next of 1, 2 and 5 times a power of ten; at least 4, so that a single one does not look like much. */
function niceTop(most: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 4)))
  return [1, 2, 5, 10].map((n) => n * power).find((top) => top >= Math.max(most, 4)) as number
}

function table(lang: Lang, bars: readonly Bar[]): Html {
  const texts = consoleTexts(lang)
  const kinds = ['signings', 'others', 'refused', 'failed'] as const
  const rows = bars.toReversed().map((bar) => {
    const [from, to] = [bar.at, bar.at + HOUR].map((at) => new Date(at).toISOString())
    const cells = kinds.map((kind) => html`<td>${count(lang, bar[kind])}</td>`)
    return html`<tr><th scope="row"><a href="/auditor/entries?from=${from}&amp;to=${to}">${hourOf(bar.at)}</a></th>${cells}</tr>`
  })
  return html`<table class="numbers"><caption>${texts.chart}</caption><thead><tr><th scope="col">${texts.hour}</th>${kinds.map((kind) => html`<th scope="col">${texts[kind]}</th>`)}</tr></thead><tbody>${rows}</tbody></table>`
}
