"""``windtunnel serve --doctor``: the verdict first, then what is here, what conflicts or is missing, and what would do."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import click

from windtunnel.cli.rules.options import columns, hanging
from windtunnel.serve.doctor.diagnose import Diagnosis, Finding, diagnose
from windtunnel.serve.doctor.found import Accelerator
from windtunnel.serve.doctor.judge import Remark, State

Json = dict[str, Any]
GIB = 2.0**30


def print_doctor(as_json: bool) -> int:
    """Prints what ``diagnose`` says of this machine; the exit status: 0 all well, 1 a conflict, a lack or something unknown."""
    found = diagnose()
    if as_json:
        import json

        click.echo(json.dumps(doctor_json(found), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(doctor_lines(found)))
    return found.exit_status


def headline(one: Finding) -> str:
    """The verdict on one stack in a sentence."""
    said = one.judgement
    on = "the CPU" if one.stack.id == "cpu" else f"{_count(one)}{_name(one)}"
    before = "No accelerator found. " if one.stack.id == "cpu" else ""
    if one.elsewhere:
        return f"{on}: not for this Python, whose PyTorch is for another maker's accelerators."
    if one.state is State.TOGETHER:
        return f"{before}These go together: {one.engine} serves on {on}."
    if one.state is State.CONFLICT:
        more = len(said.conflicts) - 1
        return f"{before}Conflict on {on}: {said.conflicts[0].text}" + (f" (and {more} more)" if more else "") + "."
    if one.state is State.MISSING:
        return f"{before}Missing to serve on {on}: {said.missing[0].text}."
    return f"{before}Not known whether these go together on {on}: {said.unknown[0].text}."


def _count(one: Finding) -> str:
    return f"{len(one.sighting.devices)} x "


def _name(one: Finding) -> str:
    return " and ".join(dict.fromkeys(_label(one, device) for device in one.sighting.devices))


def _label(one: Finding, device: Accelerator) -> str:
    """A device's name with its maker's in front."""
    vendor = one.stack.vendor
    return device.name if vendor.split()[-1].lower() in device.name.lower() else f"{vendor} {device.name}"


def doctor_lines(found: Diagnosis) -> list[str]:
    """The diagnosis as text."""
    lines: list[str] = []
    for one in found.findings:
        lines += hanging("", headline(one), 0)
    rows = [row for one in found.findings for row in _rows(one)]
    if rows:
        lines += ["", *columns(["accelerator", "count", "memory", "chip", "driver", "found by"], rows, right=(1, 2))]
    lines += ["", *hanging("packages", f"Python {found.python} in {found.prefix}", 12)]
    lines += [f"            {name} {version}" for name, version in found.packages]
    for one in found.findings:
        if one.stack.toolkit_pattern:
            lines.append(f"toolkit     {one.stack.toolkit} {one.toolkit or 'not found'}")
    for one in found.findings:
        if not one.elsewhere:
            lines += _remarks(one)
    lines += [line for text in found.tools for line in hanging("note", text, 12)]
    return lines


def _rows(one: Finding) -> list[list[str]]:
    rows = []
    for device, group in groupby(one.sighting.devices):
        memory = f"{device.memory_bytes / GIB:.0f} GiB" if device.memory_bytes else "not told"
        chip, driver = device.chip or "not in the catalogue", one.sighting.driver or "not told"
        rows.append([_label(one, device), str(len(list(group))), memory, chip, driver, one.sighting.via])
    return rows


def _remarks(one: Finding) -> list[str]:
    said = one.judgement
    lines: list[str] = []
    if one.state is State.TOGETHER:
        kept = [*dict.fromkeys((remark.text, remark.source) for remark in said.good)]
        lines += [line for text, source in kept for line in hanging("fits", f"{text} ({source})", 12)]
    for head, remarks in (("conflict", said.conflicts), ("missing", said.missing), ("not known", said.unknown)):
        for remark in remarks:
            lines += hanging(head, f"{remark.text} ({remark.source})", 12)
            lines += [f"            $ {remark.fix}"] if remark.fix else []
    if one.advice is not None:
        lines += ["", *hanging("", f"Known to go together for {one.stack.name}: {one.advice.engine} ({one.advice.source})", 0)]
        if one.advice.toolkit and not one.toolkit:
            lines.append(f"  needs {one.stack.toolkit} {one.advice.toolkit.lstrip('=')}")
        lines += [f"  $ {line}" for line in one.advice.install]
    elif one.why_none:
        lines += ["", *hanging("", f"Known to go together for {one.stack.name} on this machine: nothing; {one.why_none}", 0)]
    if one.state is not State.TOGETHER:
        lines += [line for note in one.stack.notes for line in hanging("note", note, 12)]
    return ["", *lines] if lines else []


def _remark_json(remark: Remark) -> Json:
    return {"text": remark.text, "source": remark.source, "fix": remark.fix or None}


def _finding_json(one: Finding) -> Json:
    said, sighting = one.judgement, one.sighting
    return {
        "stack": one.stack.id,
        "vendor": one.stack.vendor,
        "device": one.stack.device,
        "state": str(one.state),
        "for_this_python": not one.elsewhere,
        "verdict": headline(one),
        "engine": one.engine or None,
        "driver": sighting.driver or None,
        "toolkit": {"name": one.stack.toolkit, "version": one.toolkit or None} if one.stack.toolkit else None,
        "found_by": sighting.via or None,
        "trouble": sighting.trouble or None,
        "accelerators": [
            {
                "name": device.name,
                "memory_bytes": device.memory_bytes,
                "chip": device.chip or None,
                "compute_capability": "{}.{}".format(*device.capability) if device.capability else None,
            }
            for device in sighting.devices
        ],
        **{key: [_remark_json(r) for r in getattr(said, key)] for key in ("conflicts", "missing", "unknown", "good")},
        "advice": None
        if one.advice is None
        else {"engine": one.advice.engine, "install": list(one.advice.install), "source": one.advice.source},
        "why_no_advice": one.why_none or None,
        "notes": list(one.stack.notes),
    }


def doctor_json(found: Diagnosis) -> Json:
    """The diagnosis as JSON."""
    return {
        "well": found.well,
        "exit_status": found.exit_status,
        "python": found.python,
        "prefix": found.prefix,
        "packages": dict(found.packages),
        "stacks": [_finding_json(one) for one in found.findings],
        "tools": list(found.tools),
    }
