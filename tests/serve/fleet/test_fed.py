"""What steering is told of answers, and what keys are charged: the tokens of one answer, whatever form it comes in."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientTimeout

from tests.serve.fleet.fake import Fake, ask, chunk, fleet, head, part, usage_chunk
from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.door.accounts import Accounts
from windtunnel.serve.door.door import Door
from windtunnel.serve.fleet.asked import read_asked
from windtunnel.serve.fleet.endpoint import MOST_A_PIECE, Endpoint
from windtunnel.serve.fleet.file import BackendEntry, Limits

STEPS, GAP_S = 40, 0.01


def in_pieces(of_tokens: int) -> Any:
    """An engine that sends so many tokens in each event, and counts them right."""

    async def answer(fake: Fake, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        answers = asked.get("n", 1)
        writer.write(head(200, "text/event-stream", Transfer_Encoding="chunked"))
        for step in range(STEPS):
            await asyncio.sleep(GAP_S)
            for _ in range(answers):
                writer.write(part(chunk("m", "word " * of_tokens, "stop" if step == STEPS - 1 else None)))
            await writer.drain()
        writer.write(part(usage_chunk("m", 7, answers * (STEPS * of_tokens + 1))))
        writer.write(part(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    return answer


@pytest.mark.parametrize(("of_tokens", "answers"), [(1, 1), (1, 4), (3, 1)])
def test_the_time_per_token_is_that_of_one_answer(of_tokens: int, answers: int) -> None:
    async def run() -> None:
        async with fleet({"a": Fake(in_pieces(of_tokens))}) as running:
            for n in range(3):
                status, _ = await running.streamed(ask(f"words {n}", n=answers))
                assert status == 200
            steering = running.router.steering
            (*_, told), learned = steering._traffic["a"].learned.tpots, steering._answers["m", 0]
            assert told[1] == pytest.approx(GAP_S / of_tokens, rel=0.35)
            # a mean that began at 256 and has seen three answers of so many tokens
            assert learned == pytest.approx(256 + (1 - 0.97**3) * (STEPS * of_tokens + 1 - 256), rel=1e-6)

    asyncio.run(run())


def test_tokens_of_a_piece_are_believed_within_bounds() -> None:
    endpoint = Endpoint(BackendEntry("a", "url", "http://a"), Limits())
    assert endpoint.tokens_a_piece == 1.0
    endpoint.streamed(1, 2)  # one word, and the token that ends it
    assert endpoint.tokens_a_piece == 1.0
    endpoint.streamed(100, 251)
    assert endpoint.tokens_a_piece == 2.5
    for _ in range(100):
        endpoint.streamed(100, 1 << 39)  # a lie
    assert endpoint.tokens_a_piece <= MOST_A_PIECE
    for _ in range(200):
        endpoint.streamed(100, 0)
    assert endpoint.tokens_a_piece == 1.0


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_is_charged_though_its_client_leaves_before_the_first_token(tmp_path: Path, stream: bool) -> None:
    async def run() -> None:
        file = tmp_path / "accounts.jsonl"
        async with fleet({"a": Fake(gap_s=5.0)}, door=Door(accounts=Accounts(file))) as running:
            with pytest.raises(TimeoutError):
                async with running.post(ask("four" * 100, stream=stream), timeout=ClientTimeout(total=0.2)):
                    pass
            await asyncio.sleep(0.2)
        (record,) = (json.loads(line) for line in file.read_text().splitlines())
        assert (record["status"], record["finish"], record["prompt_tokens"]) == (499, "left", 102)

    asyncio.run(run())


def test_who_leaves_within_an_answer_is_charged_what_was_seen_of_it(tmp_path: Path) -> None:
    """Of one that does not stream that is nothing but its prompt, as docs/serve-safety.md has it."""

    async def run() -> None:
        file, fake = tmp_path / "accounts.jsonl", Fake()
        async with fleet({"a": fake}, door=Door(accounts=Accounts(file))) as running:
            for stream, fake.gap_s in ((True, 0.2), (False, 5.0)):
                with pytest.raises(TimeoutError):
                    async with running.post(ask(max_tokens=100, stream=stream), timeout=ClientTimeout(total=0.7)) as answer:
                        await answer.read()
                await asyncio.sleep(0.2)
        streamed, whole = (json.loads(line) for line in file.read_text().splitlines())
        assert streamed["finish"] == whole["finish"] == "left"
        assert streamed["prompt_tokens"] == whole["prompt_tokens"] > 0
        assert 1 <= streamed["completion_tokens"] <= 3
        assert whole["completion_tokens"] is None

    asyncio.run(run())


def test_times_that_nobody_could_see_are_not_told() -> None:
    async def run() -> None:
        async with fleet({"a": Fake(gap_s=0.01)}) as running:
            async with running.post(ask("words")) as answer:
                assert answer.status == 200
            (told,) = (await running.status())["backends"]
            assert told["requests"] == 1
            assert told["measured"] == told["predicted"] == {"ttft_s": None, "tpot_s": None}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("field", "value", "tokens"),
    [
        ("prompt", "abcd" * 10, 10),
        ("prompt", ["abcd" * 10] * 1024, 10 * 1024),
        ("prompt", [[1, 2, 3], [4, 5]], 5),
        ("prompt", [1, 2, 3], 3),
        ("input", ["abcd" * 10] * 5000, 10 * 5000),
        ("input", [[1, 2, 3], [4, 5]], 5),
    ],
)
def test_every_prompt_of_a_request_counts_for_its_key(field: str, value: Any, tokens: int) -> None:
    body = json.dumps({"model": "m", field: value}).encode()
    assert read_asked(body, "completion" if field == "prompt" else "embeddings").prompt_tokens == tokens


@pytest.mark.parametrize("more", [{"prompt": ["a"] * 1025}, {"prompt": "a", "n": 1025}, {"prompt": ["a"] * 33, "n": 32}])
def test_answers_beyond_the_limit_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="more than 1,024 answers"):
        read_asked(json.dumps({"model": "m", **more}).encode(), "completion")
