import { Readable } from 'node:stream'
import { csvRow, TABLE_COLUMNS, tableCells } from '../../../audit/csv.js'
import { ServiceError } from '../../../errors.js'
import type { AuditedRequest } from '../../contract.js'
import type { Reader } from '../../database.js'
import { type Html, html } from '../../portal/html.js'
import { message, type Page, type PageHandler, type PageRequest } from '../../portal/page.js'
import type { ParameterCheck } from '../../validate.js'
import type { AuditEntries } from '../../wire.js'
import { loggedBefore } from '../../worker.js'
import type { Look } from '../look.js'
import { search } from '../search.js'
import { entryTable } from './entry-table.js'
import { eventFamilies, eventInWords } from './event-words.js'
import { lookForPage } from './looking.js'
import { type Names, namesIn } from './names.js'
import { consoleSection } from './section.js'
import { consoleTexts, count } from './texts.js'

type Filters = AuditedRequest<'auditEntries'>['parameters']

const PAGE = 50
const MOST_ROWS = 10_000
/** Rows of a table that are read at once, and how often, where few of what is searched through fit. */
const STEP = 500
const MOST_STEPS = 100

const NAMES = ['from', 'to', 'signer', 'credential', 'client', 'digest', 'operation', 'event', 'outcome'] as const

/** Searching, by the rules of the contract. @param check of the parameters of `auditEntries` */
export function entriesPages(check: ParameterCheck) {
  const show: PageHandler = async (services, request) => {
    const given = givenIn(request)
    try {
      // What cannot be looked for is not looked for, and no entry.
      const parameters = filtersOf(check, given)
      const look = await lookForPage(services, request, 'entries', new URLSearchParams(given).toString())
      return await loggedBefore(async () => {
        const found = await search(services.auditors, { parameters: { ...parameters, limit: PAGE }, look })
        const names = await namesIn(services.auditors, found.entries)
        return page(request, given, results(request, given, found, names), false)
      })
    } catch (error) {
      if (!(error instanceof ServiceError) || error.code !== 'parameter_invalid') throw error
      return { ...page(request, given, notUnderstood(request, error), true), status: 400 }
    }
  }

  const save: PageHandler = async (services, request) => {
    const given = givenIn(request)
    const { cursor, ...parameters } = filtersOf(check, given)
    const look = await lookForPage(services, request, 'csv', new URLSearchParams(given).toString())
    return {
      file: Readable.from(table(services.auditors, look, parameters)),
      type: 'text/csv; charset=utf-8; header=present',
      fileName: `log-${look.size}.csv`,
    }
  }

  return { 'GET /auditor/entries': show, 'GET /auditor/entries.csv': save } as const
}

/** What is filled in, of what there is to be filled in. */
function givenIn({ query }: PageRequest): Record<string, string> {
  return Object.fromEntries(
    [...NAMES, 'cursor'].map((name) => [name, (query[name] ?? '').trim()] as const).filter(([, value]) => value !== ''),
  )
}

const EXAMPLE = '2026-11-24 20:00'
const INSTANT = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(:\d\d(?:\.\d{1,3})?)?)?Z?$/

/** Times are written as these pages show them, the end of them left out at will. @throws ServiceError `parameter_invalid` */
function filtersOf(check: ParameterCheck, given: Readonly<Record<string, string>>): Filters {
  const instants = (['from', 'to'] as const).flatMap((name) => {
    const [, date, minute = '00:00', second = ':00'] = INSTANT.exec(given[name] ?? '') ?? []
    return date === undefined ? [] : [[name, `${date}T${minute}${second}Z`]]
  })
  return check({ ...given, ...Object.fromEntries(instants) }, {}) as Filters
}

/** The newest entries that fit, as a table for people (`src/audit/csv.ts`). One that is cut off says so in its last row. */
async function* table(db: Reader, look: Look, filters: Filters): AsyncGenerator<string> {
  yield csvRow(TABLE_COLUMNS)
  let left = MOST_ROWS
  let cursor: number | undefined
  for (let step = 0; step < MOST_STEPS && left > 0; step++) {
    const parameters = { ...filters, limit: Math.min(STEP, left), ...(cursor === undefined ? {} : { cursor }) }
    const { entries, next } = await search(db, { parameters, look })
    for (const { index, leaf, leafHash, openings } of entries) {
      const open = new Map(openings.flatMap(({ fields }) => fields as [string, string][]))
      yield csvRow(tableCells(index, leaf, Buffer.from(leafHash, 'base64url'), open))
    }
    if (next === undefined) return
    left -= entries.length
    cursor = next
  }
  yield csvRow(
    TABLE_COLUMNS.map((column) => (column === 'event' ? 'not everything: narrow the search, or export' : '')),
  )
}

