"""What the doctor says of whole machines: what goes together, the exact conflict, what is missing, what is not known.

Requirements of packages are those of the releases' own metadata, cut to what matters; tools' outputs are made up.
"""

from __future__ import annotations

import json

import pytest

from tests.serve.fake_machine import FakeMachine, on_bus, torch_file
from tests.serve.test_doctor_probes import NPU_SMI, NPU_SMI_A3
from windtunnel.cli import doctor
from windtunnel.serve.doctor.diagnose import Diagnosis, diagnose
from windtunnel.serve.doctor.judge import State
from windtunnel.serve.doctor.machine import Package, Ran

H20 = "0, NVIDIA H20, 97871, 580.65.06, 9.0\n" * 8
CANN = "/usr/local/Ascend/ascend-toolkit/latest/version.cfg"
TOOLKIT = "toolkit_running_version=[7.8.0.2.212:{}]\n"


def package(name: str, version: str, *needs: str) -> Package:
    return Package(name, version, needs, platform=name in ("vllm-ascend", "vllm-musa", "vllm-metax"))


TORCH_CU130 = package("torch", "2.14.0", 'cuda-toolkit==13.0.3; platform_system == "Linux"')
VLLM_033 = package("vllm", "0.33.0", "torch==2.14.0", "transformers<5.21.0,>=5.16.1", 'ray; extra == "ray"')
TRANSFORMERS = package("transformers", "5.16.2", "numpy>=1.17", 'torch>=2.4; extra == "torch"')
VLLM_023 = package("vllm", "0.23.0", "torch==2.11.0", "transformers!=5.0.*,>=4.56.0")
VLLM_ASCEND_023 = package("vllm_ascend", "0.23.0", "torch==2.10.0", "torch-npu==2.10.0.post4", "transformers==5.5.4")
TORCH_NPU_210 = package("torch_npu", "2.10.0.post4", "torch ==2.10.0+cpu")
ASCEND = (
    package("torch", "2.10.0+cpu"), TORCH_NPU_210, VLLM_023, VLLM_ASCEND_023, package("transformers", "5.5.4"),
    package("numpy", "2.2.0"),
)  # fmt: skip
NUMPY = package("numpy", "2.2.0")


def nvidia(*software: Package, rows: str = H20, cuda: str = "13.0", python: str = "3.12.4") -> FakeMachine:
    torch = next((one.version for one in software if one.name == "torch"), "")
    written = torch_file(torch if "+" in torch else f"{torch}+cu{cuda.replace('.', '')}", cuda=cuda) if torch else ""
    return FakeMachine({"nvidia-smi": rows}, software=software, torch_file=written, python=python)


def ascend(*software: Package, cann: str = "9.1.0", table: str = NPU_SMI, python: str = "3.11.9") -> FakeMachine:
    torch = next((one.version for one in software if one.name == "torch"), "")
    files = {CANN: TOOLKIT.format(cann)} if cann else {}
    written = torch_file(torch) if torch else ""
    return FakeMachine({"npu-smi": table}, files, software=software, torch_file=written, processor="aarch64", python=python)


def only(found: Diagnosis) -> tuple[State, str]:
    (one,) = found.findings
    return one.state, doctor.headline(one)


def texts(found: Diagnosis) -> str:
    return "\n".join(doctor.doctor_lines(found))


def test_all_well_on_nvidia() -> None:
    found = diagnose(nvidia(TORCH_CU130, VLLM_033, TRANSFORMERS, NUMPY))
    assert only(found) == (State.TOGETHER, "These go together: vllm 0.33.0 serves on 8 x NVIDIA H20.")
    assert found.exit_status == 0
    assert texts(found).startswith("These go together")
    assert "h20" in texts(found)


def test_all_well_on_ascend_where_vllm_itself_asks_for_another_pytorch() -> None:
    found = diagnose(ascend(*ASCEND))
    assert only(found) == (State.TOGETHER, "These go together: vllm-ascend 0.23.0 serves on 2 x Huawei 910B3.")
    assert found.findings[0].toolkit == "9.1.0"
    assert found.exit_status == 0


