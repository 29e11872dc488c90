/* Time by what bounds it: a bar for each chip, and a bar for each operator of one chip. */
const BOUNDS = ["matrix unit", "memory", "link", "start", "host"];
const BOUND_FILL = { "matrix unit": "var(--b-matrix)", memory: "var(--b-memory)", link: "var(--b-link)", start: "var(--b-start)", host: "var(--b-host)" };
const boundFill = (bound) => BOUND_FILL[bound] || "var(--b-other)";
const boundRank = (bound) => (BOUNDS.includes(bound) ? BOUNDS.indexOf(bound) : BOUNDS.length);

const seconds = (s) => {
  const [factor, name] = s >= 0.9995 ? [1, "s"] : s >= 0.9995e-3 ? [1e3, "ms"] : s === 0 ? [1, "s"] : [1e6, "us"];
  return `${d3.format(s * factor >= 100 ? ",.0f" : ".3g")(s * factor)} ${name}`;
};
const cutTo = (text, width, size, weight) => {
  if (textWidth(text, size, weight) <= width) return text;
  let keep = text.length;
  while (keep > 1 && textWidth(`${text.slice(0, keep)}…`, size, weight) > width) keep -= 1;
  return keep > 2 ? `${text.slice(0, keep)}…` : "";
};

function boundLegend() {
  const there = new Set(DATA.chips.flatMap((chip) => [...chip.bounds.map((b) => b.name), ...chip.operators.flatMap((o) => o.pieces.map((p) => p.bound))]));
  const names = [...there].sort((a, b) => boundRank(a) - boundRank(b));
  for (const list of document.querySelectorAll(".bound-legend")) list.replaceChildren(...names.map((name) => {
    const item = document.createElement("li"), swatch = document.createElement("i");
    swatch.style.background = boundFill(name);
    item.append(swatch, name);
    return item;
  }));
}

/* rows: {id, title, note, pieces: [{bound, s}]}; every bar starts at the left, its name above it. */
function stacked(rows, width, tip) {
  const most = d3.max(rows, (row) => d3.sum(row.pieces, (p) => p.s)) || 1;
  const room = d3.max(rows, (row) => textWidth(row.note, 13, 600)) + 12;
  const pieces = rows.flatMap((row) => {
    let at = 0;
    return [...row.pieces].sort((a, b) => boundRank(a.bound) - boundRank(b.bound)).map((p) => ({ ...p, row, from: at, to: (at += p.s) }));
  });
  const pixels = (s) => (s / most) * (width - room);
  const share = (p) => percent(p.s / (p.row.whole || d3.sum(p.row.pieces, (q) => q.s)));
  return Plot.plot({
    width, height: rows.length * 44 + 6, marginLeft: 1, marginRight: room, marginTop: 0, marginBottom: 4, style: { fontSize: "13px" },
    x: { axis: null, domain: [0, most] }, y: { axis: null, domain: rows.map((row) => row.id), padding: 0 },
    marks: [
      Plot.barX(pieces, { y: (p) => p.row.id, x1: "from", x2: "to", fill: (p) => boundFill(p.bound), insetTop: 21, insetBottom: 7, insetRight: 0.5, title: tip }),
      Plot.text(pieces.filter((p) => p.s < 0.995 * d3.sum(p.row.pieces, (q) => q.s) && textWidth(share(p), 12, 500) + 10 < pixels(p.s)), { y: (p) => p.row.id, x: (p) => (p.from + p.to) / 2, text: share, dy: 7, fontSize: 12, fill: "var(--on-b)" }),
      Plot.text(rows, { y: "id", x: (row) => d3.sum(row.pieces, (p) => p.s), text: "note", textAnchor: "start", dx: 7, dy: 7, fontWeight: 600, fill: INK }),
      Plot.text(rows, { y: "id", frameAnchor: "left", text: (row) => cutTo(row.title, width - 8, 13, 400), textAnchor: "start", dx: 2, dy: -12, fill: INK }),
    ],
  });
}

function boundsPlot(width) {
  const rows = DATA.chips.filter((chip) => chip.step).map((chip) => ({ id: String(chip.place), title: `${label(chip.name)}, one ${chip.kind}`, note: seconds(chip.step), whole: d3.sum(chip.bounds, (b) => b.s), pieces: chip.bounds.map((b) => ({ bound: b.name, s: b.s })) }));
  return rows.length ? stacked(rows, width, (p) => `${p.bound}: ${seconds(p.s)}, ${percent(p.s / p.row.whole, 1)}`) : message("No step was finished, so there is no time to divide.");
}

function operatorsPlot(width) {
  const chip = CHOSEN.chip;
  if (!chip.operators.length) return message("No step was finished, so no operator's share can be told.");
  const rows = chip.operators.map((op, i) => ({ id: String(i), title: `${op.name}  × ${figure(op.calls)}`, note: `${seconds(op.s)}  ${percent(op.s / chip.step, op.s / chip.step < 0.1 ? 1 : 0)}`, pieces: op.pieces, full: op.full }));
  return stacked(rows, width, (p) => `${p.row.full || p.row.title}\n${seconds(p.s)} bound by ${p.bound}`);
}
