"""From tokens to text: whole characters, stop strings, calls of tools."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.engine.transformers.tiny import TEMPLATE, tiny_tokenizer
from windtunnel.serve.engine.transformers.text import Said, calls_tools

TOKENIZER: Any = tiny_tokenizer()
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'


def ids(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def say(text: str, stops: Sequence[str] = (), *, calls: bool = False) -> list[str | Mapping[str, Any]]:
    said = Said(TOKENIZER.backend_tokenizer, ids("hello"), stops, calls=calls)
    found: list[str | Mapping[str, Any]] = []
    for token in ids(text):
        found += said.add(token)
        if said.stopped:
            break
    return found + said.end()


def text_of(found: list[str | Mapping[str, Any]]) -> str:
    return "".join(one for one in found if isinstance(one, str))


def calls_of(found: list[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [call for one in found if not isinstance(one, str) for call in one["tool_calls"]]


@given(st.text(max_size=60), st.booleans())
def test_text_comes_out_as_it_went_in(text: str, calls: bool) -> None:
    """Whatever is no call stays as it is; a byte that is no whole character is never shown."""
    if "<|" in text:
        return
    found = say(text, ("\x00never\x00",), calls=calls)
    assert text_of(found) == text
    assert all(found)


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=3))
def test_text_ends_before_the_first_stop(text: str, stop: str) -> None:
    assert text_of(say(text, (stop,))) == text.partition(stop)[0]


def test_the_earliest_of_several_stops_holds() -> None:
    assert text_of(say("the wind blows", ("blows", "wind", "x"))) == "the "


def test_what_could_become_a_stop_is_held_back() -> None:
    said = Said(TOKENIZER.backend_tokenizer, (), ("\n\nUser",))
    shown = [said.add(token) for token in ids("a\n\nUs and them")]
    assert text_of([piece for pieces in shown for piece in pieces]) == "a\n\nUs and them"
    assert shown[1] == []


def test_calls_are_told_apart_from_text() -> None:
    found = say(f"Let me look.\n{CALL}\n{CALL}", calls=True)
    assert text_of(found) == "Let me look.\n"
    one, two = calls_of(found)
    assert (one["index"], two["index"], one["type"]) == (0, 1, "function")
    assert one["id"] != two["id"]
    assert one["function"]["name"] == "weather"
    assert json.loads(one["function"]["arguments"]) == {"city": "Köln"}


def test_a_call_without_its_closing_tag_is_a_call() -> None:
    found = say(CALL.removesuffix("\n</tool_call>"), calls=True)
    assert text_of(found) == ""
    assert len(calls_of(found)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\n<function=weather>\n</function>\n</tool_call>",
        "<tool_call>[1]</tool_call>",
        '<tool_call>{"name": 3}</tool_call>',
        '<tool_call>{"name": "wea',
        "a < b, <tool",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    found = say(text, calls=True)
    assert text_of(found) == text
    assert not calls_of(found)


def test_calls_stay_text_where_no_tools_were_offered() -> None:
    assert text_of(say(CALL)) == CALL


def test_the_form_of_calls_is_read_from_the_template() -> None:
    assert calls_tools(TEMPLATE)
    assert not calls_tools("{% for m in messages %}{{ m.content }}{% endfor %}")
