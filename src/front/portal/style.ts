import { hash } from 'node:crypto'

/** The style of all our pages: made for a phone first, in the colours of the documentation page. */
export const STYLE = `
:root { color-scheme: light dark; --paper: #fbf9f4; --card: #fff; --ink: #1b2a2e; --faint: #56666a; --line: #d9d3c6;
  --brand: #12343b; --accent: #12506b; --on-accent: #fff; --gold: #8a5414; --bad: #9d2419; --bad-paper: #fbeae7;
  --good: #1c6048; --good-paper: #e6f3ec; --code: #f2eee5; }
@media (prefers-color-scheme: dark) { :root { --paper: #10191c; --card: #162226; --ink: #e8e4da; --faint: #a3b0b2;
  --line: #2f4046; --brand: #f4efe6; --accent: #8fcbe6; --on-accent: #0d1b20; --gold: #e0a458; --bad: #ff9d92;
  --bad-paper: #35201e; --good: #7fd3b0; --good-paper: #17302a; --code: #1e2d32; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
header, main, footer { max-width: 34rem; margin: 0 auto; padding: 0 1.1rem; }
header { display: flex; align-items: center; gap: .7rem; padding-top: 1.3rem; padding-bottom: .4rem; }
header img { width: 2.4rem; height: 2.4rem; }
header strong { font: 600 1.25rem/1 Georgia, serif; color: var(--brand); }
header nav { margin-left: auto; display: flex; gap: .9rem; font-size: .9rem; }
main { padding-bottom: 3rem; }
h1 { font: 600 1.65rem/1.25 Georgia, serif; color: var(--brand); margin: 1.1rem 0 .4rem; overflow-wrap: anywhere; }
h2 { font: 600 1.15rem/1.3 Georgia, serif; color: var(--brand); margin: 0 0 .5rem; }
a { color: var(--accent); }
p { margin: .6rem 0; }
.lead { color: var(--faint); margin-top: 0; }
section, form.card, .card { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 1.1rem 1.2rem;
  margin: 1.1rem 0; }
label { display: block; font-weight: 600; margin: .9rem 0 .25rem; }
label.choice { font-weight: 400; display: flex; gap: .6rem; align-items: flex-start; }
label.choice input { width: 1.25rem; height: 1.25rem; margin: .15rem 0 0; flex: none; accent-color: var(--accent); }
[type=hidden] + label, [hidden] + label { margin-top: 0; }
.hint { color: var(--faint); font-size: .9rem; margin: .2rem 0 0; }
input:not([type=checkbox]) { width: 100%; font: inherit; color: inherit; background: var(--paper); padding: .65rem .75rem;
  border: 1px solid var(--faint); border-radius: 9px; }
input.code { font: 1.35rem/1.4 ui-monospace, monospace; letter-spacing: .18em; }
button, .button { display: inline-block; font: 600 1rem/1.2 system-ui, sans-serif; text-decoration: none; text-align: center;
  color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: 9px; padding: .75rem 1.2rem;
  min-height: 2.9rem; cursor: pointer; }
button.quiet, .button.quiet { color: var(--accent); background: transparent; }
button.danger { color: var(--bad); border-color: var(--bad); background: transparent; }
.actions { display: flex; flex-wrap: wrap; gap: .7rem; margin-top: 1.2rem; }
[hidden] + .actions { margin-top: 0; }
.actions > button, .actions > .button { flex: 1 1 9rem; }
:focus-visible { outline: 3px solid var(--gold); outline-offset: 2px; }
.message { border-radius: 9px; padding: .7rem .9rem; margin: 1rem 0; }
.message.bad { background: var(--bad-paper); color: var(--bad); }
.message.good { background: var(--good-paper); color: var(--good); }
.qr { display: flex; justify-content: center; margin: 1rem 0; }
.qr svg { width: min(100%, 15rem); height: auto; background: #fff; border-radius: 9px; }
code, .mono { font: .95em/1.5 ui-monospace, monospace; background: var(--code); border-radius: 5px; padding: .08em .35em;
  overflow-wrap: anywhere; }
.compare { font: 600 2rem/1.2 ui-monospace, monospace; letter-spacing: .16em; text-align: center; background: var(--code);
  border-radius: 9px; padding: .6rem; margin: .6rem 0; }
ul.codes { list-style: none; padding: 0; display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: .4rem;
  margin: .9rem 0; }
ul.codes li { font: 1rem/1.5 ui-monospace, monospace; background: var(--code); border-radius: 7px; padding: .35rem .6rem; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .35rem 1rem; margin: .6rem 0; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
ul.rows { list-style: none; margin: .4rem 0; padding: 0; }
ul.rows > li { border-top: 1px solid var(--line); padding: .65rem 0; display: flex; flex-wrap: wrap; gap: .3rem 1rem;
  align-items: center; justify-content: space-between; }
ul.rows > li:first-child { border-top: 0; }
ul.rows form { margin: 0; }
ul.files { margin: .4rem 0; padding-left: 1.2rem; overflow-wrap: anywhere; max-height: 14rem; overflow-y: auto; }
.faint { color: var(--faint); font-size: .9rem; }
details { margin: .8rem 0 0; }
summary { cursor: pointer; color: var(--accent); font-weight: 600; padding: .3rem 0; }
footer { color: var(--faint); font-size: .85rem; padding-bottom: 2rem; }
.skip { position: absolute; left: -100rem; }
.skip:focus { position: static; display: inline-block; padding: .6rem 1.1rem; }
@media print { header nav, footer, .actions, .noprint { display: none; } body { background: #fff; color: #000; } }
`

/** Changes with the style, so that a browser may keep it for good. */
export const STYLE_PATH = `/portal/style-${hash('sha256', STYLE, 'hex').slice(0, 12)}.css`
