"""Text of tokens as they come: whole characters, stops over several tokens, the two kinds of vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from windtunnel.serve.engine.stops import overlap
from windtunnel.serve.engine.text import Spelling, speller_of

BYTES = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": [b"<0x%02X>" % i for i in range(256)]}
spell_byte = speller_of({**BYTES, "tokenizer.ggml.token_type": [6] * 256})


def said(tokens: Sequence[int], stops: Sequence[str] = (), cuts: Sequence[int] = ()) -> tuple[str, bool]:
    """The text of tokens that come in pieces."""
    assert spell_byte is not None
    spelling = Spelling(spell_byte, stops)
    ends = sorted({0, len(tokens), *(cut % (len(tokens) + 1) for cut in cuts)})
    text = "".join(spelling.add(tokens[a:b]) for a, b in pairwise(ends)) + spelling.end()
    return text, spelling.stopped


@given(st.text(), st.lists(st.integers(0, 1000)))
def test_text_comes_as_it_is_however_it_is_cut(text: str, cuts: list[int]) -> None:
    raw = text.encode("utf-8", "replace")
    assert said(list(raw), cuts=cuts) == (raw.decode(), False)


@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 99)),
)
def test_it_ends_before_the_first_stop(text: str, stops: list[str], cuts: list[int]) -> None:
    # the stop that is whole first ends it: pieces that come later cannot be known
    ends = [(at + len(stop), at) for stop in stops for at in [text.find(stop)] if at >= 0]
    found, stopped = said(list(text.encode()), stops, range(len(text)))
    assert stopped == bool(ends)
    assert found == (text[: min(at for end, at in ends if end == min(ends)[0])] if ends else text)
    assert said(list(text.encode()), stops, cuts)[1] == stopped


def test_half_a_character_waits_and_a_broken_one_is_marked() -> None:
    assert spell_byte is not None
    spelling = Spelling(spell_byte)
    first, second = "é".encode()
    assert (spelling.add([first]), spelling.add([second]), spelling.add([first]), spelling.end()) == ("", "é", "", "\ufffd")


def vocabulary(model: str, tokens: list[bytes], kinds: list[int]) -> Callable[[int], bytes]:
    values = {"tokenizer.ggml.model": model, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds}
    found = speller_of(values)
    assert found is not None
    return found


def test_the_two_kinds_of_vocabulary() -> None:
    bpe = vocabulary("gpt2", ["Ġwind".encode(), "ÃĹ".encode(), b"<|end|>"], [1, 1, 3])
    assert [bpe(0), bpe(1), bpe(2), bpe(9)] == [b" wind", "×".encode(), b"", b""]
    assert vocabulary("llama", ["▁wind".encode()], [1])(0) == b" wind"
    assert speller_of({"tokenizer.ggml.model": "wordpiece", "tokenizer.ggml.tokens": [b"a"]}) is None


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=4))
def test_what_is_held_back_is_the_longest_beginning_of_a_stop(text: str, word: str) -> None:
    begins = [size for size in range(1, len(word)) if text.endswith(word[:size])]
    assert overlap(text, word) == max(begins, default=0)
