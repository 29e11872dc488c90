"""What kind of file it is, by its name first and by its content where a name does not tell."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from windtunnel.port.rule import Language

_SUFFIXES: dict[str, Language] = {
    ".py": "python", ".pyi": "python", ".pyw": "python", ".ipynb": "notebook",
    ".cu": "cpp", ".cuh": "cpp", ".c": "cpp", ".cc": "cpp", ".cpp": "cpp", ".cxx": "cpp", ".h": "cpp", ".hh": "cpp",
    ".hpp": "cpp", ".hxx": "cpp", ".inl": "cpp", ".inc": "cpp", ".ipp": "cpp", ".hip": "cpp",
    ".pyx": "cpp", ".pxd": "cpp", ".pxi": "cpp",
    ".cmake": "build", ".mk": "build", ".bzl": "build", ".bazel": "build", ".gn": "build", ".ninja": "build",
    ".sh": "shell", ".bash": "shell", ".zsh": "shell", ".ksh": "shell", ".fish": "shell", ".bat": "shell", ".ps1": "shell",
    ".slurm": "slurm", ".sbatch": "slurm", ".slrm": "slurm", ".dockerfile": "dockerfile", ".containerfile": "dockerfile",
    ".lock": "requirements", ".env": "config", ".toml": "config", ".ini": "config", ".cfg": "config", ".conf": "config",
    ".yaml": "config", ".yml": "config", ".json": "config", ".json5": "config", ".jsonc": "config", ".properties": "config",
}  # fmt: skip
_NAMES: dict[str, Language] = {
    "cmakelists.txt": "build", "makefile": "build", "gnumakefile": "build", "meson.build": "build", "build": "build",
    "workspace": "build", "justfile": "build", "meson_options.txt": "build",
    "pyproject.toml": "requirements", "setup.cfg": "requirements", "pipfile": "requirements", "pipfile.lock": "requirements",
    "environment.yml": "requirements", "environment.yaml": "requirements", "meta.yaml": "requirements",
    "conda-lock.yml": "requirements",
    "conda.yml": "requirements", "conda.yaml": "requirements", "requires.txt": "requirements", "pkg-info": "requirements",
    "jenkinsfile": "ci", ".gitlab-ci.yml": "ci", ".travis.yml": "ci", "azure-pipelines.yml": "ci", "appveyor.yml": "ci",
    "bitbucket-pipelines.yml": "ci", ".drone.yml": "ci", "cloudbuild.yaml": "ci", "cog.yaml": "dockerfile",
    "singularity": "dockerfile", ".env": "config", ".envrc": "shell", ".bashrc": "shell", ".profile": "shell",
}  # fmt: skip
_PATTERNS: tuple[tuple[re.Pattern[str], Language], ...] = (
    (
        re.compile(
            r"(^|/)(\.github/(workflows|actions)|\.circleci|\.buildkite|\.?azure(-pipelines)?|\.gitlab(-ci)?|\.ci|\.semaphore|\.woodpecker|\.drone)/.*\.ya?ml$"
        ),
        "ci",
    ),
    (re.compile(r"(^|/)(docker-)?compose([.\-_][^/]*)?\.ya?ml$"), "compose"),
    (re.compile(r"(^|/)(dockerfile|containerfile)([.\-_][^/]*)?$|\.def$"), "dockerfile"),
    (re.compile(r"(^|/)[^/]*(requirements?|constraints)[^/]*\.(txt|in|pip)$|(^|/)requirements/[^/]*\.(txt|in)$"), "requirements"),
    (re.compile(r"(^|/)environment[^/]*\.ya?ml$"), "requirements"),
    (re.compile(r"(^|/)makefile\.[^/]*$"), "build"),
    (re.compile(r"(^|/)\.env\.[^/]*$"), "config"),
    (re.compile(r"(^|/)templates/.*\.(tpl|ya?ml)$|(^|/)charts?/.*\.ya?ml$"), "kubernetes"),
)
_KUBERNETES = re.compile(rb"^apiVersion\s*:", re.M)
_KIND = re.compile(rb"^kind\s*:", re.M)
_COMPOSE = re.compile(rb"^services\s*:\s*$[\s\S]*^\s+(image|build)\s*:", re.M)
_SBATCH = re.compile(rb"^#(SBATCH|PBS|BSUB|COBALT)\b", re.M)
_SHEBANG = re.compile(rb"#!\s*\S*?/?(?:env\s+(?:-\S+\s+)*)?(python[\d.]*|bash|sh|zsh|ksh|dash)\b")
HEAD_BYTES = 8192
"""How much of a file its content is judged by."""


def by_name(path: str) -> Language | None:
    """What the name alone tells; None where it tells nothing, as of a script without a suffix."""
    lowered = path.lower()
    name = lowered.rsplit("/", 1)[-1]
    known = _NAMES.get(name)
    if known:
        return known
    for pattern, language in _PATTERNS:
        if pattern.search(lowered):
            return language
    return _SUFFIXES.get(PurePosixPath(name).suffix)


def may_tell(path: str) -> bool:
    """Whether the content must be looked at where the name told nothing: only of files without a suffix."""
    name = path.rsplit("/", 1)[-1]
    return "." not in name.lstrip(".")


def language_of(path: str, raw: bytes) -> Language | None:
    """The kind of a file with this path and content; None for what no rule reads."""
    found = by_name(path)
    head = raw[:HEAD_BYTES]
    if found == "shell" and _SBATCH.search(head):
        return "slurm"
    if found == "config" and path.lower().endswith((".yaml", ".yml")):
        if _KUBERNETES.search(head) and _KIND.search(head):
            return "kubernetes"
        if _COMPOSE.search(head):
            return "compose"
        if path.lower().endswith(("values.yaml", "values.yml")):
            return "kubernetes"
    if found is None and may_tell(path):
        shebang = _SHEBANG.match(head)
        if shebang:
            if shebang.group(1).startswith(b"python"):
                return "python"
            return "slurm" if _SBATCH.search(head) else "shell"
    return found
