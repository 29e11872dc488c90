/* One step as lanes of launches, on a canvas: thousands of blocks, moved and zoomed in time alone. */
const PHASES = { f: "forward", b: "backward", o: "optimizer" };
const TIMELINE = { view: d3.zoomIdentity, chip: null, zoom: null, node: null };
const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(name.slice(4, -1)).trim();

function timelinePlot(width) {
  const line = CHOSEN.chip.timeline;
  document.querySelector(".zoom").hidden = !line;
  document.getElementById("left-out").textContent = line && line.left_out ? `The ${figure(line.left_out)} shortest launches are not drawn.` : "";
  if (!line) return message("No launches were kept for a timeline.");
  if (TIMELINE.chip !== CHOSEN.chip) { TIMELINE.chip = CHOSEN.chip; TIMELINE.view = d3.zoomIdentity; }
  const head = 20, lane = 46, foot = 24, height = head + line.lanes.length * lane + foot;
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const canvas = document.createElement("canvas");
  canvas.width = width * ratio; canvas.height = height * ratio;
  canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  const whole = d3.scaleLinear([0, line.us], [0, width]);
  const fills = Object.fromEntries([...new Set(line.launches.map((l) => l[4]))].map((bound) => [bound, paint(boundFill(bound))]));
  const ink = paint(INK), soft = paint(SOFT), rule = paint(RULE), on = paint("var(--on-b)"), tint = paint("var(--tint)");
  const family = getComputedStyle(document.body).fontFamily;
  const phases = [];
  for (const [, start, took, , , , , phase] of line.launches) {
    const last = phases[phases.length - 1];
    if (last && last.phase === phase) last.end = Math.max(last.end, start + took); else phases.push({ phase, start, end: start + took });
  }
  const draw = () => {
    const x = TIMELINE.view.rescaleX(whole);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `11.5px ${family}`; pen.textBaseline = "middle";
    for (const { phase, start, end } of phases) {
      const left = Math.max(0, x(start)), right = Math.min(width, x(end));
      if (right - left < 3) continue;
      pen.fillStyle = rule; pen.fillRect(left, head - 4, right - left - 1, 2);
      const name = PHASES[phase] || "";
      if (pen.measureText(name).width < right - left - 6) { pen.fillStyle = soft; pen.fillText(name, left + 2, head - 13); }
    }
    line.lanes.forEach((name, i) => {
      pen.fillStyle = tint; pen.fillRect(0, head + i * lane + 14, width, lane - 18);
      pen.fillStyle = soft; pen.fillText(name, 2, head + i * lane + 7);
    });
    for (const [at, start, took, op, bound] of line.launches) {
      const left = x(start), right = x(start + took);
      if (right < 0 || left > width) continue;
      const top = head + at * lane + 14, wide = Math.max(0.35, right - left - (right - left > 3 ? 0.6 : 0));
      pen.fillStyle = fills[bound]; pen.fillRect(left, top, wide, lane - 18);
      if (wide > 26) {
        const from = Math.max(left, 0) + 4, room = Math.min(right, width) - from - 3;
        const text = cutTo(line.ops[op], room, 11.5);
        if (text) { pen.fillStyle = on; pen.fillText(text, from, top + (lane - 18) / 2); }
      }
    }
    const most = x.domain()[1] - x.domain()[0], [factor, name] = most >= 2e6 ? [1e-6, "s"] : most >= 2e3 ? [1e-3, "ms"] : [1, "us"];
    pen.fillStyle = soft; pen.textAlign = "center";
    const ticks = x.ticks(Math.max(3, Math.floor(width / 110)));
    const places = Math.max(0, -Math.floor(Math.log10((ticks[1] - ticks[0] || 1) * factor) + 1e-9));
    for (const tick of ticks) {
      const at = x(tick);
      pen.fillRect(at, height - foot + 1, 0.8, 5);
      const text = `${(tick * factor).toFixed(places)} ${name}`, half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.max(half, Math.min(width - half, at)), height - foot + 15);
    }
    pen.textAlign = "start"; pen.fillStyle = ink;
  };
  const zoom = d3.zoom().scaleExtent([1, Math.max(8, line.us / 4)]).translateExtent([[0, 0], [width, height]]).extent([[0, 0], [width, height]])
    .filter((event) => (event.type === "wheel" ? event.ctrlKey || event.metaKey : !event.button))
    .on("zoom", (event) => { TIMELINE.view = event.transform; draw(); });
  const node = d3.select(canvas);
  node.call(zoom).call(zoom.transform, TIMELINE.view).on("pointermove pointerdown", (event) => tell(line, canvas, whole, head, lane, event));
  TIMELINE.zoom = zoom; TIMELINE.node = node;
  draw();
  return canvas;
}

/* What lies under the pointer, in words below the plot. */
function tell(line, canvas, whole, head, lane, event) {
  const [px, py] = d3.pointer(event, canvas);
  const us = TIMELINE.view.rescaleX(whole).invert(px), at = Math.floor((py - head) / lane);
  const slack = line.us / TIMELINE.view.k / canvas.clientWidth;
  const hit = line.launches.find(([where, start, took]) => where === at && us >= start - slack && us <= start + took + slack);
  const words = document.getElementById("tell");
  if (!hit) { words.textContent = "\u00a0"; return; }
  const [, start, took, op, bound, module, place] = hit;
  words.textContent = [line.ops[op], line.modules[module], line.places[place], `${seconds(took / 1e6)}, from ${seconds(start / 1e6)}`, `bound by ${bound}`].filter(Boolean).join(" · ");
}

function startZoom() {
  const by = { in: (node) => TIMELINE.zoom.scaleBy(node, 3), out: (node) => TIMELINE.zoom.scaleBy(node, 1 / 3), all: (node) => node.call(TIMELINE.zoom.transform, d3.zoomIdentity) };
  for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => TIMELINE.node && by[button.dataset.zoom](TIMELINE.node));
}
