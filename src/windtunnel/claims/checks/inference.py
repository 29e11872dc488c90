"""Inference, by predictions: prefill and decode of dense models in BF16 on as few chips as hold them, and whole services."""

from __future__ import annotations

from windtunnel.catalog import Terms
from windtunnel.claims.check import Answer, answer, checks
from windtunnel.claims.found import Found, number, over, percent, predicted
from windtunnel.claims.ledger import Ledger, ratio, scaled
from windtunnel.sim.steady import Role

MODELS = {"llama-3-1-8b": 1, "qwen2-5-32b": 2, "llama-3-1-70b": 4}
"""Model -> chips of one instance."""
SERVICES = {"llama-3-1-8b": 4, "qwen2-5-32b": 4, "llama-3-1-70b": 8, "deepseek-r1": 16}
"""Model -> the most chips of one instance in the search."""


def _served(ledger: Ledger, above: str, below: str, role: Role) -> Found:
    """Tokens/s of a chip, one over the other, over the models."""
    each = {}
    for model, n in MODELS.items():
        each[model] = ratio(*(ledger.served(model, on, n, role)[0] for on in (above, below)))
    return predicted(list(each.values()), "x", ", ".join(f"{model} {found.value:.2f}" for model, found in each.items()))


def _services(ledger: Ledger, above: str, below: str, *, money: bool = False) -> Found:
    """Tokens/s of a chip (or for a dollar) of whole services at equal targets, one over the other, over the models."""
    each = {}
    for model, n in SERVICES.items():
        rates = []
        for on in (above, below):
            best = ledger.planned(model, on, n)
            rate = best.prediction.output_tokens_per_s
            scale = best.output_tokens_per_s_per_chip / rate.value
            if money:
                assert best.usd_per_mtok is not None, f"{on} has a price"
                scale = 1.0 / best.usd_per_mtok / rate.value
            rates.append(scaled(rate, scale))
        each[model] = ratio(rates[0], rates[1])
    return predicted(list(each.values()), "x", ", ".join(f"{model} {found.value:.2f}" for model, found in each.items()))


def _published(ledger: Ledger) -> str:
    decode, prefill = ledger.row("T020").number(), ledger.row("T021").number()
    own = ledger.planned("deepseek-r1", "ascend-910c", SERVICES["deepseek-r1"]).output_tokens_per_s_per_chip
    return (
        f"Published of DeepSeek-R1 on a CloudMatrix 384: {prefill:,.0f} tokens/s a chip in prefill, {decode:,.0f} in decode with "
        "multi-token prediction, experts spread over hundreds of dies, by an engine of Huawei's own. The services compared here "
        f"have 16 chips, an engine of the catalogue and no such prediction, and reach {own:,.0f} with prefill: they say "
        "little of that one."
    )


@checks("S032")
def h20_against_910b(ledger: Ledger) -> Answer:
    bandwidth, compute = (
        ledger.figure("h20", key) / ledger.figure("ascend-910b2", key)
        for key in ("memory_bytes_per_s", "matrix_flops_per_s.bf16")
    )
    return answer(
        _served(ledger, "h20", "ascend-910b2", "decode"),
        _served(ledger, "h20", "ascend-910b2", "prefill"),
        beside=(
            f"By the data sheets: memory bandwidth {bandwidth:.2f} x, dense BF16 {compute:.2f} x.",
            "In prefill the 910B is ahead where one chip holds the model; over more chips sums across its mesh cost that lead.",
        ),
    )


@checks("S035")
def less_powerful_chips(ledger: Ledger) -> Answer:
    above, below = "h20", "h100-sxm"
    compute = ledger.figure(above, "matrix_flops_per_s.bf16") / ledger.figure(below, "matrix_flops_per_s.bf16")
    hourly = ledger.hourly(below) / ledger.hourly(above)
    load = Terms().load
    power = ledger.figure(below, "tdp_w") / ledger.figure(above, "tdp_w")
    rate = _served(ledger, above, below, "decode")

    def times(factor: float, how: str) -> Found:
        return Found(
            rate.value * factor, rate.low * factor, rate.high * factor, "x", how=f"{rate.how}; {how}", evidence=rate.evidence
        )

    return answer(
        number(compute, "x", "dense BF16"),
        times(hourly, f"times {hourly:.2f}, an hour's price of an H100 over an H20's"),
        times(power, f"times {power:.2f}, the power limits at {percent(load)} load"),
    )


