"""What MODEL is, what a GGUF file says of it, how large the engine is made, and which engine is taken."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.engine.made_up import LLAMA, gguf
from tests.serve.process.fake_engine import distribution
from windtunnel.errors import DoesNotFitError, InvalidInputError, UnknownNameError, UnsupportedError
from windtunnel.serve.engine.choose import Candidate, choose
from windtunnel.serve.engine.gguf import read_head
from windtunnel.serve.engine.hardware import cores, free_bytes
from windtunnel.serve.engine.sizes import size_for
from windtunnel.serve.engine.weights import GGUF, OPENVINO, SAFETENSORS, Weights, find_weights

KV_BYTES = 30 * 3 * 64 * 2 * 2
GB = 10**9


def test_the_head_of_a_file_tells_its_model(tmp_path: Path) -> None:
    values = {**LLAMA, "tokenizer.ggml.tokens": ["a", "bc"], "x.flag": True, "x.share": 0.5, "x.each": [1, 2, 3]}
    path = gguf(tmp_path / "it.gguf", values, {"w": ((32, 2), 0, b"\1" * 256)})
    head = read_head(path)
    assert (head.architecture, head.context, head.vocabulary, head.kv_bytes()) == ("llama", 8192, 2, KV_BYTES)
    assert (head.values["x.flag"], head.values["x.share"], head.values["x.each"]) == (True, 0.5, [1, 2, 3])
    assert head.values["tokenizer.ggml.tokens"] == [b"a", b"bc"]
    (tensor,) = head.tensors
    assert (tensor.name, tensor.shape, tensor.kind) == ("w", (32, 2), 0)
    assert path.read_bytes()[head.data :] == b"\1" * 256


@given(cut=st.floats(0.01, 0.99), flip=st.integers(0, 255), at=st.floats(0, 1))
def test_a_broken_file_is_named_and_nothing_more(
    tmp_path_factory: pytest.TempPathFactory, cut: float, flip: int, at: float
) -> None:
    whole = gguf(tmp_path_factory.mktemp("gguf") / "it.gguf", LLAMA, {"w": ((32, 2), 0, b"")})
    raw = bytearray(whole.read_bytes())
    raw[int(at * (len(raw) - 1))] = flip
    whole.write_bytes(raw[: max(1, int(cut * len(raw)))])
    with contextlib.suppress(InvalidInputError):
        read_head(whole)


def test_weights_are_found_by_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = gguf(tmp_path / "small.Q4.gguf", LLAMA)
    assert find_weights(str(file)) == Weights(file, GGUF, "small.Q4", str(file))
    assert find_weights(str(tmp_path)).path == file
    (tmp_path / "hf").mkdir()
    for name in ("config.json", "model.safetensors", "pytorch_model.bin"):
        (tmp_path / "hf" / name).write_text("{}")
    assert find_weights(str(tmp_path / "hf")) == Weights(tmp_path / "hf", SAFETENSORS, "hf", str(tmp_path / "hf"))
    assert find_weights(str(tmp_path / "hf" / "config.json")).form == SAFETENSORS
    (tmp_path / "ov").mkdir()
    (tmp_path / "ov" / "openvino_model.xml").write_text("")
    assert find_weights(str(tmp_path / "ov")).form == OPENVINO
    # a package that carries a model: looked at and not imported
    package = tmp_path / "site" / "carries_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    inside = gguf(package / "it.gguf", LLAMA)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert find_weights("carries-model") == Weights(inside, GGUF, "carries-model", "carries-model")
    # what a hub's client has fetched already
    snapshot = tmp_path / "hub" / "models--org--Name-1.5B" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).write_text("{}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert find_weights("org/Name-1.5B") == Weights(snapshot, SAFETENSORS, "org/Name-1.5B", "org/Name-1.5B")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "no weights of it are on this disk; name a .gguf file"),
        ("none/such.gguf", "there is no such file or folder"),
        ("./none", "there is no such file or folder"),
        ("pickled.bin", "is pickled, and unpickling runs whatever is inside; take the model as .safetensors or .gguf"),
        ("old", "holds pytorch_model.bin, which is pickled"),
        ("stray", "holds no model: there is no .gguf file, no openvino_model.xml, and no config.json; b.pkl is pickled"),
        ("zip.gguf", "is no GGUF file"),
        ("two", "holds 2 GGUF files; name one: a.gguf, b.gguf"),
        ("empty", "holds no model: there is no .gguf file, no openvino_model.xml, and no config.json"),
        ("bare", "and no .safetensors"),
    ],
)
def test_what_is_no_model_is_told_in_one_line(said: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    Path("pickled.bin").write_bytes(b"\x80")
    Path("zip.gguf").write_bytes(b"PK")
    for name, files in {
        "old": ["config.json", "pytorch_model.bin"],
        "two": ["a.gguf", "b.gguf"],
        "empty": [],
        "stray": ["b.pkl"],
    }.items():
        Path(name).mkdir()
        for file in files:
            Path(name, file).write_bytes(b"GGUF")
    Path("bare").mkdir()
    Path("bare", "config.json").write_text("{}")
    with pytest.raises(InvalidInputError) as caught:
        find_weights(said)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_package_is_told_the_nearest_that_carries_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, carries in (("tiny_model7", True), ("tiny_model8", False)):
        (tmp_path / name).mkdir()
        distribution(tmp_path, name.replace("_", "-"), "1.0")
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('imported')")
        if carries:
            gguf(tmp_path / name / "it.gguf", LLAMA)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidInputError) as caught:
        find_weights("tiny-modle7")
    told = "no weights of it are on this disk; nearest package that carries a GGUF file: tiny-model7"
    assert str(caught.value) == f"tiny-modle7: {told}"


def test_a_file_in_parts_is_its_first(tmp_path: Path) -> None:
    for part in (1, 2):
        gguf(tmp_path / f"big-0000{part}-of-00002.gguf", LLAMA)
    assert find_weights(str(tmp_path)).path.name == "big-00001-of-00002.gguf"


def test_the_size_is_what_a_quarter_of_the_memory_holds(tmp_path: Path) -> None:
    head = read_head(gguf(tmp_path / "it.gguf", LLAMA))
    plenty = size_for(head, GB, free=64 * GB, threads=2)
    assert (plenty.parallel, plenty.context, plenty.threads) == (8, 8192, 2)
    # (3 - 1) GB / 4 / 23,040 bytes / 8 answers = 2,712 tokens, in steps of 256
    assert size_for(head, GB, free=3 * GB).context == 2560
    # 100 MB / 4 is 1,085 tokens: one answer alone has that many, in whole steps
    tight = size_for(head, GB, free=GB + 10**8)
    assert (tight.parallel, tight.context) == (1, 1024)
    asked = size_for(head, GB, free=2 * GB, context=8000)
    assert (asked.parallel, asked.context) == (5, 8000)  # 10**9 / 23,040 / 8,000 = 5.4
    with pytest.raises(InvalidInputError, match="--context: 9000 is beyond the model's own context of 8192"):
        size_for(head, GB, free=64 * GB, context=9000)
    with pytest.raises(DoesNotFitError, match=r"the model is 2.0 GB, and 1.0 GB of memory are free"):
        size_for(head, 2 * GB, free=GB)
    with pytest.raises(DoesNotFitError, match=r"8 x 8000 tokens of context take 1.5 GB beside the model's 1.0 GB"):
        size_for(head, GB, free=2 * GB, context=8000, parallel=8)


def test_cores_are_those_of_the_affinity_and_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):  # four cores of two threads
        topology = tmp_path / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{number % 4},{number % 4 + 4}\n")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 4, 5}, raising=False)
    assert cores(tmp_path, tmp_path) == 2
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores(tmp_path, tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path, tmp_path) == 2
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 50 kB\n")
    assert free_bytes(tmp_path / "meminfo", tmp_path) == 51_200
    (tmp_path / "memory.max").write_text("30000")
    (tmp_path / "memory.current").write_text("10000")
    assert free_bytes(tmp_path / "meminfo", tmp_path) == 20_000
    assert free_bytes(tmp_path / "none", tmp_path / "none") is None


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found = lambda name: object() if name in names else None  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", found)


def test_the_best_engine_that_takes_the_model_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = Weights(Path("a.gguf"), GGUF, "a", "a.gguf"), Weights(Path("b"), SAFETENSORS, "b", "b")
    genai = ("openvino_genai", "openvino_tokenizers")
    installed(monkeypatch, "xllamacpp", *genai)
    assert (choose(file).engine, choose(file).told) == ("both", "")
    assert choose(file, "llama.cpp").engine == "llama.cpp"
    installed(monkeypatch, *genai)
    assert choose(file).engine == "openvino"
    installed(monkeypatch, "xllamacpp", "torch", "transformers")
    assert choose(file).engine == "llama.cpp"
    assert choose(file).told == "openvino was not taken: it is not installed; pip install openvino-genai"
    assert choose(folder).engine == "transformers"
    assert choose(folder, before=[Candidate("vllm")]).engine == "vllm"
    with pytest.raises(UnsupportedError, match=r"llama.cpp does not serve b: it takes GGUF, and this is safetensors"):
        choose(folder, "llama.cpp")
    with pytest.raises(UnknownNameError, match=r"unknown engine 'lama.cpp'; nearest: llama.cpp"):
        choose(file, "lama.cpp")
    installed(monkeypatch)
    with pytest.raises(UnsupportedError, match=r"nothing here serves a.gguf \(GGUF\): .*xllamacpp is not installed; pip install"):
        choose(file)
