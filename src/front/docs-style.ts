/** The whole style of the documentation page; its hash stands in the page's content security policy. */
export const STYLE = `
:root { color-scheme: light dark; --paper: #fbf9f4; --card: #fff; --ink: #1b2a2e; --faint: #5d6d71; --line: #e3ded3;
  --brand: #12343b; --gold: #a86a1d; --get: #1f6f54; --post: #12506b; --code: #f2eee5; }
@media (prefers-color-scheme: dark) { :root { --paper: #10191c; --card: #162226; --ink: #e8e4da; --faint: #9aa8aa;
  --line: #27373b; --brand: #f4efe6; --gold: #e0a458; --get: #5cc39a; --post: #6fb7dc; --code: #1e2d32; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.6 system-ui, sans-serif; display: grid;
  grid-template-columns: 17rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.5rem 1.25rem; border-right: 1px solid var(--line); }
nav img { width: 56px; height: 56px; display: block; margin-bottom: .75rem; }
nav h2 { font-size: .75rem; letter-spacing: .08em; text-transform: uppercase; color: var(--faint); margin: 1.4rem 0 .3rem; }
nav a { display: block; color: inherit; text-decoration: none; font-size: .875rem; padding: .12rem 0; overflow-wrap: anywhere; }
nav a:hover, nav a:focus-visible { color: var(--gold); text-decoration: underline; }
nav small { color: var(--faint); }
main { padding: 2.5rem clamp(1rem, 4vw, 3.5rem) 5rem; max-width: 62rem; }
a { color: var(--gold); }
h1 { font: 600 2.2rem/1.2 Georgia, serif; color: var(--brand); margin: 0; }
h1 + p { color: var(--faint); margin: .25rem 0 1.5rem; }
main > section > h2 { font: 600 1.5rem/1.3 Georgia, serif; color: var(--brand); margin: 3rem 0 .25rem; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem 1.3rem; margin: 1.1rem 0; }
article h3 { font-size: 1rem; margin: 0; display: flex; gap: .6rem; align-items: baseline; flex-wrap: wrap; }
article h3 code { background: none; padding: 0; font-size: 1rem; overflow-wrap: anywhere; }
article h4 { font-size: .75rem; letter-spacing: .08em; text-transform: uppercase; color: var(--faint); margin: 1.2rem 0 .3rem; }
article p { margin: .5rem 0; }
.method { font-weight: 700; font-size: .75rem; letter-spacing: .05em; color: var(--post); border: 1.5px solid currentColor;
  border-radius: 6px; padding: 0 .45rem; }
.method.get { color: var(--get); }
.access { margin-left: auto; font-size: .8rem; font-weight: 400; color: var(--faint); }
code { font: .875em/1.4 ui-monospace, monospace; background: var(--code); border-radius: 4px; padding: .05em .3em; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td { border-top: 1px solid var(--line); padding: .35rem .9rem .35rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; width: 1%; }
td.type { color: var(--faint); white-space: nowrap; width: 1%; }
.in1 { padding-left: 1.1em; }
.in2 { padding-left: 2.2em; }
.must { color: var(--gold); font-size: .8rem; }
ul { padding-left: 1.2rem; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; border-right: 0;
  border-bottom: 1px solid var(--line); } }
`
