"""What the fleets of a sweep cost an hour and draw, from the same prices for all, so that points can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from windtunnel.catalog import price_book
from windtunnel.errors import WindtunnelError
from windtunnel.plan.place import Place, place, price_text, priced
from windtunnel.sweep.journal import Row


@dataclass(frozen=True, slots=True)
class Money:
    """Places by the name that points have for them; note: how far their prices can be compared, where that is not all the way."""

    places: dict[str, Place] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def of(cls, names: Iterable[str], prices: Path | None) -> Money:
        """names: as ``--on`` takes them. Those that name nothing are left out: their points say so themselves."""
        found: dict[str, Place] = {}
        for name in names:
            try:
                found[name] = place(name)
            except WindtunnelError:
                continue
        done, note = priced(list(found.values()), price_book(prices or ""))
        return cls(dict(zip(found, done, strict=True)), note)

    def of_row(self, row: Row) -> Row:
        """The columns of money and power; a figure is None where one of its parts is not known."""
        if row.get("chips") is None:
            return {}
        parts = [(row["on"] or row["decode"], row["chips"] - _prefilling(row))]
        if row["prefill"]:
            parts.append((row["prefill"], _prefilling(row)))
        places = [(self.places.get(name), chips) for name, chips in parts]
        known = [(here, chips) for here, chips in places if here is not None]
        if len(known) < len(places):
            return {}
        hourly = _sum([(here.price.fact.value if here.price is not None else None, chips) for here, chips in known])
        limit = _sum([(here.chip.value("tdp_w") if here.chip.has("tdp_w") else None, chips) for here, chips in known])
        power = _sum([(here.power_w, chips) for here, chips in known])
        tokens_per_s = row.get("output_tokens_per_s")
        per_mtok = hourly / (tokens_per_s * 3600.0 / 1e6) if hourly is not None and tokens_per_s else None
        good, answered = row.get("within_targets"), row.get("answered")
        return {
            "usd_per_hour": hourly,
            "usd_per_mtok": per_mtok,
            "usd_per_mtok_within_targets": per_mtok * answered / good if per_mtok is not None and good and answered else None,
            "price_basis": "; ".join(dict.fromkeys(price_text(here.price) for here, _ in known)),
            "power_kw": power / 1e3 if power is not None else None,
            "chips_tdp_kw": limit / 1e3 if limit is not None else None,
        }


def _prefilling(row: Row) -> int:
    """Chips that only prefill."""
    return (row.get("prefill_instance_chips") or 0) * (row.get("prefill_replicas") or 0)


def _sum(parts: list[tuple[float | None, int]]) -> float | None:
    known = [value * chips for value, chips in parts if value is not None]
    return sum(known) if len(known) == len(parts) else None
