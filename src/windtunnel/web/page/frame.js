"use strict";
/* What every plot shares: the data, colours and marks, drawing anew when the width changes, and errors that show. */
window.addEventListener("error", (event) => { document.body.dataset.error = String(event.message || event.error); });

const DATA = JSON.parse(document.querySelector('script[type="application/json"]').textContent);
const SYMBOLS = [d3.symbolCircle, d3.symbolSquare, d3.symbolTriangle, d3.symbolDiamond, d3.symbolStar, d3.symbolWye, d3.symbolCross];
const INK = "var(--ink)", SOFT = "var(--soft)", RULE = "var(--rule)", PAPER = "var(--paper)";

/* Eight colours and seven marks, so that 56 chips differ in one or the other. */
const colour = (chip) => `var(--c${chip.place % 8})`;
const symbol = (chip) => SYMBOLS[chip.place % SYMBOLS.length];

/* A name that is longer than a plot has room for is cut; tables and tips keep it whole. */
const label = (name) => (name.length > 30 ? `${name.slice(0, 28)}…` : name);

const short = d3.format(".3~s");
const figure = (value) => (value >= 1000 ? d3.format(",.0f")(value) : d3.format(value >= 100 ? ".0f" : ".3~g")(value));
const percent = (share, places = 0) => `${d3.format(`.${places}f`)(100 * share)} %`;
const unit = (value, name) => { const [, digits, prefix] = short(value).match(/^([-\d.]+)(.*)$/); return `${digits} ${prefix}${name}`; };

const frames = [];

/* Draws `make(width)`, a node or null, into #id, and again whenever the box gets another width. */
function frame(id, make) {
  const box = document.getElementById(id);
  let last = 0;
  const draw = (force) => {
    const width = Math.floor(box.clientWidth);
    if (!width || (!force && width === last)) return;
    last = width;
    try {
      const node = make(width);
      box.replaceChildren(node || message("Nothing to draw: no chip has these figures."));
      const svg = box.querySelector("svg, canvas");
      if (svg) { svg.setAttribute("role", "img"); svg.setAttribute("aria-label", box.dataset.label); box.dataset.drawn = String(width); }
    } catch (problem) {
      document.body.dataset.error = `${id}: ${problem.message}`;
      box.replaceChildren(message("This plot could not be drawn; the tables hold its numbers.", "problem"));
    }
  };
  new ResizeObserver(() => draw(false)).observe(box);
  draw(true);
  frames.push(draw);
  return () => draw(true);
}

function message(text, kind) {
  const p = document.createElement("p");
  p.textContent = text;
  p.className = kind || "unknown";
  return p;
}

/* The marks beside the chips' names in tables, the same as in the plots. */
function fillMarks() {
  for (const mark of document.querySelectorAll(".chip .mark")) {
    const place = Number(mark.parentElement.dataset.place);
    const svg = d3.create("svg:svg").attr("viewBox", "-7 -7 14 14").attr("aria-hidden", "true");
    svg.append("path").attr("d", d3.symbol(SYMBOLS[place % SYMBOLS.length], 105)());
    mark.replaceChildren(svg.node());
  }
}
