/* Order of the page; what there is nothing to show of is left out. */
const stageNames = [...DATA.stages].reverse().map((stage) => stage.kind);
for (const list of document.querySelectorAll(".stage-legend")) legend(list, stageNames, (name) => PHASE_FILL[name]);
const phaseNames = PHASES.filter((name) => DATA.phases.some((row) => row.pieces.some((p) => p.kind === name)));
for (const list of document.querySelectorAll(".phase-legend")) legend(list, phaseNames, (name) => PHASE_FILL[name]);
if (HELD.length > 1) legend(document.getElementById("kv-legend"), HELD.map((pool) => pool.name), (name) => HELD.find((pool) => pool.name === name).fill);

if (document.getElementById("latency")) frame("latency", latencyPlot);
if (DATA.carried_per_s) {
  const item = document.createElement("li"), swatch = document.createElement("i");
  swatch.className = "line carried";
  item.append(swatch, `could be carried, about ${figure(DATA.carried_per_s)}`);
  document.getElementById("rates-legend").append(item);
}
frame("flight", flightPlot);
frame("rates", ratesPlot);
document.getElementById("kv-figure").hidden = !HELD.length;
if (HELD.length) frame("kv", kvPlot);
document.getElementById("down-figure").hidden = !FAILED;
if (FAILED) frame("down", downPlot);
if (document.getElementById("whole")) { frame("whole", phasesPlot("whole")); frame("first", phasesPlot("first")); }

const gaps = d3.pairs(DATA.moments).map(([a, b]) => b.t - a.t);
const drained = DATA.last_arrival_s > 0 && DATA.last_arrival_s / END < 0.985;
document.getElementById("time-note").textContent = `Looked at every ${seconds(d3.median(gaps) || 0).replace(/\.0+ /, " ")}; a narrow screen shows means of several looks.${drained ? " Shaded: after the last arrival." : ""}`;
window.addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
document.body.dataset.ready = "yes";
