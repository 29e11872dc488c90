"""Who comes in, on both fronts: keys, limits, browsers; and what is written down of each request."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.door.served import Counting, Front, api, ask, at_the_door, fleet, raw, request
from windtunnel.errors import InvalidInputError
from windtunnel.serve import server
from windtunnel.serve.door.accounts import Accounts, last_day
from windtunnel.serve.door.address import is_loopback, names_this_machine
from windtunnel.serve.door.browser import read_origins
from windtunnel.serve.door.door import Door
from windtunnel.serve.door.keys import Key, digest
from windtunnel.serve.door.limits import Limits
from windtunnel.serve.door.visit import Record, new_visit

ONE, TWO = "wt-the-key-of-one-client", "wt-the-key-of-the-owner"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 4}
CHATS = "/v1/chat/completions"


@pytest.fixture(params=[api, fleet], ids=["api", "fleet"])
def front(request: pytest.FixtureRequest) -> Front:
    made: Front = request.param
    return made


def bearer(key: str = ONE) -> str:
    return f"Bearer {key}"


def basic(key: str) -> str:
    return f"Basic {base64.b64encode(f'me:{key}'.encode()).decode()}"


def keys(**limits: int) -> list[Key]:
    return [Key("one", digest(ONE), Limits(**limits)), Key("two", digest(TWO), admin=True)]


def test_only_keys_come_in(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    async def body(port: int) -> None:
        for given_ in (
            None,
            "Bearer",
            "Bearer ",
            bearer("wt-the-key-of-nobody"),
            f"Basic {ONE}",
            "Basic !!!",
            f"Digest {ONE}",
            ONE,
        ):
            sent = {} if given_ is None else {"Authorization": given_}
            for method, path, told in [("GET", "/v1/models", None), ("POST", CHATS, CHAT), ("POST", "/nothing", b"{")]:
                answer = await ask(port, method, path, told, **sent)
                assert answer.status == 401
                assert answer.error["type"] == "invalid_request_error"
                assert answer.error["code"] in (None, "invalid_api_key")
                assert answer.headers["www-authenticate"].startswith("bearer" if path.startswith("/v1") else "basic")
                assert "wt-" not in answer.body.decode()
        for given_ in (bearer(), f"bearer   {ONE}", basic(ONE)):
            assert (await ask(port, Authorization=given_)).status == 200
            assert (await ask(port, "POST", CHATS, CHAT, Authorization=given_)).status == 200
        assert (await ask(port, path="/health")).status == 200

    with caplog.at_level(logging.DEBUG):
        at_the_door(front, Door(keys()), body)
    assert "wt-" not in caplog.text


def test_the_official_client_is_told_as_openai_tells(front: Front) -> None:
    async def body(port: int) -> None:
        def client(key: str) -> Any:
            return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0)

        async with client("wt-another") as another:
            with pytest.raises(openai.AuthenticationError, match="the API key is not known here"):
                await another.models.list()
        async with client(ONE) as mine:
            await asked(mine)

    async def asked(mine: Any) -> None:
        answer = await mine.chat.completions.with_raw_response.create(**CHAT)
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
        assert answer.headers["x-ratelimit-remaining-requests"] == "1"
        assert answer.request_id.startswith("req_")
        stream = await mine.chat.completions.create(**CHAT, stream=True)
        assert [event async for event in stream]
        with pytest.raises(openai.RateLimitError, match="limit is 2 requests per minute") as error:
            await mine.chat.completions.create(**CHAT)
        assert error.value.code == "rate_limit_exceeded"
        assert 55 <= int(error.value.response.headers["retry-after"]) <= 61

    at_the_door(front, Door(keys(requests_per_min=2)), body)


def test_on_loopback_its_pages_are_open_and_off_it_they_are_not(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = ["/metrics", "/openapi.json"]

    async def near(port: int) -> None:
        for path in pages:
            assert (await ask(port, path=path)).status == 200
            assert (await ask(port, path=path, Host="evil.example")).status == 403
            assert (await ask(port, path=path, Host="evil.example", Authorization=bearer())).status == 200
        assert (await ask(port, "POST", "/metrics", b"")).status == 401
        assert (await ask(port, path="/v1/models")).status == 401

    async def far(port: int) -> None:
        for path in pages:
            refused = await ask(port, path=path)
            assert (refused.status, refused.headers["www-authenticate"][:6]) == (401, "basic ")
            assert (await ask(port, path=path, Authorization=basic(ONE))).status == 200
        assert (await ask(port, path="/health", Host="10.1.2.3")).status == 200

    at_the_door(front, Door(keys()), near)
    monkeypatch.setattr(server, "is_loopback", lambda host, port: False)
    at_the_door(front, Door(keys()), far)


def test_off_loopback_there_is_no_endpoint_without_a_key(front: Front) -> None:
    async def run() -> None:
        async with front(Counting()) as app:
            await server.serve(app, "0.0.0.0", 0, lambda url: None, door=Door())

    with pytest.raises(InvalidInputError, match=r"--host: 0\.0\.0\.0 is open to the network and asks for a key"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "127.0.0.1:1"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "app.localhost"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "evil.example:localhost"}, 403),
        ({"Host": "192.168.0.7"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://localhost:80:80"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "https://evil.example", "Host": "evil.example"}, 403),
    ],
)
def test_pages_of_others_may_not_ask_an_endpoint_without_a_key(said: dict[str, str], status: int) -> None:
    async def body(port: int) -> None:
        for method, told in (("GET", None), ("POST", CHAT)):
            answer = await ask(
                port, method, "/v1/models" if told is None else CHATS, told, **{"Content-Type": "text/plain", **said}
            )
            assert answer.status == status
            assert "access-control-allow-origin" not in answer.headers

    at_the_door(api, Door(), body)


def test_pages_that_were_let_in(front: Front) -> None:
    ours, theirs = "https://chat.example.com", "https://evil.example"

    async def body(port: int) -> None:
        asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
        may = await ask(port, "OPTIONS", CHATS, Origin=ours, **asks)
        assert (may.status, may.headers["access-control-allow-origin"]) == (204, ours)
        assert "authorization" in may.headers["access-control-allow-headers"]
        assert (await ask(port, "OPTIONS", CHATS, Origin=theirs, **asks)).status == 403
        answer = await ask(port, "POST", CHATS, CHAT, Origin=ours, Authorization=bearer())
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, ours)
        assert (answer.headers["vary"], "x-request-id" in answer.headers["access-control-expose-headers"]) == ("origin", True)
        assert (await ask(port, "POST", CHATS, CHAT, Origin=theirs, Authorization=bearer())).status == 403
        # a key that the browser remembers goes with any page's request
        assert (await ask(port, "POST", CHATS, CHAT, Origin=ours, Authorization=basic(ONE))).status == 403
        assert (await ask(port, "POST", CHATS, CHAT, Origin="http://localhost", Authorization=basic(ONE))).status == 200
        stream = await raw(port, request("POST", CHATS, {**CHAT, "stream": True}, Origin=ours, Authorization=bearer()))
        assert b"Access-Control-Allow-Origin: https://chat.example.com\r\n" in stream

    at_the_door(front, Door(keys(), origins=read_origins([ours.upper()])), body)


@pytest.mark.parametrize("said", ["chat.example.com", "https://chat.example.com/", "https://", "http://a?b", ""])
def test_what_is_no_origin(said: str) -> None:
    with pytest.raises(InvalidInputError, match=r"--cors: '.*' is no origin"):
        read_origins([said])


def test_only_an_admin_drains_and_only_where_keys_are_asked_for() -> None:
    drain = "/fleet/backends/a/drain"

    async def with_keys(port: int) -> None:
        assert (await ask(port, "POST", drain, b"")).status == 401
        refused = await ask(port, "POST", drain, b"", Authorization=bearer(ONE))
        assert (refused.status, refused.error["message"]) == (
            403,
            "the key 'one' may not do this; 'admin = true' in its table lets it",
        )
        assert (await ask(port, "POST", "/%66leet/backends/a/drain", b"", Authorization=bearer(ONE))).status == 403
        assert (await ask(port, "POST", drain, b"", Authorization=bearer(TWO))).status == 200
        assert (await ask(port, "POST", drain, b"", Authorization=basic(TWO), Origin="https://evil.example")).status == 403

    async def without(port: int) -> None:
        assert (await ask(port, "POST", drain, b"", Origin="https://evil.example")).status == 403
        assert (await ask(port, "POST", drain, b"")).status == 200

    at_the_door(fleet, Door(keys()), with_keys)
    at_the_door(fleet, Door(), without)


def test_a_crowd_gets_no_more_tokens_than_the_key_may_use(front: Front) -> None:
    """40 at once, each of 3 tokens (a fourth of its bytes, which the engine counts as words) and up to 20: 100 allow some."""
    door = Door(keys(tokens_per_min=100))

    async def body(port: int) -> None:
        answers = await asyncio.gather(
            *(ask(port, "POST", CHATS, {**CHAT, "max_tokens": 20}, Authorization=bearer()) for _ in range(40))
        )
        good = [json.loads(answer.body)["usage"]["total_tokens"] for answer in answers if answer.status == 200]
        assert 1 <= len(good) <= 4
        assert {answer.status for answer in answers} == {200, 429}
        allowance = door.allowances["one"]
        assert allowance.minute is not None
        assert (allowance.minute.used, allowance.held, allowance.in_flight) == (sum(good), 0, 0)
        assert sum(good) <= 100

    at_the_door(front, door, body, Counting(gap_s=0.002))


def test_every_request_is_written_down_with_what_it_came_to(front: Front, tmp_path: Path) -> None:
    file = tmp_path / "accounts.jsonl"
    door = Door(keys(most_in_flight=8), accounts=Accounts(file))
    seen: dict[str, tuple[int, int]] = {}

    async def body(port: int) -> None:
        for told in (CHAT, {**CHAT, "n": 2}, {**CHAT, "stream": True, "stream_options": {"include_usage": True}}):
            answer = await ask(port, "POST", CHATS, told, Authorization=bearer(), X_Request_Id="mine-1")
            text = answer.body.decode()
            usage = json.loads(text[text.rindex('"usage": ') + 9 : text.rindex("}}") + 1].rpartition("}")[0] + "}")
            seen[answer.headers["x-request-id"]] = (usage["prompt_tokens"], usage["completion_tokens"])
        await ask(port, "POST", CHATS, {**CHAT, "model": "nobody"}, Authorization=bearer(TWO), X_Request_Id="bad id")
        await ask(port, "POST", CHATS, CHAT, Authorization=bearer("wt-nobody"))  # not worth a line: anybody could fill the disk
        await ask(port, Authorization=bearer())
        page = (await ask(port, path="/metrics")).body.decode()
        made = sum(tokens for _, tokens in seen.values())
        assert f'windtunnel:key_tokens_total{{key="one",kind="completion"}} {float(made)}' in page
        assert 'windtunnel:key_requests_total{key="one",status="200"} 3.0' in page
        assert 'windtunnel:key_requests_total{key="two",status="404"} 1.0' in page
        assert "wt-" not in page

    at_the_door(front, door, body)
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert {record["id"]: (record["prompt_tokens"], record["completion_tokens"]) for record in records[:3]} == seen
    assert [(record["key"], record["status"], record["client_id"]) for record in records] == [
        *[("one", 200, "mine-1")] * 3,
        ("two", 404, None),
    ]
    assert [record["finish"] for record in records] == ["length", "length", "length", None]
    assert records[3]["error"] == "the model 'nobody' is not served here; served: m"
    assert all(list(record) == list(Record("", "").body()) for record in records)
    assert all((record["ttft_s"] or 0.0) <= record["whole_s"] < 5 for record in records[:3])
    assert records[2]["ttft_s"] > 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert "wt-" not in file.read_text()


def test_a_client_that_leaves_is_charged_what_was_made_for_it(front: Front, tmp_path: Path) -> None:
    door = Door(keys(tokens_per_min=100_000), accounts=Accounts(tmp_path / "accounts.jsonl"))

    async def body(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST", CHATS, {**CHAT, "max_tokens": 5000, "stream": True}, Authorization=bearer()))
        seen = b""
        while seen.count(b"data: ") < 6:
            seen += await reader.read(1000)
        writer.close()
        for _ in range(100):
            if not door.allowances["one"].in_flight:
                break
            await asyncio.sleep(0.02)

    at_the_door(front, door, body, Counting(gap_s=0.005))
    (record,) = [json.loads(line) for line in (tmp_path / "accounts.jsonl").read_text().splitlines()]
    assert (record["status"], record["finish"]) == (499, "left")
    assert 5 <= record["completion_tokens"] < 500
    allowance = door.allowances["one"]
    assert allowance.minute is not None
    assert allowance.minute.used == record["prompt_tokens"] + record["completion_tokens"]
    assert allowance.held == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_is_told_and_takes_nothing_down(caplog: pytest.LogCaptureFixture) -> None:
    async def body(port: int) -> None:
        for _ in range(3):
            assert (await ask(port, "POST", CHATS, CHAT)).status == 200
        assert "windtunnel:accounts_lost_total 3.0" in (await ask(port, path="/metrics")).body.decode()

    at_the_door(api, Door(accounts=Accounts(Path("/dev/full"))), body)
    assert caplog.text.count("/dev/full cannot be written: No space left on device") == 1


def test_half_a_line_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "accounts.jsonl"
    accounts, write = Accounts(file), os.write
    records = [new_visit({}, "/").record for _ in range(3)]
    accounts.write(records[0])
    monkeypatch.setattr(os, "write", lambda to, line: write(to, line[:20]))
    accounts.write(records[1])
    monkeypatch.setattr(os, "write", write)
    accounts.write(records[2])
    accounts.close()
    lines = file.read_text().splitlines()
    assert [json.loads(lines[0])["id"], json.loads(lines[2])["id"]] == [records[0].id, records[2].id]
    assert len(lines[1]) == 20
    assert (accounts.written, accounts.lost) == (2, 1)


def test_the_tokens_of_the_day_are_read_back_when_it_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windtunnel.serve.door.accounts.BLOCK_BYTES", 100)
    file, now_s = tmp_path / "accounts.jsonl", time.time()

    def record(ago_s: float, key: str, tokens: int) -> str:
        came = time.strftime("%Y-%m-%dT%H:%M:%S.500Z", time.gmtime(now_s - ago_s))
        return json.dumps({**Record(came, "req_1", key=key, prompt_tokens=tokens, completion_tokens=1, whole_s=0.5).body()})

    lines = [
        record(100_000, "one", 4000),
        record(90_000, "one", 2000),
        record(80_000, "one", 100),
        "torn {",
        record(60, "two", 500),
    ]
    file.write_text("\n".join([*lines, '{"time": 3}', record(50, "one", 30)]) + "\n")
    assert [(name, tokens) for _, name, tokens in last_day(file, now_s)] == [("one", 101), ("two", 501), ("one", 31)]
    assert last_day(tmp_path / "none", now_s) == []
    door = Door(keys(tokens_per_day=1000), accounts=Accounts(file))
    day = door.allowances["one"].day
    assert day is not None
    assert day.used == 132
    assert Door(keys(tokens_per_day=1000)).allowances["one"].headers()["x-ratelimit-remaining-tokens"] == "1000"

    async def body(port: int) -> None:
        assert (await ask(port, "POST", CHATS, {**CHAT, "max_tokens": 900}, Authorization=bearer())).status == 429
        answer = await ask(port, "POST", CHATS, CHAT, Authorization=bearer())
        assert (answer.status, answer.headers["x-ratelimit-limit-tokens"]) == (200, "1000")

    at_the_door(api, door, body)


def test_accounts_that_cannot_be_opened() -> None:
    with pytest.raises(InvalidInputError, match="--accounts: /nowhere/a cannot be written: No such file or directory"):
        Accounts(Path("/nowhere/a"))


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_machine_alone(host: str, near: bool) -> None:
    assert is_loopback(host) == near


def test_an_address_that_is_none() -> None:
    with pytest.raises(InvalidInputError, match=r"256\.1\.1\.1:80: cannot be listened on: "):
        is_loopback("256.1.1.1", 80)


@given(st.text(max_size=40))
def test_no_host_header_breaks_the_check(host: str) -> None:
    assert names_this_machine(host) in (True, False)
