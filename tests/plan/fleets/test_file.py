"""A fleet's file: what is read from it, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.plan.fleets.file import MAIN_SITE, read_fleet
from windtunnel.plan.fleets.spec import FleetSpec, MarketSupply

FLEET = 'start = "2026-Q1"\nquarters = 2\n'
CHIP = 'chip = "h20"\n'
DIES = "[chip.supply]\nwafers_per_month = 1\ndie_mm2 = 100\ndies_per_chip = 1\nsurvive = 1\nshare = 1\n"
CHAT = 'name = "chat"\nkind = "inference"\nmodel = "Qwen/Qwen3-8B"\nisl = 100\nosl = 100\nrequests_per_s = 5\n'
RUN = 'name = "run"\nkind = "training"\nmodel = "Qwen/Qwen3-8B"\ntokens = 1e12\ndeadline = "2026-Q2"\n'


def text(fleet: str = "", chip: str = "", workload: str = CHAT, more: str = "") -> str:
    return f"[fleet]\n{FLEET}{fleet}\n[[chip]]\n{CHIP}{chip}\n[[workload]]\n{workload}\n{more}\n"


def read(tmp_path: Path, content: str) -> FleetSpec:
    path = tmp_path / "fleet.toml"
    path.write_text(content, encoding="utf-8")
    return read_fleet(path)


def test_a_small_file(tmp_path: Path) -> None:
    found = read(tmp_path, text(fleet="power_mw = [1, 2]\ncapex = 7\ncurrency = 'CNY'", chip="supply = [8, 16]\nduty = 0.25"))
    assert [str(each) for each in found.periods] == ["2026-Q1", "2026-Q2"]
    assert found.sites[0].name == MAIN_SITE
    assert found.sites[0].power_w == (1e6, 2e6)
    assert found.capex == pytest.approx(7 * 0.14)
    assert found.chips[0].supply == (8.0, 16.0)
    assert found.chips[0].added == 0.25
    assert found.inference[0].requests_per_s == (5.0, 5.0)
    assert found.inference[0].split == "same chip"


def test_growth_by_the_quarter(tmp_path: Path) -> None:
    assert read(tmp_path, text(workload=CHAT + "growth = 0.5")).inference[0].requests_per_s == (5.0, 7.5)


def test_sites_of_their_own(tmp_path: Path) -> None:
    sites = '[[site]]\nname = "east"\nto = "CN"\npower_mw = 3\n[[site]]\nname = "west"\nelectricity = 0.2\n'
    found = read(tmp_path, text(fleet="electricity = 0.1", chip='site = "east"', workload=CHAT + 'sites = ["east"]', more=sites))
    assert [(s.name, s.to, s.usd_per_kwh, s.power_w) for s in found.sites] == [
        ("east", "CN", 0.1, (3e6, 3e6)), ("west", "", 0.2, None),
    ]  # fmt: skip
    assert found.inference[0].may_run_on(found.chips[0])


def test_market_supply(tmp_path: Path) -> None:
    found = read(tmp_path, text(chip='supply = "market"\nmarket_share = 0.02\nmarket_year = 2024'))
    assert found.chips[0].supply == MarketSupply(0.02, 2024)


def test_what_is_not_said_is_told(tmp_path: Path) -> None:
    told = " ".join(read(tmp_path, text()).assumed)
    for word in ("electricity", "PUE", "discount", "write_off_years", "as many as wanted", "split"):
        assert word in told


MISTAKES = {
    "fleets": (text(more="[fleets]\n"), "fleets: no such table; nearest: fleet"),
    "backend": ("[[backend]]\nurl = 'x'\n", "`windtunnel serve --fleet` takes it"),
    "no fleet": (f"[[chip]]\n{CHIP}", "fleet: missing; a file begins with [fleet]"),
    "no chip": (f"[fleet]\n{FLEET}[[workload]]\n{CHAT}", "chip: missing; write one [[chip]]"),
    "no workload": (f"[fleet]\n{FLEET}[[chip]]\n{CHIP}", "workload: missing; write one [[workload]]"),
    "unknown key": (text(fleet="power_mv = 3"), "power_mv: no such field; did you mean power_mw?"),
    "unknown chip key": (text(chip="suply = 3"), "chip h20: suply: no such field; did you mean supply?"),
    "unknown workload key": (text(workload=CHAT + "tttf = '2s'"), "workload chat: tttf: no such field; did you mean ttft?"),
    "other kind's key": (text(workload=CHAT + "tokens = 1"), 'tokens: means nothing for kind = "inference"'),
    "start": (text().replace("2026-Q1", "2026-01"), "start: '2026-01' is no quarter; write it as 2025-Q3"),
    "no quarters": (text().replace("quarters = 2", "quarters = 0"), "quarters: should be a whole number from 1"),
    "many quarters": (text().replace("quarters = 2", "quarters = 100"), "quarters: 100; at most 40"),
    "negative supply": (text(chip="supply = -1"), "chip h20: supply: -1 is negative; it must be from 0"),
    "negative in a list": (text(chip="supply = [1, -2]"), "supply: -2 is negative"),
    "wrong length": (text(chip="supply = [1, 2, 3]"), "supply: has 3 numbers for 2 quarters"),
    "supply in words": (text(chip='supply = "lots"'), "supply: 'lots' should be a number of chips"),
    "market without share": (text(chip='supply = "market"'), "market_share: missing; the share"),
    "share in percent": (text(chip='supply = "market"\nmarket_share = 5'), "market_share: 5 is over 1; a share of one is meant"),
    "share without market": (text(chip="market_share = 0.1"), 'market_share: changes nothing without supply = "market"'),
    "revenue share in percent": (text(chip="revenue_share = 15"), "revenue_share: 15 is over 1; a share of one is meant"),
    "unknown chip": (text().replace('"h20"', '"h2o"'), "unknown chip or system 'h2o'; nearest: h20"),
    "price and rent": (text(chip="price = 1\nrent_per_hour = 1"), "rent_per_hour: stands beside price"),
    "price of nothing": (text(chip="price = 0"), "price: 0; it must be above 0"),
    "price that is true": (text(chip="price = true"), "price: should be a number, not true or false"),
    "infinite budget": (text(fleet="capex = inf"), "capex: inf is no number"),
    "half a chip owned": (text(chip="owned = 0.5"), "owned: 0.5 is not a whole number of chips"),
    "twice the same chip": (text(more=f"[[chip]]\n{CHIP}"), "chip h20: stands twice"),
    "twice the same workload": (text(more=f"[[workload]]\n{CHAT}"), "workload chat: name: stands twice"),
    "two units of space": (text(fleet="racks = 3\nfloor_m2 = 4"), "floor space is in racks elsewhere"),
    "chip in another unit": (text(fleet="racks = 3", chip="floor_m2 = 4"), "floor_m2: floor space is counted in racks here"),
    "pue": (text(fleet="pue = 0.9"), "pue: 0.9 is below 1"),
    "discount in percent": (text(fleet="discount_rate = 8"), "discount_rate: 8 is over 1"),
    "electricity twice": (text(fleet='electricity = 1\ntariff = "us-industrial"'), "tariff: stands beside electricity"),
    "unknown tariff": (text(fleet='tariff = "mars"'), "tariff: 'mars' is none of"),
    "objective": (text(fleet='objective = "fun"'), "objective: 'fun' is none of cost, served"),
    "destination": (text(fleet='to = "Chin"'), "to: unknown destination 'Chin'"),
    "model": (text(workload=CHAT.replace("Qwen/Qwen3-8B", "Qwen/Qwen3-9B")), "chat: model: unknown model 'Qwen/Qwen3-9B'"),
    "isl": (text(workload=CHAT.replace("isl = 100", "isl = 0")), "isl: should be a whole number from 1"),
    "context": (text(workload=CHAT.replace("isl = 100", "isl = 1000000")), "over Qwen/Qwen3-8B's context"),
    "ttft": (text(workload=CHAT + "ttft = 'soon'"), "ttft: 'soon' is not a time"),
    "no traffic": (text(workload=CHAT.replace("= 5", "= 0")), "requests_per_s: 0 in every quarter"),
    "growth": (text(workload=CHAT + "growth = -1"), "growth: should be a share"),
    "precision": (text(workload=CHAT + 'precision = "fp7"'), "precision: unknown precision 'fp7'"),
    "split": (text(workload=CHAT + 'split = "yes"'), "split: 'yes' is none of never, same chip, any chip"),
    "chips that are none": (text(workload=CHAT + 'chips = ["h21"]'), "chips: 'h21' is none of h20"),
    "site that is none": (text(chip='site = "east"'), "site: 'east' is none of"),
    "tokens": (text(workload=RUN.replace("1e12", "0")), "tokens: 0; it must be above 0"),
    "negative tokens": (text(workload=RUN.replace("1e12", "-1")), "tokens: -1 is negative; it must be above 0"),
    "no deadline": (text(workload=RUN.replace('deadline = "2026-Q2"', "")), "deadline: missing; the quarter at whose end"),
    "deadline outside": (text(workload=RUN.replace("2026-Q2", "2027-Q2")), "deadline: 2027-Q2 is not in the plan, which goes"),
    "deadline before the start": (
        text(workload=RUN.replace("2026-Q2", "2026-Q1") + 'start = "2026-Q2"'), "deadline: 2026-Q1 is before the start, 2026-Q2",
    ),
    "rule without chips": (text(more="[[rule]]\nallow = true"), "chips: missing; a list of the chips"),
    "rule that says nothing": (text(more='[[rule]]\nchips = ["h20"]'), "allow: missing; true: may be had"),
    "rule backwards": (
        text(more='[[rule]]\nchips = ["h20"]\nallow = true\nfrom = "2026-Q2"\nuntil = "2026-Q1"'), "until: 2026-Q1 is before",
    ),
    "yield": (
        text(chip=f"{DIES}yield = [0.5, 0.2]"),
        "yield: should be a number up to 1, or two or three of them in order",
    ),
    "yield twice": (
        text(chip=f"{DIES}yield = 1\ndefects_per_cm2 = 1"),
        "defects_per_cm2: stands beside yield",
    ),
    "not TOML": ("[fleet\n", "not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), MISTAKES.values(), ids=list(MISTAKES))
def test_every_mistake_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(WindtunnelError) as found:
        read(tmp_path, content)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_yield_from_defects(tmp_path: Path) -> None:
    supply = read(tmp_path, text(chip=f"{DIES}defects_per_cm2 = [0.5, 1]")).chips[0].supply
    assert not isinstance(supply, tuple | MarketSupply)
    assert supply is not None
    assert supply.good.low == pytest.approx(0.3996, abs=1e-3)  # Murphy: one defect a die
    assert supply.good.high == pytest.approx(0.6193, abs=1e-3)
