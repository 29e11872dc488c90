"""Sourced facts: chips, systems, models, engines and prices. ``data/`` holds TOML, no code."""

from windtunnel.catalog.chip import Chip, chip, chip_from_toml, chips
from windtunnel.catalog.engine import Engine, EngineTraits, engine, engines, engines_for
from windtunnel.catalog.fact import Fact, FactKind
from windtunnel.catalog.price import Price, PriceBook, Terms, amortised_usd_per_h, hourly_usd, price_book, prices, usd_per_kwh
from windtunnel.catalog.system import System, system, systems

__all__ = [
    "Chip",
    "Engine",
    "EngineTraits",
    "Fact",
    "FactKind",
    "Price",
    "PriceBook",
    "System",
    "Terms",
    "amortised_usd_per_h",
    "chip",
    "chip_from_toml",
    "chips",
    "engine",
    "engines",
    "engines_for",
    "hourly_usd",
    "price_book",
    "prices",
    "system",
    "systems",
    "usd_per_kwh",
]
