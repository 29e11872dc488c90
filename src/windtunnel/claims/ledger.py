"""The one door through which checks look facts up: it keeps what was asked, so that each verdict can name its facts."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from functools import cache

from windtunnel.catalog import chip, hourly_usd, price_book, prices, system
from windtunnel.catalog.fact import Fact
from windtunnel.catalog.instrument import Instrument, instrument
from windtunnel.catalog.market import MarketRow, market_row, said_of
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.models import model
from windtunnel.catalog.price import Price, in_usd
from windtunnel.catalog.system import System
from windtunnel.claims.found import Used
from windtunnel.claims.record import claim
from windtunnel.cost.evidence import Estimate
from windtunnel.errors import MissingFactError
from windtunnel.plan.result import Candidate, Targets
from windtunnel.plan.search import plan
from windtunnel.rules.check import check
from windtunnel.rules.metrics import METRICS
from windtunnel.rules.threshold import YearLimit, threshold
from windtunnel.rules.verdict import Verdict
from windtunnel.sim.predict import predict
from windtunnel.sim.prediction import Deployment, Load, Prediction
from windtunnel.sim.steady import Role

_SCALE = {"flop/s": (1e12, "TFLOPS"), "byte": (2.0**30, "GB"), "byte/s": (1e9, "GB/s"), "m2": (1e-6, "mm2"), "s": (1e-6, "us")}
"""Unit of a fact -> what it is divided by to be read, and the unit then."""


class Ledger:
    """Facts, rules and predictions for one claim. article: that of the claim, whose own figures are no evidence for it."""

    def __init__(self, article: str = "") -> None:
        self.article = article
        self.used: dict[str, Used] = {}
        self.recalled: list[str] = []

    def said(self, name: str) -> float:
        """The number that another claim states first: what follows from it is no evidence for it."""
        part = claim(name).parts[0]
        self._note(f"claim {name}", f"{part.value:,.10g} {part.unit}", claim(name).who)
        return part.value

    def _note(self, ref: str, value: str, source: str) -> None:
        self.used.setdefault(ref, Used(ref, value, source))

    def text(self, name: str, field: str) -> str:
        """A text of a chip's record. Raises MissingFactError where it is empty."""
        found = str(getattr(chip(name), field))
        if not found:
            raise MissingFactError(name, field)
        self._note(f"chip {name}: {field}", found, "the chip's record")
        return found

    def figure(self, name: str, key: str) -> float:
        """A number of a chip, in SI units."""
        return self._fact(f"chip {name}: {key}", chip(name).figure(key)).value

    def figures(self, name: str, key: str) -> tuple[float, float, float]:
        """A number of a chip, with the least and the most that its sources give."""
        fact = self._fact(f"chip {name}: {key}", chip(name).figure(key))
        every = [fact.value, *(other.value for other in fact.others)]
        return fact.value, min(every), max(every)

    def system(self, name: str) -> System:
        """A system's record."""
        found = system(name)
        self._note(f"system {name}", f"{found.chips} {found.chip}, {found.wiring}", "the system's record")
        return found

    def of_system(self, name: str, key: str) -> tuple[float, float, float]:
        """A number of a system, with the least and the most that its sources give."""
        fact = self._fact(f"system {name}: {key}", system(name).figure(key))
        every = [fact.value, *(other.value for other in fact.others)]
        return fact.value, min(every), max(every)

    def _fact(self, ref: str, fact: Fact) -> Fact:
        scale, unit = _SCALE.get(fact.unit, (1.0, fact.unit))
        also = f" (others: {', '.join(f'{o.value / scale:,.4g}' for o in fact.others)})" if fact.others else ""
        self._note(ref, f"{fact.value / scale:,.6g} {unit}{also}", fact.source)
        return fact

    def row(self, name: str) -> MarketRow:
        """A market row by its id."""
        return self._row(market_row(name))

    def rows(self, item: str, metric: str, year: str = "") -> list[MarketRow]:
        """What sources other than the claim's own article say of an item."""
        return [self._row(row) for row in said_of(item, metric, year=year, apart_from=self.article)]

    def _row(self, row: MarketRow) -> MarketRow:
        said = f"{row.value:,.10g} {row.unit}" if row.value is not None else row.date if row.unit == "date" else row.entity
        told = f"{row.source} ({row.date}; {row.confidence})"
        if row.confidence == "from memory" and row.id not in self.recalled:
            self.recalled.append(row.id)
        self._note(f"market {row.id}", f"{row.entity}, {row.item}, {row.metric}: {said}", told)
        return row

    def prices(self, item: str, *, year: str = "", basis: str = "purchase") -> list[Price]:
        """Published prices in USD, the newest first."""
        found = []
        for price in prices(item):
            if price.basis == basis and price.date.startswith(year):
                usd = in_usd(price)
                spread = f" ({usd.low:,.0f} to {usd.high:,.0f})" if usd.low < usd.high else ""
                unit = "USD/h" if basis == "rent" else "USD"
                said = f"{usd.fact.value:,.6g} {unit}{spread}"
                self._note(f"price {item} {price.date} {price.fact.source}", said, price.fact.source)
                found.append(usd)
        return found

    def cny(self, usd: float) -> float:
        """USD in CNY at the catalogue's rate."""
        rate = price_book().rates["CNY"]
        self._note("rate CNY", f"{rate.value:g} USD", rate.source)
        return usd / rate.value

    def model(self, name: str) -> ModelSpec:
        """A model's record."""
        found = model(name)
        said = f"{found.parameters / 1e9:,.1f}e9 weights, {found.active_parameters / 1e9:,.1f}e9 active"
        self._note(f"model {found.id}", said, found.source)
        return found

    def metric(self, name: str, which: str) -> float:
        """A number that export rules ask for: tpp, pd, dram, io (``windtunnel.rules``). Raises MissingFactError."""
        found = METRICS[which](chip(name))
        if found.value is None:
            raise MissingFactError(name, found.missing)
        basis = f" ({found.basis})" if found.basis else ""
        self._note(f"rules {found.name} of {name}", f"{found.value:,.6g} {found.unit}{basis}", "; ".join(found.sources))
        return found.value

    def rule(self, name: str) -> Instrument:
        """A dated rule or statement of the record."""
        found = instrument(name)
        self._note(f"rule {name}", f"{found.name}, {found.since}", "; ".join(found.sources))
        return found

    def checked(self, name: str, to: str, date: str) -> Verdict:
        """What the export rules of a day say."""
        found = check(name, to, date)
        self._note(f"rules check {name} --to {to} --date {date}", found.headline, found.clause)
        return found

    def threshold(self, best_of: Sequence[str], buffer: float, which: str, day: datetime.date) -> YearLimit:
        """The limit on a day that lies a buffer above the best of a set of chips."""
        report = threshold(best_of, buffer, which, day)
        (limit,) = report.years
        best = f"{limit.best_low.chip} has {limit.best_low.value:,.6g} {report.unit}"
        self._note(
            f"rules threshold --metric {which} --date {day}", f"{limit.low:,.6g} {report.unit}", f"best of its set: {best}"
        )
        return limit

    def served(
        self, name: str, on: str, chips: int, role: Role, isl: int = 4096, tpot_s: float = 0.05
    ) -> tuple[Estimate, Prediction]:
        """Tokens/s of one chip when ``chips`` of them prefill, or decode as many requests as the time a token allows."""
        tokens, prediction = _served(name, on, chips, role, isl, tpot_s)
        said = f"{tokens.value:,.0f} tokens/s a chip ({tokens.low:,.0f} to {tokens.high:,.0f}), {prediction.evidence.label}"
        self._note(f"predict {name} --on {on}:{chips}, {role}", said, "the cost model, BF16")
        return tokens, prediction

    def planned(self, name: str, on: str, chips: int) -> Candidate:
        """The cheapest deployment on at most ``chips`` chips at 4,096 tokens in, 1,024 out, TTFT 2 s, TPOT 50 ms."""
        best = _planned(name, chips)[on]
        said = (
            f"{best.output_tokens_per_s_per_chip:,.0f} tokens/s a chip, {best.usd_per_mtok:.3g} USD/Mtok"
            if best.usd_per_mtok is not None
            else f"{best.output_tokens_per_s_per_chip:,.0f} tokens/s a chip"
        )
        told = f"the search, {best.prediction.evidence.label}; {best.price_basis or 'no price'}"
        self._note(f"plan {name} --on {on}:{chips}", said, told)
        return best

    def hourly(self, name: str) -> float:
        """USD for one busy hour of a chip that was bought, by the usual terms. Raises MissingFactError without a price."""
        found = hourly_usd(name, basis="purchase")
        if found is None:
            raise MissingFactError(name, "a price")
        self._note(f"hourly price {name}", f"{found.fact.value:.3g} USD/h ({found.fact.note})", found.fact.source)
        return found.fact.value

    def step(self, name: str, on: str, chips: int, phase: str, requests: int = 32) -> tuple[float, float, float]:
        """(seconds, FLOPs, bytes) of the operators of one step on one rank, ``phase`` decode or prefill, 4,096 tokens, BF16."""
        found = _step(name, on, chips, requests)
        rows = [row for row in found.operators if row.phase == phase and row.family != "collective"]
        time_s, flops, moved = (sum(getattr(row, field) for row in rows) for field in ("time_s", "flops", "bytes"))
        said = f"{time_s * 1e3:.3g} ms, {flops / 1e12:.3g} TFLOP, {moved / 1e9:.3g} GB a rank; {found.evidence.label}"
        self._note(f"predict {name} --on {on}:{chips}, {phase} of {requests} requests", said, "the cost model, BF16")
        return time_s, flops, moved

    def share_of_peak(self, row: MarketRow) -> float:
        """6ND over the peak of 16-bit products, for a row of a published training rate: its item says the model, with its
        nominal size, and the chip."""
        parts = _TRAINED.match(row.item)
        if parts is None:
            raise MissingFactError(f"market row {row.id}", "a model's size and a chip")
        return 6e9 * float(parts[1]) * row.number() / self.figure(parts[2], "matrix_flops_per_s.bf16")


