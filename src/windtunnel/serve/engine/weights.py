"""What a user's MODEL is: weights on this disk, told apart by what is in the folder. Nothing is unpickled, nothing fetched."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import InvalidInputError, nearest
from windtunnel.serve.engine.gguf import is_gguf

GGUF, SAFETENSORS, OPENVINO = "GGUF", "safetensors", "OpenVINO"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_FIRST_PART = re.compile(r"-00001-of-\d{5}\.gguf$")
_LATER_PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$")


@dataclass(frozen=True, slots=True)
class Weights:
    """A model on this disk. path: the file of a GGUF, else the folder; form: GGUF, safetensors or OpenVINO; name: as clients
    call it unless told otherwise; said: what the user typed."""

    path: Path
    form: str
    name: str
    said: str


def find_weights(said: str) -> Weights:
    """The weights that MODEL means: a file, a folder, an installed package that carries a GGUF file, or the name of a model in
    the Hugging Face cache. Raises InvalidInputError where none are here, and for pickled files."""
    path = Path(said).expanduser()
    if path.is_file():
        return _of_file(path, said)
    if path.is_dir():
        return _of_folder(path, said, path.resolve().name)
    if (path.suffix or said.startswith((".", "~", os.sep))) and not _could_be_name(said):
        raise InvalidInputError(said, "there is no such file or folder")
    for folder in (_package(said), _hub(said)):
        if folder is not None:
            return _of_folder(folder, said, said)
    near = _near(said)
    if near:
        told = ", ".join(near)
        raise InvalidInputError(said, f"no weights of it are on this disk; nearest package that carries a GGUF file: {told}")
    raise InvalidInputError(
        said,
        "no weights of it are on this disk; name a .gguf file, a folder with config.json and .safetensors, or an installed"
        " package that carries a GGUF file; or say with --on CHIP:N on what to simulate it",
    )


def _near(said: str) -> list[str]:
    """Installed packages whose names are nearly that, and that carry a GGUF file."""
    if "/" in said:
        return []
    names = {name for one in importlib.metadata.distributions() if (name := one.name)}
    return [name for name in nearest(said, names, 8) if _package(name) is not None][:3]


def _could_be_name(said: str) -> bool:
    """ORGANISATION/NAME, whose name may hold points as a file's does."""
    return bool(re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", said)) and not said.endswith((".gguf", ".safetensors", *PICKLES))


def _pickled(said: str, of: str = "") -> InvalidInputError:
    what = f"holds {of}, which is pickled" if of else "is pickled"
    return InvalidInputError(said, f"{what}, and unpickling runs whatever is inside; take the model as .safetensors or .gguf")


def _of_file(path: Path, said: str) -> Weights:
    if path.suffix in PICKLES:
        raise _pickled(said)
    if path.suffix == ".safetensors" or path.name in ("config.json", "openvino_model.xml"):
        return _of_folder(path.parent, said, path.resolve().parent.name)
    try:
        good = is_gguf(path)
    except OSError as error:
        raise InvalidInputError(said, error.strerror or str(error)) from None
    if not good:
        raise InvalidInputError(said, "is no GGUF file; a model is a .gguf file, or a folder with config.json and .safetensors")
    return Weights(path, GGUF, path.stem, said)


def _of_folder(folder: Path, said: str, name: str) -> Weights:
    try:
        names = sorted(file.name for file in folder.iterdir())
    except OSError as error:
        raise InvalidInputError(said, f"cannot be read: {error.strerror or error}") from None
    if "openvino_model.xml" in names:
        return Weights(folder, OPENVINO, name, said)
    ggufs = [n for n in names if n.endswith(".gguf") and (_FIRST_PART.search(n) or not _LATER_PART.search(n))]
    if len(ggufs) == 1:
        return Weights(folder / ggufs[0], GGUF, name, said)
    if ggufs:
        raise InvalidInputError(said, f"holds {len(ggufs)} GGUF files; name one: {', '.join(ggufs[:8])}")
    if "config.json" in names and any(n.endswith(".safetensors") for n in names):
        return Weights(folder, SAFETENSORS, name, said)
    pickled = next((n for n in names if n.endswith(PICKLES)), "")
    if pickled and "config.json" in names:
        raise _pickled(said, pickled)
    missing = ".safetensors" if "config.json" in names else "config.json"
    beside = f"; {pickled} is pickled, and is not read" if pickled else ""
    raise InvalidInputError(said, f"holds no model: there is no .gguf file, no openvino_model.xml, and no {missing}{beside}")


def _package(said: str) -> Path | None:
    """The folder of an installed package that carries a GGUF file. The package is looked at and not imported."""
    name = re.sub(r"[-.]+", "_", said)
    if not name.isidentifier():
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        found = sorted({file.parent for file in Path(place).rglob("*.gguf")})
        if found:
            return found[0]
    return None


def _hub(said: str) -> Path | None:
    """The newest copy in the Hugging Face cache of ORGANISATION/NAME."""
    if not _could_be_name(said):
        return None
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = cache / f"models--{said.replace('/', '--')}" / "snapshots"
    if not snapshots.is_dir():
        return None
    return max((folder for folder in snapshots.iterdir() if folder.is_dir()), key=lambda f: f.stat().st_mtime, default=None)
