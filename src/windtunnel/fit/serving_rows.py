"""A row of serving measurements as the deployment and the load that it stands for.

Rows name degrees of parallelism in the habits of whoever exported them. How each habit is read, and counted in the
report's ``notes`` where it changes what the row literally says:

a) ``dp`` empty: 1; but where moe_tp * moe_ep is a multiple of tp, attention is data parallel over the experts' chips:
   dp = moe_tp * moe_ep / tp.
b) ``tp`` = moe_tp * moe_ep with moe_tp = moe_ep > 1 and dp 1 or empty: "TP k with EP k", exported as its product. Such
   rows repeat rows of k chips with moe_ep = k digit for digit. Read as tp k, moe_tp 1, moe_ep k, on k chips.
c) ``tp`` that does not divide the heads of a mixture of experts, or is wider than 16 with no expert parallelism: a
   total over several instances (prefill and decode apart). Read as one of equal instances of 8 chips (or fewer that
   divide the model), with its part of the concurrency; TPOT is that of an instance that only decodes.
d) ``moe_tp`` and ``moe_ep`` of a dense model mean nothing; ``moe_ep`` 0 of a mixture: no expert parallelism.
e) ``n_chips`` that is a multiple of tp * pp * dp: so many replicas, which share the concurrency evenly. Where it is neither
   that nor their product, the degrees count; where there are no degrees at all, it is ``tp``.

f) ``precision`` fp8 or fp4 on a chip whose matrix unit lacks it, where engines widen the weights on the way: weights alone.
g) tp * pp * dp that is ``n_chips`` times the devices of a package (two dies of a 910C): degrees count devices, as engines do.

Chips, systems, models and engines resolve by any of their names, models and engines by others too (see ``names``); an
empty engine is the chip's usual one, an empty precision is the checkpoint's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from windtunnel.catalog.chip import Chip, chip
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.models import model
from windtunnel.catalog.system import system
from windtunnel.cost.model import CostModel
from windtunnel.errors import UnknownNameError, UnsupportedError
from windtunnel.fit.names import OTHER_ENGINE, OTHER_MODEL, engine_named, model_named, number_type
from windtunnel.fit.parameter_file import device_of
from windtunnel.fit.table import degree, number
from windtunnel.sim.prediction import Deployment, Load
from windtunnel.workload.llm import precision_plan
from windtunnel.workload.ops import BITS

WIDEST_TP = 16
DATA_PARALLEL = "dp empty: attention read as data parallel over the experts' chips"
PRODUCT = "tp k with ep k exported as their product: read as k chips"
INSTANCES = "chips of several instances: read as one instance of 8 chips with its part of the concurrency"
MISMATCH = "n_chips is no multiple of tp x pp x dp: read by its degrees"
UNCUT = "n_chips without any degree: read as tp"
DEVICES = "more ranks than packages by the devices of one: degrees read as counting devices"
WEIGHTS_ALONE = "a type that the chip cannot compute: read as stored weights that are widened on the way"
REPLICAS = "more chips than tp x pp x dp: read as replicas that share the concurrency"


@dataclass(frozen=True, slots=True)
class ServingRow:
    """One measured deployment. chip: catalogue id of the row's chip; notes: which habits it was read by; apart: prompts
    were prefilled elsewhere, so that they do not hold up decoding."""

    deployment: Deployment
    load: Load
    chip: str
    notes: tuple[str, ...] = ()
    apart: bool = False


def place(name: str) -> tuple[str, str]:
    """(chip, system) of a row's ``chip`` field: a chip, a user's TOML file, or a system and its chip. Raises UnknownNameError."""
    try:
        found = chip(name)
        return (name if name.lower().endswith(".toml") else found.id), ""
    except UnknownNameError as unknown:
        try:
            whole = system(name)
        except UnknownNameError:
            raise unknown
        return whole.chip, whole.id


def serving_row(row: Mapping[str, str]) -> ServingRow:
    """The row read by the rules above. Raises the errors of ``windtunnel.errors``."""
    where, whole = place(row.get("chip", ""))
    name, stored, other_model = model_named(row.get("model", ""))
    engine, other_engine = engine_named(row.get("engine", ""))
    spec = model(name)
    precision = number_type(row.get("precision", "")) or stored
    asked = Deployment(
        model=name,
        chip=where,
        precision=precision,
        tp=degree(row, "tp") or 1,
        pp=degree(row, "pp") or 1,
        dp=degree(row, "dp"),
        moe_tp=degree(row, "moe_tp"),
        moe_ep=degree(row, "moe_ep"),
        engine=engine,
        engine_version=row.get("engine_version", "") if engine else "",
        system=whole,
    )
    load = Load(number(row, "isl"), number(row, "osl"), number(row, "concurrency"))
    n_chips = degree(row, "n_chips")
    uncut = n_chips > 1 and not any(row.get(field) for field in ("tp", "pp", "dp", "moe_tp", "moe_ep"))
    if uncut:
        asked = replace(asked, tp=n_chips)
    asked, n_chips, devices = _on_devices(asked, chip(where), n_chips)
    read = _read(asked, load, spec, n_chips, row.get("moe_ep", ""))
    said = (
        (OTHER_MODEL, other_model),
        (OTHER_ENGINE, other_engine),
        (UNCUT, uncut),
        (DEVICES, devices),
        (WEIGHTS_ALONE, _weights_alone(spec, where, precision)),
    )
    return replace(read, chip=where, notes=(*read.notes, *(note for note, so in said if so)))


def _on_devices(asked: Deployment, package: Chip, n_chips: int) -> tuple[Deployment, int, bool]:
    """Rule g: the deployment on the package's devices, of which there are as many as ranks; whether it was read so."""
    one = device_of(package)
    ranks = asked.pp * max(asked.tp * (asked.dp or 1), asked.moe_tp * asked.moe_ep)
    if one is package or not n_chips or ranks != n_chips * package.devices:
        return asked, n_chips, False
    return replace(asked, chip=one.id), ranks, True