def test_without_its_plugin_vllm_asks_for_its_own_pytorch_all_the_same() -> None:
    found = diagnose(ascend(*(one for one in ASCEND if one is not VLLM_ASCEND_023)))
    assert "vllm 0.23.0 needs torch 2.11.0; torch 2.10.0+cpu is installed" in [
        c.text for c in found.findings[0].judgement.conflicts
    ]


def test_a_plugin_for_another_pytorch_is_named_with_the_line_that_helps() -> None:
    software = (package("torch", "2.11.0"), package("torch_npu", "2.13.0", "torch==2.13.0.*", "numpy"), NUMPY)
    found = diagnose(ascend(*software))
    state, line = only(found)
    assert state is State.CONFLICT
    assert line == "Conflict on 2 x Huawei 910B3: torch_npu 2.13.0 needs torch 2.13.0; torch 2.11.0 is installed."
    assert found.findings[0].judgement.conflicts[0].fix == "pip install torch==2.13.0"
    assert found.exit_status == 1


@pytest.mark.parametrize(
    ("cann", "state", "said"),
    [
        ("8.5.0", State.CONFLICT, "vllm-ascend 0.23.0 needs CANN 9.1.0; CANN 8.5.0 is installed"),
        ("8.3.RC1", State.CONFLICT, "torch-npu 2.10.0.post4 needs CANN 9.1.0; CANN 8.3.RC1 is installed"),
        ("9.2.0", State.UNKNOWN, "vllm-ascend 0.23.0 is told to go with CANN 9.1.0; of 9.2.0 no source tells"),
        ("", State.UNKNOWN, "vllm-ascend 0.23.0 needs CANN 9.1.0; which is installed was not found"),
    ],
)
def test_cann_older_newer_and_not_found(cann: str, state: State, said: str) -> None:
    (one,) = diagnose(ascend(*ASCEND, cann=cann)).findings
    assert one.state is state
    assert said in [r.text for r in (*one.judgement.conflicts, *one.judgement.unknown)]


def test_a_plugin_without_pytorch() -> None:
    found = diagnose(ascend(TORCH_NPU_210))
    state, line = only(found)
    assert state is State.MISSING
    assert line == "Missing to serve on 2 x Huawei 910B3: torch_npu 2.10.0.post4 needs torch 2.10.0+cpu."
    fix = found.findings[0].judgement.missing[0].fix
    assert fix == "pip install torch==2.10.0+cpu --index-url https://download.pytorch.org/whl/cpu"


@pytest.mark.parametrize(
    ("cann", "python", "engine"),
    [("9.1.0", "3.12.1", "vllm-ascend 0.23.0"), ("8.5.0", "3.11.9", "vllm-ascend 0.18.0"),
     ("8.3.RC1", "3.10.2", "vllm-ascend 0.11.0"), ("", "3.11.9", "vllm-ascend 0.23.0")],
)  # fmt: skip
def test_an_empty_machine_is_told_what_goes_together_with_its_cann(cann: str, python: str, engine: str) -> None:
    (one,) = diagnose(ascend(cann=cann, python=python, table=NPU_SMI_A3)).findings
    assert one.state is State.MISSING
    assert one.advice is not None
    assert one.advice.engine == engine


def test_nothing_is_advised_where_nothing_is_known_to_fit() -> None:
    found = diagnose(ascend(cann="8.5.0", python="3.13.0"))
    assert found.findings[0].advice is None
    assert "vllm-ascend 0.18.0 needs Python 3.10 or later, before 3.12" in found.findings[0].why_none


def test_two_platforms_and_two_backends_in_one_python() -> None:
    software = (*ASCEND, package("vllm-musa", "0.1.1", "torch==2.7.1"), package("torch_musa", "2.7.1"))
    said = [(r.text, r.fix) for r in diagnose(ascend(*software)).findings[0].judgement.conflicts]
    assert ("vLLM takes one outside platform in a process, and vllm-ascend and vllm-musa are installed",
            "pip uninstall vllm-musa") in said  # fmt: skip
    assert ("PyTorch takes one outside backend in a process, and torch-musa and torch-npu are installed",
            "pip uninstall torch-musa") in said  # fmt: skip