_TRAINED = re.compile(r".*-(\d+)b on \d+ (\S+)$")


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """An estimate times a number that is known."""
    return Estimate(estimate.value * factor, estimate.low * factor, estimate.high * factor, estimate.evidence)


def ratio(above: Estimate, below: Estimate) -> Estimate:
    """One prediction over another: their errors taken as independent, so that the intervals add in the logarithm as squares."""
    value = above.value / below.value
    down = math.hypot(math.log(above.value / above.low), math.log(below.high / below.value))
    up = math.hypot(math.log(above.high / above.value), math.log(below.value / below.low))
    return Estimate(value, value * math.exp(-down), value * math.exp(up), min(above.evidence, below.evidence))


MOST_REQUESTS = 4096


@cache
def _served(name: str, on: str, chips: int, role: Role, isl: int, tpot_s: float) -> tuple[Estimate, Prediction]:
    deployment = Deployment(name, on, precision="bf16", tp=chips)
    if role == "prefill":
        found = predict(deployment, Load(isl, 1, 1), role=role, operators=False)
        rate = isl / found.prefill_s / chips
        low, high = (found.ttft.value / end for end in (found.ttft.high, found.ttft.low))
        return Estimate(rate, rate * low, rate * high, found.evidence), found
    least, most = 1, MOST_REQUESTS
    best = predict(deployment, Load(isl, 1024, 1), role=role, operators=False)
    while least < most:  # the largest load whose tokens come in time; more requests never make them come sooner
        middle = (least + most + 1) // 2
        found = predict(deployment, Load(isl, 1024, middle), role=role, operators=False)
        if found.tpot.value <= tpot_s and found.queued < 1.0:
            least, best = middle, found
        else:
            most = middle - 1
    rate_of = best.output_tokens_per_s
    return scaled(rate_of, 1.0 / chips), best


ON: Sequence[str] = ("h100-sxm", "h20", "ascend-910c")
TARGETS = Targets(4096, 1024, 2.0, 0.05)


@cache
def _step(name: str, on: str, chips: int, requests: int) -> Prediction:
    return predict(Deployment(name, on, precision="bf16", tp=chips), Load(4096, 1024, requests))


@cache
def _planned(name: str, chips: int) -> dict[str, Candidate]:
    found = plan(name, [f"{on}:{chips}" for on in ON], TARGETS)
    return {on: each.best for on, each in zip(ON, found.chips, strict=True) if each.best is not None}
