"""Which engines fit a machine, and the command and environment that each is started with. Fake machines; a real second Python."""

from __future__ import annotations

import asyncio
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from tests.serve.fake_machine import FakeMachine
from tests.serve.process.fake_engine import distribution, make_fakes
from windtunnel.catalog.stack import stack
from windtunnel.errors import InvalidInputError, MissingFactError, UnknownNameError, UnsupportedError
from windtunnel.plan.deploy.flags import COMMANDS
from windtunnel.serve.process import sglang, vllm
from windtunnel.serve.process.candidates import Candidate, candidates, chosen, engine_names
from windtunnel.serve.process.interpreter import Interpreter
from windtunnel.serve.process.launch import Wish

H20S = FakeMachine({"nvidia-smi": "0, NVIDIA H20, 97871, 580.65.06, 9.0\n1, NVIDIA H20, 97871, 580.65.06, 9.0\n"})
NPU_TABLE = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 25.2.0                   Version: 25.2.0                                               |
+---------------------------+---------------+----------------------------------------------------+
| 0     910B3               | OK            | 93.2        40                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3389 / 65536         |
+===========================+===============+====================================================+
"""
CANN = {"/usr/local/Ascend/cann/version.cfg": "[version]\ntoolkit_running_version=[9.1.0:9.1.0]\n"}
NPUS = FakeMachine({"npu-smi": NPU_TABLE}, files=dict(CANN))
PLAIN = FakeMachine()
Packages = Callable[[Path], None]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where packages of a Python of its own are; empty."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}))


def python_of(site: Path) -> str:
    return str(site.parents[2] / "bin/python")


def torch(site: Path, version: str, cuda: str = "") -> None:
    distribution(site, "torch", version)
    (site / "torch").mkdir()
    text = f"__version__ = '{version}'\ncuda: str = {cuda!r}\n" if cuda else f"__version__ = '{version}'\n"
    (site / "torch/version.py").write_text(text, encoding="utf-8")


def ascend(site: Path) -> None:
    """What goes together on a CANN 9.1.0, as far as the record tells."""
    make_fakes(site, vllm="0.23.0")
    points = {"vllm.platform_plugins": ("ascend",), "vllm.general_plugins": ("ascend_kv_connector",)}
    distribution(site, "vllm-ascend", "0.23.0", points)
    torch(site, "2.10.0+cpu")
    distribution(site, "torch-npu", "2.10.0.post4")


def test_another_python_is_asked_for_its_packages(site: Path) -> None:
    make_fakes(site)
    torch(site, "2.14.0", cuda="13.0")
    found = Interpreter(python_of(site))
    assert found.prefix == str(site.parents[2])
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert {p.name: p.version for p in found.packages(("vllm", "sglang", "nothing"))} == {"vllm": "0.33.0", "sglang": "0.5.23"}
    assert [(p.package, p.name) for p in found.points] == [("vllm", "lora_filesystem_resolver")]
    assert "2.14.0" in found.package_file("torch", "torch/version.py")


@pytest.mark.parametrize(
    ("path", "problem"),
    [("/nowhere/python", "cannot be run: No such file or directory"), ("/bin/true", "is no Python from 3.9 on")],
)
def test_what_is_no_python_is_named(path: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=f"--python: {path} {problem}"):
        Interpreter(path)


def test_vllm_on_nvidia(site: Path) -> None:
    make_fakes(site)
    torch(site, "2.14.0", cuda="13.0")
    found = candidates(H20S, python_of(site))
    assert [(one.engine, one.version, one.why_not) for one in found] == [("vllm", "0.33.0", ""), ("sglang", "0.5.23", "")]
    assert found[0].name == "vllm 0.33.0 on 2 x NVIDIA H20"
    wish = Wish("/models/qwen", "qwen", tp=2, devices=(0, 1), context=8192, flags=("--enable-prefix-caching",))
    own = {"PATH": "/bin", "VLLM_API_KEY": "secret", "VLLM_PORT": "tcp://10.0.0.1:80"}
    launch = found[0].launch(wish, 8123, own, patience_s=900)
    assert launch.command == (
        python_of(site), "-m", "vllm.entrypoints.cli.main", "serve", "/models/qwen", "--served-model-name", "qwen", "--host",
        "127.0.0.1", "--port", "8123", "--tensor-parallel-size", "2", "--max-model-len", "8192", "--enable-prefix-caching",
    )  # fmt: skip
    assert launch.environment == {
        "PATH": "/bin", "PYTHONUNBUFFERED": "1", "CUDA_VISIBLE_DEVICES": "0,1", "VLLM_ENGINE_READY_TIMEOUT_S": "900",
    }  # fmt: skip
    assert launch.url == "http://127.0.0.1:8123"
    assert "secret" not in repr(launch)


def test_vllm_on_ascend(site: Path) -> None:
    ascend(site)
    found = candidates(NPUS, python_of(site))
    first = found[0]
    assert (first.engine, first.why_not) == ("vllm-ascend", ""), first.why_not or first.unsure
    launch = first.launch(Wish("m", devices=(0,), ep=1), 8000, {"TASK_QUEUE_ENABLE": "2"})
    assert launch.environment["ASCEND_RT_VISIBLE_DEVICES"] == "0"
    assert launch.environment["PYTORCH_NPU_ALLOC_CONF"] == "expandable_segments:True"
    assert launch.environment["HCCL_OP_EXPANSION_MODE"] == "AIV"
    assert launch.environment["TASK_QUEUE_ENABLE"] == "2"  # what the user has set stays
    assert "VLLM_PLUGINS" not in launch.environment  # there is one platform, and nothing to choose
    assert launch.label == "vllm-ascend"


def two_platforms(site: Path) -> None:
    ascend(site)
    points = {"vllm.platform_plugins": ("musa",), "vllm.general_plugins": ("musa_models",), "vllm.endpoint_plugins": ("routes",)}
    distribution(site, "vllm-musa", "0.1.1", points)


def test_two_outside_platforms_are_refused_with_how_to_choose(site: Path) -> None:
    two_platforms(site)
    found = {one.engine: one for one in candidates(NPUS, python_of(site))}
    assert found["vllm-ascend"].why_not.startswith(
        "vllm-ascend 0.23.0 on 1 x 910B3: conflict: vLLM takes one outside platform in a process, and vllm-ascend and vllm-musa "
        "are installed; choose one by its name with --engine, or another Python with --python"
    )
    launch = chosen("vllm-ascend", NPUS, python_of(site)).launch(Wish("m"), 8000, {})
    assert launch.environment["VLLM_PLUGINS"] == "ascend,ascend_kv_connector,lora_filesystem_resolver"


def test_the_variable_chooses_a_platform_too(site: Path) -> None:
    two_platforms(site)
    python = Interpreter(python_of(site))
    with pytest.raises(InvalidInputError, match="choose with VLLM_PLUGINS=ascend or VLLM_PLUGINS=musa, or --python"):
        vllm.plugins_of(python, stack("ascend"), "vllm", None)
    with pytest.raises(InvalidInputError, match="vllm-ascend and vllm-musa are installed"):
        vllm.plugins_of(python, stack("ascend"), "vllm", "ascend,musa")
    assert vllm.plugins_of(python, stack("ascend"), "vllm", "ascend") is None
    with pytest.raises(InvalidInputError, match=r"VLLM_PLUGINS: is 'musa', which leaves out vllm-ascend"):
        vllm.plugins_of(python, stack("ascend"), "vllm-ascend", "musa")


def test_a_platform_of_another_maker_is_left_out(site: Path) -> None:
    """Beside a GPU, the plugin for NPUs would take vLLM's one place for an outside platform; one that no record knows is kept."""
    make_fakes(site)
    distribution(site, "vllm-ascend", "0.23.0", {"vllm.platform_plugins": ("ascend",), "vllm.general_plugins": ("kv",)})
    assert vllm.plugins_of(Interpreter(python_of(site)), stack("cuda"), "vllm", None) == "lora_filesystem_resolver"


