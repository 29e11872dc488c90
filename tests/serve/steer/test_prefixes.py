"""What each lane is thought to hold, against a list that is kept the plain way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from windtunnel.serve.steer.prefixes import Prefixes

prompts = st.tuples(st.integers(0, 3), st.integers(0, 6))


def chain(which: int, segments: int) -> tuple[int, ...]:
    """Prompts of one kind begin alike; those of two kinds share nothing."""
    return tuple(100 * which + i for i in range(segments))


@given(st.lists(st.tuples(st.sampled_from((1, 2, 4)), prompts), max_size=40), prompts)
def test_held_is_what_was_used_last(uses: list[tuple[int, tuple[int, int]]], asked: tuple[int, int]) -> None:
    room = 8  # segments of ten tokens
    prefixes, plain = Prefixes(), {1: list[int](), 2: list[int](), 4: list[int]()}
    for lane, prompt in uses:
        segments = chain(*prompt)
        prefixes.use(lane, segments, 10, 10 * room)
        kept = [s for s in plain[lane] if s not in segments] + list(reversed(segments))
        plain[lane] = kept[-room:]
    segments = chain(*asked)
    held = prefixes.held(segments, 7)
    for lane, kept in plain.items():
        count = next((i for i, s in enumerate(segments) if s not in kept), len(segments))
        assert held.get(lane, 0) == count
        assert prefixes.tokens(lane) == 10 * len(kept)


def test_a_lane_that_is_cleared_leaves_the_others() -> None:
    prefixes = Prefixes()
    for lane in (1, 2):
        prefixes.use(lane, (7, 8, 9), 10, 100.0)
    prefixes.clear(1)
    assert prefixes.held((7, 8, 9), 3) == {2: 3}
    assert prefixes.tokens(1) == 0
    prefixes.clear(2)
    assert not prefixes._lanes  # nothing is kept of what nobody holds
