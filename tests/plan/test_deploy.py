"""Launch commands: golden folders, shells that parse, and no flag that was not seen in the engine's own definitions."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from windtunnel.catalog.model import AttentionSpec, FfnSpec, Layer, ModelSpec
from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.plan.deploy import write_deployment
from windtunnel.plan.deploy.flags import COMMANDS
from windtunnel.plan.deploy.write import deployment_files
from windtunnel.plan.result import Candidate, Targets
from windtunnel.sim.prediction import Deployment, Estimate, Evidence, Load, MemoryUse, Prediction

GOLDEN = Path(__file__).parent / "golden"
"""Written anew where UPDATE_GOLDEN is set; look at the difference before it is kept."""

MLA = AttentionSpec("mla", 128, 1, 576, 512, q_lora_rank=1536, kv_lora_rank=512, nope_dim=128, rope_dim=64)
R1 = ModelSpec(
    "deepseek-ai/DeepSeek-R1", "DeepseekV3ForCausalLM", 7168, 129280,
    (Layer(61, MLA, FfnSpec(2048, 256, 8, 2048)),), "fp8", "test", max_context=163840,
)  # fmt: skip
LLAMA = ModelSpec(
    "meta-llama/Llama-3.1-70B-Instruct", "LlamaForCausalLM", 8192, 128256,
    (Layer(80, AttentionSpec("gqa", 64, 8, 128, 128), FfnSpec(28672)),), "bf16", "test", max_context=131072,
)  # fmt: skip
TARGETS = Targets(4096, 1024, 2.0, 0.05, 20.0)


def predicted(deployment: Deployment, concurrency: float, *, prefix_hit: float = 0.0, mtp_accept: float = 0.0) -> Prediction:
    def estimate(value: float) -> Estimate:
        return Estimate(value, value * 0.9, value * 1.1, Evidence.FITTED)

    memory = MemoryUse(96e9, 44e9, 31e9, 4.5e9, 9.6e9)
    load = Load(4096, 1024, concurrency, prefix_hit, mtp_accept)
    return Prediction(
        deployment, load, estimate(1.42), estimate(0.0427), estimate(8240), memory, 0.04, 0.9, concurrency, 0.0, "memory", (),
        Evidence.FITTED, notes=("Experts are routed as unevenly as measured on DeepSeek-R1.",),
    )  # fmt: skip


def alone(
    model: ModelSpec, chip: str, engine: str, *, replicas: int = 1, concurrency: float = 64, **degrees: object
) -> Candidate:
    deployment = replace(Deployment(model.id, chip, engine=engine), **degrees)  # type: ignore[arg-type]
    return Candidate(predicted(deployment, concurrency), replicas, 20.0)


def apart(model: ModelSpec, chip: str, engine: str, before: dict[str, object], after: dict[str, object]) -> Candidate:
    first = replace(Deployment(model.id, chip, engine=engine), **before)  # type: ignore[arg-type]
    then = replace(Deployment(model.id, chip, engine=engine), **after)  # type: ignore[arg-type]
    return Candidate(predicted(then, 512, mtp_accept=0.8), 1, 20.0, predicted(first, 8), 3, 0.085)


CASES: dict[str, tuple[Candidate, ModelSpec]] = {
    "vllm-replicas": (
        alone(LLAMA, "h20", "vllm", precision="fp8", kv_precision="fp8", tp=4, replicas=3, engine_version="0.19.0"),
        LLAMA,
    ),
    "ascend-910c": (
        alone(
            R1, "ascend-910c", "vllm-ascend", precision="int8", tp=4, dp=4, moe_ep=16, system="cloudmatrix-384", concurrency=512
        ),
        R1,
    ),
    "sglang-apart": (
        apart(
            R1, "h100-sxm", "sglang", {"tp": 8, "dp": 2, "moe_ep": 16}, {"tp": 2, "dp": 16, "moe_ep": 32, "kv_precision": "fp8"}
        ),
        R1,
    ),
}
MORE: dict[str, tuple[Candidate, ModelSpec]] = {
    "vllm-apart": (apart(R1, "h200-sxm", "vllm", {"tp": 8, "moe_ep": 8}, {"tp": 1, "dp": 16, "moe_ep": 16}), R1),
    "vllm-pipeline": (alone(LLAMA, "h20", "vllm", tp=8, pp=2), LLAMA),
    "ascend-apart": (
        apart(
            R1,
            "ascend-910c",
            "vllm-ascend",
            {"tp": 8, "moe_ep": 8, "precision": "int8"},
            {"dp": 16, "moe_ep": 16, "precision": "int8"},
        ),
        R1,
    ),
    "ascend-one": (alone(LLAMA, "ascend-910b2", "vllm", tp=4, replicas=2), LLAMA),
    "sglang-old": (alone(R1, "h20", "sglang", tp=8, dp=2, moe_ep=16, engine_version="0.5.9"), R1),
    "ascend-apart-shared": (
        apart(LLAMA, "ascend-910b2", "vllm-ascend", {"tp": 2}, {"tp": 2, "dp": 2}),
        LLAMA,
    ),
    "sglang-ascend-apart": (
        apart(
            R1,
            "ascend-910b2",
            "sglang",
            {"tp": 16, "moe_ep": 16, "precision": "int8"},
            {"tp": 8, "dp": 4, "moe_ep": 32, "precision": "int8"},
        ),
        R1,
    ),
    "sglang-ascend": (alone(R1, "ascend-910c", "sglang", tp=8, moe_ep=8, precision="int8"), R1),
    "trtllm": (alone(R1, "b200-sxm", "trtllm", tp=4, dp=2, moe_ep=8, kv_precision="fp8"), R1),
    "trtllm-apart": (apart(R1, "gb200", "tensorrt-llm", {"tp": 4, "moe_ep": 4}, {"tp": 1, "dp": 16, "moe_ep": 16}), R1),
    "amd": (alone(LLAMA, "mi300x", "vllm", tp=2, replicas=4), LLAMA),
}


@pytest.mark.parametrize("name", CASES)
def test_golden_folders(name: str, tmp_path: Path) -> None:
    candidate, spec = CASES[name]
    target = tmp_path / "deploy"
    paths = write_deployment(candidate, spec, TARGETS, target)
    assert sorted(paths) == sorted(p for p in target.rglob("*") if p.is_file())
    golden = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        shutil.rmtree(golden, ignore_errors=True)
        shutil.copytree(target, golden)
    assert {str(p.relative_to(target)) for p in paths} == {str(p.relative_to(golden)) for p in golden.rglob("*") if p.is_file()}
    for path in paths:
        assert path.read_text("utf-8") == (golden / path.relative_to(target)).read_text("utf-8"), path.name


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_scripts_parse_and_say_what_they_need(name: str, tmp_path: Path) -> None:
    candidate, spec = {**CASES, **MORE}[name]
    for path in write_deployment(candidate, spec, TARGETS, tmp_path / "deploy"):
        if path.suffix != ".sh":
            continue
        assert os.access(path, os.X_OK)
        done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{path}: {done.stderr}"
        if ":?" in path.read_text("utf-8"):
            done = subprocess.run(
                ["bash", str(path)], capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
            )
            assert done.returncode != 0
            assert "set " in done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_what_the_shell_would_start(name: str, tmp_path: Path) -> None:
    """The scripts run to the end with every setting given and each program replaced by one that prints its arguments."""
    candidate, spec = {**CASES, **MORE}[name]
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for program in ("vllm", "python3", "vllm-router", "trtllm-serve", "srun"):
        stub = bin_ / program
        stub.write_text(f'#!/bin/bash\nprintf "%s\\n" {program} "$@"\n')
        stub.chmod(0o755)
    text = {path.name: path for path in write_deployment(candidate, spec, TARGETS, tmp_path / "deploy")}
    assert "README.md" in text
    for path in (tmp_path / "deploy").rglob("*.sh"):
        for rank in ("0", "1") if "NODE_RANK" in path.read_text("utf-8") else ("0",):
            names = re.findall(r"\$\{(\w+):\?", path.read_text("utf-8"))
            given = {name: f"http://{name.lower()}:30001" for name in names} | {"NODE_RANK": rank}
            env = {"PATH": f"{bin_}:{os.environ['PATH']}", **given}
            done = subprocess.run(["bash", str(path)], capture_output=True, text=True, check=False, env=env)
            assert done.returncode == 0, f"{path}: {done.stderr}"
            assert done.stderr == ""
            arguments = done.stdout.split("\n")
            allowed = set().union(*(command.flags for command in COMMANDS.values())) | {"--mpi=pmix", "--ntasks-per-node"}
            assert {a for a in arguments if a.startswith("--")} <= allowed
            for argument in arguments:
                if argument.startswith("{"):
                    assert json.loads(argument)


@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_every_flag_was_seen_in_the_engine(name: str) -> None:
    known = set().union(*(command.flags for command in COMMANDS.values())) | {"--mpi=pmix", "--ntasks-per-node"}
    for file, text in deployment_files(*{**CASES, **MORE}[name], TARGETS).items():
        if file.endswith(".sh"):
            commands = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
            assert set(re.findall(r"(?<![\w-])--[a-z][\w=-]*", commands)) <= known


def test_a_group_for_each_device_has_a_port_and_a_rank() -> None:
    files = deployment_files(*MORE["ascend-apart"], TARGETS)
    assert "RANK=$((NODE_RANK * 8 + i))" in files["decode/run.sh"]
    assert "HOST:PORT of every server of decode/run.sh (2)" in files["router/run.sh"]
    assert '"num_speculative_tokens": 1' in files["prefill/run.sh"]


def test_two_dies_are_two_devices() -> None:
    text = deployment_files(*CASES["ascend-910c"], TARGETS)["serve/run.sh"]
    assert "--tensor-parallel-size 8" in text
    assert "--data-parallel-size 4" in text
    assert "--quantization ascend" in text
    odd = replace(R1, layers=(Layer(1, AttentionSpec("gqa", 4, 4, 128, 128), FfnSpec(1024, 64, 4)),))
    text = deployment_files(CASES["ascend-910c"][0], odd, TARGETS)["serve/run.sh"]
    assert "--tensor-parallel-size 4" in text
    assert "--data-parallel-size 8" in text


def test_a_stored_precision_needs_no_flag_and_another_says_what_to_make() -> None:
    text = deployment_files(*MORE["sglang-old"], TARGETS)["serve/run.sh"]
    assert "--quantization" not in text
    assert "--dp-size 2" in text
    assert "--enable-dp-attention" in text
    files = deployment_files(alone(LLAMA, "h20", "vllm", precision="int8", tp=4), LLAMA, TARGETS)
    assert "set MODEL" in files["serve/run.sh"]
    assert "LLM Compressor" in files["README.md"]


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (alone(LLAMA, "ascend-910b2", "mindie", tp=8), "launch commands of mindie are not known; nearest: "),
        (alone(LLAMA, "h20", "", tp=8), "names no engine; nearest: vllm"),
        (alone(R1, "h20", "vllm", tp=8, dp=2, moe_tp=2, moe_ep=8), "nearest: 16 groups, or sglang"),
        (
            alone(R1, "ascend-910b2", "vllm-ascend", tp=8, precision="fp8"),
            "ascend-910b2 does not compute fp8; nearest: int8, bf16",
        ),
        (alone(R1, "h20", "vllm", tp=8, kv_precision="int8"), "KV cache in int8"),
    ],
)
def test_what_cannot_be_launched_says_what_could(candidate: Candidate, said: str, tmp_path: Path) -> None:
    spec = R1 if candidate.prediction.deployment.model == R1.id else LLAMA
    with pytest.raises(UnsupportedError, match=re.escape(said)):
        write_deployment(candidate, spec, TARGETS, tmp_path / "deploy")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_and_nothing_is_left_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "deploy"
    target.mkdir()
    write_deployment(*CASES["vllm-replicas"], TARGETS, target)
    before = sorted(target.rglob("*"))
    with pytest.raises(InvalidInputError, match="exists and is not empty"):
        write_deployment(*CASES["vllm-replicas"], TARGETS, target)
    assert sorted(target.rglob("*")) == before
    monkeypatch.setattr(Path, "replace", lambda self, to: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InvalidInputError, match="No space left"):
        write_deployment(*CASES["vllm-replicas"], TARGETS, tmp_path / "other")
    assert [p.name for p in tmp_path.iterdir()] == ["deploy"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_hostile_model_name_is_one_word(tmp_path: Path) -> None:
    name = "a'; touch hacked; $(touch hacked) `touch hacked` \"}\n# x"
    spec = replace(LLAMA, id=name)
    write_deployment(alone(spec, "h20", "vllm", tp=8), spec, TARGETS, tmp_path / "deploy")
    stub = tmp_path / "bin"
    stub.mkdir()
    (stub / "vllm").write_text('#!/bin/bash\nprintf "%s\\0" "$@"\n')
    (stub / "vllm").chmod(0o755)
    env = {"PATH": f"{stub}:{os.environ['PATH']}"}
    for path in (tmp_path / "deploy").rglob("*.sh"):
        done = subprocess.run(["bash", str(path)], capture_output=True, text=True, check=False, env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert name in done.stdout.split("\0")
    assert not (tmp_path / "hacked").exists()
