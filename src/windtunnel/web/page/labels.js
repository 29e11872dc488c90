/* Direct labels: each goes where it covers least, near the point that it names. */
const ruler = document.createElement("canvas").getContext("2d");

function textWidth(text, size, weight) {
  ruler.font = `${weight || 400} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

const SPOTS = [[1, 0], [-1, 0], [0, -1], [0, 1], [0.8, -0.9], [0.8, 0.9], [-0.8, -0.9], [-0.8, 0.9]];

/* items: {px, py, text, gap}, the important first; box: {left, right, top, bottom} in pixels; dots: [px, py, radius] to stay clear of.
   Returns the items that found room, with the left edge and the middle of their text; `must` items always find some; `occupied` rectangles are left free. */
function placeLabels(items, box, dots, size, weight, occupied = []) {
  const taken = [...occupied];
  const placed = [];
  for (const item of items) {
    const w = textWidth(item.text, size, weight), h = size * 1.25;
    let best = null;
    for (const far of [1, 2, 3.2, 4.6]) {
      for (const [sx, sy] of SPOTS) {
        const reach = (item.gap || 9) * far;
        const left = sx > 0 ? item.px + reach * sx : sx < 0 ? item.px + reach * sx - w : item.px - w / 2;
        const top = item.py + sy * (reach + h * 0.45) - h / 2;
        const rect = [left, top, left + w, top + h];
        const outside = rect[0] < box.left || rect[2] > box.right || rect[1] < box.top || rect[3] > box.bottom;
        const over = taken.filter((t) => rect[0] < t[2] && rect[2] > t[0] && rect[1] < t[3] && rect[3] > t[1]).length;
        const on = dots.filter(([x, y, r = 2.5]) => x > rect[0] - r && x < rect[2] + r && y > rect[1] - r && y < rect[3] + r).length;
        const cost = (outside ? 1000 : 0) + over * 400 + on * 6 + far * 3;
        if (!best || cost < best.cost) best = { cost, rect, far };
      }
    }
    if (best.cost >= 400 && !item.must) continue;
    taken.push(best.rect);
    placed.push({ ...item, left: best.rect[0], right: best.rect[2], middle: (best.rect[1] + best.rect[3]) / 2, far: best.far });
  }
  return placed;
}

/* Text marks at pixel places, with a halo in the paper's colour; a label that lies far from its point gets a thin line to it.
   `scales` turn pixels back into data for the line. */
function labelMarks(placed, size, weight, scales) {
  const lines = placed.filter((label) => label.far > 1.5).map((label) => {
    const x = Math.max(label.left, Math.min(label.right, label.px)), y = label.middle + Math.sign(label.py - label.middle) * size * 0.55;
    const edge = Math.abs(label.py - label.middle) < size ? [label.px < label.left ? label.left - 2 : label.right + 2, label.middle] : [x, y];
    const length = Math.hypot(edge[0] - label.px, edge[1] - label.py) || 1, skip = Math.max(0, Math.min(1, (label.gap - 5) / length));
    const from = [label.px + (edge[0] - label.px) * skip, label.py + (edge[1] - label.py) * skip];
    return Plot.link([0], { x1: scales.x.invert(from[0]), y1: scales.y.invert(from[1]), x2: scales.x.invert(edge[0]), y2: scales.y.invert(edge[1]), stroke: label.fill || SOFT, strokeWidth: 0.9 });
  });
  const texts = placed.map((label) => Plot.text([0], {
    frameAnchor: "top-left", text: [label.text], textAnchor: "start", lineAnchor: "middle", fontSize: size, fontWeight: weight || 400,
    dx: label.left - label.frame[0], dy: label.middle - label.frame[1], fill: label.fill || INK, stroke: PAPER, strokeWidth: 3.5,
  }));
  return [...lines, ...texts];
}
