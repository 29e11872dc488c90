"""NVIDIA's chips asked of Kubernetes: resources, node labels, tolerations, runtime class."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_RESOURCE = re.compile(
    r"(?<![\w./\-])(?:k8s\.amazonaws\.com/accelerator\b|cloud\.google\.com/gke-accelerator\b|gpu\.nvidia\.com\b|nvidia\.com/[\w.\-]+)"
    r"|(?<![\w/:])/dev/nvidia(?:\d+|ctl|-uvm|-modeset)?(?=[:\s\"']|$)(?!/)"
    r"|(?<=: )[\"']?(?P<model>nvidia-(?:tesla-)?(?:[ahlpvtbg]{1,2}\d{1,3}\w*|rtx[\w\-]*|k80)(?:-\d+gb)?)(?=[\"']?[ \t]*\r?$)"
    r"|(?<=runtimeClassName:)[ \t]*[\"']?(?P<class>nvidia[\w\-]*)",
    re.M,
)
_GPU = "huawei.com/Ascend910, mthreads.com/gpu, cambricon.com/mlu, gpu.intel.com/i915"


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _RESOURCE):
        if match["class"]:
            advice = "Take the class from a value of the chart (ascend, mthreads, or none), since others need none or their own."
            yield source.finding(RULE, *match.span("class"), advice=advice)
        elif match["model"]:
            yield source.finding(RULE, *match.span("model"))
        else:
            yield source.finding(RULE, *match.span())


RULE = Rule(
    id="kubernetes-nvidia-resource",
    kind="spelling",
    languages=("kubernetes", "config", "shell", "ci", "compose"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Asking Kubernetes for NVIDIA's chips: nvidia.com/gpu in resources, selectors, tolerations, runtimeClassName: nvidia.",
    why="Other device plugins announce their chips under names of their own, so the pod waits for ever.",
    instead=f"Take the name from a value of the chart or an overlay of Kustomize ({_GPU}).",
    find=find,
    cases=(
        Case("services:\n  a:\n    image: x\n    devices:\n      - /dev/dri:/dev/dri\n", 0, name="docker-compose.yml"),
        Case("apiVersion: v1\nkind: Pod\nspec:\n  # nvidia.com/gpu: 1\n  a: https://docs.nvidia.com/gpu\n", 0, name="pod.yaml"),
        Case("apiVersion: v1\nkind: Pod\nspec:\n  limits:\n    huawei.com/Ascend910: 1\n", 0, name="pod.yaml"),
        Case("spec:\n  serviceAccountName: nvidia-operator\n  image: nvidia-a\n", 0, name="values.yaml"),
        Case("{{- /* nvidia.com/gpu */ -}}\na: {{ .Values.resource }}\n", 0, name="templates/a.yaml"),
        Case(
            "apiVersion: v1\nkind: Pod\nspec:\n  runtimeClassName: nvidia\n  containers:\n  - resources:\n      limits:\n"
            '        nvidia.com/gpu: 1\n---\napiVersion: v1\nkind: Pod\nspec:\n  tolerations:\n  - key: "nvidia.com/gpu"\n',
            3,
            name="pod.yaml",
        ),
        Case("resources:\n  limits: {nvidia.com/gpu: 1}\nnodeSelector:\n  nvidia.com/gpu.product: A100\n", 2, name="values.yaml"),
        Case('{{- if .Values.limits "nvidia.com/gpu" }}\na: 1\n{{- end }}\n', name="templates/a.yaml"),
        Case("spec:\n  nodeSelector:\n    accelerator: nvidia-tesla-t4\n", name="values.yaml"),
        Case('resources: {"nvidia.com/mig-1g.5gb": 1}\n', name="task.yaml"),
        Case("kubectl get nodes -l nvidia.com/gpu.present=true\n", name="run.sh"),
        Case("services:\n  a:\n    image: x\n    devices:\n      - /dev/nvidia0:/dev/nvidia0\n", name="docker-compose.yml"),
    ),
    hints=(b"nvidia", b"accelerator"),
)
