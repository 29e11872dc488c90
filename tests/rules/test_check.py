"""Verdicts by date and destination: each instrument begins and ends on its day, and what is not known is said."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog import Chip, chip, chips, system, systems
from windtunnel.catalog.destination import record
from windtunnel.catalog.instrument import instrument, instruments
from windtunnel.errors import InvalidInputError, MissingFactError, UnknownNameError
from windtunnel.rules.check import check
from windtunnel.rules.days import first_day, parse_day
from windtunnel.rules.verdict import Status

TOLD = [
    ("ascend-950dt", "CN", "2026-11-01", Status.CASE_BY_CASE, "bis-2026-01"),  # never on sale in the US, as the 910C
    ("a100-sxm-80gb", "CN", "2022-10-07", Status.DENIAL, "bis-2022-10"),
    ("a800-sxm", "CN", "2023-11-16", Status.FREE, "bis-2022-10"),
    ("a800-sxm", "CN", "2023-11-17", Status.DENIAL, "bis-2023-10"),
    ("h800-sxm", "CN", "2023-11-16", Status.FREE, "bis-2022-10"),
    ("h20", "CN", "2025-04-08", Status.FREE, "bis-2023-10"),
    ("h20", "CN", "2025-04-09", Status.LICENCE, "letters-2025-04"),
    ("h20", "CN", "2025-04-20", Status.LICENCE, "letters-2025-04"),
    ("h20", "CN", "2026-02-01", Status.LICENCE, "letters-2025-04"),
    ("h20", "Hong Kong", "2025-04-20", Status.LICENCE, "letters-2025-04"),
    ("h20", "Macau", "2025-04-20", Status.LICENCE, "letters-2025-04"),
    ("h20", "D:5", "2025-04-20", Status.LICENCE, "letters-2025-04"),
    ("h20", "D:4", "2025-04-20", Status.FREE, "bis-2023-10"),
    ("mi308x", "CN", "2025-04-20", Status.LICENCE, "letters-2025-04"),
    ("gaudi2", "CN", "2025-04-20", Status.DENIAL, "bis-2023-10"),
    ("tpu-v5e", "CN", "2025-04-20", Status.DENIAL, "bis-2023-10"),
    ("h200-sxm", "CN", "2026-01-14", Status.DENIAL, "bis-2023-10"),
    ("h200-sxm", "CN", "2026-01-15", Status.CASE_BY_CASE, "bis-2026-01"),
    ("h200-sxm", "Macau", "2026-01-15", Status.CASE_BY_CASE, "bis-2026-01"),
    ("h200-sxm", "D:5", "2026-01-15", Status.DENIAL, "bis-2023-10"),
    ("h200-sxm", "D:4", "2026-01-15", Status.APPROVAL, "bis-2023-10"),
    ("h200-sxm", "A:5", "2026-01-15", Status.FREE, "bis-2023-10"),
    ("h200-sxm", "A:5", "2025-01-14", Status.FREE, "bis-2023-10"),
    ("h200-sxm", "A:5", "2025-01-15", Status.NOT_COVERED, "diffusion-2025-01"),
    ("h200-sxm", "A:5", "2025-05-12", Status.NOT_COVERED, "diffusion-2025-01"),
    ("h200-sxm", "A:5", "2025-05-13", Status.FREE, "bis-2023-10"),
    ("h20", "A:5", "2025-02-01", Status.FREE, "bis-2023-10"),
    ("a100-sxm-80gb", "D:4", "2023-01-01", Status.NOT_COVERED, "bis-2022-10"),
    ("rtx-4090", "CN", "2024-01-01", Status.EXCEPTION, "bis-2023-10"),
    ("rtx-5090", "CN", "2025-02-01", Status.EXCEPTION, "bis-2023-10"),
    ("rtx-5090", "CN", "2025-05-01", Status.LICENCE, "letters-2025-04"),
    ("b200-sxm", "CN", "2026-02-01", Status.DENIAL, "bis-2023-10"),
    ("gaudi3", "CN", "2026-02-01", Status.DENIAL, "bis-2023-10"),
]


@pytest.mark.parametrize(("name", "to", "date", "status", "by"), TOLD)
def test_verdict(name: str, to: str, date: str, status: Status, by: str) -> None:
    verdict = check(name, to, date)
    assert (verdict.status, verdict.instrument) == (status, by)
    assert verdict.sources
    assert verdict.conditions


def test_the_exception_asks_for_notice_where_it_must() -> None:
    assert "NAC (s.740.8): BIS is notified 25 days before" in check("rtx-4090", "CN", "2024-06-01").clause
    assert "ACA (s.740.8): no notice" in check("rtx-4090", "D:4", "2024-04-04").clause
    assert "not in the record" in check("rtx-4090", "D:4", "2024-04-03").clause


def test_a_prong_b_chip_goes_under_the_exception() -> None:
    smaller = _with_area(chip("mi308x"), 1017e-6)  # 3014 / 1017 = 2.96: between 1.6 and 5.92, and TPP from 2400 on
    verdict = check(smaller, "CN", "2025-01-01")
    assert (verdict.eccn, verdict.status) == ("3A090.b.1", Status.EXCEPTION)


def _with_area(of: Chip, m2: float) -> Chip:
    from dataclasses import replace

    figures = {**of.figures, "die_area_m2": replace(of.figures["die_area_m2"], value=m2, others=())}
    return replace(of, figures=figures)


def test_another_source_that_would_decide_otherwise_is_told() -> None:
    assert any("1,017 mm2" in note and "3A090.b.1" in note for note in check("mi308x", "CN", "2025-01-01").notes)


def test_a_missing_area_is_never_guessed() -> None:
    verdict = check("mlu590", "CN", "2024-01-01")
    assert (verdict.status, verdict.missing, verdict.eccn) == (Status.NEEDS_FIGURE, "die area", "")
    assert any(condition.met is None for condition in verdict.conditions)


@pytest.mark.parametrize(("name", "clause"), [("gb200-nvl72", "ECCN 4A090.a: it contains gb200"), ("hgx-h20", "letters")])
def test_a_system_is_judged_by_its_chip(name: str, clause: str) -> None:
    verdict = check(name, "CN", "2026-02-01")
    own = check(system(name).chip, "CN", "2026-02-01")
    assert clause in verdict.clause
    assert (verdict.item, verdict.chip, verdict.status) == (name, own.chip, own.status)


def test_a_die_is_judged_as_its_package() -> None:
    die, package = check("ascend-910c-die", "CN", "2026-02-01"), check("ascend-910c", "CN", "2026-02-01")
    assert (die.item, die.chip, die.status, die.conditions) == (
        "ascend-910c-die",
        "ascend-910c",
        package.status,
        package.conditions,
    )
    assert any("package" in note for note in die.notes)


@pytest.mark.parametrize("name", ["ascend-910c", "cloudmatrix-384", "ascend-910b4", "kunlun-p800"])
def test_what_is_no_us_item_is_told_so_and_of_general_prohibition_10(name: str) -> None:
    verdict = check(name, "CN", "2025-06-01")
    assert (verdict.hypothetical, verdict.barred) == (True, False)
    assert verdict.headline.startswith("no US item; if it were: ")
    assert any("General Prohibition 10" in note for note in verdict.notes)
    assert not any("General Prohibition 10" in note for note in check(name, "CN", "2025-05-12").notes)


def test_a_maker_that_the_record_does_not_know_is_told_so() -> None:
    from dataclasses import replace

    mine = replace(chip("h100-sxm"), id="mine", vendor="My Maker")
    verdict = check(mine, "CN", "2026-02-01")
    assert verdict.headline.startswith("maker not in the record; if a US item: ")
    assert not verdict.barred


def test_the_chinese_side_and_the_duty_are_told() -> None:
    notes = " ".join(check("h200-sxm", "CN", "2026-02-01").notes)
    for told in ("China's customs", "domestic chips only", "25 %", "50 % of the units shipped"):
        assert told in notes
    assert "15 %" in " ".join(check("h20", "CN", "2025-09-01").notes)


def test_what_is_announced_and_not_yet_in_force_is_told() -> None:
    verdict = check("h800-sxm", "CN", "2023-10-20")
    assert verdict.status is Status.FREE
    assert any("88 FR 73458 is announced, and takes effect on 2023-11-17" in note for note in verdict.notes)


def test_a_chip_that_is_not_launched_is_told_so() -> None:
    assert any(note.startswith("Not launched on that day: 2027-Q4") for note in check("ascend-960", "CN", "2026-01-01").notes)
    assert any(note.startswith("Perhaps not launched") for note in check("ascend-910c", "CN", "2024-11-01").notes)


def test_after_the_last_day_the_verdict_says_so() -> None:
    late = check("h20", "CN", "2030-01-01")
    assert late.known_until == datetime.date(2026, 8, 13)
    assert any("known up to 2026-08-13" in note for note in late.notes)
    assert not any("known up to" in note for note in check("h20", "CN", "2026-08-13").notes)


@pytest.mark.parametrize(
    ("date", "message"),
    [
        ("2022-10-06", "before the first rule of the record, of 2022-10-07"),
        ("2025-4-9", "nearest: 2025-04-09"),
        ("20250409", "nearest: 2025-04-09"),
        ("09.04.2025", "nearest: 2025-04-09"),
        ("2025/04/09", "nearest: 2025-04-09"),
        ("2025-02-30", "nearest: 2025-02-28"),
        ("2025-13-02", "nearest: 2025-02-13"),
        ("2025", "nearest: 2025-01-01"),
        ("2025-04", "nearest: 2025-04-01"),
        ("soon", "write it as 2025-04-20"),
        ("", "write it as 2025-04-20"),
        ("9" * 400, "write it as 2025-04-20"),
    ],
)
def test_a_day_that_is_none(date: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        check("h20", "CN", date)


@given(st.text(max_size=20))
def test_whatever_is_typed_as_a_day_is_a_day_or_one_line(text: str) -> None:
    try:
        told = parse_day(text).isoformat()
    except InvalidInputError as error:
        told = str(error)
    assert told == text.strip() or (told.startswith("date: ") and told.count("\n") == 0)


def test_destinations() -> None:
    with pytest.raises(MissingFactError, match="country group of Germany"):
        check("h20", "DE", "2025-01-01")
    with pytest.raises(UnknownNameError, match="unknown destination 'Chinna'; nearest: China"):
        check("h20", "Chinna", "2025-01-01")
    with pytest.raises(UnknownNameError, match="unknown chip or system 'h21'"):
        check("h21", "CN", "2025-01-01")
    assert check("h20", "prc", "2025-01-01").destination.id == "CN"
    assert len(record().countries) > 200


DAYS = st.dates(datetime.date(2022, 10, 7), datetime.date(2032, 1, 1))


@given(st.sampled_from([*chips(), *systems()]), st.sampled_from(["CN", "MO", "D:1", "D:4", "D:5", "A:5", "A:6"]), DAYS)
def test_every_item_gets_a_verdict_everywhere_and_always(item: object, to: str, day: datetime.date) -> None:
    verdict = check(item, to, day)  # type: ignore[arg-type]
    assert verdict.status in Status
    assert (verdict.status is Status.NEEDS_FIGURE) == bool(verdict.missing)
    assert verdict.clause
    assert "\n" not in verdict.headline
    if verdict.status is Status.DENIAL:
        assert verdict.eccn.startswith("3A090.a")


@given(DAYS)
def test_verdicts_change_only_on_the_days_of_instruments(day: datetime.date) -> None:
    turning = {d for i in instruments() if i.binds for d in (i.effective, i.ended)}
    before = day - datetime.timedelta(days=1)
    if day not in turning and before >= first_day():
        for name in ("h20", "h200-sxm", "rtx-5090"):
            assert check(name, "CN", day).status is check(name, "CN", before).status


def test_bills_bind_nothing() -> None:
    bills = [i for i in instruments() if i.kind == "bill"]
    assert {i.id for i in bills} == {"ai-overwatch-act", "gain-ai-act", "remote-access-security-act", "chip-security-act"}
    assert not any(i.binds or i.on(datetime.date(2030, 1, 1)) for i in bills)


def test_every_instrument_names_things_that_exist() -> None:
    groups = {"worldwide", *(g for place in record().places.values() for g in place.groups)}
    for each in instruments():
        assert each.sources, each.id
        assert set(each.destinations) <= groups, each.id
        assert {chip(name).id for name in each.concerns} == set(each.concerns)
        assert set(each.makers) <= {c.vendor for c in chips()}
        assert not each.ended_by or instrument(each.ended_by)
        if each.effective and each.ended:
            assert each.effective < each.ended


def test_every_maker_of_the_catalogue_is_known() -> None:
    assert {c.vendor for c in chips()} == set(record().makers)
