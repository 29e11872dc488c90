"""Keys and values of YAML, JSON and TOML with their places; comments blanked with every character in its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.port.rule import Language
from windtunnel.port.rules._code import code, code_without_strings
from windtunnel.port.rules._entries import Entry, entries, json_entries
from windtunnel.port.rules._packages import packages
from windtunnel.port.source import Source


def of(text: str, name: str = "a.yaml") -> list[Entry]:
    found = list(entries(Source.of_text(text, "config", name)))
    for entry in found:
        assert text[entry.key_start : entry.key_end] == entry.key
        if not entry.block:
            assert text[entry.start : entry.end] == entry.value
    return found


def flat(text: str, name: str = "a.yaml") -> dict[str, str]:
    return {".".join((*e.path, e.key)).strip("."): e.value for e in of(text, name) if e.value}


def test_nested_mappings_and_lists() -> None:
    text = "a:\n  b: 1\n  c:\n  - x\n  - y: 2\n    z: 3\n  d:\n    - - deep\ne: 4\n"
    assert [(e.path, e.key, e.value) for e in of(text) if e.value] == [
        (("a",), "b", "1"),
        (("a", "c", "[]"), "", "x"),
        (("a", "c", "[]"), "y", "2"),
        (("a", "c", "[]"), "z", "3"),
        (("a", "d", "[]", "[]"), "", "deep"),
        ((), "e", "4"),
    ]


def test_documents_are_told_apart() -> None:
    found = of("a: 1\n---\nb: 2\n...\n---\nc: 3\n")
    assert [(e.document, e.path, e.key) for e in found] == [(0, (), "a"), (1, (), "b"), (2, (), "c")]


def test_anchors_tags_and_quotes_are_taken_off() -> None:
    text = 'a: &x \'one\'\nb: !!str "two"\n"c d": &y\n  e: three\n<<: *x\nurl: http://x/y#z\n'
    assert flat(text) == {"a": "one", "b": "two", "c d.e": "three", "<<": "*x", "url": "http://x/y#z"}


def test_a_block_is_one_value() -> None:
    text = "run: |\n  device: cuda\n\n  x: y\nnext: >-\n  a\n  b: c\nlast:\n- |\n  q: r\n- s\n"
    found = of(text)
    assert [(e.key, e.block) for e in found] == [("run", True), ("next", True), ("last", False), ("", True), ("", False)]
    assert found[0].value == "  device: cuda\n\n  x: y\n"


def test_flow_collections_over_lines() -> None:
    text = "a: {b: 1, c: [x, 'y, z'], d: {e: \"f\"}}\ng: [\n  h,\n  {i: j}\n]\nk: l\n"
    assert flat(text) == {
        "a.b": "1",
        "a.c.[]": "y, z",
        "a.d.e": "f",
        "g.[]": "h",
        "g.[].i": "j",
        "k": "l",
    }


def test_a_hash_within_a_word_or_quotes_is_no_comment() -> None:
    assert flat("a: x#y # z\nb: '# no'\nc: don't # it's\n# d: e\n") == {"a": "x#y", "b": "# no", "c": "don't"}


def test_templates_are_read_as_far_as_they_are_yaml() -> None:
    assert flat("{{- if .Values.x }}\na: {{ .Values.y }}\nb: c\n{{- end }}\n") == {"a": "{{ .Values.y }}", "b": "c"}


def test_toml_and_ini() -> None:
    text = '[tool.x."y.z"]\na = "b" # c\nd = 1\n[[e]]\nf = \'g\'\n'
    assert flat(text, "a.toml") == {"tool.x.y.z.a": "b", "tool.x.y.z.d": "1", "e.f": "g"}
    assert flat("[s]\na = b\n; c = d\ne: f\n", "a.ini") == {"s.a": "b", "s.e": "f"}


@given(
    st.recursive(
        st.text("abc xyz:,#[]{}", min_size=1, max_size=6).filter(lambda s: s == s.strip()),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("kq", min_size=1, max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_has_every_string_at_its_place(value: object) -> None:
    def strings(part: object) -> list[str]:
        if isinstance(part, str):
            return [part]
        return [s for inner in (part.values() if isinstance(part, dict) else part) for s in strings(inner)]  # type: ignore[attr-defined]

    for text in (json.dumps(value), json.dumps(value, indent=1)):
        found = json_entries(text)
        wanted = [] if isinstance(value, str) else strings(value)
        assert [e.value for e in found if e.value] == wanted
        assert all(text[e.start : e.end] == e.value for e in found)


LANGUAGES: list[tuple[Language, str]] = [
    ("cpp", "a.cu"),
    ("shell", "a.sh"),
    ("config", "a.ini"),
    ("config", "a.json"),
    ("build", "C.cmake"),
]
ODD = st.text("ab /*#\"'\\\n\r\t:-[]{}=;()R<>|&$", max_size=80)


@given(ODD)
@pytest.mark.parametrize(("language", "name"), LANGUAGES)
def test_blanking_keeps_every_place(language: Language, name: str, text: str) -> None:
    source = Source.of_text(text, language, name)
    for blanked in (code(source), code_without_strings(source)):
        assert len(blanked) == len(text)
        assert all(b in (a, " ") for a, b in zip(text, blanked, strict=True))
        assert [c for c in blanked if c in "\n\r"] == [c for c in text if c in "\n\r"]


@given(ODD)
def test_odd_text_is_read_without_a_fault(text: str) -> None:
    for name in ("a.yaml", "a.json", "a.toml", "a.ini"):
        of_text = entries(Source.of_text(text, "config", name))
        assert all(0 <= e.start <= e.end <= len(text) for e in of_text)
    for name in ("requirements.txt", "pyproject.toml", "poetry.lock", "setup.cfg", "environment.yml"):
        assert all(text[p.start : p.end].strip() for p in packages(Source.of_text(text, "requirements", name)))


def test_comments_of_c() -> None:
    text = 'a; // b\n/* c\n */ d "// e" \'"\' f; // g \\\n still\nR"(// h)" i; 1\'000 // j\n'
    found = code(Source.of_text(text, "cpp", "a.cpp"))
    assert found.split() == ["a;", "d", '"//', 'e"', "'\"'", "f;", 'R"(//', 'h)"', "i;", "1'000"]


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        (
            "requirements.txt",
            "-r x.txt\nA_b.C[x,y]>=1 ; m\n-e git+https://g.c/o/flash-attention.git@v#egg=q\n",
            ["a-b-c", "flash-attn"],
        ),
        (
            "pyproject.toml",
            '[project]\nname = "n"\ndependencies = ["a[x]>=1",\n "b"]\nx = ["c"]\n[build-system]\nrequires=["d"]\n',
            ["a", "b", "d"],
        ),
        ("Pipfile", '[packages]\na = "*"\nb = {version = "1"}\n[requires]\npython_version = "3"\n', ["a", "b"]),
        ("uv.lock", '[[package]]\nname = "a"\nwheels = [\n  { url = "x" },\n]\n[package.metadata]\nname = "b"\n', ["a"]),
        ("environment.yml", "name: e\nchannels: [c]\ndependencies:\n- a=1\n- k::b\n- pip:\n  - d==2\n", ["a", "b", "d"]),
    ],
)
def test_packages(name: str, text: str, names: list[str]) -> None:
    assert [p.name for p in packages(Source.of_text(text, "requirements", name))] == names
