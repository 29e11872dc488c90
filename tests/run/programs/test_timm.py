"""Twenty models of timm, each of another family, trained and inferred on virtual chips; their FLOPs are PyTorch's counter's."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from windtunnel.run.virtual import virtual
from windtunnel.workload.program.vision import declare_torchvision

MODELS = (
    "beit_base_patch16_224", "cait_xxs24_224", "convnext_tiny", "deit3_small_patch16_224", "densenet121", "edgenext_small",
    "efficientformer_l1", "efficientnet_b0", "davit_tiny", "hiera_tiny_224", "inception_v3", "levit_128",
    "mixer_b16_224", "mobilenetv3_large_100", "poolformer_s12", "pvt_v2_b0", "regnety_016", "resnet50", "vgg16",
    "xcit_tiny_12_p8_224",
)  # fmt: skip
COUNTED = frozenset(MODELS[::2])
"""Half of them are held against the counter, which takes longer than the model."""
MATRIX = {"convolution", "mm", "addmm", "bmm", "baddbmm", "scaled_dot_product_attention"}
BATCH = 2


@pytest.fixture(scope="module")
def timm() -> Any:
    """Imported late: it takes seconds, and reading the tests shall not."""
    if find_spec("timm") is None:
        pytest.skip("timm is not installed")
    declare_torchvision()
    return import_module("timm")


def counted(timm: Any, name: str) -> float:
    """FLOPs of the forward pass by PyTorch's counter, which leaves the additions of convolutions' biases out: those are added.

    A depthwise convolution adds its bias within its one kernel.
    """
    added = 0

    def add(module: Any, _: Any, output: torch.Tensor) -> None:
        nonlocal added
        if module.bias is not None and not (module.groups > 1 and module.groups == module.in_channels):
            added += output.numel()

    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = timm.create_model(name).eval()
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(add)
        model(torch.randn(BATCH, *model.pretrained_cfg["input_size"]))
    return float(counter.get_total_flops() + added)


@pytest.mark.parametrize("name", MODELS)
def test_model_is_trained_and_inferred(timm: Any, name: str) -> None:
    chip_name, device = ("h100-sxm", "cuda") if MODELS.index(name) % 2 else ("ascend-910b2", "npu")
    with virtual(chip_name) as chip:
        model = timm.create_model(name).to(device)
        images = torch.randn(BATCH, *model.pretrained_cfg["input_size"], device=device)
        model.eval()
        with torch.inference_mode():
            logits = model(images)
        assert logits.shape == (BATCH, 1000)
        inferred = chip.report()

        model.train().to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        with torch.autocast(device, dtype=torch.float16):
            found = model(images.to(memory_format=torch.channels_last))
        found = found[0] if isinstance(found, tuple) else found
        torch.nn.functional.cross_entropy(found, torch.randint(1000, (BATCH,), device=device)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    trained = chip.report()

    assert inferred.step_kind == "forward"
    assert trained.step_kind == "optimizer step"
    assert trained.step_s > inferred.step_s > 0
    assert trained.memory.peak > inferred.memory.peak
    if name in COUNTED:
        flops = sum(one.flops for one in inferred.launches if one.op.startswith("aten.") and one.op.split(".")[1] in MATRIX)
        assert flops == counted(timm, name)
