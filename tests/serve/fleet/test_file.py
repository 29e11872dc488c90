"""fleet.toml: what it says, and every mistake in one line that names the file, the table and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.cli.main import run
from windtunnel.errors import WindtunnelError
from windtunnel.serve.fleet.file import BACKEND, LIMITS, Limits, read_fleet_file

LEAST = '[[backend]]\nname = "a"\nurl = "http://h20:8000/v1"\n'


def written(folder: Path, text: str) -> Path:
    file = folder / "fleet.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_least_file_says_one_back_end(tmp_path: Path) -> None:
    file = read_fleet_file(written(tmp_path, LEAST))
    (entry,) = file.backends
    assert (entry.name, entry.kind, entry.where, entry.called, entry.place) == ("a", "url", "http://h20:8000", "", "")
    assert file.limits == Limits()


def test_everything_that_can_be_said_is_read(tmp_path: Path) -> None:
    text = """
[fleet]
ttft = "1s"
tpot = "20ms"
retries = 3
first_token = 30
most_in_flight = 12

[[backend]]
name = "h20"
url = "https://h20.example:8443/llm/v1/"
key_env = "H20_KEY"
model = "/weights/r1"
as = "deepseek-ai/DeepSeek-R1"
on = "h20:8"
engine = "vllm"
price_per_h = 12.5
most_in_flight = 64

[[backend]]
name = "ghost"
virtual = "ascend-910c:16"
model = "deepseek-ai/DeepSeek-R1"
options = ["--speed", "2"]

[[backend]]
name = "small"
serve = "small.gguf"
as = "small"

