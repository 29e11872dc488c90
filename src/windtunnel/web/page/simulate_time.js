/* The fleet over time: all plots share one axis. */
const END = Math.max(d3.max(DATA.moments, (m) => m.t), 1e-6);
const [TIME_FACTOR, TIME_UNIT] = END >= 3 * 3600 ? [1 / 3600, "hours"] : END >= 600 ? [1 / 60, "minutes"] : [1, "s"];
const at = (t) => t * TIME_FACTOR;
const HELD = [{ key: "kv_prefill", name: "prefill", fill: "var(--s-prefill)" }, { key: "kv", name: DATA.apart ? "decode" : "all instances", fill: "var(--s-decode)" }].filter((pool) => DATA.moments.some((m) => pool.key in m));

const FAILED = DATA.moments.some((m) => m.down);

function overTime(width, height, y, marks, last) {
  const narrow = width < 560;
  return Plot.plot({
    width, height: height + (last ? 24 : 0), marginLeft: narrow ? 42 : 52, marginRight: 14, marginTop: 16, marginBottom: last ? 42 : 20, style: { fontSize: "12px" },
    x: { domain: [0, at(END)], ticks: narrow ? 4 : 8, label: last ? `Time, ${TIME_UNIT} →` : null, labelAnchor: "right" },
    y: { grid: true, ticks: 4, label: null, ...y },
    marks: [...drain(), ...marks, Plot.ruleY([0], { stroke: SOFT })],
  });
}

/* After the last arrival the fleet only empties. */
function drain() {
  const share = DATA.last_arrival_s / END;
  return share > 0 && share < 0.985 ? [Plot.rect([0], { x1: at(DATA.last_arrival_s), x2: at(END), fill: SOFT, fillOpacity: 0.1 })] : [];
}

/* Where there are more moments than a plot has room for, the means of as many as share a place. */
function blurred(width, stages) {
  const size = Math.ceil((DATA.moments.length * 2.2) / width);
  if (size < 2) return DATA.moments;
  return d3.range(0, DATA.moments.length, size).map((i) => {
    const some = DATA.moments.slice(i, i + size);
    return { t: some[0].t, ...Object.fromEntries(stages.map((s) => [s.field, d3.mean(some, (m) => m[s.field] || 0)])) };
  });
}

const clock = (t) => `${figure(at(t))} ${TIME_UNIT}`;

function flightPlot(width) {
  const stages = DATA.stages;
  if (!stages.length) return message("No request was in flight at any of the moments that were kept.");
  const moments = blurred(width, stages);
  const layers = moments.flatMap((m) => {
    let top = 0;
    return stages.map((stage) => ({ stage, t: at(m.t), y1: top, y2: (top += m[stage.field] || 0) }));
  });
  const most = d3.max(layers, (l) => l.y2) || 1;
  const marks = stages.map((stage) => Plot.areaY(layers.filter((l) => l.stage === stage), { x: "t", y1: "y1", y2: "y2", fill: PHASE_FILL[stage.kind], curve: "step-after" }));
  marks.push(Plot.tip(moments, Plot.pointerX({
    x: (m) => at(m.t), y: (m) => d3.sum(stages, (s) => m[s.field] || 0), fill: PAPER, stroke: SOFT,
    title: (m) => [clock(m.t), ...[...stages].reverse().map((s) => `${figure(m[s.field] || 0)} ${s.kind}`)].join("\n"),
  })));
  return overTime(width, 240, { domain: [0, most * 1.05], tickFormat: (n) => (Number.isInteger(n) ? short(n) : "") }, marks);
}

function ratesPlot(width) {
  if (!DATA.rates.length) return message("The run was too short for rates.");
  const steps = (i) => [...DATA.rates.map((r) => [r[0], r[i]]), [DATA.rates[DATA.rates.length - 1][1], DATA.rates[DATA.rates.length - 1][i]]];
  const line = (i, fill) => Plot.line(steps(i), { x: (p) => at(p[0]), y: (p) => p[1], stroke: fill, strokeWidth: 1.7, curve: "step-after" });
  const marks = [line(2, "var(--c1)"), line(3, "var(--c0)")];
  const most = Math.max(d3.max(DATA.rates, (r) => Math.max(r[2], r[3])), DATA.carried_per_s || 0) || 1;
  if (DATA.carried_per_s) {
    marks.push(Plot.ruleY([DATA.carried_per_s], { stroke: "var(--bad)", strokeWidth: 1.4, strokeDasharray: "5 4" }));
  }
  marks.push(Plot.tip(DATA.rates, Plot.pointerX({
    x: (r) => at((r[0] + r[1]) / 2), y: (r) => r[2], fill: PAPER, stroke: SOFT,
    title: (r) => `${clock(r[0])} to ${clock(r[1])}\n${figure(r[2])} requests/s arrive\n${figure(r[3])} requests/s are answered`,
  })));
  return overTime(width, 190, { domain: [0, most * 1.08] }, marks, !HELD.length && !FAILED);
}

function kvPlot(width) {
  const marks = HELD.map((pool) => Plot.line(DATA.moments, { x: (m) => at(m.t), y: (m) => 100 * m[pool.key], stroke: pool.fill, strokeWidth: 1.7 }));
  marks.push(Plot.tip(DATA.moments, Plot.pointerX({
    x: (m) => at(m.t), y: (m) => 100 * (m.kv ?? m.kv_prefill), fill: PAPER, stroke: SOFT,
    title: (m) => [clock(m.t), ...HELD.map((pool) => `${pool.name}: ${percent(m[pool.key], 1)}`)].join("\n"),
  })));
  return overTime(width, 170, { domain: [0, 104], ticks: [0, 25, 50, 75, 100], tickFormat: (p) => `${p} %` }, marks, !FAILED);
}

function downPlot(width) {
  const most = d3.max(DATA.moments, (m) => m.down || 0);
  return overTime(width, 110, { domain: [0, most + 0.3], ticks: d3.range(0, most + 1, Math.ceil(most / 4)), tickFormat: "d" },
    [Plot.areaY(DATA.moments, { x: (m) => at(m.t), y: (m) => m.down || 0, fill: "var(--s-lost)", fillOpacity: 0.75, curve: "step-after" })], true);
}
