/* Time by module: an icicle, the program on top, each module above what it contains. */
function modulesPlot(width) {
  const chip = CHOSEN.chip;
  if (!chip.modules) return message("No step was finished, so no module's share can be told.");
  const outside = { name: "outside any module", path: "outside any module: the program itself, losses, the optimizer", s: chip.modules.s, bound: chip.modules.bound, children: [] };
  const whole = { ...chip.modules, s: 0, bound: "", children: outside.s ? [...chip.modules.children, outside] : chip.modules.children };
  const root = d3.hierarchy(whole, (node) => node.children).sum((node) => node.s).sort((a, b) => b.value - a.value);
  if (!root.value) return message("No module was told of.");
  const row = 30, depth = Math.min(root.height + 1, 9);
  d3.partition().size([width, (root.height + 1) * row])(root);
  const svg = d3.create("svg:svg").attr("width", width).attr("height", depth * row).attr("viewBox", `0 0 ${width} ${depth * row}`);
  /* what bounds most of a module: its own time and that of all it contains */
  const bound = (node) => {
    const sums = d3.rollup(node.descendants().filter((d) => d.data.bound), (all) => d3.sum(all, (d) => d.data.s), (d) => d.data.bound);
    return d3.greatest(sums, ([, s]) => s)?.[0] || "";
  };
  const cells = svg.selectAll("g").data(root.descendants().filter((node) => node.depth < depth && node.x1 - node.x0 >= 1)).join("svg:g");
  cells.append("svg:rect").attr("x", (d) => d.x0).attr("y", (d) => d.y0).attr("width", (d) => Math.max(0.6, d.x1 - d.x0 - 1)).attr("height", row - 2).attr("rx", 2)
    .attr("fill", (d) => boundFill(bound(d))).attr("fill-opacity", (d) => (d.depth === 0 ? 0.32 : d.children ? 0.55 : 0.92));
  const name = (d) => (d.depth === 0 ? `the whole ${chip.kind}` : d.data.name);
  cells.append("svg:text").attr("x", (d) => d.x0 + 6).attr("y", (d) => d.y0 + row / 2).attr("dy", "0.28em").attr("font-size", 12.5)
    .attr("fill", (d) => (d.children || d.depth === 0 ? "var(--ink)" : "var(--on-b)")).attr("pointer-events", "none")
    .text((d) => {
      const room = d.x1 - d.x0 - 10, share = percent(d.value / chip.step);
      const both = `${name(d)}  ${share}`;
      return room < 14 ? "" : textWidth(both, 12.5) <= room ? both : cutTo(name(d), room, 12.5);
    });
  cells.append("svg:title").text((d) => `${d.data.path || "the whole program"}\n${seconds(d.value)}, ${percent(d.value / chip.step, 1)} of a ${chip.kind}${d.children && d.data.s ? `\n${seconds(d.data.s)} of it its own` : ""}`);
  return svg.node();
}
