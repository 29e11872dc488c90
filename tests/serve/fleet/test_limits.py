"""What holds a fleet's load: circuits, queues, budgets, draining; and accounts that say what clients saw."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ClientSession, ClientTimeout
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.fleet.fake import QUICK, Fake, Running, ask, body, entry, fleet, text_of
from tests.serve.fleet.test_lying import GOOD, raw
from windtunnel.serve.door.accounts import Accounts
from windtunnel.serve.door.door import Door
from windtunnel.serve.fleet.breaker import LEAST, LONGEST_OPEN_S, Breaker
from windtunnel.serve.fleet.budget import A_SECOND, MOST_SAVED, RetryBudget
from windtunnel.serve.fleet.file import BackendEntry, Limits
from windtunnel.serve.fleet.router import Router
from windtunnel.serve.server import serve


def test_a_circuit_opens_after_failures_in_a_row_and_is_tried_once_at_a_time() -> None:
    breaker = Breaker(after=3, share=0.5, open_s=1.0)
    assert [breaker.failed(0.0), breaker.failed(0.0), breaker.failed(0.0)] == [False, False, True]
    assert (breaker.state(0.5), breaker.lets(0.5)) == ("open", False)
    assert (breaker.state(1.0), breaker.lets(1.0)) == ("half-open", True)
    breaker.taken(1.0)
    assert not breaker.lets(1.0)  # one trial
    breaker.dropped()
    assert breaker.lets(1.0)
    breaker.taken(1.0)
    assert breaker.failed(1.0)
    assert (breaker.lets(2.9), breaker.lets(3.0)) == (False, True)  # twice as long
    breaker.taken(3.0)
    breaker.succeeded()
    assert breaker.state(3.0) == "closed"
    assert not breaker.failed(4.0)  # and counts from nothing


def test_a_trial_whose_answer_begins_lets_others_in_before_it_ends() -> None:
    breaker = Breaker(after=3, share=0.5, open_s=1.0)
    _ = [breaker.failed(0.0) for _ in range(3)]
    assert not breaker.began()  # of an answer from before it opened
    breaker.taken(1.0)
    assert breaker.began()
    assert (breaker.state(1.0), breaker.lets(1.0)) == ("closed", True)
    assert breaker.failed(2.0)  # the failures before it are not forgotten yet
    assert (breaker.lets(3.9), breaker.lets(4.0)) == (False, True)


def test_a_trial_that_takes_long_stands_in_nobodys_way() -> None:
    breaker = Breaker(after=1, share=0.5, open_s=1.0)
    breaker.failed(0.0)
    breaker.taken(1.0)
    again = 1.0 + LONGEST_OPEN_S
    assert breaker.until() == again  # when a queue is woken
    assert (breaker.lets(again - 0.1), breaker.lets(again)) == (False, True)
    breaker.taken(again)
    assert not breaker.lets(again + 0.1)  # one more, and not all
    breaker.succeeded()  # the first, after all
    assert breaker.state(again + 0.1) == "closed"


def test_a_circuit_opens_for_a_share_of_failures_and_at_once_where_nobody_listens() -> None:
    breaker = Breaker(after=100, share=0.5, open_s=1.0)
    opened = []
    for _ in range(LEAST // 2):
        breaker.succeeded()
        opened.append(breaker.failed(0.0))
    assert opened == [False] * (LEAST // 2 - 1) + [True]
    assert Breaker(5, 0.5, 1.0).failed(0.0, at_once=True)


@given(st.lists(st.sampled_from(["taken", "dropped", "succeeded", "failed", "wait"]), max_size=60))
def test_a_circuit_always_lets_somebody_try_again(steps: list[str]) -> None:
    breaker, now = Breaker(2, 0.5, 1.0), 0.0
    for step in steps:
        if step == "wait":
            now += 1.0
        elif step == "failed":
            breaker.failed(now)
        elif step == "taken":
            if breaker.lets(now):
                breaker.taken(now)
        else:
            getattr(breaker, step)()
    assert breaker.lets(now + LONGEST_OPEN_S)


def test_retries_have_a_budget() -> None:
    now = [0.0]
    budget = RetryBudget(0.5, lambda: now[0])
    assert sum(budget.take() for _ in range(1000)) == MOST_SAVED
    for _ in range(10):
        budget.request()
    assert [budget.take() for _ in range(6)] == [True] * 5 + [False]
    now[0] += 1.0
    assert sum(budget.take() for _ in range(100)) == A_SECOND


def test_a_back_end_that_fails_is_left_alone_and_comes_back() -> None:
    async def run() -> None:
        fakes = {"bad": Fake(raw(body(500, b""))), "good": Fake()}
        more = {"good": {"price_per_h": 1e6}}
        async with fleet(fakes, entries=more, break_after=3, break_for=0.2) as running:
            for _ in range(20):
                assert (await running.streamed(ask()))[0] == 200
            assert len(fakes["bad"].asked) <= 6
            assert (await running.status())["backends"][0]["state"] == "broken"
            fakes["bad"].answer = fakes["good"].answer
            await asyncio.sleep(1.0)
            for _ in range(20):
                assert (await running.streamed(ask()))[0] == 200
            assert (await running.status())["backends"][0]["circuit"] == "closed"

    asyncio.run(run())


def test_a_full_fleet_lets_some_wait_and_refuses_the_rest_with_a_time() -> None:
    async def run() -> None:
        fake = Fake(gap_s=0.1)
        async with fleet({"a": fake}, entries={"a": {"most_in_flight": 2}}, queue=3) as running:

            async def one() -> tuple[int, str | None, Any]:
                async with running.post(ask(max_tokens=3, stream=True)) as answer:
                    return answer.status, answer.headers.get("Retry-After"), await answer.read()

            found = await asyncio.gather(*(one() for _ in range(9)))
            assert Counter(status for status, _, _ in found) == {200: 5, 429: 4}
            refused = [(told, json.loads(text)["error"]) for status, told, text in found if status == 429]
            assert all(told and int(told) >= 1 for told, _ in refused)
            assert refused[0][1]["code"] == "queue_full"
            assert running.router.admission.waiting == running.router.admission.in_flight == 0
        async with fleet({"a": fake}, most_in_flight=1, queue_time=0.1) as running:
            found = await asyncio.gather(*(one() for _ in range(2)))
            assert sorted(status for status, _, _ in found) == [200, 503]

    asyncio.run(run())


def test_a_request_waits_for_a_back_end_that_comes_back() -> None:
    async def run() -> None:
        fake = Fake()
        async with fleet({"a": fake}, queue_time=5.0, break_for=0.1) as running:
            await fake.stop()
            waiting = asyncio.create_task(running.streamed(ask()))
            await asyncio.sleep(0.3)
            await fake.start()
            assert (await waiting)[0] == 200

    asyncio.run(run())


def test_a_model_that_a_silent_back_end_may_have_is_asked_for_again_and_not_unknown() -> None:
    router = Router([BackendEntry("a", "url", "http://a", model="m"), BackendEntry("b", "url", "http://b")], Limits())
    refusal = router._unknown("x")
    assert (refusal.status, refusal.headers()["Retry-After"]) == (503, "2")
    assert str(refusal) == "the model 'x' is not served yet; b has not said what it has"
    router.endpoints["b"].names = {"y": "y"}
    assert router._unknown("x").status == 404


def test_a_busy_back_end_is_given_the_quiet_that_it_asks_for() -> None:
    async def run() -> None:
        busy = Fake(raw(body(429, {"error": {"message": "slow down"}}, Retry_After="1")))
        async with fleet({"busy": busy, "idle": Fake()}, entries={"idle": {"price_per_h": 1e6}}) as running:
            for _ in range(10):
                assert (await running.streamed(ask()))[0] == 200
            assert len(busy.asked) == 1
            assert (await running.status())["backends"][0]["circuit"] == "closed"
        async with fleet({"busy": busy}, queue_time=0.5) as running, running.post(ask()) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            assert (await answer.json())["error"]["message"] == "slow down"

    asyncio.run(run())


def test_a_drained_back_end_ends_what_it_has_and_takes_no_more() -> None:
    async def run() -> None:
        fakes = {"a": Fake(gap_s=0.05), "b": Fake(gap_s=0.05)}
        async with fleet(fakes) as running:
            under_way = [asyncio.create_task(running.streamed(ask(max_tokens=8))) for _ in range(6)]
            await asyncio.sleep(0.1)
            assert fakes["a"].open
            async with running.post({}, "/fleet/backends/a/drain") as answer:
                assert (await answer.json())["state"] == "draining"
            before = len(fakes["a"].asked)
            assert [(await running.streamed(ask(max_tokens=2)))[0] for _ in range(5)] == [200] * 5
            assert len(fakes["a"].asked) == before
            found = await asyncio.gather(*under_way)
            assert all(len(text_of(events).split()) == 8 for _, events in found)
            async with running.post({}, "/fleet/backends/a/resume") as answer:
                assert (await answer.json())["state"] == "up"
            async with running.post({}, "/fleet/backends/x/drain") as answer:
                assert answer.status == 404
                assert "there are a, b" in (await answer.json())["error"]["message"]

    asyncio.run(run())


@pytest.mark.parametrize("stream", [True, False])
def test_accounts_say_what_clients_saw(tmp_path: Path, stream: bool) -> None:
    async def run() -> None:
        file = tmp_path / "accounts.jsonl"
        fakes = {"a": Fake(gap_s=0.001), "b": Fake(raw(GOOD)), "c": Fake(raw(body(502, b""))), "d": Fake(raw(b""))}
        seen: Counter[str] = Counter()
        async with fleet(
            fakes, door=Door(accounts=Accounts(file)), break_after=1000, break_share=1.0, retry_share=9.0
        ) as running:

            async def one(n: int) -> None:
                told = ask(f"words {n}", max_tokens=1 + n % 5, stream=stream)
                if n % 10 == 0:
                    told["model"] = "unknown"
                async with running.post(told) as answer:
                    text = (await answer.read()).decode()
                seen[f"status {answer.status}"] += 1
                if not stream and answer.status == 200:
                    seen["tokens"] += json.loads(text)["usage"]["completion_tokens"]
                elif answer.status == 200:
                    events = [json.loads(event[6:]) for event in text.split("\n\n")[:-2]]
                    seen["tokens"] += len(text_of(events).split())
                    seen["broken"] += "error" in events[-1]

            for start in range(0, 60, 6):
                await asyncio.gather(*(one(n) for n in range(start, start + 6)))
        records = [json.loads(line) for line in file.read_text().splitlines()]
        assert len(records) == 60
        assert len({record["id"] for record in records}) == 60
        assert sum(record["completion_tokens"] or 0 for record in records) == seen["tokens"]
        broken = [record for record in records if record["finish"] == "error"]
        assert len(broken) == seen["broken"]
        whole = [record for record in records if record["status"] == 200]
        assert len(whole) == seen["status 200"] - seen["broken"]
        assert all(record["backend"] == "a" and record["attempts"] >= 1 and record["prompt_tokens"] == 7 for record in whole)
        assert sum(record["status"] == 404 for record in records) == seen["status 404"] == 6

    asyncio.run(run())


def test_told_to_stop_it_ends_what_is_under_way_and_sends_the_queue_away() -> None:
    async def run() -> None:
        fake = Fake(gap_s=0.02)
        await fake.start()
        router = Router([entry("a", fake, most_in_flight=1)], Limits(**{**QUICK, "queue_time": 10.0}))
        stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(router.app(), "127.0.0.1", 0, address.set_result, stop=stop, grace_s=10.0))
        async with ClientSession(timeout=ClientTimeout(total=20)) as session:
            running = Running(await address, router, session)
            first = asyncio.create_task(running.streamed(ask(max_tokens=20)))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(running.streamed(ask(max_tokens=20)))
            await asyncio.sleep(0.1)
            assert router.admission.waiting == 1
            stop.set()
            status, events = await second
            assert (status, events[0]["error"]["code"]) == (503, "overloaded")
            status, events = await first
            assert (status, len(text_of(events).split())) == (200, 20)
            await serving
            with pytest.raises(ClientConnectorError):
                await running.status()
        await fake.stop()

    asyncio.run(run())
