/* Achieved FLOP/s against arithmetic intensity, one chip at a time. */
let roofChip = DATA.chips.find((chip) => chip.operators.length) || null;

const roofName = (peak) => `${peak.dtype}: ${unit(peak.flops_per_s, "FLOP/s")}`;
const decades = (from, to) => d3.range(Math.ceil(Math.log10(from)), Math.floor(Math.log10(to)) + 1).map((e) => 10 ** e);

function rooflinePlot(width) {
  const chip = roofChip;
  if (!chip) return null;
  const narrow = width < 560;
  const dots = chip.operators.filter((op) => op.x > 0 && op.y > 0);
  const band = chip.roofs.bytes_per_s;
  const peaks = chip.roofs.peaks;
  const top = d3.max([...peaks.map((p) => p.flops_per_s), ...dots.map((op) => op.y)]);
  const ridge = band && peaks.length ? d3.max(peaks, (p) => p.flops_per_s) / band : 1;
  const x0 = Math.min(0.5, d3.min(dots, (op) => op.x) * 0.6), x1 = Math.max(ridge * 6, d3.max(dots, (op) => op.x) * (narrow ? 14 : 5));
  const y0 = Math.min(d3.min(dots, (op) => op.y) * 0.5, band ? band * x0 * 0.9 : Infinity), y1 = top * 3;
  const base = {
    width, height: narrow ? 380 : 470, marginLeft: narrow ? 46 : 56, marginRight: 14, marginTop: 28, marginBottom: 42, style: { fontSize: "12px" },
    x: { type: "log", domain: [x0, x1], label: "Arithmetic intensity, FLOP per byte moved →", labelAnchor: "right", tickFormat: figure, ticks: decades(x0, x1) },
    y: { type: "log", domain: [y0, y1], label: "↑ Achieved FLOP/s", grid: true, tickFormat: short, ticks: decades(y0, y1) },
    r: { type: "identity" },
  };
  const area = (share) => Math.max(2.6, Math.sqrt(share) * (narrow ? 19 : 26));
  const marks = [];
  const roofText = { fill: SOFT, fontSize: 11.5, stroke: PAPER, strokeWidth: 3 };
  if (band && peaks.length) marks.push(Plot.line([[x0, band * x0], [ridge, band * ridge]], { stroke: INK, strokeWidth: 1.6 }));
  else if (band) marks.push(Plot.line([[x0, band * x0], [y1 / band, y1]], { stroke: INK, strokeWidth: 1.6, clip: true }));
  peaks.forEach((peak) => {
    const from = band ? peak.flops_per_s / band : x0;
    marks.push(Plot.link([peak], { x1: from, x2: x1, y1: peak.flops_per_s, y2: peak.flops_per_s, stroke: INK, strokeWidth: 1.6 }));
    marks.push(Plot.text([peak], { x: x1, y: peak.flops_per_s, text: [roofName(peak)], textAnchor: "end", dy: -8, ...roofText }));
  });
  const decode = dots.filter((op) => op.phase !== "prefill"), prefill = dots.filter((op) => op.phase === "prefill");
  marks.push(Plot.dot(prefill, { x: "x", y: "y", r: (op) => area(op.share), stroke: colour(chip), strokeWidth: 1.8, fill: PAPER, fillOpacity: 0.35 }));
  marks.push(Plot.dot(decode, { x: "x", y: "y", r: (op) => area(op.share), fill: colour(chip), fillOpacity: 0.72, stroke: PAPER, strokeWidth: 0.8 }));

  const bare = Plot.plot({ ...base, marks });
  const sx = bare.scale("x"), sy = bare.scale("y");
  if (band) {
    const angle = -(Math.atan2(sy.apply(1) - sy.apply(10), sx.apply(10) - sx.apply(1)) * 180) / Math.PI;
    const at = Math.sqrt(x0 * Math.min(ridge, y1 / band)) * (narrow ? 1 : 0.6);
    marks.push(Plot.text([at], { x: [at], y: [band * at], text: [`memory: ${unit(band, "B/s")}`], rotate: angle, dx: -7, dy: -9, ...roofText }));
  }
  const items = [...decode, ...prefill].filter((op) => op.share >= 0.03).sort((a, b) => b.share - a.share).slice(0, narrow ? 5 : 14).map((op) => ({
    px: sx.apply(op.x), py: sy.apply(op.y), text: `${label(op.name)} ${percent(op.share)}`, gap: area(op.share) + 4, frame: [base.marginLeft, base.marginTop],
  }));
  /* the roofs themselves, their names and the dots are in the way of labels */
  const spread = dots.map((op) => [sx.apply(op.x), sy.apply(op.y), area(op.share)]);
  for (const peak of peaks) for (let px = sx.apply(band ? peak.flops_per_s / band : x0); px < width; px += 16) spread.push([px, sy.apply(peak.flops_per_s)]);
  const roofs = peaks.map((peak) => [width - 14 - textWidth(roofName(peak), 11.5), sy.apply(peak.flops_per_s) - 16, width, sy.apply(peak.flops_per_s)]);
  const room = { left: base.marginLeft + 2, right: width - 4, top: base.marginTop + 4, bottom: base.height - base.marginBottom };
  marks.push(...labelMarks(placeLabels(items, room, spread, 11.5, 500, roofs), 11.5, 500, { x: sx, y: sy }));
  marks.push(Plot.tip(dots, Plot.pointer({
    x: "x", y: "y", fill: PAPER, stroke: SOFT, maxRadius: 30,
    title: (op) => `${op.name} (${op.phase})\n${percent(op.share, 1)} of the step, ${op.time}\nbound by ${op.bound}\n${unit(op.y, "FLOP/s")} at ${figure(op.x)} FLOP/byte\n${op.evidence}`,
  })));
  return Plot.plot({ ...base, marks });
}

function startRoofline() {
  const select = document.getElementById("roof-chip"), title = document.getElementById("roof"), note = document.getElementById("off-roof");
  const shown = DATA.chips.filter((chip) => chip.operators.length);
  select.replaceChildren(...shown.map((chip, i) => new Option(chip.name, String(i))));
  select.parentElement.hidden = shown.length < 2;
  const tell = () => {
    if (!roofChip) { title.textContent = "Roofline: no deployment was chosen"; return; }
    title.textContent = roofChip.finding;
    const lost = roofChip.off_roof.map((o) => `${percent(o.share)} of ${o.phase}`).join(" and ");
    const unknown = roofChip.roofs.bytes_per_s && roofChip.roofs.peaks.length ? "" : " Not every peak of this chip is known, so its roof is not whole.";
    note.textContent = (lost ? `Not shown: collectives and other work without FLOPs, ${lost}.` : "") + unknown;
  };
  tell();
  const redraw = frame("roofline", rooflinePlot);
  select.addEventListener("change", () => { roofChip = shown[Number(select.value)]; tell(); redraw(); });
}
