"""SGLang.

**Source:** sglang 0.5.23: srt/server_args.py and srt/arg_groups/fields (flags), srt/platforms/__init__.py (SGLANG_PLATFORM),
srt/entrypoints/http_server.py (/health, which answers 503 until it can serve).
"""

from __future__ import annotations

from collections.abc import Mapping

from windtunnel.catalog.engine import version_key
from windtunnel.catalog.stack import Stack
from windtunnel.serve.process.interpreter import SGLANG_PLATFORMS, Interpreter
from windtunnel.serve.process.launch import HOST, Launch, Wish, environment, only_platform
from windtunnel.serve.process.reserved import HTTP, KEY, LISTENS, MODEL, TLS, check_flags, says

ENGINE = "sglang"
ATTN_DP_SINCE = "0.5.23"
"""Where --attn-dp-size was seen first; before it, attention is cut with --dp-size and --enable-dp-attention."""
DEVICES = ("cuda", "xpu", "hpu", "npu", "cpu", "musa")
"""What --device takes."""
RESERVED = {
    **dict.fromkeys(("--host", "--port"), LISTENS),
    **dict.fromkeys(("--smg-grpc-mode", "--grpc-mode", "--encoder-only"), HTTP),
    **dict.fromkeys(("--ssl-keyfile", "--ssl-certfile", "--ssl-ca-certs", "--ssl-keyfile-password", "--enable-ssl-refresh"), TLS),
    "--api-key": KEY,
    **dict.fromkeys(("--model-path", "--model"), MODEL),
    "--served-model-name": says("--name"),
    **dict.fromkeys(("--tp-size", "--tensor-parallel-size"), says("--tp")),
    **dict.fromkeys(("--pp-size", "--pipeline-parallel-size"), says("--pp")),
    **dict.fromkeys(("--dp-size", "--data-parallel-size", "--attn-dp-size", "--attention-data-parallel-size"), says("--dp")),
    **dict.fromkeys(("--ep-size", "--ep", "--expert-parallel-size"), says("--ep")),
}
"""Flags that are not passed on, and what does it in their place."""


def launch(
    python: Interpreter, stack: Stack, version: str, wish: Wish, port: int, own: Mapping[str, str], experts: bool = False
) -> Launch:
    """own: the user's environment; experts: the model has some, so that data-parallel groups share them.

    Raises InvalidInputError where more than one outside platform is installed and none is chosen, and for flags of the user's
    that are not passed on.
    """
    twice = {"--context-length": says("--context")} if wish.context else {}
    twice |= {"--max-running-requests": says("--parallel")} if wish.running else {}
    check_flags(wish.flags, RESERVED | twice)
    made = environment(stack, ENGINE, wish, own)
    said = own.get("SGLANG_PLATFORM", "")
    only_platform(python, SGLANG_PLATFORMS, "", (said,) if said else (), "SGLANG_PLATFORM", "SGLang")
    words = arguments(wish, port, stack, version, experts)
    return Launch(ENGINE, (python.path, "-m", "sglang.launch_server", *words), made, port)


def arguments(wish: Wish, port: int, stack: Stack, version: str, experts: bool) -> list[str]:
    """What follows ``sglang.launch_server``. Its --tp-size counts the devices of all groups where they share the experts."""
    groups = wish.dp > 1 and experts
    words = ["--model-path", wish.model, "--served-model-name", wish.name or wish.model, "--host", HOST, "--port", str(port)]
    words += ["--tp-size", str(wish.tp * wish.dp if groups else wish.tp)]
    if wish.pp > 1:
        words += ["--pp-size", str(wish.pp)]
    if groups and _older(version):
        words += ["--dp-size", str(wish.dp), "--enable-dp-attention"]
    elif wish.dp > 1:
        words += ["--attn-dp-size" if groups else "--dp-size", str(wish.dp)]
    if wish.ep > 1:
        words += ["--ep-size", str(wish.ep)]
    if wish.context:
        words += ["--context-length", str(wish.context)]
    if wish.running:
        words += ["--max-running-requests", str(wish.running)]
    if stack.device in DEVICES and stack.device != "cuda":
        words += ["--device", stack.device]
    if stack.device == "npu":
        words += ["--attention-backend", "ascend"]
    return [*words, *wish.flags]


def _older(version: str) -> bool:
    asked, since = version_key(version), version_key(ATTN_DP_SINCE)
    return asked is not None and since is not None and asked < since