def test_a_platform_that_no_record_names_counts_too() -> None:
    found = diagnose(ascend(*ASCEND, Package("vllm-made-up", "1.0", (), platform=True)))
    assert "vllm-ascend and vllm-made-up" in found.findings[0].judgement.conflicts[0].text


def test_pytorch_for_the_cpu_beside_a_gpu() -> None:
    found = diagnose(nvidia(package("torch", "2.14.0+cpu"), VLLM_033, TRANSFORMERS, NUMPY, cuda=""))
    state, line = only(found)
    assert state is State.CONFLICT
    assert line == "Conflict on 8 x NVIDIA H20: torch 2.14.0+cpu is built for the CPU alone, not for CUDA."
    assert found.findings[0].judgement.conflicts[0].fix == "pip install --force-reinstall torch==2.14.0"


@pytest.mark.parametrize(
    ("rows", "cuda", "said"),
    [
        ("0, NVIDIA H20, 97871, 550.54.15, 9.0", "13.0", "needs the driver 580 or later; the driver 550.54.15 is installed"),
        ("0, NVIDIA H20, 97871, 515.43.04, 9.0", "12.8", "needs the driver 525.60.13 or later"),
        ("0, Tesla V100-SXM2-32GB, 32768, 580.65.06, 7.0", "13.0", "has no kernels for Tesla V100-SXM2-32GB"),
        ("0, NVIDIA B200, 183359, 570.86.15, 10.0", "12.6", "has no kernels for NVIDIA B200"),
    ],
)
def test_a_driver_too_old_and_a_chip_that_the_build_leaves_out(rows: str, cuda: str, said: str) -> None:
    (one,) = diagnose(nvidia(package("torch", "2.14.0"), VLLM_033, TRANSFORMERS, NUMPY, rows=rows + "\n", cuda=cuda)).findings
    assert one.state is State.CONFLICT
    assert any(said in conflict.text for conflict in one.judgement.conflicts)


@pytest.mark.parametrize(
    ("rows", "python", "engine"),
    [
        (H20, "3.12.4", "vllm 0.33.0"),
        (H20, "3.10.1", "vllm 0.26.0"),
        ("0, NVIDIA H20, 97871, 550.54.15, 9.0\n", "3.12.4", "vllm 0.19.1"),
        ("0, Tesla V100-SXM2-32GB, 32768, 580.65.06, 7.0\n", "3.12.4", ""),
        ("0, NVIDIA H20, 97871, 470.10, 9.0\n", "3.12.4", ""),
    ],
)
def test_what_is_advised_hangs_on_driver_chip_and_python(rows: str, python: str, engine: str) -> None:
    (one,) = diagnose(nvidia(rows=rows, python=python)).findings
    assert one.state is State.MISSING
    assert (one.advice.engine if one.advice else "") == engine


def test_a_tool_that_is_broken_while_the_card_is_there() -> None:
    broken = Ran("failed", "", "Failed to initialize NVML: Driver/library version mismatch")
    found = diagnose(FakeMachine({"nvidia-smi": broken}, on_bus("10de", "2329", "3d", driver="nvidia")))
    assert "a driver that answers; nvidia-smi: Failed to initialize NVML" in found.findings[0].judgement.missing[0].text
    assert found.exit_status == 1


def test_a_card_that_is_lent_to_a_guest_has_no_driver_here() -> None:
    found = diagnose(FakeMachine(files=on_bus("10de", "2329", "3d", driver="vfio-pci")))
    assert found.findings[0].judgement.missing[0].text.startswith("Nvidia's driver (vfio-pci holds it); no tool: nvidia-smi")


def test_a_tool_that_fails_where_there_is_no_card_is_a_note() -> None:
    found = diagnose(FakeMachine({"nvidia-smi": Ran("failed", "", "no devices were found")}))
    assert [one.stack.id for one in found.findings] == ["cpu"]
    assert found.tools == ("nvidia-smi: no devices were found",)


