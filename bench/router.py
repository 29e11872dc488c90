"""What the router adds to a request: the same open-loop load straight to a fast back end, through the router, through LiteLLM.

Three processes on what cores there are: the back end, the load, and what is measured between them. Rounds with and without
what is between follow each other, so that both see the same machine.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.load import GAP_S, MODEL, TOKENS, back_end_command, process_of, run

RATE = 500.0
SECONDS, ROUNDS = 6.0, 3
LITELLM_RATES = (15.0, 30.0, 60.0, 125.0, 250.0, 500.0)
STANDS_S = 1.0
"""p99 above which a rate is not stood: the queue only grows."""


@contextmanager
def back_end() -> Iterator[int]:
    """The port of a back end in a process of its own."""
    with process_of(back_end_command(0, TOKENS, GAP_S)) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextmanager
def router(*ports: int) -> Iterator[tuple[int, int]]:
    """The port of a router over those, and its process."""
    tables = [f'[[backend]]\nname = "b{n}"\nurl = "http://127.0.0.1:{port}/v1"\n' for n, port in enumerate(ports)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fleet.toml"
        file.write_text("\n".join(tables), encoding="utf-8")
        with process_of([sys.executable, "-m", "windtunnel", "serve", "--fleet", str(file), "--port", "0"]) as process:
            assert process.stdout is not None
            yield int(process.stdout.readline().split("/v1", 1)[0].rpartition(":")[2]), process.pid


@contextmanager
def litellm(python: Path, port: int) -> Iterator[int]:
    """The port of a LiteLLM proxy over one back end. Raises OSError where it does not come up."""
    own = random.Random(port).randrange(20_000, 30_000)
    told = f"""
model_list:
  - model_name: {MODEL}
    litellm_params: {{model: openai/{MODEL}, api_base: "http://127.0.0.1:{port}/v1", api_key: sk-any}}
litellm_settings: {{telemetry: false, num_retries: 0}}
"""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(told, encoding="utf-8")
        command = [str(python.with_name("litellm")), "--config", str(file), "--port", str(own), "--num_workers", "1"]
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
        quiet["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"  # on loopback, as the router without keys
        with process_of([*command, "--host", "127.0.0.1"], **quiet):
            until = time.monotonic() + 120.0
            while time.monotonic() < until:
                try:
                    if not run(own, 2.0, 1.0, 0, stream=False).failed:
                        break
                except OSError:
                    pass
                time.sleep(1.0)
            else:
                raise OSError("LiteLLM did not come up in 120 s")
            yield own


def install_litellm(cache: Path) -> Path | str:
    """The Python of an environment that has LiteLLM's proxy, made once; why not, where it cannot be had."""
    folder = cache / "litellm"
    python = folder / "bin" / "python"
    if not (folder / "bin" / "litellm").exists():
        shutil.rmtree(folder, ignore_errors=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "litellm[proxy]"]
            subprocess.run(install, check=True, capture_output=True, timeout=900)
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            return f"LiteLLM cannot be installed: {type(error).__name__}"
    return python


@dataclass(frozen=True, slots=True)
class Added:
    """Seconds that what is between adds: p50 and p99 of the two less each other, medians over rounds. rate: requests/s."""

    rate: float
    first: tuple[float, float]
    whole: tuple[float, float]
    failed: int


def added(
    direct: int, between: int, *, stream: bool, rate: float = RATE, seconds: float = SECONDS, rounds: int = ROUNDS
) -> Added:
    """What the one adds to the other."""
    run(between, rate / 4, 1.0, 99, stream=stream)  # warm
    pairs = [(run(direct, rate, seconds, n, stream=stream), run(between, rate, seconds, n, stream=stream)) for n in range(rounds)]

    def of(share: float, first: bool) -> float:
        return median(b.at(share, first=first) - a.at(share, first=first) for a, b in pairs)

    return Added(
        rate,
        (of(0.5, True), of(0.99, True)),
        (of(0.5, False), of(0.99, False)),
        sum(b.failed for _, b in pairs),
    )


def measured() -> dict[bool, Added]:
    """Of the router at ``RATE``: not streamed, and streamed."""
    with back_end() as direct, router(direct) as (between, _):
        return {stream: added(direct, between, stream=stream) for stream in (False, True)}


def of_litellm(cache: Path) -> dict[bool, Added] | str:
    """The same of LiteLLM at the highest of some rates that it stands; why not, where it cannot be had."""
    python = install_litellm(cache)
    if isinstance(python, str):
        return python
    found: dict[bool, Added] = {}
    try:
        with ExitStack() as open_ones:
            direct = open_ones.enter_context(back_end())
            between = open_ones.enter_context(litellm(python, direct))
            for stream in (False, True):
                for rate in LITELLM_RATES:  # from below: what a rate too high leaves behind spoils the next
                    tried = added(direct, between, stream=stream, rate=rate, rounds=1)
                    if tried.failed or tried.whole[1] > STANDS_S:
                        break
                    found[stream] = tried
    except OSError as error:
        return str(error)
    return found or "it stood none of the rates"


def told(of: Added) -> str:
    """The whole of it in a line, in milliseconds."""
    return (
        f"at {of.rate:g}/s: first token p50 {1e3 * of.first[0]:.2f}, p99 {1e3 * of.first[1]:.2f} ms;"
        f" whole p50 {1e3 * of.whole[0]:.2f}, p99 {1e3 * of.whole[1]:.2f} ms; failed {of.failed}"
    )


if __name__ == "__main__":
    for stream, of in measured().items():
        print("router, " + ("streamed" if stream else "not streamed"), told(of), flush=True)
    if sys.argv[1:] == ["all"]:
        other = of_litellm(Path(__file__).parents[1] / ".cache")
        for stream, of in other.items() if isinstance(other, dict) else ():
            print("LiteLLM, " + ("streamed" if stream else "not streamed"), told(of), flush=True)
        if isinstance(other, str):
            print("LiteLLM:", other)
