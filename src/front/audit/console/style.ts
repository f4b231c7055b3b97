import { hash } from 'node:crypto'

/** What the console has beside the style of all pages: room, tables, and a chart. */
export const CONSOLE_STYLE = `
:root { --bar: #12506b; --bar-faint: #9dbdca; --refused: #a8641d; --failed: #9d2419; }
@media (prefers-color-scheme: dark) { :root { --bar: #8fcbe6; --bar-faint: #3f6478; --refused: #e0a458; --failed: #ff9d92; } }
header, main, footer { max-width: 78rem; }
.narrow { max-width: 34rem; }
nav.console { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem clamp(.9rem, 3vw, 1.5rem); max-width: 75.8rem; padding: .2rem 0 0;
  width: calc(100% - 2.2rem); margin: 0 auto; border-bottom: 1px solid var(--line); }
nav.console > a { text-decoration: none; padding: .55rem 0 .5rem; border-bottom: 3px solid transparent; margin-bottom: -1px; }
nav.console > a[aria-current] { border-color: var(--gold); color: var(--brand); font-weight: 600; }
nav.console form { margin: 0 0 0 auto; }
nav.console button, .head .button { min-height: 0; padding: .4rem .8rem; font-size: .9rem; }
nav.console button { border-color: transparent; padding-right: 0; }
.head { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: center; justify-content: space-between; }
.head h2, .head h3 { margin: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .7rem; margin: 1.1rem 0; }
.tile { min-width: 0; overflow-wrap: break-word; background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 10px; padding: .7rem .95rem; }
.tile.good { border-left-color: var(--good); }
.tile.bad { border-left-color: var(--bad); background: var(--bad-paper); }
.tile dt { font-size: .9rem; }
.tile .figure { font: 600 clamp(1.15rem, 4vw, 1.4rem)/1.35 Georgia, serif; color: var(--brand); }
.tile.bad .figure { color: var(--bad); }
section.alarm { border-color: var(--bad); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.2rem 2.4rem; }
figure { margin: .3rem 0 0; min-width: 0; }
figcaption { font-weight: 600; }
.keys { margin: .1rem 0 .5rem; font-size: .9rem; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; }
.key::before { content: ''; display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .45em; background: var(--bar); }
.key.others::before { background: var(--bar-faint); }
.key.refused::before { background: var(--refused); }
.key.failed::before { background: var(--failed); }
.plot { position: relative; padding-top: 1.1rem; font-size: .78rem; color: var(--faint); }
.plot .top { position: absolute; top: 0; left: 0; line-height: 1; }
.plot svg { display: block; width: 100%; height: 8.5rem; }
.plot .grid { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; fill: none; }
.plot .signings { fill: var(--bar); }
.plot .others { fill: var(--bar-faint); }
.plot .refused { fill: var(--refused); }
.plot .failed { fill: var(--failed); }
.hours { display: grid; grid-template-columns: repeat(4, 1fr); margin-top: .25rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 600; }
table.numbers { max-width: 38rem; font-variant-numeric: tabular-nums; margin-top: .6rem; }
table.numbers caption { position: absolute; left: -100rem; }
table.numbers th, table.numbers td { padding: .25rem .5rem .25rem 0; border-top: 1px solid var(--line); vertical-align: bottom; }
table.numbers td, table.numbers thead th:not(:first-child) { text-align: right; }
.entries { margin: .6rem 0; font-size: .88rem; font-variant-numeric: tabular-nums; }
.entries thead th { color: var(--faint); font-weight: 400; font-size: .85rem; padding: .2rem .9rem .35rem 0; }
.entries td { border-top: 1px solid var(--line); padding: .42rem .9rem .42rem 0; vertical-align: top; overflow-wrap: anywhere; }
.entries .when, .entries .index, .entries .out { white-space: nowrap; }
.entries .when { color: var(--faint); }
.entries .when b { color: var(--ink); font-weight: 400; }
.entries th:last-child, .entries .index { text-align: right; padding-right: 0; }
.entries .index { color: var(--faint); }
.entries .what { min-width: 17rem; }
.entries .what a { text-decoration: none; font-weight: 600; }
.entries .what a:hover { text-decoration: underline; }
.entries .what code { background: none; padding: 0; font-size: .8rem; color: var(--faint); white-space: nowrap; }
.entries code, .facts code { font-size: .8rem; }
.fact { display: inline-block; max-width: 100%; }
time b { font-weight: 400; }
.mark { display: inline-block; font-size: .82rem; line-height: 1.4; border-radius: 99px; padding: .05rem .6rem; border: 1px solid currentColor; color: var(--faint); }
.mark.ok { color: var(--good); background: var(--good-paper); }
.mark.refused { color: var(--gold); }
.mark.failed, .mark.indeterminate { color: var(--bad); background: var(--bad-paper); }
.message.plain { background: var(--code); }
select { width: 100%; font: inherit; color: inherit; background: var(--paper); padding: .65rem .6rem; border: 1px solid var(--faint); border-radius: 9px; min-height: 2.9rem; }
.filters { padding: .4rem 1rem .7rem; margin: .9rem 0; }
.filters summary { font-size: 1.05rem; }
.filters summary code { font-weight: 400; font-size: .82rem; }
.filters form { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); gap: .2rem 1rem; align-items: end; }
.filters label { font-size: .9rem; margin: .5rem 0 .2rem; }
.filters input, .filters select { padding: .45rem .6rem; min-height: 2.6rem; min-width: 0; }
.filters .actions { margin-top: .7rem; }
@media (min-width: 52rem) { .filters::details-content { content-visibility: visible; block-size: auto; } .filters summary { display: none; } }
@supports not selector(::details-content) { .filters summary { display: revert; } }
.filters .actions > *, .found .actions > * { flex: 0 1 auto; white-space: nowrap; padding: .6rem 1.1rem; min-height: 0; }
.story { list-style: none; margin: 0; padding: 0; }
.story > li { border-left: 3px solid var(--good); padding: .1rem 0 1.1rem 1.1rem; position: relative; }
.story > li.refused { border-color: var(--gold); }
.story > li.failed, .story > li.indeterminate { border-color: var(--bad); }
.story > li.before { border-color: var(--line); }
.story > li:last-child { padding-bottom: .2rem; }
.story .head { justify-content: flex-start; flex-wrap: nowrap; align-items: baseline; }
.story h3 a { text-decoration: none; }
h3 { font-size: 1.02rem; }
h3 code { font-weight: 400; font-size: .82rem; }
h4 { font-size: .9rem; margin: .7rem 0 .2rem; }
.story p { margin: .25rem 0; }
.story dl, .glance dl { font-size: .93rem; }
.story dd.mono { background: none; padding: 0; font-size: .85rem; }
.story details { margin-top: .2rem; font-size: .93rem; }
pre { background: var(--code); border-radius: 9px; padding: .8rem 1rem; overflow-x: auto; margin: .6rem 0; }
pre code { background: none; padding: 0; overflow-wrap: normal; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 52rem) {
  .entries thead { position: absolute; left: -100rem; }
  .entries, .entries tbody { display: block; }
  .entries tr { display: grid; grid-template-columns: 1fr auto; gap: .1rem .8rem; border-top: 1px solid var(--line); padding: .6rem 0; }
  .entries td { border: 0; padding: 0; }
  .entries .what { grid-row: 1; grid-column: 1; min-width: 0; }
  .entries .out { grid-row: 1; grid-column: 2; justify-self: end; }
  .entries .when { grid-row: 2; grid-column: 1; }
  .entries .index { grid-row: 2; grid-column: 2; }
  .entries .who, .entries .more { grid-column: 1 / -1; }
  .entries .more:empty { display: none; }
  .story dl, .glance dl { grid-template-columns: 1fr; gap: 0; }
  .story dd, .glance dd { margin-bottom: .45rem; }
}
`

/** Changes with the style, so that a browser may keep it for good. */
export const CONSOLE_STYLE_PATH = `/auditor/style-${hash('sha256', CONSOLE_STYLE, 'hex').slice(0, 12)}.css`
