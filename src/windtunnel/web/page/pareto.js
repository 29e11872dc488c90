/* Throughput per chip against tokens/s per user: one front per chip, the target as a line. */
function paretoPlot(width) {
  const chips = DATA.chips.filter((chip) => chip.pareto.length || chip.best);
  if (!chips.length) return null;
  const narrow = width < 560;
  const points = chips.flatMap((chip) => [...chip.pareto, ...(chip.best ? [chip.best] : [])].map((p) => ({ ...p, chip })));
  const target = DATA.target.tpot_s ? 1 / DATA.target.tpot_s : null;
  const right = Math.max(d3.max(points, (p) => p.x), (target || 0) * 1.15) * 1.06;
  const tops = chips.map((chip) => d3.max([...chip.pareto, ...(chip.best ? [chip.best] : [])], (p) => p.y)).filter((y) => y > 0);
  const log = d3.max(tops) / d3.min(tops) > 25;
  const base = {
    width, height: narrow ? 340 : 440, marginLeft: narrow ? 46 : 56, marginRight: 14, marginTop: 34, marginBottom: 42,
    style: { fontSize: "12px" },
    x: { domain: [0, right], label: "Tokens/s that one user sees (1 / TPOT) →", labelAnchor: "right", ticks: narrow ? 5 : 9, nice: false },
    y: {
      label: "↑ Output tokens/s per chip", grid: true, tickFormat: "~s", ticks: 6, type: log ? "log" : "linear",
      domain: log ? [d3.min(points, (p) => p.y) * 0.8, d3.max(points, (p) => p.y) * 1.3] : [0, d3.max(points, (p) => p.y) * 1.1],
    },
  };
  const marks = [];
  if (target) {
    marks.push(Plot.rect([0], { x1: 0, x2: target, fill: SOFT, fillOpacity: 0.09 }));
    marks.push(Plot.ruleX([target], { stroke: INK, strokeWidth: 1.3, strokeDasharray: "5 4" }));
    const text = `target: ${figure(DATA.target.tpot_s * 1000)} ms a token`;
    const inside = target / right < 0.55;
    marks.push(Plot.text([target], { x: [target], frameAnchor: "top", dy: -10, dx: inside ? -2 : 2, textAnchor: inside ? "start" : "end", text: [`${text}${inside ? " →" : ""}`], fill: INK, fontWeight: 600 }));
  }
  for (const chip of chips) {
    const front = d3.sort(chip.pareto, (p) => p.x);
    const faint = chip.met ? 1 : 0.55;
    marks.push(Plot.line(front, { x: "x", y: "y", stroke: colour(chip), strokeWidth: 2, strokeOpacity: faint, curve: "monotone-x" }));
    marks.push(Plot.dot(front.filter((p) => !p.apart), { x: "x", y: "y", symbol: symbol(chip), r: 3.4, fill: colour(chip), fillOpacity: faint }));
    marks.push(Plot.dot(front.filter((p) => p.apart), { x: "x", y: "y", symbol: symbol(chip), r: 3.6, fill: PAPER, stroke: colour(chip), strokeWidth: 1.6 }));
    if (chip.best) {
      marks.push(Plot.link([chip.best], { x1: (p) => p.x_low ?? p.x, x2: (p) => p.x_high ?? p.x, y1: "y", y2: "y", stroke: colour(chip), strokeWidth: 1.4 }));
      marks.push(Plot.dot([chip.best], { x: "x", y: "y", r: 7.5, stroke: colour(chip), strokeWidth: 2.4 }));
      marks.push(Plot.dot([chip.best], { x: "x", y: "y", r: 3.4, symbol: symbol(chip), fill: chip.best.apart ? PAPER : colour(chip), stroke: colour(chip) }));
    }
  }
  const bare = Plot.plot({ ...base, marks });
  const sx = bare.scale("x"), sy = bare.scale("y");
  const frameOrigin = [base.marginLeft, base.marginTop];
  const size = narrow ? 12 : 13;
  const items = chips.map((chip) => {
    const at = chip.best || d3.greatest(chip.pareto, (p) => p.y);
    return { px: sx.apply(at.x), py: sy.apply(at.y), text: chip.met ? label(chip.name) : `${label(chip.name)} (fails)`, fill: colour(chip), gap: chip.best ? 13 : 9, must: true, frame: frameOrigin };
  });
  const dots = points.map((p) => [sx.apply(p.x), sy.apply(p.y)]);
  for (const chip of chips) {
    const front = d3.sort(chip.pareto, (p) => p.x);
    for (const [a, b] of d3.pairs(front)) for (const t of [0.25, 0.5, 0.75]) dots.push([sx.apply(a.x + (b.x - a.x) * t), sy.apply(a.y + (b.y - a.y) * t)]);
  }
  const room = { left: base.marginLeft + 2, right: width - 4, top: base.marginTop, bottom: base.height - base.marginBottom };
  marks.push(...labelMarks(placeLabels(items, room, dots, size, 650), size, 650, { x: sx, y: sy }));
  marks.push(Plot.tip(points, Plot.pointer({
    x: "x", y: "y", fill: PAPER, stroke: SOFT, maxRadius: 30,
    title: (p) => `${p.chip.name}, ${figure(p.chips)} chips\n${p.words}\n${figure(p.y)} tokens/s per chip\n${figure(p.x)} tokens/s per user (TPOT ${p.tpot})\nTTFT ${p.ttft} at ${figure(p.concurrency)} requests in flight`,
  })));
  return Plot.plot({ ...base, marks });
}
