"""Chips and systems as text: all of them in a table, one with every number's source, several side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from windtunnel.catalog.chip import DTYPES, Chip
from windtunnel.catalog.chip import FIGURES as CHIP_FIGURES
from windtunnel.catalog.fact import Fact
from windtunnel.catalog.price import Price, hourly_usd, prices
from windtunnel.catalog.system import FIGURES as SYSTEM_FIGURES
from windtunnel.catalog.system import System
from windtunnel.cli.render import UNKNOWN, Sheet, number
from windtunnel.units import GIBI, GIGA, MEBI, TERA, show_si, show_time

_SHORT = {
    "memory_bytes": "memory",
    "memory_bytes_per_s": "memory bandwidth",
    "l2_bytes": "last cache",
    "scaleup_bytes_per_s": "scale-up, one way",
    "scaleup_chips": "scale-up domain",
    "scaleup_latency_s": "scale-up latency",
    "mesh_links": "peers in the mesh",
    "package_bytes_per_s": "to the other die",
    "scaleout_bytes_per_s": "network, one way",
    "pcie_gen": "PCIe generation",
    "tdp_w": "power limit",
    "compute_dies": "dies that compute",
    "die_area_m2": "die area",
    "transistors": "transistors",
    "racks": "racks",
    "power_w": "power",
    "price_usd": "price",
}
COMPARED_WIDTH = 70
"""What a page of 100 columns leaves to the numbers, beside the figures' names."""
_KEY = (
    "- is not known: no source gives it, and nothing is guessed in its place. ~ is an estimate.",
    "Rates are dense, of the matrix unit, accumulating in FP32 (INT8: INT32). no: it cannot compute that.",
)

_ONE_KEY = (
    "Rates are dense, of the matrix unit unless they say vector. One way: one direction, all links of the chip together.",
    "kind: who stands behind a number (vendor, measured, derived, reported, estimate). recalled: not checked in a document.",
)


def label(key: str) -> str:
    """A figure's name as people say it: ``bf16 matrix``, ``memory bandwidth``."""
    group, _, dtype = key.partition(".")
    return f"{dtype} {group.split('_', 1)[0]}" if dtype else _SHORT.get(key, key)


def shown(key: str, value: float) -> str:
    """A figure's value in the unit in which people say it."""
    group, _, dtype = key.partition(".")
    if group.endswith("flops_per_s"):
        return (
            f"{value / TERA:,.4g} {'TOPS' if dtype.startswith('int') else 'TFLOPS'}"
            if value < 1e16
            else show_si(value, "FLOPS", 4)
        )
    if key == "memory_bytes":
        return f"{value / GIBI:,.4g} GiB" if value < 1024 * GIBI else f"{value / GIBI / 1024:,.4g} TiB"
    if key == "l2_bytes":
        return f"{value / MEBI:,.4g} MiB"
    if key == "die_area_m2":
        return f"{value * 1e6:,.5g} mm2"
    if key == "transistors":
        return f"{value / GIGA:,.4g} billion"
    if key.endswith("bytes_per_s"):
        return show_si(value, "B/s", 4)
    if key == "scaleup_latency_s":
        return show_time(value)
    if key in ("tdp_w", "power_w"):
        return f"{value:,.4g} W" if value < 10_000 else f"{value / 1e3:,.4g} kW"
    if key == "price_usd":
        return f"{value:,.0f} USD"
    return f"{value:,.10g}" + (" chips" if key == "scaleup_chips" else "")


def _cell(chip: Chip, key: str, scale: float, form: str = "") -> str:
    """One number of the big table: ``148``, ``~188`` for an estimate, ``-`` when not known, ``no`` when impossible."""
    fact = chip.figures.get(key)
    if fact is not None:
        return ("~" if fact.kind == "estimate" else "") + (
            form.format(fact.value / scale) if form else number(fact.value / scale)
        )
    group, _, dtype = key.partition(".")
    impossible = group == "matrix_flops_per_s" and dtype not in chip.dtypes and chip.dtypes_complete
    return "no" if impossible else UNKNOWN


def overview(chips: Iterable[Chip], systems: Iterable[System]) -> Sheet:
    """Every chip, then every system, one a line."""
    sheet = Sheet()
    columns = ("chip", "GiB", "TB/s", "bf16", "fp16", "fp8", "int8", "link GB/s", "W")
    rows = [
        (
            chip.id,
            _cell(chip, "memory_bytes", GIBI, "{:,.0f}"),
            _cell(chip, "memory_bytes_per_s", TERA, "{:.2f}"),
            *(_cell(chip, f"matrix_flops_per_s.{dtype}", TERA) for dtype in ("bf16", "fp16", "fp8", "int8")),
            _cell(chip, "scaleup_bytes_per_s", GIGA),
            _cell(chip, "tdp_w", 1.0),
        )
        for chip in chips
    ]
    sheet.table(f"{len(rows)} chips (rates in TFLOPS and TOPS, links one way)", columns, rows)
    systems = list(systems)
    sheet.table(
        f"{len(systems)} systems",
        ("system", "chip", "chips", "wired as", "link GB/s", "kW"),
        [
            (
                s.id,
                s.chip,
                f"{s.chips:,}",
                s.topology or UNKNOWN,
                _of(s, "scaleup_bytes_per_s", GIGA),
                _of(s, "power_w", 1e3),
            )
            for s in systems
        ],
        left=2,
    )
    sheet.line()
    for text in (
        *_KEY,
        "windtunnel chips NAME shows every number's source; windtunnel chips --compare A,B sets chips side by side.",
    ):
        sheet.line(text, style="dim")
    return sheet


