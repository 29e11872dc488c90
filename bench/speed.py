"""How long a warm prediction, a whole search and the start of the command take."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from statistics import median

_SEARCH = """
import json, re, time
from pathlib import Path
from windtunnel.plan.search import plan
from windtunnel.plan.result import Targets
targets = Targets(4096, 1024, 2.0, 0.05)
start = time.process_time()
plan("deepseek-ai/DeepSeek-V3", ["h100-sxm:32"], targets)
spent = time.process_time() - start
# the peak of this program alone: getrusage would include what the parent held when it forked
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps([spent, int(peak.group(1)) / 1024]))
"""


def warm_prediction_ms(runs: int = 200) -> float:
    """Median CPU time of predict() for a deployment that was predicted before."""
    from windtunnel import Deployment, Load, predict

    deployment, load = Deployment("deepseek-ai/DeepSeek-R1", "b200-sxm", tp=8), Load(1024, 1024, 64)
    predict(deployment, load)
    times = []
    for _ in range(runs):
        start = time.process_time()
        predict(deployment, load)
        times.append(time.process_time() - start)
    return 1e3 * median(times)


def search() -> tuple[float, float]:
    """CPU seconds and peak megabytes of a plan in a process of its own."""
    out = subprocess.run([sys.executable, "-c", _SEARCH], check=True, capture_output=True, text=True).stdout
    seconds, megabytes = json.loads(out)
    return seconds, megabytes


def started_s(*command: str, runs: int = 5) -> float:
    """Seconds from start to end of ``windtunnel COMMAND``."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "windtunnel", *command], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return median(times)