def test_two_makers_in_one_machine_and_the_python_of_one() -> None:
    machine = ascend(*ASCEND)
    found = diagnose(FakeMachine({"npu-smi": NPU_SMI, "nvidia-smi": H20}, machine.files, software=ASCEND,
                                 torch_file=machine.torch_file))  # fmt: skip
    by = {one.stack.id: one for one in found.findings}
    assert set(by) == {"cuda", "ascend"}
    assert by["cuda"].elsewhere
    assert not by["ascend"].elsewhere
    assert by["ascend"].state is State.TOGETHER
    assert found.exit_status == 0
    assert "8 x NVIDIA H20: not for this Python" in texts(found)


def test_versions_that_no_source_pairs_are_not_known() -> None:
    software = (package("torch", "2.5.0"), package("torch_mlu", "1.24.1", "torch==2.5.0"), package("vllm-mlu", "0.9.1"))
    machine = FakeMachine({"cnmon": "Product Name : MLU370-X8\n"}, software=software, torch_file=torch_file("2.5.0"))
    found = diagnose(machine)
    assert found.findings[0].state is State.UNKNOWN
    assert "which Neuware goes with torch-mlu 1.24.1: no source tells" in doctor.headline(found.findings[0])
    assert found.exit_status == 1


def test_no_accelerator_and_an_engine_for_the_cpu() -> None:
    found = diagnose(FakeMachine(software=(package("xllamacpp", "2026.10.11549"),)))
    assert only(found) == (State.TOGETHER, "No accelerator found. These go together: xllamacpp 2026.10.11549 serves on the CPU.")
    assert found.exit_status == 0


def test_openvino_goes_before_llama_cpp_on_a_cpu() -> None:
    openvino = package("openvino-genai", "2026.4.1.0", "openvino_tokenizers~=2026.4.1.0.dev")
    tokenizers = package("openvino-tokenizers", "2026.4.1.0")
    found = diagnose(FakeMachine(software=(package("xllamacpp", "2026.10.11549"), openvino, tokenizers)))
    assert only(found)[0] is State.TOGETHER
    assert found.findings[0].engine == "openvino-genai 2026.4.1.0"


def test_no_accelerator_and_nothing_installed() -> None:
    found = diagnose(FakeMachine())
    assert found.findings[0].state is State.MISSING
    assert found.findings[0].advice is not None
    assert found.findings[0].advice.install == ("pip install xllamacpp==2026.10.11549",)
    assert found.exit_status == 1


def test_a_makers_own_build_of_pytorch_is_known_by_its_label() -> None:
    table = "| 0  MXC500  | 0000:08:00.0 |\n| 858/65536 MiB |\n"
    own = package("torch", "2.4.0+metax3.0.0.3")
    plain = package("torch", "2.4.0+cu121")
    right = diagnose(FakeMachine({"mx-smi": table}, software=(own, package("vllm-metax", "0.9.0"))))
    wrong = diagnose(FakeMachine({"mx-smi": table}, software=(plain, package("vllm-metax", "0.9.0"))))
    assert right.findings[0].state is State.UNKNOWN
    assert wrong.findings[0].judgement.conflicts[0].text == "torch 2.4.0+cu121 is built for CUDA, not for MXMACA"


def test_metadata_that_is_garbage_breaks_nothing() -> None:
    odd = Package(
        "torch", "not a version", ("", "==", "x" * 5000, "torch==[", "numpy>=", "vllm ((", "numpy==1.*; python_version >")
    )
    found = diagnose(nvidia(odd, VLLM_033, NUMPY))
    assert found.exit_status == 1
    assert texts(found)


@pytest.mark.parametrize("machine", [nvidia(TORCH_CU130, VLLM_033, TRANSFORMERS), ascend(TORCH_NPU_210), FakeMachine()])
def test_text_and_json_say_the_same(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = diagnose(machine)
    monkeypatch.setattr(doctor, "diagnose", lambda: found)
    assert doctor.print_doctor(as_json=False) == found.exit_status
    text = " ".join(capsys.readouterr().out.split())
    assert doctor.print_doctor(as_json=True) == found.exit_status
    told = json.loads(capsys.readouterr().out)
    assert told["exit_status"] == found.exit_status
    assert told["well"] is (found.exit_status == 0)
    for one in told["stacks"]:
        assert one["verdict"] in text
        for remark in (*one["conflicts"], *one["missing"]):
            assert remark["text"] in text
            assert remark["source"]
