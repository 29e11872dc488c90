"""Software: devices, plugins, operators."""

from __future__ import annotations

from windtunnel.catalog import chip, support_for
from windtunnel.catalog.chip import chips
from windtunnel.catalog.destination import maker_country
from windtunnel.catalog.support import WORDS
from windtunnel.claims.check import Answer, answer, checks
from windtunnel.claims.found import Found, name, number, unknown
from windtunnel.claims.ledger import Ledger

SHARED = ("device", "plugin", "comms_library")


def _leaving(ledger: Ledger) -> Found:
    """ATen overloads for which torch_npu has no kernel and that go to the host's CPU."""
    table = support_for(chip("ascend-910b2"))
    leave = sum(WORDS[word] == "cpu fallback" for word in table.words.values() if word)
    return number(float(leave), "operators", f"of {len(table.words):,} in the table of {table.name}")


@checks("S023")
def developers(ledger: Ledger) -> Answer:
    return answer(unknown("no source in the catalogue counts developers"))


@checks("S036")
def different_software(ledger: Ledger) -> Answer:
    pairs = [(field, *(ledger.text(each, field) for each in ("h100-sxm", "ascend-910b2"))) for field in SHARED]
    common = [field for field, one, other in pairs if one == other]
    how = "; ".join(f"{field} {one} against {other}" for field, one, other in pairs)
    return answer(name(", ".join(common) or "none", how), unknown("whom Huawei helps is no matter of this tool"))


@checks("S043")
def friction(ledger: Ledger) -> Answer:
    return answer(name(ledger.row("E007").entity), _leaving(ledger))


@checks("S063")
def training_on_ascend(ledger: Ledger) -> Answer:
    one, other = (ledger.figure(each, "scaleup_bytes_per_s") for each in ("ascend-910b2", "h800-sxm"))
    pair = one / ledger.figure("ascend-910b2", "mesh_links")
    how = f"of that {pair / 1e9:,.0f} to one neighbour, where the H800's switch gives all of it"
    return answer(
        number(one / other, "x", f"{one / 1e9:,.0f} over {other / 1e9:,.0f} GB/s in the server, one direction; {how}"),
        _leaving(ledger),
        unknown("why a firm gave a run up, and how stable it was, no source in the catalogue says"),
    )


@checks("S068")
def write_once(ledger: Ledger) -> Answer:
    own = [c for c in chips() if maker_country(c.vendor) == "CN" and c.device]
    words = sorted({ledger.text(c.id, "device") for c in own})
    makers = {word: sorted({c.vendor for c in own if c.device == word}) for word in words}
    told = "; ".join(f"{word}: {', '.join(makers[word])}" for word in words)
    said = "one" if len(words) == 1 else f"{len(words)}: {', '.join(words)}"
    return answer(
        name(said, told), beside=("A goal is neither true nor false; what is held here is whether it is reached today.",)
    )
