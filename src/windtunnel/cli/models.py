"""``windtunnel models [NAME]``: the models of the catalogue, or all that is known of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from windtunnel.cli.params import json_option

if TYPE_CHECKING:
    from windtunnel.catalog.model import AttentionSpec, FfnSpec, ModelSpec
    from windtunnel.catalog.models import Published

OTHER_COLUMNS = 63
"""What the other columns of the list take of a window, beside the names."""
SAMPLE_CONTEXT = 32_768
"""Tokens of the context for which the whole cache of a sequence is shown."""


@click.command()
@click.argument("name", required=False)
@json_option
def models(name: str | None, as_json: bool) -> None:
    """Models, and what they hold.

    NAME is a model of the catalogue in any spelling, a config.json, or a folder that holds one. Without it, all
    models are listed; KV/token is what each further token of a long context adds to the cache.
    """
    from windtunnel.catalog.models import model as read_model
    from windtunnel.catalog.models import models as keys
    from windtunnel.catalog.models import record
    from windtunnel.errors import UnknownNameError

    published: Published | None = None
    if name is None:
        records = [record(key) for key in keys()]
        if as_json:
            _print_json({"models": [model_json(entry.spec) for entry in records]})
        else:
            _list([(entry.key, entry.spec) for entry in records])
        return
    try:
        found = record(name)
        spec, published = found.spec, found.published
    except UnknownNameError:
        spec = read_model(name)
    if as_json:
        _print_json(model_json(spec, published))
    else:
        _detail(spec, published)


def _print_json(value: object) -> None:
    from windtunnel.cli.as_json import dumps

    click.echo(dumps(value))


def kv_bytes(spec: ModelSpec, numbers: float) -> float:
    """Bytes of ``numbers`` of the cache: 16 bit, or what the checkpoint asks for."""
    from windtunnel.workload.ops import weight_bytes

    return numbers * weight_bytes(spec.kv_precision or "bf16")


def scaled(value: float) -> str:
    """``70.6 B``: a count to three figures, the way people say it."""
    for factor, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * factor:
            shown = value / factor
            return f"{shown:.{max(0, 2 - len(str(int(shown))) + 1)}f} {suffix}"
    return f"{value:.0f}"


def mixer_name(spec: AttentionSpec) -> str:
    """``GQA``, ``MLA sparse``, ``window 128``, ``compressed 4:1``, ``linear``."""
    if spec.kind == "linear":
        return "linear"
    if spec.compress:
        return f"compressed {spec.compress}:1"
    if spec.window:
        return f"window {spec.window}"
    return spec.kind.upper() + (" sparse" if spec.topk else "")


def attention_name(spec: ModelSpec) -> str:
    """The kinds of attention that a model has, the commonest first."""
    counts: dict[str, int] = {}
    for layer in spec.layers:
        if layer.attention is not None:
            kind = mixer_name(layer.attention)
            counts[kind] = counts.get(kind, 0) + layer.count
    return " + ".join(sorted(counts, key=lambda kind: -counts[kind]))


def mixture(spec: ModelSpec) -> FfnSpec | None:
    """The feed-forward with experts, where there is one."""
    return next((layer.ffn for layer in spec.layers if layer.ffn is not None and layer.ffn.experts), None)


def experts_name(spec: ModelSpec) -> str:
    """``8/256``: experts that a token is sent to, of how many."""
    ffn = mixture(spec)
    return f"{ffn.topk}/{ffn.experts}" if ffn is not None else "-"


def broken(key: str, width: int) -> str:
    """A long name broken at its hyphens, for a narrow window."""
    lines = [""]
    for part in key.split("-"):
        joined = f"{lines[-1]}-{part}" if lines[-1].strip() else lines[-1] + part
        if len(joined) > width:
            lines[-1] += "-"
            lines.append(f"  {part}")
        else:
            lines[-1] = joined
    return "\n".join(lines)


def _list(rows: list[tuple[str, ModelSpec]]) -> None:
    from windtunnel.cli.render import Sheet
    from windtunnel.plan import words

    sheet = Sheet()
    if not sheet.terminal:  # where nobody looks a name stays whole, so that it can be searched for
        sheet.width = max(sheet.window, max(len(key) for key, _ in rows) + OTHER_COLUMNS)
    width = sheet.window - OTHER_COLUMNS
    sheet.table(
        f"{len(rows)} models",
        ("model", "total", "active", "attention", "experts", "stored", "KV/token"),
        (
            (
                broken(key, width),
                scaled(spec.parameters),
                scaled(spec.active_parameters) if spec.is_moe else "-",
                attention_name(spec).replace(" + ", " +\n"),
                experts_name(spec),
                words.number_type(spec.expert_precision or spec.precision),
                words.memory(kv_bytes(spec, spec.cache_numbers_per_token)),
            )
            for key, spec in rows
        ),
        fold=("attention",),
    )
    sheet.line()
    for text in (
        "active: parameters that a token uses. experts: those that a token is sent to, of how many.",
        "stored: type of the weights, the experts' where there are any. KV/token: cache of each further token.",
        "windtunnel models NAME shows one with its source.",
    ):
        sheet.line(text, style="dim")
    sheet.show()


def _layer_rows(spec: ModelSpec) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for layer in spec.layers:
        mixer, ffn = layer.attention, layer.ffn
        heads = widths = "-"
        if mixer is not None:
            heads = f"{mixer.q_heads}/{mixer.kv_heads}" if mixer.kind != "mla" else str(mixer.q_heads)
            widths = str(mixer.qk_dim) if mixer.qk_dim == mixer.v_dim else f"{mixer.qk_dim}/{mixer.v_dim}"
        feed = "-"
        if ffn is not None and ffn.experts:
            feed = f"{ffn.topk} of {ffn.experts} experts of {ffn.intermediate:,}"
            feed += f", shared {ffn.shared_intermediate:,}" if ffn.shared_intermediate else ""
            feed += f", in {ffn.latent:,}" if ffn.latent else ""
        elif ffn is not None:
            feed = f"dense {ffn.intermediate:,}"
        name = mixer_name(mixer) if mixer is not None else "none"
        if mixer is not None and mixer.topk:
            name += f" {mixer.topk:,}"
        rows.append((str(layer.count), name, heads, widths, feed))
    return rows


def _detail(spec: ModelSpec, published: Published | None) -> None:
    from windtunnel.cli.render import Sheet
    from windtunnel.plan import words

    sheet = Sheet()
    sheet.line(spec.id, style="bold")
    total = f"{scaled(spec.parameters)} in all"
    if spec.is_moe:
        total += f", {scaled(spec.active_parameters)} for a token"
    facts = [("parameters", total)]
    if published is not None:
        said = f"{scaled(published.parameters)} in all"
        if published.active_parameters != published.parameters:
            without = ("", ", the embedding left out", ", embedding and head left out")[min(published.left_out, 2)]
            said += f", {scaled(published.active_parameters)} for a token{without}"
        facts.append(("published", f"{said} ({published.source})"))
    tied = "tied to the head" if spec.tied_embeddings else "apart from the head"
    token, whole = kv_bytes(spec, spec.cache_numbers_per_token), kv_bytes(spec, spec.cache_numbers_of(SAMPLE_CONTEXT))
    kind = words.number_type(spec.kv_precision) if spec.kv_precision else "16 bit"
    facts += [
        ("architecture", spec.architecture),
        ("hidden size", f"{spec.hidden:,}"),
        ("vocabulary", f"{spec.vocab:,}, embedding {tied}"),
        ("stored as", words.stored(spec)),
        ("KV cache", f"{words.memory(token)} a token in {kind}, {words.memory(whole)} for {SAMPLE_CONTEXT:,} tokens"),
    ]
    if spec.state_numbers:
        facts.append(("state", f"{words.memory(4 * spec.state_numbers)} a sequence in 32 bit"))
    if spec.max_context:
        facts.append(("longest context", f"{spec.max_context:,} tokens"))
    if spec.mtp_layers:
        facts.append(("prediction layers", f"{spec.mtp_layers} (multi-token prediction)"))
    facts.append(("source", spec.source))
    if spec.aliases:
        facts.append(("also called", ", ".join(spec.aliases)))
    sheet.facts(facts)
    columns = ("layers", "attention", "heads", "width", "feed-forward")
    sheet.table("Layers", columns, _layer_rows(spec), left=0, fold=("attention", "feed-forward"))
    if spec.notes:
        sheet.line()
        for note in spec.notes:
            sheet.bullet(note)
    sheet.show()


def model_json(spec: ModelSpec, published: Published | None = None) -> dict[str, Any]:
    """A model as a plain object: stable keys, sizes in bytes, what is absent as null."""
    from dataclasses import asdict

    return {
        "id": spec.id,
        "architecture": spec.architecture,
        "parameters": spec.parameters,
        "active_parameters": spec.active_parameters,
        "published": asdict(published) if published is not None else None,
        "n_layers": spec.n_layers,
        "hidden": spec.hidden,
        "vocab": spec.vocab,
        "attention": attention_name(spec),
        "experts": {"count": ffn.experts, "topk": ffn.topk} if (ffn := mixture(spec)) is not None else None,
        "precision": {part: spec.precision_of(part) for part in ("attention", "experts", "rest")},
        "kv_precision": spec.kv_precision or None,
        "kv_bytes_per_token": kv_bytes(spec, spec.cache_numbers_per_token),
        "state_bytes_per_sequence": 4 * spec.state_numbers,
        "max_context": spec.max_context or None,
        "mtp_layers": spec.mtp_layers,
        "layers": [asdict(layer) for layer in spec.layers],
        "aliases": list(spec.aliases),
        "source": spec.source,
        "notes": list(spec.notes),
    }