def _of(system: System, key: str, scale: float) -> str:
    fact = system.figures.get(key)
    return UNKNOWN if fact is None else ("~" if fact.kind == "estimate" else "") + number(fact.value / scale)


class _Sources:
    """Sources by number, in the order in which they are met."""

    def __init__(self) -> None:
        self.known: list[str] = []

    def mark(self, source: str) -> str:
        if source not in self.known:
            self.known.append(source)
        return f"[{self.known.index(source) + 1}]"


def _figures(sheet: Sheet, figures: dict[str, Fact], order: Sequence[str], title: str) -> None:
    """The table of figures: value, kind, what was printed and noted, and the number of the source; then the sources."""
    sources = _Sources()
    rows: list[tuple[str, str, str, str, str]] = []
    for key in (k for k in order if k in figures):
        fact = figures[key]
        rows.append((label(key), shown(key, fact.value), fact.kind, sources.mark(fact.source), _said(key, fact)))
        rows += [("  but also", shown(key, o.value), o.kind, sources.mark(o.source), _said(key, o)) for o in fact.others]
    sheet.table(title, ("figure", "value", "kind", "source", "printed; noted"), rows, fold=("kind", "source", "printed; noted"))
    _list_sources(sheet, sources)


def _said(key: str, fact: Fact) -> str:
    """What was printed, where it differs from what is shown, and the note."""
    printed = (
        f"printed as {fact.printed}"
        if fact.printed and fact.printed.replace(",", "") != shown(key, fact.value).replace(",", "")
        else ""
    )
    return "; ".join(part for part in (printed, fact.note) if part)


def _list_sources(sheet: Sheet, sources: _Sources) -> None:
    if sources.known:
        sheet.line()
        sheet.line("Sources", style="bold")
        sheet.facts((f"[{n}]", source) for n, source in enumerate(sources.known, start=1))


def _money(sheet: Sheet, name: str, found: Sequence[Price], hourly: Price | None) -> None:
    sources = _Sources()
    rows: list[tuple[str, ...]] = []
    for p in found:
        unit = p.fact.unit
        spread = f"{p.low:,.10g} to {p.high:,.10g}" if p.low != p.high else ""
        noted = "; ".join(x for x in (spread, p.fact.note) if x)
        rows.append((p.basis, f"{p.fact.value:,.10g} {unit}", p.date, p.fact.kind, sources.mark(p.fact.source), noted))
    if hourly is not None:
        noted = "; ".join(x for x in (f"{hourly.basis}, {hourly.date}", hourly.fact.note) if x)
        rows.append(
            ("used, a chip", f"{hourly.fact.value:,.3g} USD/h", "", hourly.fact.kind, sources.mark(hourly.fact.source), noted)
        )
    if not rows:
        sheet.line()
        sheet.line(f"Price: not known; nobody published one for {name}.")
    sheet.table("Prices", ("basis", "price", "date", "kind", "source", "noted"), rows, fold=("date", "kind", "source", "noted"))
    _list_sources(sheet, sources)


def one_chip(chip: Chip) -> Sheet:
    """Everything that is known of a chip, each number with its kind, its source and what contradicts it."""
    sheet = Sheet()
    sheet.line(f"{chip.name} ({chip.id})", style="bold")
    can = ", ".join(chip.dtypes) if chip.dtypes else ""
    more = "" if chip.dtypes_complete else " (and perhaps others)"
    shows = f"{chip.devices} devices a chip" if chip.devices > 1 else ""
    pairs = (
        ("maker", chip.vendor),
        ("also called", _other_names(chip.id, chip.aliases)),
        ("launched", chip.launched),
        ("status", chip.status),
        ("computes", can + more if can else ""),
        ("made in", ", ".join(x for x in (chip.process, chip.foundry) if x)),
        ("memory", chip.memory_type),
        ("links", ", ".join(x for x in (chip.link, f"wired as {chip.topology}" if chip.topology else "") if x)),
        ("part of", chip.part_of),
        ("PyTorch", ", ".join(x for x in (f'torch.device("{chip.device}")' if chip.device else "", shows, chip.plugin) if x)),
        ("collectives", chip.comms_library),
        ("engines", ", ".join(chip.engines)),
    )
    sheet.facts((name, text) for name, text in pairs if text)
    _figures(sheet, dict(chip.figures), tuple(CHIP_FIGURES), "Figures")
    unknown = [label(k) for k in _expected(chip) if k not in chip.figures]
    if unknown:
        sheet.line()
        sheet.line(f"Not known: {', '.join(unknown)}.")
    _money(sheet, chip.id, prices(chip.id), hourly_usd(chip))
    _notes(sheet, chip.notes)
    return sheet


