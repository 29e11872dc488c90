"""Lines under a training plan: what its numbers rest on."""

from __future__ import annotations

from collections.abc import Sequence

from windtunnel.plan.training.beyond import beyond
from windtunnel.plan.training.cluster import Cluster
from windtunnel.plan.training.framework import Framework
from windtunnel.plan.training.result import ChipTraining


def told(
    precision: str,
    found: Sequence[ChipTraining],
    clusters: Sequence[Cluster],
    loops: Sequence[Framework],
) -> list[str]:
    """What the numbers rest on; what holds of several chips is said once.

    precision: that was asked for; loops: the framework on each cluster.
    """
    lines = [
        "MFU: six FLOPs for each weight and token (the embedding's table left out) and causal attention, over the chip's 16-bit "
        "peak. Intervals hold in 80 % of cases."
    ]
    names: dict[str, list[str]] = {}
    for cluster, each, loop in zip(clusters, found, loops, strict=True):
        run, at = each.training, cluster.at
        if run is None:
            continue
        said = [_on_loop(loop), *run.failures.assumed]
        if run.precision != precision:
            said.insert(0, f"{at.chip.id} has no unit for {precision.upper()}: products run in {run.precision.upper()}")
        if cluster.devices > 1:
            what = f"{cluster.devices} ranks for each {at.chip.id}, each of them one {cluster.device.id}"
            said.append(f"{what}: layout, step and memory are of those; tokens/s, hours and money of packages")
        if cluster.power_w is not None and not cluster.power_w[1]:
            said.append("energy is the chips' alone: no source says what their hosts draw")
        if run.step.layout.chips > cluster.links.domain and not cluster.joined:
            said.append("no source says how many chips the network joins; it is taken to carry all of them at full rate")
        for line in said:
            names.setdefault(line, []).append(at.name)
    everywhere = sum(each.training is not None for each in found)
    for line, of in names.items():
        lines.append(f"{line[:1].upper()}{line[1:]}." if len(of) == everywhere else f"{', '.join(of)}: {line}.")
    return lines


def _on_loop(loop: Framework) -> str:
    known = beyond()
    share = f"{100 * known.of(loop.id):.0f} % beyond what its operators take"
    what = "as published runs of it" if known.knows(loop.id) else "the mean of other frameworks, since no run of it was fitted on"
    return f"{loop.name}: a step takes {share}, {what}"
