/* Time by what bounds it: a bar for each chip, and a bar for each operator of one chip. */
const BOUNDS = ["matrix unit", "memory", "link", "start", "host"];
const BOUND_FILL = { "matrix unit": "var(--b-matrix)", memory: "var(--b-memory)", link: "var(--b-link)", start: "var(--b-start)", host: "var(--b-host)" };
const boundFill = (bound) => BOUND_FILL[bound] || "var(--b-other)";
const boundRank = (bound) => (BOUNDS.includes(bound) ? BOUNDS.indexOf(bound) : BOUNDS.length);

function boundLegend() {
  const there = new Set(DATA.chips.flatMap((chip) => [...chip.bounds.map((b) => b.name), ...chip.operators.flatMap((o) => o.pieces.map((p) => p.bound))]));
  const names = [...there].sort((a, b) => boundRank(a) - boundRank(b));
  for (const list of document.querySelectorAll(".bound-legend")) legend(list, names, boundFill);
}

const byBound = { rank: (p) => boundRank(p.bound), fill: (p) => boundFill(p.bound) };

function boundsPlot(width) {
  const rows = DATA.chips.filter((chip) => chip.step).map((chip) => ({ id: String(chip.place), title: `${label(chip.name)}, one ${chip.kind}`, note: seconds(chip.step), whole: d3.sum(chip.bounds, (b) => b.s), pieces: chip.bounds.map((b) => ({ bound: b.name, s: b.s })) }));
  return rows.length ? stacked(rows, width, (p) => `${p.bound}: ${seconds(p.s)}, ${percent(p.s / p.row.whole, 1)}`, byBound) : message("No step was finished, so there is no time to divide.");
}

function operatorsPlot(width) {
  const chip = CHOSEN.chip;
  if (!chip.operators.length) return message("No step was finished, so no operator's share can be told.");
  const rows = chip.operators.map((op, i) => ({ id: String(i), title: `${op.name}  × ${figure(op.calls)}`, note: `${seconds(op.s)}  ${percent(op.s / chip.step, op.s / chip.step < 0.1 ? 1 : 0)}`, pieces: op.pieces, full: op.full }));
  return stacked(rows, width, (p) => `${p.row.full || p.row.title}\n${seconds(p.s)} bound by ${p.bound}`, byBound);
}
