"""One file a maker: how its accelerators are found. ``LOOK`` maps a stack of the catalogue to the function that looks for it.

Where a tool's output was neither recorded nor read in its maker's documents, the file says that it is recalled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from windtunnel.serve.doctor.found import Sighting
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.probes import (
    amd,
    apple,
    ascend,
    biren,
    cambricon,
    enflame,
    gaudi,
    google,
    hygon,
    iluvatar,
    intel,
    kunlun,
    metax,
    moore_threads,
    neuron,
    nvidia,
    sophgo,
    t_head,
    vastai,
)  # fmt: skip

LOOK: Mapping[str, Callable[[Machine], Sighting]] = {
    "cuda": nvidia.look,
    "rocm": amd.look,
    "xpu": intel.look,
    "gaudi": gaudi.look,
    "ascend": ascend.look,
    "mlu": cambricon.look,
    "musa": moore_threads.look,
    "metax": metax.look,
    "iluvatar": iluvatar.look,
    "dcu": hygon.look,
    "biren": biren.look,
    "kunlun": kunlun.look,
    "enflame": enflame.look,
    "t-head": t_head.look,
    "mps": apple.look,
    "tpu": google.look,
    "neuron": neuron.look,
    "vastai": vastai.look,
    "sophgo": sophgo.look,
}