def test_a_platform_that_no_record_knows_is_kept(site: Path) -> None:
    make_fakes(site)
    distribution(site, "vllm-new-chip", "1.0", {"vllm.platform_plugins": ("new",)})
    assert vllm.plugins_of(Interpreter(python_of(site)), stack("cpu"), "vllm", None) is None


def test_versions_that_do_not_go_together_are_refused(site: Path) -> None:
    make_fakes(site)
    torch(site, "2.14.0+cpu")
    [one] = [one for one in candidates(H20S, python_of(site)) if one.engine == "vllm"]
    assert one.why_not.startswith(
        "vllm 0.33.0 on 2 x NVIDIA H20: conflict: torch 2.14.0+cpu is built for the CPU alone, not for CUDA; "
        "pip install --force-reinstall torch==2.14.0 ("
    )
    with pytest.raises(UnsupportedError, match="built for the CPU alone"):
        chosen("vllm", H20S, python_of(site))
    with pytest.raises(UnsupportedError, match="built for the CPU alone"):
        one.launch(Wish("m"), 8000, {})


def test_what_is_not_there_is_told(site: Path) -> None:
    distribution(site, "vllm-ascend", "0.23.0", {"vllm.platform_plugins": ("ascend",)})
    with pytest.raises(UnknownNameError, match="unknown engine 'vlm'; nearest: vllm"):
        chosen("vlm", PLAIN, python_of(site))
    with pytest.raises(UnsupportedError, match=r"sglang is not installed in .*venv; --python names another Python"):
        chosen("sglang", PLAIN, python_of(site))
    with pytest.raises(UnsupportedError, match="vllm-ascend has none of its accelerators here; `windtunnel serve --doctor`"):
        chosen("vllm-ascend", PLAIN, python_of(site))
    assert candidates(PLAIN, python_of(site)) == ()
    assert {"vllm", "vllm-ascend", "sglang"} <= set(engine_names())


