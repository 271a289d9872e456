"""The stylesheet of the page, light and dark."""

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --line: #e3e6eb; --text: #1b2330; --dim: #667083;
  --accent: #2f6fd0; --bin: #9dbcec; --good: #1f8a4c; --fair: #a06a00; --bad: #c8372d; --track: #eef0f4; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1319; --card: #171c24; --line: #2a313d; --text: #e4e8ef;
  --dim: #8f9aad; --accent: #7aa9f0; --bin: #3d5f96; --good: #56c285; --fair: #e0b050; --bad: #f07a70; --track: #222936; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 14px/1.45 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 48px; }
header { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline; margin-bottom: 18px; }
h1 { font: 600 17px/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; margin: 0;
  overflow-wrap: anywhere; flex: 1 1 320px; }
h2 { font-size: 15px; margin: 0 0 12px; display: flex; justify-content: space-between; gap: 16px; }
h2 span, .dim, header p { color: var(--dim); font-weight: 400; margin: 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin: 14px 0; }
section > :last-child { margin-bottom: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 22px; font-weight: 650; letter-spacing: -0.01em; white-space: nowrap; }
.tile small, .tile i { display: block; font-style: normal; font-size: 13px; }
.tile i { color: var(--dim); min-height: 1.45em; }
.tiles + .tiles, .targets { margin: 12px 0; }
.target b { font-size: 16px; white-space: normal; } .target b::before { margin-right: 7px; }
.good b { color: var(--good); } .good b::before { content: "✓"; }
.fair b { color: var(--fair); } .fair b::before { content: "~"; }
.bad b { color: var(--bad); } .bad b::before { content: "✗"; }
.unjudged b::before { content: "·"; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 5px 0 5px 18px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 400; font-size: 13px; } tbody tr:last-child > * { border-bottom: 0; }
th[scope=row] { color: var(--text); font-size: 14px; }
th:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 190px; }
.scroll { overflow-x: auto; }
.name { overflow-wrap: anywhere; } .name span { color: var(--dim); }
.plot { display: block; width: 100%; overflow: visible; }
.axis text { fill: var(--dim); font-size: 11px; } .log text { text-anchor: middle; }
.grid { stroke: var(--line); } .bin { fill: var(--bin); }
.quantile { stroke: var(--accent); stroke-width: 1.5; } .p95 { stroke-dasharray: 5 3; } .p99 { stroke-dasharray: 2 3; }
.row { margin: 14px 0; } .row svg { border-bottom: 1px solid var(--line); } .row > p { display: flex; justify-content: space-between; gap: 16px; margin: 0 0 5px; }
.bar { display: flex; height: 22px; border-radius: 5px; overflow: hidden; background: var(--track); }
.bar span { color: #10151c; font-size: 11px; line-height: 22px; padding-left: 4px; overflow: hidden; min-width: 0; }
.bar .thin { padding: 0; }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 3px 20px; margin: 7px 0 0; padding: 0; font-size: 13px; }
.legend i { display: inline-block; width: 15px; height: 15px; border-radius: 4px; margin-right: 6px; color: #10151c;
  font: 11px/15px system-ui, sans-serif; text-align: center; }
.call { display: grid; grid-template-columns: 64px 1fr; gap: 2px 12px; margin: 9px 0; }
.call b { text-align: right; font-weight: 600; } .call .said { grid-column: 2; font-size: 13px; color: var(--dim); }
.call .failed { color: var(--bad); } .call svg { margin-top: 1px; }
td .meter { display: block; width: 120px; height: 9px; margin-left: auto; border-radius: 5px; background: var(--track); overflow: hidden; }
td .meter span { display: block; height: 100%; background: var(--accent); }
footer, .warning { color: var(--dim); font-size: 13px; } .warning { color: var(--fair); }
@media print { section, .tile { break-inside: avoid; } }
"""
