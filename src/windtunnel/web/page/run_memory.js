/* Memory over time under the capacity, and what is held at the peak. */
const gib = (bytes) => bytes / 2 ** 30;
const bytesText = (bytes) => (bytes >= 2 ** 30 ? `${figure(gib(bytes))} GiB` : `${figure(bytes / 2 ** 20)} MiB`);

function memoryPlot(width) {
  const memory = CHOSEN.chip.memory;
  if (!memory.curve.length) return message("No curve was recorded.");
  const narrow = width < 560;
  const points = memory.curve.map(([t, a, r]) => ({ t, a: gib(a), r: gib(r) }));
  const end = Math.max(points[points.length - 1].t, memory.peak_at), top = Math.max(d3.max(points, (p) => p.r), memory.capacity ? gib(memory.capacity) : 0);
  const [factor, unitName] = end >= 2 ? [1, "s"] : end >= 2e-3 ? [1e3, "ms"] : [1e6, "us"];
  const marks = [
    Plot.ruleX(memory.steps.map((t) => t * factor), { stroke: RULE }),
    Plot.areaY(points, { x: (p) => p.t * factor, y1: 0, y2: "a", fill: "var(--m1)", fillOpacity: 0.45, curve: "step-after" }),
    Plot.lineY(points, { x: (p) => p.t * factor, y: "r", stroke: SOFT, strokeWidth: 1.1, curve: "step-after" }),
    Plot.lineY(points, { x: (p) => p.t * factor, y: "a", stroke: "var(--m0)", strokeWidth: 1.3, curve: "step-after" }),
    Plot.ruleY([0], { stroke: INK }),
  ];
  if (memory.capacity) {
    marks.push(Plot.ruleY([gib(memory.capacity)], { stroke: "var(--bad)", strokeWidth: 1.4, strokeDasharray: "5 4" }));
    marks.push(Plot.text([0], { frameAnchor: "left", y: gib(memory.capacity), x: null, text: [`capacity ${bytesText(memory.capacity)}`], textAnchor: "start", dx: 4, dy: -8, fill: "var(--bad)", fontWeight: 600 }));
  }
  const late = memory.peak_at > end * 0.6;
  marks.push(Plot.dot([0], { x: memory.peak_at * factor, y: gib(memory.peak), r: 4, fill: "var(--m0)", stroke: PAPER }));
  marks.push(Plot.text([0], { x: memory.peak_at * factor, y: gib(memory.peak), text: [`peak ${bytesText(memory.peak)}`], textAnchor: late ? "end" : "start", dx: late ? -8 : 8, dy: -9, fontWeight: 600, fill: INK, stroke: PAPER, strokeWidth: 3.5 }));
  marks.push(Plot.tip(points, Plot.pointerX({ x: (p) => p.t * factor, y: "a", fill: PAPER, stroke: SOFT, title: (p) => `${figure(p.t * factor)} ${unitName}\n${figure(p.a)} GiB allocated\n${figure(p.r)} GiB reserved` })));
  return Plot.plot({
    width, height: narrow ? 260 : 320, marginLeft: narrow ? 42 : 52, marginRight: 12, marginTop: 28, marginBottom: 40, style: { fontSize: "12px" },
    x: { label: `Time on the clock, ${unitName} →`, labelAnchor: "right", ticks: narrow ? 4 : 8, domain: [0, end * factor] },
    y: { label: "↑ GiB", grid: true, ticks: 5, domain: [0, top * 1.06] }, marks,
  });
}

function heldPlot(width) {
  const held = CHOSEN.chip.memory.holders, peak = CHOSEN.chip.memory.peak;
  if (!held.length) return message("What is held at the peak was not told.");
  const note = (h) => `${bytesText(h.bytes)}  ${percent(h.bytes / peak)}`;
  const names = d3.max(held, (h) => textWidth(h.kind, 13)) + 10, room = d3.max(held, (h) => textWidth(note(h), 13, 600)) + 12;
  return Plot.plot({
    width, height: held.length * 28 + 4, marginLeft: names, marginRight: room, marginTop: 0, marginBottom: 4, style: { fontSize: "13px" },
    x: { axis: null, domain: [0, d3.max(held, (h) => h.bytes)] }, y: { axis: null, domain: held.map((h) => h.kind), padding: 0.28 },
    marks: [
      Plot.barX(held, { y: "kind", x: "bytes", fill: (h) => (h.kind === "not listed" ? "var(--m3)" : "var(--m1)") }),
      Plot.text(held, { y: "kind", x: 0, text: "kind", textAnchor: "end", dx: -8, fill: INK }),
      Plot.text(held, { y: "kind", x: "bytes", text: note, textAnchor: "start", dx: 7, fontWeight: 600, fill: INK }),
    ],
  });
}
