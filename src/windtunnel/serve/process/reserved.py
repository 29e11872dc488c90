"""Flags that are not passed on to an engine: windtunnel sets them itself, or its endpoint could not reach the engine with them.

Both engines take a flag by any beginning that no other flag has, as Python's argparse does; vLLM takes underscores too.

**Source:** vllm 0.32.0: utils/argparse_utils.py, entrypoints/serve/middleware/register.py (a key on the command line displaces
that of the environment); sglang 0.5.23: srt/server_args.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from windtunnel.errors import InvalidInputError

LISTENS = "windtunnel chooses where the engine listens; --host and --port say where clients ask"
KEY = "clients ask windtunnel, and its --keys says who may"
TLS = "windtunnel asks the engine on this machine; --tls-cert and --tls-key encrypt what clients ask"
HTTP = "windtunnel asks the engine over HTTP, and it would not answer there"
MODEL = "the model is MODEL of `windtunnel serve`"


def says(option: str) -> str:
    """Where an option of windtunnel is written in the engine's own flags."""
    return f"{option} says it"


def check_flags(flags: Iterable[str], reserved: Mapping[str, str]) -> None:
    """Raises InvalidInputError for the first of ``flags`` that is in ``reserved``: flag -> what does it in its place. Its value,
    which may be a key, is not repeated."""
    for word in flags:
        flag = word.partition("=")[0]
        if not flag.startswith("-") or not flag.strip("-"):
            continue
        asked = flag.replace("_", "-")
        known = asked if asked in reserved else next((each for each in reserved if _begins(each, asked)), "")
        if known:
            meant = "" if known == flag else f" ({known})"
            raise InvalidInputError("--engine-flags", f"{flag}{meant} is not passed on: {reserved[known]}")


def _begins(flag: str, asked: str) -> bool:
    """Whether argparse takes ``asked`` for the flag, though it is not written out."""
    return asked.startswith("--") and flag.startswith(asked)
