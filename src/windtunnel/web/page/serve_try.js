/* A box to try the model: what streams in, and how fast it came. */
let under_way = null;

function offerModels() {
  const select = $("model"), names = now.fleet.models;
  if ([...select.options].map((o) => o.value).join("\n") === names.join("\n")) return;
  const kept = select.value;
  select.replaceChildren(...names.map((name) => { const o = element("option", name); o.value = name; return o; }));
  if (names.includes(kept)) select.value = kept;
}

/* The data of each event of a stream. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const whole = held.split(/\r?\n\r?\n/);
    held = whole.pop();
    for (const event of whole) {
      const data = event.split(/\r?\n/).filter((l) => l.startsWith("data:")).map((l) => l.slice(5).trim()).join("\n");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

async function send() {
  const said = $("said"), begun = performance.now();
  let first = null, last = null, pieces = 0, usage = null;
  under_way = new AbortController();
  $("send").disabled = true;
  $("stop").disabled = false;
  said.className = "";
  said.textContent = "";
  $("timing").textContent = "Waiting for the first token.";
  try {
    const response = await fetch("v1/chat/completions", {
      method: "POST", headers: { "Content-Type": "application/json" }, signal: under_way.signal,
      body: JSON.stringify({ model: $("model").value, messages: [{ role: "user", content: $("prompt").value }], max_tokens: Number($("most").value) || 128, stream: true, stream_options: { include_usage: true } }),
    });
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const event of events(response.body)) {
      if (event.error) throw new Error(event.error.message);
      usage = event.usage || usage;
      const delta = event.choices?.[0]?.delta || {};
      const text = (delta.reasoning_content || "") + (delta.content || "") + (delta.tool_calls ? JSON.stringify(delta.tool_calls) : "");
      if (!text) continue;
      last = performance.now();
      first = first ?? last;
      pieces += 1;
      said.textContent += text;
      said.scrollTop = said.scrollHeight;
      timing(begun, first, last, pieces, usage);
    }
    timing(begun, first, last, pieces, usage);
  } catch (problem) {
    if (problem.name === "AbortError") {
      $("timing").textContent += " Stopped.";
    } else {
      said.className = "problem";
      said.textContent += `${said.textContent ? "\n" : ""}${problem.message}`;
      $("timing").textContent = "";
    }
  }
  under_way = null;
  $("send").disabled = false;
  $("stop").disabled = true;
}

function timing(begun, first, last, pieces, usage) {
  if (first === null) { $("timing").textContent = "The answer is empty."; return; }
  const tokens = usage ? usage.completion_tokens : pieces;
  const each = tokens > 1 ? `, then a token every ${seconds((last - first) / 1000 / (tokens - 1))}` : "";
  $("timing").textContent = `First token after ${seconds((first - begun) / 1000)}${each}: ${count(tokens, "token")}${usage ? ` for a prompt of ${usage.prompt_tokens}` : ""}.`;
}

$("try").addEventListener("submit", (event) => { event.preventDefault(); if (!under_way) send(); });
$("stop").addEventListener("click", () => under_way?.abort());

redraw.push(frame("ttft", timePlot("ttft_s")), frame("tpot", timePlot("tpot_s")), frame("flight", flightNow));
ask();