def of(site: Path, engine: str, name: str, version: str = "0.5.23") -> Candidate:
    devices = candidates(H20S, python_of(site))[0].devices if name == "cuda" else ()
    return Candidate(engine, version, stack(name), devices, Interpreter(python_of(site)))


def test_degrees_and_devices_have_to_be_there(site: Path) -> None:
    make_fakes(site)
    torch(site, "2.14.0", cuda="13.0")
    it = of(site, "vllm", "cuda")
    with pytest.raises(InvalidInputError, match="--tp: tp x pp x dp is 2 x 1 x 2, which takes 4 devices of 2"):
        it.launch(Wish("m", tp=2, dp=2), 8000, {})
    with pytest.raises(InvalidInputError, match="takes 2 devices of 1"):
        it.launch(Wish("m", tp=2, devices=(1,)), 8000, {})
    with pytest.raises(InvalidInputError, match="--devices: there is no device 2; there are 0 to 1"):
        it.launch(Wish("m", devices=(2,)), 8000, {})
    with pytest.raises(MissingFactError, match="not known: the variable that chooses devices of Metal"):
        of(site, "vllm", "mps").launch(Wish("m", devices=(0,)), 8000, {})


def test_amd_has_one_list_of_devices(site: Path) -> None:
    made = of(site, "vllm", "rocm").launch(Wish("m", devices=(3,)), 8000, {"CUDA_VISIBLE_DEVICES": "0,1"}).environment
    assert made["HIP_VISIBLE_DEVICES"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in made


@pytest.mark.parametrize(
    ("version", "system", "serves"), [("0.33.0", "Linux", False), ("0.33.0+cpu", "Linux", True), ("0.33.0", "Darwin", True)]
)
def test_vllm_serves_on_a_cpu_in_a_build_for_it(site: Path, version: str, system: str, serves: bool) -> None:
    make_fakes(site, vllm=version)
    torch(site, "2.14.0+cpu")
    found = {one.engine: one.why_not for one in candidates(FakeMachine(system=system), python_of(site))}
    assert found["sglang"] == ""
    assert (found["vllm"] == "") == serves
    assert serves or "vllm 0.33.0 on the CPU: it is built for accelerators; vLLM's builds for CPUs" in found["vllm"]


def test_vllm_on_a_cpu_is_told_so(site: Path) -> None:
    assert of(site, "vllm", "cpu").launch(Wish("m"), 8000, {}).environment["VLLM_TARGET_DEVICE"] == "cpu"


@pytest.mark.parametrize(
    ("name", "version", "experts", "said"),
    [
        ("cuda", "0.5.23", True, "--tp-size 4 --pp-size 2 --attn-dp-size 2 --ep-size 4"),
        ("cuda", "0.5.9", True, "--tp-size 4 --pp-size 2 --dp-size 2 --enable-dp-attention --ep-size 4"),
        ("cuda", "0.5.23", False, "--tp-size 2 --pp-size 2 --dp-size 2 --ep-size 4"),
        ("ascend", "0.5.23", False, "--tp-size 2 --pp-size 2 --dp-size 2 --ep-size 4 --device npu --attention-backend ascend"),
        ("cpu", "0.5.23", False, "--tp-size 2 --pp-size 2 --dp-size 2 --ep-size 4 --device cpu"),
        ("kunlun", "0.5.23", False, "--tp-size 2 --pp-size 2 --dp-size 2 --ep-size 4"),
    ],
)
def test_sglang(name: str, version: str, experts: bool, said: str) -> None:
    wish = Wish("m", "n", tp=2, pp=2, dp=2, ep=4)
    words = sglang.arguments(wish, 30000, stack(name), version, experts)
    assert words[:8] == ["--model-path", "m", "--served-model-name", "n", "--host", "127.0.0.1", "--port", "30000"]
    assert " ".join(words[8:]) == said


def test_only_flags_that_were_seen_are_written() -> None:
    """The flags of the launch scripts were read from the packages; serving writes no others."""
    wish = Wish("m", tp=2, pp=2, dp=2, ep=4, context=100, running=8)
    flags = {word for word in vllm.arguments(wish, 1) if word.startswith("--")}
    assert flags <= COMMANDS["vllm serve"].flags
    assert flags <= COMMANDS["vllm serve (Ascend)"].flags
    for version, experts in (("0.5.23", True), ("0.5.9", True), ("0.5.23", False)):
        words = sglang.arguments(wish, 1, stack("ascend"), version, experts)
        assert {word for word in words if word.startswith("--")} <= COMMANDS["python3 -m sglang.launch_server"].flags


def test_sglang_takes_one_outside_platform(site: Path) -> None:
    for name in ("one", "two"):
        distribution(site, f"sglang-{name}", "1.0", {"sglang.srt.platforms": (name,)})
    it = of(site, "sglang", "cpu")
    with pytest.raises(InvalidInputError, match=r"SGLang takes one outside platform .* choose with SGLANG_PLATFORM=one or"):
        it.launch(Wish("m"), 8000, {})
    assert it.launch(Wish("m"), 8000, {"SGLANG_PLATFORM": "two"}).environment["SGLANG_PLATFORM"] == "two"


@pytest.mark.parametrize(("name", "engine"), [("cuda", "vllm"), ("cuda", "sglang")])
def test_a_candidate_serves(site: Path, name: str, engine: str) -> None:
    """From the machine that was looked at to an answer by the official client."""
    make_fakes(site)
    torch(site, "2.14.0", cuda="13.0")
    told: list[str] = []

    async def run() -> str:
        candidate = chosen(engine, H20S, python_of(site))
        async with candidate.process(Wish("/models/qwen", "qwen", tp=2), told.append) as it:
            assert bool(it.key) == (engine == "vllm")
            stranger = openai.AsyncOpenAI(base_url=f"{it.url}/v1", api_key="any")
            if it.key:  # another user of the machine
                with pytest.raises(openai.AuthenticationError):
                    await stranger.chat.completions.create(model="qwen", messages=[{"role": "user", "content": "Who?"}])
            client = stranger.with_options(api_key=it.key or "any")
            async with client:
                said = await client.chat.completions.create(model="qwen", messages=[{"role": "user", "content": "Who?"}])
        return said.choices[0].message.content or ""

    assert asyncio.run(run()) == "I am a fake."
    assert f"[{engine}] loading weights: 100%" in told
