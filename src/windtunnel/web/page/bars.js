/* Cost, energy and memory: bars whose names stand above them, so that they fit a phone. */
function costPlot(key, show, missing) {
  return (width) => {
    const chips = DATA.chips;
    if (!chips.length) return null;
    const value = (chip) => (chip.met && chip[key] !== null && chip[key] !== undefined ? chip[key] : null);
    const most = d3.max(chips, (chip) => value(chip) || 0) || 1;
    const room = textWidth(show(most), 13, 650) + 14;
    const row = { y: (chip) => String(chip.place) };
    const known = chips.filter((chip) => value(chip) !== null), silent = chips.filter((chip) => value(chip) === null);
    return Plot.plot({
      width, height: chips.length * 46 + 6, marginLeft: 0, marginRight: room, marginTop: 0, marginBottom: 4, style: { fontSize: "13px" },
      x: { axis: null, domain: [0, most] }, y: { axis: null, domain: chips.map((chip) => String(chip.place)), padding: 0 },
      marks: [
        Plot.ruleX([0], { stroke: RULE }),
        ...known.map((chip) => Plot.barX([chip], { ...row, x: value, fill: colour(chip), insetTop: 22, insetBottom: 8 })),
        Plot.text(known, { ...row, x: value, text: (chip) => show(value(chip)), textAnchor: "start", dx: 7, dy: 7, fontWeight: 650, fill: INK }),
        Plot.text(silent, { ...row, frameAnchor: "left", text: (chip) => (chip.met ? missing : "fails the targets"), textAnchor: "start", dx: 2, dy: 7, fontStyle: "italic", fill: SOFT }),
        Plot.text(chips, { ...row, frameAnchor: "left", text: (chip) => label(chip.name), textAnchor: "start", dx: 2, dy: -11, fill: INK }),
      ],
    });
  };
}

const PARTS = ["weights", "KV cache", "activations", "reserved", "free"];
const GIB = 2 ** 30;

function memoryPlot(width) {
  const bars = DATA.chips.flatMap((chip) => chip.memory.map((bar) => ({ ...bar, chip, id: `${chip.place}/${bar.role}` })));
  if (!bars.length) return null;
  const most = d3.max(bars, (bar) => Math.max(bar.capacity, d3.sum(bar.parts, (p) => p.bytes)));
  const pieces = bars.flatMap((bar) => {
    let at = 0;
    return bar.parts.map((p, i) => ({ id: bar.id, i, from: at, to: (at += p.bytes), bytes: p.bytes })).filter((p) => p.bytes > 0);
  });
  const pixels = (bytes) => (bytes / most) * (width - 2);
  const fits = (p) => textWidth(figure(p.bytes / GIB), 12, 500) + 8 < pixels(p.bytes);
  const free = (bar) => bar.parts[PARTS.indexOf("free")].bytes;
  return Plot.plot({
    width, height: bars.length * 54 + 6, marginLeft: 1, marginRight: 1, marginTop: 0, marginBottom: 4, style: { fontSize: "13px" },
    x: { axis: null, domain: [0, most] }, y: { axis: null, domain: bars.map((bar) => bar.id), padding: 0 },
    marks: [
      ...PARTS.map((_, i) => Plot.barX(pieces.filter((p) => p.i === i), { y: "id", x1: "from", x2: "to", fill: `var(--m${i})`, insetTop: 22, insetBottom: 8 })),
      ...PARTS.map((_, i) => Plot.text(pieces.filter((p) => p.i === i && fits(p)), { y: "id", x: (p) => (p.from + p.to) / 2, text: (p) => figure(p.bytes / GIB), dy: 7, fontSize: 12, fill: `var(--on-m${i})` })),
      Plot.rect(bars, { y: "id", x1: 0, x2: "capacity", stroke: SOFT, strokeWidth: 1, insetTop: 22, insetBottom: 8 }),
      ...bars.map((bar) => Plot.text([bar], { y: "id", frameAnchor: "left", textAnchor: "start", dx: 2, dy: -15, fill: INK,
        text: [`${label(bar.chip.name)}${bar.role ? `, ${bar.role}` : ""}: ${figure(bar.capacity / GIB)} GiB, ${figure(free(bar) / GIB)} GiB free`] })),
    ],
  });
}

function memoryLegend() {
  document.getElementById("memory-legend").replaceChildren(...PARTS.map((part, i) => {
    const item = document.createElement("li"), swatch = document.createElement("i");
    swatch.style.background = `var(--m${i})`;
    item.append(swatch, part);
    return item;
  }), Object.assign(document.createElement("li"), { textContent: "figures in GiB", className: "unknown" }));
}
