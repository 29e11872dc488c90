"""``windtunnel models``: the list, one model, JSON, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from windtunnel.catalog.models import models as keys
from windtunnel.cli.main import windtunnel
from windtunnel.cli.models import broken, scaled
from windtunnel.errors import UnknownNameError


def run(*args: str) -> str:
    result = CliRunner().invoke(windtunnel, ["models", *args], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_in_a_pipe_every_name_of_the_list_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run().splitlines()
    assert max(map(len, lines)) <= 103
    assert set(keys()) <= {line.split(" ")[0] for line in lines}
    assert any(line.startswith("gpt-oss-120b") and "117 B" in line and "4/128" in line for line in lines)


def test_one_model_says_what_it_is_and_where_that_was_read() -> None:
    text = run("deepseek-ai/DeepSeek-R1")
    for part in ("671 B in all", "published", "8 of 256 experts", "MLA", "source", "aiconfigurator-core"):
        assert part in text


def test_json_of_all_and_of_one() -> None:
    everything = json.loads(run("--json"))["models"]
    assert len(everything) == len(keys())
    one = json.loads(run("kimi-k2.5", "--json"))
    assert one["precision"] == {"attention": "bf16", "experts": "w4a16", "rest": "bf16"}
    assert one["experts"] == {"count": 384, "topk": 8}
    assert sum(layer["count"] for layer in one["layers"]) == one["n_layers"] == 61
    assert set(everything[0]) == set(one)


def test_a_users_file(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 1000}
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], **sizes}))
    assert "LlamaForCausalLM" in run(str(tmp_path))


def test_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="nearest"):
        run("deepseek-r9")


@pytest.mark.parametrize(
    ("value", "text"), [(671e9, "671 B"), (8.03e9, "8.03 B"), (70.55e9, "70.5 B"), (1.04e12, "1.04 T"), (999.9e9, "1.00 T")]
)
def test_scaled(value: float, text: str) -> None:
    assert scaled(value) == text


def test_long_names_break_at_hyphens() -> None:
    assert broken("short-name", 22) == "short-name"
    assert broken("llama-4-maverick-17b-128e-instruct", 22) == "llama-4-maverick-17b-\n  128e-instruct"


def test_listing_loads_neither_torch_nor_numpy() -> None:
    code = "import sys; from windtunnel.catalog.models import model; model('r1-distill-qwen-7b'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "rich", "click"} & set(done.stdout.split())
