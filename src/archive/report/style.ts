// The style of the report page: light or dark as the reader has it, and good on paper.

export const REPORT_STYLE = `
:root { color-scheme: light dark; --ink: #16202e; --soft: #5b6777; --line: #dfe4ea; --lane: #f0f3f7; --page: #f7f8fa;
  --card: #fff; --messages: #2563eb; --bytes: #0f9488; --files: #7c3aed; --bad: #d92d20; --bad-back: #fde4e1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #98a4b3; --line: #2a3442; --lane: #1b2430;
  --page: #0f141b; --card: #151c26; --messages: #6ea2ff; --bytes: #34d3bf; --files: #b196ff; --bad: #ff6b5e;
  --bad-back: #43201d; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink); background: var(--page);
  max-width: 1100px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 0; } p { margin: .25rem 0; } code { font-size: .85em; overflow-wrap: anywhere; }
.soft { color: var(--soft); } .defs { position: absolute; width: 0; height: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .7rem 1rem; }
.tile b { display: block; font-size: 1.45rem; line-height: 1.3; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.tile span { color: var(--soft); font-size: .85rem; } .tile.bad b { color: var(--bad); } .tile.bad { border-color: var(--bad); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem 1.5rem;
  margin: 1.25rem 0; }
figure { margin: 1.5rem 0; } figcaption { display: flex; flex-wrap: wrap; gap: 0 .75rem; align-items: baseline;
  margin-bottom: .6rem; } figcaption .soft { font-size: .85rem; }
svg { width: 100%; height: auto; display: block; overflow: visible; }
svg text { font: 11px system-ui, -apple-system, "Segoe UI", sans-serif; } .label { fill: var(--soft); } .day { font-weight: 600; }
.lane { fill: var(--lane); } .messages { fill: var(--messages); } .bytes { fill: var(--bytes); } .files { fill: var(--files); }
.tick { stroke: var(--line); } .cell { rx: 3px; } .full { fill: var(--messages); }
.empty { fill: none; stroke: var(--line); } text.on { fill: #fff; } text.off { fill: var(--ink); }
.gap { fill: url(#hatch); stroke: var(--bad); } .torn { fill: none; stroke: var(--bad); stroke-width: 2.5; rx: 3px; }
.narrow { fill: url(#hatch); stroke-width: 1; }
.hatch { fill: var(--bad); } .hatch-back { fill: var(--bad-back); }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; vertical-align: -1px; margin-left: .5rem;
  border: 1px solid var(--line); } .key.gap { border: 2px solid var(--bad); background: var(--bad-back); }
.outcome { font-size: 1.15rem; font-weight: 600; } .outcome.damaged { color: var(--bad); } .outcome.sound { color: var(--bytes); }
.cell.sound { fill: var(--bytes); } .cell.noticed { fill: var(--bytes); fill-opacity: .45; } .cell.damaged { fill: var(--bad); }
.key.sound { background: var(--bytes); } .key.noticed { background: var(--bytes); opacity: .45; }
.facts th { width: 11rem; vertical-align: top; }
table { border-collapse: collapse; width: 100%; margin-top: .5rem; } th, td { text-align: left; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid var(--line); } th { font-size: .8rem; color: var(--soft); font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; padding-right: 1.5rem; }
ul { padding-left: 1.1rem; } li { margin: .4rem 0; } li.damage strong { color: var(--bad); }
@media (max-width: 700px) { figure { overflow-x: auto; } figure svg { min-width: 700px; } table { display: block; overflow-x: auto; } }
@media print { body { background: none; } section, .tile { break-inside: avoid; } figure { overflow: visible; }
  figure svg { min-width: 0; } table { display: table; } }
`;