function page(
  request: PageRequest,
  given: Readonly<Record<string, string>>,
  found: Html | undefined,
  wrong: boolean,
): Page {
  const { lang } = request
  return {
    title: consoleTexts(lang).entries,
    section: consoleSection(request),
    body: html`<div class="search">${filterForm(request, given, wrong)}<div class="found">${found}</div></div>`,
  }
}

function notUnderstood({ lang }: PageRequest, { detail = '' }: ServiceError): Html | undefined {
  const texts = consoleTexts(lang)
  const name = detail.split(' ').at(-1) as string
  const label = NAMES.find((known) => known === name)
  return message('bad', texts.notUnderstood(label === undefined ? name : texts[label]))
}

function results(
  { lang }: PageRequest,
  given: Readonly<Record<string, string>>,
  { entries, next, size }: AuditEntries,
  names: Names,
): Html {
  const texts = consoleTexts(lang)
  const { cursor, ...filters } = given
  const address = (path: string, more: Readonly<Record<string, string>>) => {
    const query = new URLSearchParams({ ...filters, ...more }).toString()
    return query === '' ? path : `${path}?${query}`
  }
  const on =
    next === undefined
      ? undefined
      : html`<a class="button" rel="next" href="${address('/auditor/entries', { cursor: String(next) })}">${entries.length === 0 ? texts.searchOn : texts.older}</a>`
  const back =
    cursor === undefined
      ? undefined
      : html`<a class="button quiet" href="${address('/auditor/entries', {})}">${texts.newest}</a>`
  return html`${
    entries.length === 0
      ? html`<p class="message plain" role="status">${next === undefined ? texts.nothing : texts.nothingHere}</p>`
      : html`<p class="lead">${texts.newestFirst(entries.length, count(lang, size))}</p>${entryTable(lang, entries, names, texts.entries)}`
  }
<div class="actions">${back}${on}<a class="button quiet" href="${address('/auditor/entries.csv', {})}" aria-describedby="csv-hint">${texts.csv}</a></div>
<p class="hint" id="csv-hint">${texts.csvHint(count(lang, MOST_ROWS))}</p>`
}

/** Folded away on a phone. What is looked for stands in the fold. */
function filterForm({ lang }: PageRequest, given: Readonly<Record<string, string>>, open: boolean): Html {
  const texts = consoleTexts(lang)
  const input = (name: (typeof NAMES)[number], example?: string) =>
    html`<div><label for="${name}">${texts[name]}</label><input id="${name}" name="${name}" value="${given[name]}" placeholder="${example}" maxlength="256" autocomplete="off" autocapitalize="none" spellcheck="false"></div>`
  const option = (value: string, text: string, chosen: string | undefined) =>
    html`<option value="${value}"${value === chosen ? html` selected` : undefined}>${text}</option>`
  const events = [...eventFamilies()].map(
    ([family, events]) =>
      html`<optgroup label="${family}">${option(family, texts.family(family), given.event)}${events.map((event) => option(event, `${eventInWords(lang, event)} (${event})`, given.event))}</optgroup>`,
  )
  const outcomes = (['ok', 'refused', 'failed', 'indeterminate'] as const).map((outcome) =>
    option(outcome, texts.outcomes[outcome], given.outcome),
  )
  const chosen = NAMES.flatMap((name) => (given[name] === undefined ? [] : [html` <code>${given[name]}</code>`]))
  return html`<details class="filters card"${open ? html` open` : undefined}><summary>${texts.filters}${chosen}</summary><form method="get" action="/auditor/entries">
<div><label for="event">${texts.event}</label><select id="event" name="event">${option('', texts.any, given.event ?? '')}${events}</select></div>
<div><label for="outcome">${texts.outcome}</label><select id="outcome" name="outcome">${option('', texts.any, given.outcome ?? '')}${outcomes}</select></div>
${input('from', EXAMPLE)}${input('to', EXAMPLE)}${input('signer')}${input('client')}${input('credential')}${input('digest')}${input('operation')}
<div class="actions"><button>${texts.search}</button><a class="button quiet" href="/auditor/entries">${texts.clear}</a></div></form></details>`
}