[[key]]
name = "alice"
hash = "x"
"""
    file = read_fleet_file(written(tmp_path, text), {"H20_KEY": " sk-1 "})
    h20, ghost, small = file.backends
    assert (h20.where, h20.key, h20.called, h20.place, h20.price_per_h) == (
        "https://h20.example:8443/llm", "sk-1", "deepseek-ai/DeepSeek-R1", "h20:8", 12.5,
    )  # fmt: skip
    assert (ghost.kind, ghost.called, ghost.place, ghost.options) == (
        "virtual", "deepseek-ai/DeepSeek-R1", "ascend-910c:16", ("--speed", "2"),
    )  # fmt: skip
    assert (small.kind, small.where, small.called) == ("serve", "small.gguf", "small")
    assert (file.limits.ttft, file.limits.tpot, file.limits.first_token, file.limits.retries) == (1.0, 0.02, 30.0, 3)
    assert [key["name"] for key in file.keys] == ["alice"]
    assert "sk-1" not in repr(h20)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "fleet.toml: names no back end; write [[backend]]"),
        ("[fleet", "fleet.toml: is not TOML: "),
        ("[[workload]]\nname = 'x'", "fleet.toml: has [[workload]] and no [[backend]]: it is a file for `windtunnel fleet`"),
        (LEAST + "[flet]", "unknown table in fleet.toml 'flet'; nearest: fleet"),
        ("[fleet]\nttfft = '1s'\n" + LEAST, "unknown key in [fleet] of fleet.toml 'ttfft'; nearest: ttft"),
        ("[fleet]\nttft = 'soon'\n" + LEAST, "fleet.toml, [fleet] ttft: 'soon' is not a time"),
        ("[fleet]\nttft = -1\n" + LEAST, "fleet.toml, [fleet] ttft: '-1' is not a positive time"),
        ("[fleet]\nttft = true\n" + LEAST, "fleet.toml, [fleet] ttft: has to be a time such as"),
        ("[fleet]\nretries = 99\n" + LEAST, "fleet.toml, [fleet] retries: has to be a whole number from 0 to 16, not 99"),
        ("[fleet]\nqueue = 1.5\n" + LEAST, "fleet.toml, [fleet] queue: has to be a whole number"),
        ("[fleet]\nwhole = '2000h'\n" + LEAST, "fleet.toml, [fleet] whole: '2000h' is more than a day"),
        ("fleet = 3\n" + LEAST, "fleet.toml, [fleet]: has to be a table"),
        ("backend = 3", "fleet.toml: names no back end"),
        (LEAST + "urll = 'x'", "unknown key in [[backend]] 'a' of fleet.toml 'urll'; nearest: url"),
        ("[[backend]]\nurl = 'http://a'", "fleet.toml, [[backend]] 1 name: is missing"),
        ("[[backend]]\nname = 'a b'\nurl = 'http://a'", "fleet.toml, [[backend]] 1 name: 'a b' has to be of letters"),
        ("[[backend]]\nname = 'a'", "fleet.toml, [[backend]] 'a': says not what it is: url = "),
        (LEAST + "virtual = 'h20'", "fleet.toml, [[backend]] 'a': has url and virtual; it is one of them"),
        (LEAST + LEAST, "fleet.toml, [[backend]] 2 name: 'a' is taken by one before it"),
        (LEAST.replace("http://", ""), "fleet.toml, [[backend]] 'a' url: 'h20:8000/v1' is no URL of an endpoint"),
        (LEAST.replace("8000", "800000"), "fleet.toml, [[backend]] 'a' url: 'http://h20:800000/v1' is no URL"),
        (
            LEAST.replace("h20:", "me:secret@h20:"),
            "fleet.toml, [[backend]] 'a' url: holds a password",
        ),
        (LEAST + "key_env = 'NOT_SET'", "fleet.toml, [[backend]] 'a' key_env: the environment has no NOT_SET"),
        (LEAST + "key_env = 'ODD'", "fleet.toml, [[backend]] 'a' key_env: what ODD holds is no key"),
        (LEAST + "price_per_h = 'much'", "fleet.toml, [[backend]] 'a' price_per_h: has to be a number from 0"),
        (LEAST + "price_per_h = -1", "fleet.toml, [[backend]] 'a' price_per_h: has to be a number from 0"),
        (LEAST + "most_in_flight = 0", "fleet.toml, [[backend]] 'a' most_in_flight: has to be a whole number from 1"),
        (LEAST + "on = 'h20'", "fleet.toml, [[backend]] 'a' model: is missing: `on` tells the speed of a model"),
        (LEAST + "as = 'x'", "fleet.toml, [[backend]] 'a' model: is missing: what the back end calls the model"),
        (LEAST + "options = ['--x']", "fleet.toml, [[backend]] 'a' options: are for back ends that are started here"),
        ("[[backend]]\nname = 'a'\nvirtual = 'h20'", "fleet.toml, [[backend]] 'a' model: is missing: which one to simulate"),
        (
            "[[backend]]\nname = 'a'\nserve = 'x'\noptions = ['--port=1']",
            "fleet.toml, [[backend]] 'a' options: '--port=1' is set by the fleet itself",
        ),
        (
            "[[backend]]\nname = 'a'\nserve = 'x'\noptions = '--x'",
            "fleet.toml, [[backend]] 'a' options: has to be a list of texts",
        ),
        ("key = 3\n" + LEAST, "fleet.toml: a key is a table; write [[key]]"),
    ],
)
def test_a_mistake_is_one_line_that_says_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(WindtunnelError) as found:
        read_fleet_file(written(tmp_path, text), {"ODD": "a b"})
    assert str(found.value).startswith(said)
    assert "\n" not in str(found.value)
    assert "secret" not in str(found.value)


LLAMA = "model = 'meta-llama/Llama-3.1-8B-Instruct'"


@pytest.mark.parametrize(
    ("text", "args", "said"),
    [
        (f"[[backend]]\nname = 'a'\nvirtual = 'h200000'\n{LLAMA}", [], "fleet.toml, [[backend]] 'a': unknown chip or system"),
        ("[[backend]]\nname = 'a'\nvirtual = 'h20'\nmodel = 'lama-3'", [], "fleet.toml, [[backend]] 'a': unknown model 'lama-3'"),
        (f"{LEAST}{LLAMA}\non = 'h20'\nengine = 'vlm'", [], "fleet.toml, [[backend]] 'a': unknown engine 'vlm'"),
        (LEAST, ["m"], "--fleet: serves what its file says; leave 'm' out"),
        (LEAST, ["--on", "h20"], "--on: does not go with --fleet, whose file says what is served and where"),
        (LEAST, ["--host", "0.0.0.0"], "--host: 0.0.0.0 is open to the network and asks for a key"),
        ("[[backend]]", [], "fleet.toml, [[backend]] 1 name: is missing"),
        ("[[backend]]\nname = 'a'\nserve = 'nothing.gguf'", [], "fleet.toml, [[backend]] 'a': nothing.gguf: "),
        (
            "[[backend]]\nname = 'a'\nserve = 'x.gguf'\noptions = ['--speed', '2']",
            [],
            "fleet.toml, [[backend]] 'a': --speed: is for a simulated deployment",
        ),
        (
            f"[[backend]]\nname = 'a'\nvirtual = 'h20'\n{LLAMA}\noptions = ['--threads', '2']",
            [],
            "fleet.toml, [[backend]] 'a': --threads: is for a real model, and --on simulates one; leave it out",
        ),
        (
            "[[backend]]\nname = 'a'\nserve = 'x.gguf'\noptions = ['--sped', '2']",
            [],
            "[[backend]] 'a': No such option",
        ),
    ],
)
def test_the_command_says_it_before_anything_is_started(
    tmp_path: Path, text: str, args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--fleet", str(written(tmp_path, text)), *args]) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


ROOT = Path(__file__).parents[3]


def test_the_page_of_the_file_has_every_key() -> None:
    page = (ROOT / "docs" / "serve-fleet.md").read_text(encoding="utf-8")
    assert [key for key in (*LIMITS, *BACKEND) if f"`{key}`" not in page] == []


def test_the_example_is_a_fleet() -> None:
    file = read_fleet_file(ROOT / "examples" / "fleet.toml")
    assert [(entry.name, entry.kind, entry.called) for entry in file.backends] == [
        ("h20", "virtual", "llama"),
        ("910c", "virtual", "llama"),
    ]