@checks("S040")
def bytes_for_each_flop(ledger: Ledger) -> Answer:
    ratios = {}
    for model, n in MODELS.items():
        (_, flops, moved), (_, forward, read) = (ledger.step(model, "h100-sxm", n, phase) for phase in ("decode", "prefill"))
        ratios[model] = (moved / flops) / (read / forward)
    ridges = {
        each: ledger.figure(each, "matrix_flops_per_s.bf16") / ledger.figure(each, "memory_bytes_per_s")
        for each in ("h100-sxm", "ascend-910c", "h20")
    }
    ridge = ", ".join(f"{each} {value:,.0f}" for each, value in ridges.items())
    how = ", ".join(f"{model} {value:,.0f}" for model, value in ratios.items())
    return answer(
        over(ratios.values(), "x", f"{how}; 32 requests of 4,096 tokens"),
        beside=(
            f"FLOP a chip can do while it reads one byte: {ridge}. Decode does about one for each request of a "
            "batch and byte of 16-bit weights, so in smaller batches the memory decides.",
            "In prefill, inference is like training's forward pass.",
        ),
    )


@checks("S041")
def competitive(ledger: Ledger) -> Answer:
    return answer(
        _services(ledger, "ascend-910c", "h20", money=True),
        _services(ledger, "ascend-910c", "h100-sxm", money=True),
        beside=(_published(ledger),),
    )


@checks("S042")
def eight_bits(ledger: Ledger) -> Answer:
    bits = {"fp32": 32, "int8": 8}
    gap = [ledger.figure("h100-sxm", f"matrix_flops_per_s.{t}") / ledger.figure("ascend-910c", f"matrix_flops_per_s.{u}")
           for t, u in (("fp8", "int8"), ("bf16", "bf16"))]  # fmt: skip
    return answer(
        number(bits["fp32"] / bits["int8"], "x", "32 over 8 bits"),
        number(gap[0] / gap[1], "x", f"H100 over 910C: {gap[0]:.2f} in 8 bit (FP8 against INT8), {gap[1]:.2f} in BF16"),
        beside=("The 910C has no FP8: models stored so need INT8 or 16 bit there.",),
    )


@checks("S048")
def h100_against_910c(ledger: Ledger) -> Answer:
    pairs = (("dense BF16", "matrix_flops_per_s.bf16"), ("memory bandwidth", "memory_bytes_per_s"), ("memory", "memory_bytes"))
    spec = [(what, ledger.figure("ascend-910c", key) / ledger.figure("h100-sxm", key)) for what, key in pairs]
    return answer(
        _served(ledger, "ascend-910c", "h100-sxm", "prefill"),
        _served(ledger, "ascend-910c", "h100-sxm", "decode"),
        _services(ledger, "ascend-910c", "h100-sxm"),
        beside=(
            f"By the data sheets: {', '.join(f'{what} {value:.2f} x' for what, value in spec)}. 60 % would be "
            f"{0.6 / spec[0][1]:.2f} of what the compute allows, and {0.6 / spec[1][1]:.2f} of what the bandwidth does.",
            "No measurement on a 910C stands behind its prediction: data sheet, and what other chips make of theirs.",
            _published(ledger),
        ),
    )


@checks("S049")
def room_for_kernels(ledger: Ledger) -> Answer:
    rooms = {}
    for model, n in MODELS.items():
        time_s, flops, moved = ledger.step(model, "ascend-910c", n, "decode")
        peak, bandwidth = (ledger.figure("ascend-910c-die", key) for key in ("matrix_flops_per_s.bf16", "memory_bytes_per_s"))
        rooms[model] = time_s / max(flops / peak, moved / bandwidth)
    how = ", ".join(f"{model} {value:.2f}" for model, value in rooms.items())
    return answer(
        over(rooms.values(), "x", f"{how}; 32 requests, without collectives and host"),
        beside=("So far could kernels go at most; how far one written by hand goes, no model tells.",),
    )
