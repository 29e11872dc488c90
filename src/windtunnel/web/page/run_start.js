/* Order of the page; everything below the choice of a chip follows it. */
const CHOSEN = { chip: DATA.chips.find((chip) => chip.step) || DATA.chips[0] };
document.body.classList.add("scripted");
fillMarks();
boundLegend();
frame("bounds", boundsPlot);

function follow() {
  for (const part of ["operators", "modules", "lines", "memory", "timeline"]) document.getElementById(`${part}-title`).textContent = CHOSEN.chip.findings[part];
  for (const section of document.querySelectorAll("[data-timed]")) section.hidden = section.querySelector("#bounds") ? !DATA.chips.some((chip) => chip.step) : !CHOSEN.chip.step;
  for (const block of document.querySelectorAll("[data-of]")) block.hidden = Number(block.dataset.of) !== CHOSEN.chip.place;
}
follow();
const redraw = [frame("operators", operatorsPlot), frame("modules", modulesPlot), frame("memory", memoryPlot), frame("held", heldPlot), frame("timeline", timelinePlot)];
startZoom();

const select = document.getElementById("of-chip");
select.replaceChildren(...DATA.chips.map((chip) => new Option(chip.name, String(chip.place), false, chip === CHOSEN.chip)));
select.parentElement.hidden = DATA.chips.length < 2;
select.addEventListener("change", () => { CHOSEN.chip = DATA.chips[Number(select.value)]; follow(); for (const draw of redraw) draw(); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw[4]());
document.body.dataset.ready = "yes";
