"""Training: FLOPs by 6ND (six for each active weight and token), held against published runs.

The share of peak that a run reaches is taken from published runs of dense models on the same kind of chip, not predicted;
attention's own products, which 6ND leaves out, count as if they were not needed.
"""

from __future__ import annotations

from windtunnel.catalog import chip
from windtunnel.claims.check import Answer, answer, checks, no_matter
from windtunnel.claims.found import name, number, over, percent, unknown
from windtunnel.claims.ledger import Ledger
from windtunnel.cost.links import Links

RUNS = ("T010", "T011", "T012", "T013", "T014")
"""Published training rates on H100 and H800."""
DAYS = 90


def _v3_flop(ledger: Ledger) -> float:
    return 6.0 * ledger.model("deepseek-ai/DeepSeek-V3").active_parameters * ledger.row("T001").number()


def _shares(ledger: Ledger) -> list[float]:
    return sorted(ledger.share_of_peak(ledger.row(each)) for each in RUNS)


def _implied(ledger: Ledger) -> str:
    """What share of the peak the published hours of DeepSeek-V3 imply."""
    rate = _v3_flop(ledger) / (ledger.row("T002").number() * 3600.0)
    shares = _shares(ledger)
    bf16, fp8 = (rate / ledger.figure("h800-sxm", f"matrix_flops_per_s.{each}") for each in ("bf16", "fp8"))
    return (
        f"Its published hours imply {percent(bf16, 1)} of an H800's BF16 peak ({percent(fp8, 1)} of FP8's, in which most of "
        f"it ran); published BF16 runs on H100 and H800 reach {percent(shares[0])} to {percent(shares[-1])}."
    )


@checks("S005")
def trained_on_nvidia(ledger: Ledger) -> Answer:
    trained = ledger.row("T004").entity
    return answer(
        name(chip(trained).vendor, f"{trained}, by its own report"),
        unknown("no source in the catalogue says which chips trained Kimi K2"),
        beside=(_implied(ledger),),
    )


@checks("S033")
def large_clusters(ledger: Ledger) -> Answer:
    few, many = (ledger.share_of_peak(ledger.row(each)) for each in ("T015", "T016"))
    theirs, wide = (ledger.share_of_peak(ledger.row(each)) for each in ("T010", "T011"))
    a, b = Links.of(chip("ascend-910b2")), Links.of(chip("h100-sxm"))
    return no_matter(
        "no published run of more than 128 chips of Huawei is in the catalogue, and how stable a cluster is no data sheet says",
        f"Published runs on 910B reach {percent(few)} of peak on 8 chips and {percent(many)} on 128 (other models); on H100 "
        f"{percent(theirs)} on 8 and {percent(wide)} on 440.",
        f"Links of a chip, one direction: 910B {a.scaleup_bytes_per_s / 1e9:,.0f} GB/s in the server "
        f"({a.pair_bytes_per_s / 1e9:,.0f} to each neighbour) and {a.scaleout_bytes_per_s / 1e9:,.0f} outside; H100 "
        f"{b.scaleup_bytes_per_s / 1e9:,.0f} and {b.scaleout_bytes_per_s / 1e9:,.0f}.",
    )


@checks("S034")
def problems_of_910c(ledger: Ledger) -> Answer:
    system = ledger.system("cloudmatrix-384")
    one, other = (ledger.figure(each, "scaleup_bytes_per_s") / 1e9 for each in ("ascend-910b2", "ascend-910c"))
    return no_matter(
        "it names no problem that could be checked",
        f"What changed from the 910B: one domain of {system.chips} chips instead of 8, {other:,.0f} GB/s of links instead of "
        f"{one:,.0f}.",
    )


@checks("S037")
def cost_of_v3(ledger: Ledger) -> Answer:
    hours, rent = ledger.row("T002").number(), ledger.row("T003").number()
    shares, peak = _shares(ledger), ledger.figure("h800-sxm", "matrix_flops_per_s.bf16")
    flop = _v3_flop(ledger)
    needed = [flop / (peak * share) / 3600.0 for share in (shares[len(shares) // 2], shares[-1], shares[0])]
    how = f"6ND = {flop:.3g} FLOP at {percent(shares[0], 1)} to {percent(shares[-1], 1)} of the BF16 peak"
    return answer(
        number(hours * rent, "USD", f"{hours:,.0f} hours at USD {rent:g}"),
        number(needed[0], "chip-hours", how, needed[1], needed[2]),
        unknown("no source in the catalogue says what US peers spent"),
        beside=(_implied(ledger),),
    )


@checks("S038")
def flop_of_frontier(ledger: Ledger) -> Answer:
    runs = {"deepseek-ai/DeepSeek-V3": "T001", "llama-3-1-405b": "T006"}
    flops = {each: 6.0 * ledger.model(each).active_parameters * ledger.row(row).number() for each, row in runs.items()}
    least = (1e24 / 120.0) ** 0.5
    how = ", ".join(f"{each} {value:.2g}" for each, value in flops.items())
    return answer(
        over(flops.values(), "FLOP", how),
        beside=(f"With twenty tokens for each weight, every dense model of more than {least / 1e9:,.0f} billion passes 1e24.",),
    )


@checks("S046")
def chips_needed(ledger: Ledger) -> Answer:
    shares, flop = _shares(ledger), _v3_flop(ledger)
    per_chip = ledger.figure("h100-sxm", "matrix_flops_per_s.bf16") * DAYS * 86_400.0
    needed = [flop / (per_chip * share) for share in (shares[len(shares) // 2], shares[-1], shares[0])]
    link = ledger.text("ascend-910c", "link")
    joined = ledger.system("cloudmatrix-384")
    return answer(
        number(
            needed[0],
            "chips",
            f"6ND over {DAYS} days at {percent(shares[0])} to {percent(shares[-1])} of peak",
            needed[1],
            needed[2],
        ),
        name(link, f"{joined.name}: {joined.chips} chips"),
        beside=("Chips by the hundred are joined by other links than NVLink too.",),
    )


@checks("S050")
def r1_trained_on(ledger: Ledger) -> Answer:
    row = ledger.row("T005")
    return answer(name(row.entity, row.notes), beside=("Its base model's report names the same chip.",))


@checks("S067")
def split_fleet(ledger: Ledger) -> Answer:
    makers = sorted({chip(ledger.row(each).entity).vendor for each in ("T004", "T005")})
    return answer(
        name(", ".join(makers), "both by their own reports"),
        unknown("no source in the catalogue says what DeepSeek itself serves on"),
        beside=("Others serve its models on Ascend: a CloudMatrix 384 has published figures of DeepSeek-R1.",),
    )
