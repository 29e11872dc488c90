"""Stands in for vLLM and SGLang: a tiny OpenAI server that writes down how it was started, and misbehaves as told.

``make_fakes`` lays packages of that name into a folder; a child with that folder on PYTHONPATH takes them for the real ones.
FAKE_ENGINE holds JSON: seen (where to write argv, environment and number, a line each start), slow_s, die_at_start, die_after_s,
deaf (ignores SIGTERM), child (starts a process in a session of its own).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

Points = Mapping[str, tuple[str, ...]]

SERVER = """
import json, os, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

told = json.loads(os.environ.get("FAKE_ENGINE", "{}"))
begun = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        ready = time.monotonic() - begun >= told.get("slow_s", 0)
        if self.path == "/health":
            self.answer(200 if ready else 503, {})
        else:
            self.answer(200, {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "fake", "created": 1}]})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        key = os.environ.get("VLLM_API_KEY")
        if key and self.headers["Authorization"] != f"Bearer {key}":
            return self.answer(401, {"error": "Unauthorized"})
        message = {"role": "assistant", "content": "I am a fake."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": name}
        self.answer(200, {**head, "choices": [choice], "usage": usage})


def flag(word):
    return sys.argv[sys.argv.index(word) + 1]


def main():
    global name
    if told.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = 0
    if told.get("child"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True).pid
    if "seen" in told:
        with open(told["seen"], "a") as file:
            file.write(json.dumps({"argv": sys.argv, "env": dict(os.environ), "pid": os.getpid(), "child": child}) + "\\n")
    print("loading weights: 50%\\rloading weights: 100%", flush=True)
    if told.get("die_at_start"):
        print("RuntimeError: no kernel image is available", file=sys.stderr, flush=True)
        sys.exit(told["die_at_start"])
    if told.get("die_after_s"):
        threading.Timer(told["die_after_s"], os._exit, (9,)).start()
    name = flag("--served-model-name")
    ThreadingHTTPServer((flag("--host"), int(flag("--port"))), Handler).serve_forever()
"""


def make_fakes(folder: Path, vllm: str = "0.33.0") -> Path:
    """Folders of the packages ``vllm`` and ``sglang`` in ``folder``, with their metadata."""
    for module in ("vllm/__init__.py", "vllm/entrypoints/__init__.py", "vllm/entrypoints/cli/__init__.py", "sglang/__init__.py"):
        (folder / module).parent.mkdir(parents=True, exist_ok=True)
        (folder / module).write_text("", encoding="utf-8")
    (folder / "fake_server.py").write_text(SERVER, encoding="utf-8")
    run = "from fake_server import main\n\nmain()\n"
    (folder / "vllm/entrypoints/cli/main.py").write_text(run, encoding="utf-8")
    (folder / "sglang/launch_server.py").write_text(run, encoding="utf-8")
    distribution(folder, "vllm", vllm, {"vllm.general_plugins": ("lora_filesystem_resolver",)})
    distribution(folder, "sglang", "0.5.23")
    return folder


def distribution(folder: Path, name: str, version: str, points: Points | None = None, needs: str = "") -> None:
    """Metadata of an installed package. points: group of entry points -> names."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *([f"Requires-Dist: {needs}"] if needs else [])]
    (place / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    groups = [f"[{group}]\n" + "".join(f"{one} = nowhere:{one}\n" for one in names) for group, names in (points or {}).items()]
    (place / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