def _weights_alone(spec: ModelSpec, where: str, precision: str) -> bool:
    """Rule f."""
    if precision and precision not in BITS:
        return False  # the predictor refuses it, and says why
    plan, costs = precision_plan(spec, precision), CostModel(device_of(chip(where)))
    try:
        return any(costs.running(dtype) != dtype for dtype in (plan.experts, plan.dense) if BITS[dtype] <= 8.0)
    except UnsupportedError:
        return False  # likewise


def _read(asked: Deployment, load: Load, spec: ModelSpec, n_chips: int, moe_ep: str) -> ServingRow:
    mixtures = [layer.ffn for layer in spec.layers if layer.ffn is not None and layer.ffn.experts]
    tp, dp, moe_tp, ep = asked.tp, asked.dp, asked.moe_tp, asked.moe_ep
    if not mixtures:
        return _replicated(replace(asked, dp=dp or 1, moe_tp=0, moe_ep=0), load, n_chips, ())
    if moe_tp == ep > 1 and tp == moe_tp * ep and dp <= 1:
        read = replace(asked, tp=ep, dp=1, moe_tp=1, moe_ep=ep)
        return _replicated(read, load, 0 if n_chips == tp else n_chips, (PRODUCT,))
    notes: tuple[str, ...] = ()
    if not dp:
        product = moe_tp * max(ep, 1)
        dp = product // tp if product > tp and product % tp == 0 else 1
        notes = (DATA_PARALLEL,) if dp > 1 else ()
    heads = [layer.attention.q_heads for layer in spec.layers if layer.attention is not None]
    if dp == 1 and (any(h % tp for h in heads) or (tp > WIDEST_TP and ep <= 1)):
        return _several(asked, load, spec)
    if ep == 0 and (moe_ep or not moe_tp):
        moe_tp, ep = (tp * dp, 1) if moe_ep else (0, 0)
    return _replicated(replace(asked, dp=dp, moe_tp=moe_tp, moe_ep=ep), load, n_chips, notes)


def _several(asked: Deployment, load: Load, spec: ModelSpec) -> ServingRow:
    """Rule c."""
    fits = (n for n in (8, 4, 2) if n <= asked.tp and _divides(spec, n))
    chips = next(fits, 1)
    scaled = replace(load, concurrency=max(load.concurrency * chips / asked.tp, 1.0))
    read = replace(asked, tp=chips, dp=1, moe_tp=1, moe_ep=chips)
    return ServingRow(read, scaled, asked.chip, (INSTANCES,), apart=True)


def _divides(spec: ModelSpec, chips: int) -> bool:
    """Whether heads and experts can be cut over so many chips."""
    heads = all(x.attention is None or x.attention.q_heads % chips == 0 for x in spec.layers)
    return heads and all(x.ffn is None or x.ffn.experts % chips == 0 for x in spec.layers)


def _replicated(read: Deployment, load: Load, n_chips: int, notes: tuple[str, ...]) -> ServingRow:
    """Rule e."""
    if n_chips % read.chips:
        return ServingRow(read, load, read.chip, notes or (MISMATCH,))
    if n_chips > read.chips:
        copies = n_chips // read.chips
        shared = replace(load, concurrency=max(load.concurrency / copies, 1.0))
        return ServingRow(read, shared, read.chip, (*notes, REPLICAS))
    return ServingRow(read, load, read.chip, notes)
