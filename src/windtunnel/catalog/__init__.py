"""Sourced facts: chips, systems, models, engines and prices. ``data/`` holds TOML, no code."""

from windtunnel.catalog.chip import Chip, chip, chip_from_toml, chips
from windtunnel.catalog.engine import Engine, EngineTraits, engine, engines, engines_for
from windtunnel.catalog.fact import Fact, FactKind
from windtunnel.catalog.number_types import TypeSupport, computes, lacking
from windtunnel.catalog.plugin_wheel import read_wheel
from windtunnel.catalog.price import Price, PriceBook, Terms, amortised_usd_per_h, hourly_usd, price_book, prices, usd_per_kwh
from windtunnel.catalog.support import Census, OperatorStatus, SupportTable, plugins, support_for, support_table
from windtunnel.catalog.system import System, system, systems

__all__ = [
    "Census",
    "Chip",
    "Engine",
    "EngineTraits",
    "Fact",
    "FactKind",
    "OperatorStatus",
    "Price",
    "PriceBook",
    "SupportTable",
    "System",
    "Terms",
    "TypeSupport",
    "amortised_usd_per_h",
    "chip",
    "chip_from_toml",
    "chips",
    "computes",
    "engine",
    "engines",
    "engines_for",
    "hourly_usd",
    "lacking",
    "plugins",
    "price_book",
    "prices",
    "read_wheel",
    "support_for",
    "support_table",
    "system",
    "systems",
    "usd_per_kwh",
]
