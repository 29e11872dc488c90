"""Flags of an engine that are not passed on: what is refused, in what words, and what is left alone."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog.stack import stack
from windtunnel.errors import InvalidInputError
from windtunnel.serve.process import sglang, vllm
from windtunnel.serve.process.interpreter import Interpreter
from windtunnel.serve.process.launch import Wish
from windtunnel.serve.process.reserved import check_flags

HERE = Interpreter()
ENGINES = {"vllm": vllm.RESERVED, "sglang": sglang.RESERVED}
FULL = Wish("m", "n", tp=2, pp=2, dp=2, ep=4)
OVERRIDABLE = {"--device", "--attention-backend", "--enable-dp-attention"}
"""Written where the stack asks for them; of which the user may know better."""


@pytest.mark.parametrize(
    ("engine", "flags", "said"),
    [
        ("vllm", "--port 9000", "--port is not passed on: windtunnel chooses where the engine listens; --host and --port say"),
        ("vllm", "--uds=/tmp/x", "--uds is not passed on: windtunnel chooses where the engine listens"),
        ("vllm", "--enforce-eager --api-key s3cret", "--api-key is not passed on: clients ask windtunnel, and its --keys says"),
        ("vllm", "--api_key=s3cret", "--api_key (--api-key) is not passed on: "),
        ("vllm", "--api-k s3cret", "--api-k (--api-key) is not passed on: "),
        ("vllm", "--served-model-name x", "--served-model-name is not passed on: --name says it"),
        ("vllm", "-tp 4", "-tp is not passed on: --tp says it"),
        ("vllm", "-tp=4", "-tp is not passed on: --tp says it"),
        ("vllm", "--headless", "--headless is not passed on: windtunnel asks the engine over HTTP"),
        ("vllm", "--ssl-keyfile k.pem", "--ssl-keyfile is not passed on: windtunnel asks the engine on this machine; --tls-cert"),
        ("sglang", "--api-key s3cret", "--api-key is not passed on: clients ask windtunnel"),
        ("sglang", "--model other", "--model is not passed on: the model is MODEL of"),
        ("sglang", "--tp 4", "--tp (--tp-size) is not passed on: --tp says it"),
        ("sglang", "--grpc-mode", "--grpc-mode is not passed on: windtunnel asks the engine over HTTP"),
    ],
)
def test_what_would_keep_windtunnel_from_its_engine_is_refused_with_the_option_to_use(engine: str, flags: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        check_flags(flags.split(), ENGINES[engine])
    assert str(refused.value).startswith(f"--engine-flags: {said}")
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("engine", "flags"),
    [
        ("vllm", "--enable-auto-tool-choice --tool-call-parser hermes --max-model-len auto --data-parallel-size-local 1 -O3"),
        ("vllm", "--chat-template port --speculative-config.model x --seed -1 -- -"),
        ("sglang", "--tool-call-parser qwen25 --attention-backend triton --tp-lm-head x --model-impl auto --grpc-port 1"),
    ],
)
def test_other_flags_are_passed_on(engine: str, flags: str) -> None:
    check_flags(flags.split(), ENGINES[engine])


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish("m", context=4096, flags=("--max-model-len", "auto")), "--max-model-len is not passed on: --context says it"),
        (Wish("m", running=8, flags=("--max-num-seqs=9",)), "--max-num-seqs is not passed on: --parallel says it"),
    ],
)
def test_what_an_option_says_is_not_said_by_a_flag_too(wish: Wish, said: str) -> None:
    def launch(asked: Wish) -> None:
        vllm.launch(HERE, stack("cpu"), "vllm", asked, 1, {}, 1.0)

    with pytest.raises(InvalidInputError) as refused:
        launch(wish)
    assert str(refused.value) == f"--engine-flags: {said}"
    launch(replace(wish, context=0, running=0))  # without the option, the flag is the engine's


def test_sglang_is_launched_without_them() -> None:
    wish = Wish("m", context=4096, running=8)
    for flag, said in (("--context-length", "--context"), ("--max-running-requests", "--parallel"), ("--api-key", "clients")):
        with pytest.raises(InvalidInputError, match=f"{flag} is not passed on: {said}"):
            sglang.launch(HERE, stack("cpu"), "0.5.23", replace(wish, flags=(flag, "1")), 1, {})


def test_what_windtunnel_writes_cannot_be_said_twice() -> None:
    written = {word for word in vllm.arguments(FULL, 1) if word.startswith("-")}
    assert written <= set(vllm.RESERVED)
    for version, experts in (("0.5.23", True), ("0.5.9", True), ("0.5.23", False)):
        words = sglang.arguments(FULL, 1, stack("ascend"), version, experts)
        assert {word for word in words if word.startswith("-")} <= {*sglang.RESERVED, *OVERRIDABLE}


class Raising(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


@given(st.sampled_from(sorted(vllm.RESERVED)), st.integers(3, 30))
def test_whatever_the_engine_takes_for_a_reserved_flag_is_refused(flag: str, letters: int) -> None:
    """The oracle is argparse itself, with the reserved flags and no others: what it takes, or finds unclear, is refused."""
    parser = Raising(add_help=False)
    for each in vllm.RESERVED:
        parser.add_argument(each)
    word = flag[:letters]
    try:
        _, unknown = parser.parse_known_args([f"{word}=1"])
    except ValueError:
        unknown = []
    if unknown:
        check_flags([f"{word}=1"], vllm.RESERVED)
    else:
        with pytest.raises(InvalidInputError):
            check_flags([f"{word}=1"], vllm.RESERVED)
