"""A file's text with what is only said blanked out: comments, and strings where they do not count; places stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from windtunnel.port.source import Source

_CPP = re.compile(
    r'(?P<raw>\bR"(?P<delimiter>[^()\\\s]{0,16})\([\s\S]*?\)(?P=delimiter)")'
    r'|(?P<string>"(?:\\[\s\S]|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])+\')'
    r"|(?P<comment>//(?:\\\r?\n|[^\n])*|/\*[\s\S]*?(?:\*/|\Z))"
)
# a quote within a word is an apostrophe; a hash within a word belongs to it, and #SBATCH is an instruction
_HASH = re.compile(
    r'(?P<string>(?<![\w\\])(?:"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'))'
    r"|(?P<comment>\{\{-?\s*/\*[\s\S]*?\*/\s*-?\}\}"  # Helm's
    r"|#\[(?P<equals>=*)\[[\s\S]*?\](?P=equals)\]"
    r"|(?:^|(?<=[\s;)]))#(?!!|(?:SBATCH|PBS|BSUB|COBALT)\b)[^\n]*)",
    re.M,
)
# what CMake only says is as good as a comment
_CMAKE = re.compile(
    _HASH.pattern.replace("(?P<comment>", r"(?P<comment>\b(?i:message)[ \t]*\((?:\"(?:\\[\s\S]|[^\"\\])*\"|[^()\"])*\)|", 1), re.M
)
_INI = re.compile(r"(?P<string>(?!))|(?P<comment>^[ \t]*[#;][^\n]*|(?<=\s)[#;][^\n]*)", re.M)
_BATCH = re.compile(r"(?P<string>(?!))|(?P<comment>^[ \t]*(?:::|@?rem\b)[^\n]*)", re.M | re.I)
_JSON = re.compile(r'(?P<string>"(?:\\.|[^"\\\n])*")|(?P<comment>//[^\n]*|/\*[\s\S]*?\*/)')
_NOT_NEWLINE = re.compile(r"[^\n\r]")


def code(source: Source) -> str:
    """The text with its comments blanked; strings stay."""
    return _blanked(source.text, _dialect(source), False)


def code_without_strings(source: Source) -> str:
    """The text with comments and the contents of strings blanked: what a compiler takes for names and operators."""
    return _blanked(source.text, _dialect(source), True)


def code_matches(source: Source, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Every match of a regular expression outside comments; its places are those of the file."""
    return pattern.finditer(code(source))


_SAID = re.compile(
    r"(?:^|[;&|({]|\b(?:then|else|do)\b)[ \t]*@?"
    r"(?:echo|printf|Write-(?:Host|Error|Warning))\b(?:[ \t]+-\w+)*[ \t]+[\"'][^\"'\n]*$",
    re.M,
)
# what Python within a script prints, but not what it prints the value of
_PRINTED = re.compile(r"\bprint\(\s*(?:f\"(?:[^\"{}\n]|\{[^{}\n]*\})*|f'(?:[^'{}\n]|\{[^{}\n]*\})*|\"[^\"\n]*|'[^'\n]*)\Z")


def is_said(match: re.Match[str]) -> bool:
    """Whether a place of a script lies in a text that echo prints, and is not itself run for it or written to a file."""
    text, start = match.string, match.start()
    line = text.rfind("\n", 0, start) + 1
    if _PRINTED.search(text, line, start):
        return True
    said = None
    for said in _SAID.finditer(text[line:start]):  # noqa: B007  the last
        pass
    if said is None:
        return False
    end = text.find("\n", start)
    rest = text[start : end if end >= 0 else None]
    inside = said.group()
    return (
        "$(" not in inside
        and "`" not in inside
        and not re.search(r"[^2&]>>?[ \t]*(?!&|/dev/)\S|\|[ \t]*(?:ba)?sh\b|\|[ \t]*tee\b", rest)
    )


def _dialect(source: Source) -> str:
    name = source.path.lower().rsplit("/", 1)[-1]
    if source.language == "cpp" and not name.endswith((".pyx", ".pxd", ".pxi")):
        return "cpp"
    if name.endswith((".json", ".json5", ".jsonc")) or name == "pipfile.lock":
        return "json"
    if name.endswith((".ini", ".cfg", ".conf", ".properties")):
        return "ini"
    if name.endswith((".bat", ".cmd")):
        return "batch"
    if source.language == "build" and (name == "cmakelists.txt" or name.endswith((".cmake", ".cmake.in"))):
        return "cmake"
    return "hash"


_DIALECTS = {"cpp": _CPP, "hash": _HASH, "ini": _INI, "json": _JSON, "batch": _BATCH, "cmake": _CMAKE}


@lru_cache(maxsize=8)  # a file's rules ask one after another
def _blanked(text: str, dialect: str, strings: bool) -> str:
    pieces: list[str] = []
    last = 0
    for match in _DIALECTS[dialect].finditer(text):
        if match["comment"] is None and not strings:
            continue
        pieces += text[last : match.start()], _NOT_NEWLINE.sub(" ", match.group())
        last = match.end()
    return "".join((*pieces, text[last:])) if pieces else text
