"""Python on CUDA without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.python import keyword, string
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports, spelled
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    yield from imports(
        source,
        RULE,
        "cupy",
        "numba.cuda",
        "pycuda",
        "cudf",
        "cuml",
        "rmm",
        "cuda.bindings",
        "cuda.cudart",
        "cuda.core",
        "cuda.cuda",
        "cuda.nvrtc",
        "cuda.tile",
        "nvmath",
        "cuvs",
        "pylibraft",
        "cuspatial",
        "skcuda",
        "cupyx",
        "cugraph",
        "cucim",
        "cudnn",
        "cuquantum",
        "cufile",
    )
    # each function that is compiled for the chip is one to be written once more
    yield from spelled(source, RULE, "numba.cuda.jit")
    yield from _targets(source)
    # Caffe2, older than PyTorch's own devices
    yield from spelled(source, RULE, *_CAFFE2)


def _targets(source: Source) -> Iterator[Finding]:
    """``@vectorize([...], target="cuda")``"""
    for call in source.python.calls("numba.vectorize", "numba.guvectorize", "numba.jit"):
        target = keyword(call, "target", "target_backend")
        if target is not None and string(target) == "cuda":
            yield source.finding(RULE, *source.python.span(target))


_WORKSPACE = (
    "NumCudaDevices",
    "NumGpuDevices",
    "GetCudaPeerAccessPattern",
    "GetCUDAVersion",
    "GetCuDNNVersion",
    "GetDeviceProperties",
)
_CAFFE2 = ("caffe2.proto.caffe2_pb2.CUDA", *(f"caffe2.python.workspace.{name}" for name in _WORKSPACE))


RULE = Rule(
    id="cuda-python",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Python on CUDA without PyTorch: CuPy, numba.cuda, PyCUDA, cuDF, cuda-python.",
    why="Those packages compile for, and speak to, CUDA's driver alone (CuPy also ROCm's).",
    instead="Write the computation with PyTorch tensors, or with NumPy on the host.",
    find=find,
    cases=(
        Case("cupy = None\n", 0),
        Case("import numba\n", 0, note="numba itself compiles for the CPU"),
        Case(
            "from numba import jit, vectorize\n\n\n@jit\ndef k(x):\n    pass\n\n\n"
            "@vectorize(target='parallel')\ndef g(x):\n    pass\n",
            0,
        ),
        Case("cuda = mine()\n\n\n@cuda.jit\ndef k(x):\n    cuda.grid(1)\n", 0, note="not Numba's"),
        Case("import cupy as cp\nx = cp.zeros(3)\n", 1),
        Case(
            "from numba import cuda\n\n\n@cuda.jit\ndef k(x):\n    i = cuda.grid(1)\n\n\n"
            "@cuda.jit(device=True)\ndef g(x):\n    pass\n",
            3,
        ),
        Case("import numba\n\n\n@numba.vectorize(['f4(f4)'], target='cuda')\ndef k(x):\n    pass\n", 1),
        Case("import cufile\n", 1),
        Case("import numba.cuda\n", 1),
        Case("import pycuda.autoinit\n", 1),
        Case(
            "from caffe2.proto import caffe2_pb2\nfrom caffe2.python import core, workspace\n"
            "d = core.DeviceOption(caffe2_pb2.CUDA, 0)\nn = workspace.NumCudaDevices()\n",
            2,
        ),
        Case("try:\n    import cudnn\nexcept ImportError:\n    cudnn = None\n", 1),
    ),
    hints=(
        b"cufile",
        b"cupy",
        b"numba",
        b"pycuda",
        b"cudf",
        b"cuda",
        b"rmm",
        b"cuml",
        b"cuspatial",
        b"cuvs",
        b"pylibraft",
        b"nvmath",
        b"skcuda",
        b"cucim",
        b"cugraph",
        b"cudnn",
        b"caffe2",
        b"cuquantum",
    ),
)
