/* Where the time of a request goes, as stacked bars, in the colours that the requests in flight have over time. */
const PHASES = ["lost to failures", "waiting", "prefill", "KV transfer", "waiting to decode", "decode", "around the engine"];
const PHASE_FILL = Object.fromEntries(PHASES.map((name, i) => [name, `var(--s-${["lost", "waiting", "prefill", "transfer", "place", "decode", "around"][i]})`]));
const byPhase = { rank: (p) => PHASES.indexOf(p.kind), fill: (p) => PHASE_FILL[p.kind] };

function phasesPlot(of) {
  return (width) => {
    const rows = DATA.phases.filter((row) => row.of === of).map((row, i) => ({ ...row, id: String(i), note: seconds(d3.sum(row.pieces, (p) => p.s)) }));
    return stacked(rows, width, (p) => `${p.kind}: ${seconds(p.s)}, ${percent(p.s / d3.sum(p.row.pieces, (q) => q.s), 1)}`, byPhase);
  };
}