def _other_names(own: str, aliases: Iterable[str]) -> str:
    """Aliases that differ in more than case and punctuation, which names are forgiving about."""
    plain = {"".join(c for c in name.lower() if c.isalnum()): name for name in reversed([own, *aliases])}
    return ", ".join(name for name in reversed(plain.values()) if name != own)


def _expected(chip: Chip) -> list[str]:
    """The figures that a prediction asks for."""
    rates = [f"matrix_flops_per_s.{dtype}" for dtype in DTYPES if dtype in chip.dtypes and dtype not in ("fp64", "int4", "fp6")]
    return [*rates, "memory_bytes", "memory_bytes_per_s", "scaleup_bytes_per_s", "scaleout_bytes_per_s", "tdp_w"]


def _notes(sheet: Sheet, notes: Sequence[str]) -> None:
    if notes:
        sheet.line()
        sheet.line("Notes", style="bold")
        for note in notes:
            sheet.bullet(note)
    sheet.line()
    for text in _ONE_KEY:
        sheet.line(text, style="dim")


def one_system(system: System) -> Sheet:
    """Everything that is known of a system."""
    sheet = Sheet()
    sheet.line(f"{system.name} ({system.id})", style="bold")
    wired = "; ".join(x for x in (system.topology, system.wiring) if x)
    pairs = (
        ("maker", system.vendor),
        ("also called", _other_names(system.id, system.aliases)),
        ("chips", f"{system.chips:,} x {system.chip}" + (f" in {system.nodes:,} nodes" if system.nodes > 1 else "")),
        ("status", system.status),
        ("wired as", wired),
        ("network", system.scaleout),
    )
    sheet.facts((name, text) for name, text in pairs if text)
    _figures(sheet, dict(system.figures), tuple(SYSTEM_FIGURES), "Figures")
    _money(sheet, system.id, prices(system.id), hourly_usd(system))
    _notes(sheet, system.notes)
    return sheet


def _fixed(key: str) -> tuple[float, str]:
    """The unit in which chips are compared: how much of SI it is, and its name."""
    group, _, dtype = key.partition(".")
    if dtype:
        return TERA, "TOPS" if dtype.startswith("int") else "TFLOPS"
    return {
        "memory_bytes": (GIBI, "GiB"),
        "memory_bytes_per_s": (TERA, "TB/s"),
        "l2_bytes": (MEBI, "MiB"),
        "scaleup_bytes_per_s": (GIGA, "GB/s"),
        "scaleout_bytes_per_s": (GIGA, "GB/s"),
        "package_bytes_per_s": (GIGA, "GB/s"),
        "tdp_w": (1.0, "W"),
        "die_area_m2": (1e-6, "mm2"),
        "transistors": (GIGA, "billion"),
    }.get(group, (1.0, ""))


def _groups(first: Chip, rest: Sequence[Chip]) -> Iterable[list[Chip]]:
    """The other chips, as many at a time as fit beside the first."""
    group: list[Chip] = []
    room = COMPARED_WIDTH - max(len(first.id), 10)
    for chip in rest:
        width = max(len(chip.id), 15) + 2
        if group and width > room:
            yield group
            group, room = [], COMPARED_WIDTH - max(len(first.id), 10)
        group.append(chip)
        room -= width
    yield group


def side_by_side(chips: Sequence[Chip]) -> Sheet:
    """Chips in columns, figures in rows; behind each number how many times the first chip's it is."""
    sheet = Sheet()
    first, *rest = chips
    costs = {chip.id: hourly_usd(chip) for chip in chips}
    for group in _groups(first, rest):
        rows = []
        for key in CHIP_FIGURES:
            if any(key in chip.figures for chip in (first, *group)):
                scale, unit = _fixed(key)
                name = f"{label(key)}, {unit}" if unit else label(key)
                rows.append((name, _cell(first, key, scale), *(_against(first, chip, key, scale) for chip in group)))
        money = [costs[chip.id] for chip in (first, *group)]
        paid = [UNKNOWN if p is None else f"{p.fact.value:.3g} {'rent' if p.basis == 'rent' else 'bought'}" for p in money]
        rows.append(("hour of a chip, USD", *paid))
        sheet.table(f"Against {first.id}", ("figure", first.id, *(chip.id for chip in group)), rows)
    sheet.line()
    for text in (*_KEY, "In brackets: how many times the first chip's figure. A chip rented and one bought are not alike."):
        sheet.line(text, style="dim")
    return sheet


def _against(first: Chip, chip: Chip, key: str, scale: float) -> str:
    base, fact = first.figures.get(key), chip.figures.get(key)
    cell = _cell(chip, key, scale)
    return cell if base is None or fact is None else f"{cell} ({fact.value / base.value:.3g}x)"
