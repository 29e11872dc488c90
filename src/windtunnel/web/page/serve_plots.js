/* The last minutes, a line or an area a backend. */
function overMinutes(width, height, y, marks) {
  const end = now.now, from = Math.max(Math.min(end - 30, d3.min(history(), (h) => h.t) ?? end), end - 600);
  const narrow = width < 560;
  return Plot.plot({
    width, height, marginLeft: 58, marginRight: 12, marginTop: 12, marginBottom: 38, style: { fontSize: "12px" },
    x: { domain: [from - end, 0], ticks: narrow ? 4 : 6, label: "Seconds before now →", labelAnchor: "right" },
    y: { grid: true, ticks: 4, label: null, ...y },
    marks: [...marks, Plot.ruleY([0], { stroke: SOFT })],
  });
}

const nothing = () => message("Nothing was measured yet.");

function timePlot(key) {
  return (width) => {
    if (!now) return nothing();
    const points = history().flatMap((h) => now.backends.map((b) => ({ t: h.t - now.now, name: b.name, of: h.backends[b.name] })))
      .filter((p) => p.of).map((p) => ({ t: p.t, name: p.name, measured: p.of.measured[key] ?? NaN, predicted: p.of.predicted[key] ?? NaN }));
    const target = now.fleet.targets[key];
    const most = d3.max(points, (p) => Math.max(p.measured || 0, p.predicted || 0));
    if (!most) return nothing();
    const line = (field, more) => Plot.line(points, { x: "t", y: field, z: "name", stroke: (p) => paint(p.name), strokeWidth: 1.8, ...more });
    const marks = [line("predicted", { strokeDasharray: "5 4" }), line("measured", {})];
    if (target && target <= most * 4) marks.push(Plot.ruleY([target], { stroke: "var(--bad)", strokeDasharray: "2 3" }), Plot.text([target], { y: (d) => d, frameAnchor: "right", text: () => "target", dy: -7, textAnchor: "end", fill: "var(--bad)" }));
    const top = Math.max(most, target && target <= most * 4 ? target : 0) * 1.1;
    return overMinutes(width, 200, { domain: [0, top], tickFormat: (s) => (s ? trimmed(s) : "0") }, marks);
  };
}

function flightNow(width) {
  if (!now) return nothing();
  const points = history().flatMap((h) => {
    let top = 0;
    return now.backends.map((b) => ({ t: h.t - now.now, name: b.name, y1: top, y2: (top += h.backends[b.name]?.in_flight || 0) }));
  });
  const most = Math.max(1, d3.max(points, (p) => p.y2) || 0);
  const marks = [Plot.areaY(points, { x: "t", y1: "y1", y2: "y2", z: "name", fill: (p) => paint(p.name), curve: "step-after" })];
  return overMinutes(width, 180, { domain: [0, most * 1.05], tickFormat: (n) => (Number.isInteger(n) ? short(n) : "") }, marks);
}
