/* What the endpoint tells of itself, asked again and again. */
const EVERY_MS = 1000, OLD_MS = 600_000;
let now = null;

const $ = (id) => document.getElementById(id);
const trimmed = (s) => seconds(s).replace(/\.0+ /, " ").replace(/(\.\d*[1-9])0+ /, "$1 ");
const told = (s) => (s === null || s === undefined ? "none yet" : seconds(s));
const count = (n, one, many) => `${d3.format(",")(n)} ${n === 1 ? one : many || `${one}s`}`;
const place = (name) => now.backends.findIndex((b) => b.name === name);
const paint = (name) => `var(--c${place(name) % 8})`;
const middle = (spread) => (spread ? spread.p50 : null);
const mean = (spread) => (spread ? spread.mean : null);

function element(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function definitionsInto(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value, note]) => {
    const group = element("div"), what = element("dd", value);
    if (note) what.append(element("small", note));
    group.append(element("dt", name), what);
    return [group];
  }));
}

const since = (t) => {
  const s = now.now - t;
  return s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.round(s / 60)} minutes` : s < 172800 ? `${Math.round(s / 3600)} hours` : `${Math.round(s / 86400)} days`;
};

function answered() {
  const up = now.backends.filter((b) => b.state === "up"), not = now.backends.filter((b) => b.state !== "up");
  const flying = count(now.fleet.in_flight, "request"), made = `${figure(now.totals.tokens_per_s)} tokens/s`;
  if (now.fleet.draining) return [`The endpoint is closing; ${flying} still in flight.`, true];
  if (!up.length) return [now.backends.some((b) => b.state === "starting") ? "No backend answers yet." : "No backend answers.", true];
  const all = now.backends.length === 1 ? `${up[0].name} answers` : not.length ? `${up.length} of ${now.backends.length} backends answer` : up.length === 2 ? "Both backends answer" : `All ${up.length} backends answer`;
  return [`${all}: ${flying} in flight, ${made}.`, not.length > 0];
}

function explained() {
  const lines = now.backends.filter((b) => b.state !== "up").map((b) => `${b.name} is ${b.state}${b.why ? `: ${b.why}` : ""}.`);
  const { ttft_s, tpot_s } = now.fleet.targets;
  const late = now.backends.filter((b) => b.state === "up" && ((ttft_s && b.measured.ttft_s && b.measured.ttft_s.p50 > ttft_s) || (tpot_s && b.measured.tpot_s && b.measured.tpot_s.p50 > tpot_s)));
  if (late.length) lines.push(`${late.map((b) => b.name).join(" and ")} ${late.length === 1 ? "is" : "are"} slower than the targets.`);
  if (now.fleet.waiting) lines.push(`${count(now.fleet.waiting, "request waits", "requests wait")} for a backend with room.`);
  return lines.join(" ");
}

function cell(value, note, label, kind) {
  const made = element("td", value, kind || "n");
  made.dataset.label = label;
  if (note) made.append(element("small", note));
  return made;
}

function row(b) {
  const line = element("tr"), head = element("th"), swatch = element("span", "", "swatch");
  head.scope = "row";
  swatch.style.background = paint(b.name);
  head.append(swatch, b.name, element("small", [b.on, b.model === b.name ? null : b.model].filter(Boolean).join(" · ")));
  const state = element("td", undefined, "state-cell");
  state.append(element("span", b.state, `state ${b.state}`));
  if (b.why) state.append(element("small", b.why));
  const times = ["ttft", "tpot"].map((which) => {
    const key = `${which}_s`, target = now.fleet.targets[key], found = middle(b.measured[key]);
    const late = target && found !== null && found > target;
    return cell(told(found), b.predicted[key] === null ? "" : `${seconds(b.predicted[key])} predicted`, which.toUpperCase(), late ? "n late" : "n");
  });
  const most = b.most_in_flight ? `of ${d3.format(",")(b.most_in_flight)}` : "";
  line.append(
    head, state,
    cell(d3.format(",")(b.in_flight), most, "In flight"), cell(figure(b.tokens_per_s), "", "Tokens/s"), ...times,
    cell(d3.format(",")(b.requests), b.failed ? `${d3.format(",")(b.failed)} failed` : "", "Requests"),
    cell(b.price_per_h === null ? "not known" : figure(b.price_per_h), "", "Price per hour"),
  );
  return line;
}

const clockTime = (t) => new Date(t * 1000).toLocaleTimeString([], { hour12: false });

function showErrors() {
  const errors = [...now.errors].reverse();
  $("no-errors").hidden = errors.length > 0;
  $("errors-region").hidden = !errors.length;
  $("errors").replaceChildren(...errors.map((e) => {
    const line = element("tr");
    line.append(element("td", clockTime(e.t)), element("td", e.backend), element("td", e.message), element("td", e.done));
    return line;
  }));
}

/* The server's history, and what was seen since this page was opened, for endpoints that keep none. */
const seen = [];
function history() {
  const kept = now.history.map((h) => ({ t: h.t, backends: h.backends }));
  const last = kept.length ? kept[kept.length - 1].t : -Infinity;
  return [...kept, ...seen.filter((h) => h.t > last)];
}

function remember() {
  const backends = Object.fromEntries(now.backends.map((b) => [b.name, {
    in_flight: b.in_flight, predicted: b.predicted, measured: { ttft_s: mean(b.measured.ttft_s), tpot_s: mean(b.measured.tpot_s) },
  }]));
  seen.push({ t: now.now, backends });
  while (seen.length && (now.now - seen[0].t) * 1000 > OLD_MS) seen.shift();
}

const redraw = [];
function show() {
  const [line, bad] = answered();
  $("served").textContent = now.fleet.models.length ? now.fleet.models.join(", ") : "no model yet";
  document.title = `${now.fleet.models[0] || "windtunnel"}: ${now.backends.filter((b) => b.state === "up").length} of ${now.backends.length} up`;
  $("answer").textContent = line;
  $("lead").className = bad ? "lead bad" : "lead";
  $("runner").textContent = explained();
  const { ttft_s, tpot_s } = now.fleet.targets;
  definitionsInto($("facts"), [
    ["Address", `${location.origin}/v1`], ["Target TTFT", ttft_s ? trimmed(ttft_s) : "none"], ["Target TPOT", tpot_s ? trimmed(tpot_s) : "none"], ["Up for", since(now.since)],
  ]);
  definitionsInto($("totals"), [
    ["Requests", d3.format(",")(now.totals.requests)], ["Failed tries", d3.format(",")(now.totals.failed)], ["Sent again", d3.format(",")(now.totals.retried)], ["Tokens made", unit(now.totals.tokens, "")], ["Waiting", d3.format(",")(now.fleet.waiting)],
  ]);
  $("backends").replaceChildren(...now.backends.map(row));
  showErrors();
  offerModels();
  legend($("legend"), now.backends.map((b) => b.name), paint);
  for (const draw of redraw) draw();
}

async function ask() {
  try {
    const response = await fetch("fleet/status", { cache: "no-store" });
    if (!response.ok) throw new Error(response.status === 401 ? "this page needs a key: load it again and give one" : `the endpoint says ${response.status}`);
    now = await response.json();
    remember();
    show();
    document.body.dataset.ready = "yes";
  } catch (problem) {
    $("lead").className = "lead bad";
    $("answer").textContent = "The endpoint does not answer.";
    $("runner").textContent = now ? `Last heard of at ${clockTime(now.now)}. ${problem.message}` : problem.message;
  }
  setTimeout(ask, EVERY_MS);
}
