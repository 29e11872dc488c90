"""A sweep's file: points by hand-counted products, and mistakes that name the key and the nearest right one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.cli.simulate import simulate
from windtunnel.cli.sweep_point import kinds
from windtunnel.errors import WindtunnelError
from windtunnel.sweep.columns import COLUMNS, INPUTS
from windtunnel.sweep.file import Sweep, read_sweep

NO_POINT = {"json", "html"}
"""Options of `windtunnel simulate` on how the answer is shown."""


def sweep(folder: Path, text: str) -> Sweep:
    file = folder / "sweep.toml"
    file.write_text(text, encoding="utf-8")
    return read_sweep(file, kinds())


def test_every_option_of_a_simulation_has_a_column() -> None:
    options = {param.opts[0].lstrip("-") for param in simulate.params}
    assert options - NO_POINT == set(INPUTS)


def test_columns_have_names_of_their_own() -> None:
    names = [name for name, _ in COLUMNS]
    assert len(set(names)) == len(names)


def test_the_product_in_the_order_of_the_file_then_the_cases(tmp_path: Path) -> None:
    found = sweep(
        tmp_path,
        """
        base = { model = "m", seed = 3 }
        grid = { on = ["a", "b:2"], requests_per_s = [1, 2.5] }
        [[case]]
        seed = 4
        prefix-cache = false
        """,
    )
    points = list(found.points())
    assert found.count == len(points) == 5
    assert found.told == "2 on x 2 requests-per-s + 1 case"
    assert found.varied == ["on", "requests-per-s", "seed", "prefix-cache"]
    assert [(p.number, p.settings.get("on"), p.settings.get("requests-per-s")) for p in points] == [
        (1, "a", 1), (2, "a", 2.5), (3, "b:2", 1), (4, "b:2", 2.5), (5, None, None),
    ]  # fmt: skip
    assert points[3].args == ("--on=b:2", "--requests-per-s=2.5", "--seed=3", "m")
    assert points[4].args == ("--no-prefix-cache", "--seed=4", "m")
    assert points[3].command == "windtunnel simulate --on=b:2 --requests-per-s=2.5 --seed=3 m"


def test_options_that_change_together(tmp_path: Path) -> None:
    found = sweep(tmp_path, 'base.model = "m"\ngrid.shape = [{isl = 10, osl = 1}, {isl = 20, osl = 2}]\ngrid.tp = [1, 2, 4]')
    assert found.told == "2 shape x 3 tp"
    assert [(p.settings["isl"], p.settings["osl"], p.settings["tp"]) for p in found.points()] == [
        (10, 1, 1), (10, 1, 2), (10, 1, 4), (20, 2, 1), (20, 2, 2), (20, 2, 4),
    ]  # fmt: skip


def test_without_lists_the_base_is_one_point(tmp_path: Path) -> None:
    found = sweep(tmp_path, 'base = { model = "m", on = "h20" }')
    assert (found.count, found.told) == (1, "[base] alone")
    assert len(list(found.points())) == 1


@given(st.lists(st.integers(1, 4), max_size=3), st.integers(0, 3))
def test_the_count_that_is_said_is_the_number_of_points(sizes: list[int], cases: int) -> None:
    from tempfile import TemporaryDirectory

    names = ("tp", "pp", "dp")
    grid = "".join(f"{name} = {list(range(1, size + 1))}\n" for name, size in zip(names, sizes, strict=False))
    text = f'[base]\nmodel = "m"\n[grid]\n{grid}' + "[[case]]\nseed = 1\n" * cases
    with TemporaryDirectory() as folder:
        found = sweep(Path(folder), text)
        points = list(found.points())
    product = math.prod(sizes) if sizes or not cases else 0
    assert found.count == len(points) == product + cases
    assert [p.number for p in points] == list(range(1, len(points) + 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[base]\ntpp = 1", "unknown option in [base] of sweep.toml 'tpp'; nearest: tp"),
        ("[grid]\nreplica = [1]", "unknown option in [grid] of sweep.toml 'replica'; nearest: replicas"),
        ("[[case]]\nisll = 1", "unknown option in [[case]] of sweep.toml 'isll'; nearest: isl"),
        ("[base]\njson = true", "unknown option in [base] of sweep.toml 'json'"),
        ("[bases]\ntp = 1", "unknown part of sweep.toml 'bases'; nearest: base"),
        ("tp = 1", "sweep.toml: 'tp' stands outside; write it under [base], [grid] or [[case]]"),
        ("[grid]\nrate = [1]", "sweep.toml, [grid] rate: is called requests-per-s, as with `windtunnel simulate`"),
        ("[base]\nchips = 1", "sweep.toml, [base] chips: is called on, as with `windtunnel simulate`"),
        ("[grid]\ntp = 8", "sweep.toml, [grid] tp: is a list: tp = [8]"),
        ("[grid]\ntp = []", "sweep.toml, [grid] tp: is an empty list, so that nothing would be run"),
        ("[base]\ntp = [1, 2]", "sweep.toml, [base] tp: is a list; lists belong in [grid]: tp = [...]"),
        ("[base]\ntp = 1\n[grid]\ntp = [2]", "sweep.toml, [grid] tp: sets tp, which [base] sets too; leave one of them out"),
        ("[grid]\nisl = [1]\nx = [{isl = 2}]", "sweep.toml, [grid] x: sets isl, which isl sets too; leave one of them out"),
        ("[base]\nkv-link = 1\nkv_link = 2", "sweep.toml, [base] kv_link: is set twice"),
        ("[base]\ntp = true", "sweep.toml, [base] tp: true is no value for it"),
        ("[base]\nprefix-cache = 'yes'", "sweep.toml, [base] prefix-cache: is true or false"),
        ("[base]\nttft = 2026-01-01", "sweep.toml, [base] ttft: is a number or a text"),
        ("[grid]\ntp = [[1]]", "sweep.toml, [grid] tp: is a number or a text"),
        ("case = 1", "sweep.toml: a case is a table; write [[case]]"),
        ("base = 1", "sweep.toml, [base]: is a table of options"),
        ("", "sweep.toml: sets nothing; write [base] and [grid]"),
        ("[base", "sweep.toml: is not TOML: Expected ']' at the end of a table declaration (at end of document)"),
    ],
)
def test_mistakes_name_the_key(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(WindtunnelError) as told:
        sweep(tmp_path, text)
    assert str(told.value).startswith(said)


def test_a_product_beyond_reason_is_refused_before_it_is_made(tmp_path: Path) -> None:
    lists = "\n".join(f"{name} = {list(range(1, 1001))}" for name in ("tp", "pp", "dp", "seed", "replicas"))
    with pytest.raises(WindtunnelError, match=r"= 1,000,000,000,000,000 points; at most 1,000,000"):
        sweep(tmp_path, f"[grid]\n{lists}")


def keys(folder: Path, text: str) -> list[str]:
    return [point.key for point in sweep(folder, text).points()]


def test_a_point_is_known_by_what_it_asks_not_where_that_stands(tmp_path: Path) -> None:
    (one,) = keys(tmp_path, '[base]\nmodel = "m"\non = "h20"\ntp = 2')
    many = keys(tmp_path, '[base]\nmodel = "m"\n[grid]\ntp = [1, 2]\non = ["h20", "h100-sxm"]')
    assert len(set(many)) == 4
    assert many.index(one) == 2


def test_a_point_changes_with_the_content_of_its_files_not_with_their_place(tmp_path: Path) -> None:
    text = '[base]\nmodel = "m"\ntrace = "t.csv"'
    found: dict[str, Any] = {}
    for folder, content in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.csv").write_text(content)
        (found[folder],) = keys(tmp_path / folder, text)
    assert found["a"] == found["b"] != found["c"]


def test_files_are_looked_for_beside_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    (tmp_path / "own").mkdir()
    text = '[base]\nmodel = "own"\non = "mine.toml:8"\ntrace = "t.csv"'
    with pytest.raises(WindtunnelError, match=r"trace: there is no file .*t\.csv"):
        keys(tmp_path, text)
    (tmp_path / "t.csv").write_text("")
    (point,) = sweep(tmp_path, text).points()
    assert point.args == (f"--on={tmp_path / 'mine.toml'}:8", f"--trace={tmp_path / 't.csv'}", str(tmp_path / "own"))
    assert point.command == "windtunnel simulate --on=mine.toml:8 --trace=t.csv own"


def test_a_name_of_the_catalogue_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "Qwen" / "Qwen3-8B").mkdir(parents=True)
    (point,) = sweep(tmp_path, 'base.model = "Qwen/Qwen3-8B"').points()
    assert point.args == ("Qwen/Qwen3-8B",)
