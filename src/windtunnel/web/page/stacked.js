/* Stacked bars, their legend, and times in words. */
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

function legend(list, names, fill) {
  list.replaceChildren(...names.map((name) => {
    const item = document.createElement("li"), swatch = document.createElement("i");
    swatch.style.background = fill(name);
    item.append(swatch, name);
    return item;
  }));
}

/* rows: {id, title, note, pieces: [{s, ...}]}; every bar starts at the left, its name above it. look: {rank, fill} of a piece. */
function stacked(rows, width, tip, look) {
  const most = d3.max(rows, (row) => d3.sum(row.pieces, (p) => p.s)) || 1;
  const room = d3.max(rows, (row) => textWidth(row.note, 13, 600)) + 12;
  const pieces = rows.flatMap((row) => {
    let at = 0;
    return [...row.pieces].sort((a, b) => look.rank(a) - look.rank(b)).map((p) => ({ ...p, row, from: at, to: (at += p.s) }));
  });
  const pixels = (s) => (s / most) * (width - room);
  const share = (p) => percent(p.s / (p.row.whole || d3.sum(p.row.pieces, (q) => q.s)));
  return Plot.plot({
    width, height: rows.length * 44 + 6, marginLeft: 1, marginRight: room, marginTop: 0, marginBottom: 4, style: { fontSize: "13px" },
    x: { axis: null, domain: [0, most] }, y: { axis: null, domain: rows.map((row) => row.id), padding: 0 },
    marks: [
      Plot.barX(pieces, { y: (p) => p.row.id, x1: "from", x2: "to", fill: look.fill, insetTop: 21, insetBottom: 7, insetRight: 0.5, title: tip }),
      Plot.text(pieces.filter((p) => p.s < 0.995 * d3.sum(p.row.pieces, (q) => q.s) && textWidth(share(p), 12, 500) + 10 < pixels(p.s)), { y: (p) => p.row.id, x: (p) => (p.from + p.to) / 2, text: share, dy: 7, fontSize: 12, fill: "var(--on-b)" }),
      Plot.text(rows, { y: "id", x: (row) => d3.sum(row.pieces, (p) => p.s), text: "note", textAnchor: "start", dx: 7, dy: 7, fontWeight: 600, fill: INK }),
      Plot.text(rows, { y: "id", frameAnchor: "left", text: (row) => cutTo(row.title, width - 8, 13, 400), textAnchor: "start", dx: 2, dy: -12, fill: INK }),
    ],
  });
}
