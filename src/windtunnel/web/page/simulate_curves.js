/* Which share of the requests took no longer: one curve a metric, time on a logarithmic axis, the share by its nines. */
const CURVE_FILL = { ttft: "var(--c1)", tpot: "var(--c0)", e2e: "var(--c5)" };
const SHORT = { ttft: "first token", tpot: "per token", e2e: "end to end" };
const nines = (share) => -Math.log10(1 - share);
/* As many figures as it takes to tell a share from all. */
const shareText = (share) => { const places = share > 0.9 && share < 1 ? Math.max(1, Math.ceil(nines(share) - 2.0001)) : 1; return `${d3.format(`.${places}~f`)(Math.floor(share * 100 * 10 ** places + 1e-6) / 10 ** places)} %`; };
const tidy = (s) => seconds(s).replace(/\.0+ /, " ");

function latencyPlot(width) {
  const curves = DATA.curves, narrow = width < 560;
  const points = curves.flatMap((c) => c.points.map(([s, share]) => ({ c, s, share, y: nines(share) })));
  const top = Math.max(2, d3.max(points, (p) => p.y));
  const targets = curves.filter((c) => c.target);
  const times = [...points.map((p) => p.s), ...targets.map((c) => c.target)];
  const domain = [d3.min(times) / 1.25, d3.max(times) * 1.35];
  const decades = d3.range(Math.ceil(Math.log10(domain[0])), Math.floor(Math.log10(domain[1])) + 1).map((e) => 10 ** e);
  const steps = (by) => decades.concat(decades[0] / 10 || []).flatMap((d) => by.map((k) => d * k)).filter((x) => x > domain[0] && x < domain[1]);
  const ticks = decades.length > 3 ? steps([1]) : decades.length > 1 && narrow ? steps([1]) : steps([1, 2, 5]);
  const shares = [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999].filter((s) => nines(s) <= top);
  const rows = targets.length * 17;
  const base = {
    width, height: (narrow ? 330 : 400) + rows, marginLeft: narrow ? 58 : 60, marginRight: 14, marginTop: 26 + rows, marginBottom: 42, style: { fontSize: "12px" },
    x: { type: "log", domain, ticks, tickFormat: tidy, label: "Time no longer than →", labelAnchor: "right" },
    y: { domain: [0, top * 1.03], ticks: shares.map(nines), tickFormat: (y) => shareText(1 - 10 ** -y), label: "↑ Share of requests", grid: true },
  };
  const marks = [Plot.ruleY([0], { stroke: SOFT })], texts = [];
  targets.forEach((c, i) => {
    const dy = -rows - 4 + 17 * i, inside = Math.log(c.target / domain[0]) / Math.log(domain[1] / domain[0]) < 0.5;
    const words = `${SHORT[c.key]}: target ${tidy(c.target)}${narrow ? "," : ", met by"} ${c.within}`;
    marks.push(Plot.ruleX([c.target], { stroke: CURVE_FILL[c.key], strokeWidth: 1.4, strokeDasharray: "2 3", insetTop: dy + 6 }));
    texts.push(Plot.text([words], { x: [c.target], frameAnchor: "top", dy, dx: inside ? -3 : 3, textAnchor: inside ? "start" : "end", text: (d) => d, fill: CURVE_FILL[c.key], fontWeight: 600, stroke: PAPER, strokeWidth: 4 }));
  });
  marks.push(...texts);
  for (const c of curves) {
    const own = points.filter((p) => p.c === c), firm = own.filter((p) => p.share <= c.firm_to), loose = own.slice(Math.max(firm.length - 1, 0));
    marks.push(Plot.line(firm, { x: "s", y: "y", stroke: CURVE_FILL[c.key], strokeWidth: 2.2 }));
    marks.push(Plot.line(loose, { x: "s", y: "y", stroke: CURVE_FILL[c.key], strokeWidth: 1.8, strokeDasharray: "4 4" }));
    const named = [0.5, 0.9, 0.99].filter((s) => s <= c.firm_to).map((s) => d3.least(own, (p) => Math.abs(p.y - nines(s))));
    marks.push(Plot.dot(named, { x: "s", y: "y", r: 3.6, fill: CURVE_FILL[c.key], stroke: PAPER }));
  }
  const bare = Plot.plot({ ...base, marks });
  const sx = bare.scale("x"), sy = bare.scale("y"), size = narrow ? 12 : 13;
  const items = curves.map((c) => {
    const at = d3.least(points.filter((p) => p.c === c), (p) => Math.abs(p.y - top * 0.42));
    return { px: sx.apply(at.s), py: sy.apply(at.y), text: narrow ? SHORT[c.key] : c.name, fill: CURVE_FILL[c.key], gap: 10, must: true, frame: [base.marginLeft, base.marginTop] };
  });
  const dots = curves.flatMap((c) => d3.pairs(points.filter((p) => p.c === c)).flatMap(([a, b]) => [0, 0.25, 0.5, 0.75].map((t) => [sx.apply(a.s) + (sx.apply(b.s) - sx.apply(a.s)) * t, sy.apply(a.y) + (sy.apply(b.y) - sy.apply(a.y)) * t])));
  for (const c of targets) for (let y = base.marginTop; y < base.height - base.marginBottom; y += 6) dots.push([sx.apply(c.target), y]);
  const room = { left: base.marginLeft + 2, right: width - 4, top: base.marginTop, bottom: base.height - base.marginBottom };
  marks.push(...labelMarks(placeLabels(items, room, dots, size, 650), size, 650, { x: sx, y: sy }));
  marks.push(Plot.tip(points, Plot.pointer({
    x: "s", y: "y", fill: PAPER, stroke: SOFT, maxRadius: 40,
    title: (p) => `${p.c.name}\n${shareText(p.share)} of ${figure(p.c.samples)} requests: at most ${seconds(p.s)}`,
  })));
  return Plot.plot({ ...base, marks });
}
