"""Random numbers of the device: seeds, states and generators, all kept on the CPU."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from windtunnel.run.surface.state import DeviceState

_NativeGenerator = torch.Generator


def randomness(state: DeviceState) -> dict[str, Any]:
    """The functions of ``torch.<device>`` about random numbers, by name; ``_Generator`` is torch.Generator's."""

    class _Kind(type(_NativeGenerator)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _NativeGenerator)

    class Generator(_NativeGenerator, metaclass=_Kind):
        """``torch.Generator``: for the virtual device one of the CPU that says otherwise."""

        _index: int

        def __new__(cls, device: Any = "cpu") -> Any:
            if isinstance(device, int) or torch.device(device).type != "cpu":
                kind = state.name if isinstance(device, int) else torch.device(device).type
                if kind in ("cuda", "xpu") and kind not in state.names:
                    getattr(torch, kind)._lazy_init()  # says that there is none, as it would there
                made: Any = super().__new__(cls, "cpu")  # type: ignore[call-arg]
                made._index = state.index(device)
                return made
            return _NativeGenerator(device)

        def __init__(self, device: Any = "cpu") -> None:
            pass

        @property
        def device(self) -> torch.device:  # type: ignore[override]
            return torch.device(state.name, self._index)

        def clone_state(self) -> Any:
            made = Generator(self.device)
            made.set_state(self.get_state())
            return made

        def __reduce__(self) -> Any:
            return _restored, (str(self.device), self.get_state())

        def __deepcopy__(self, memo: Any) -> Any:
            return self.clone_state()

    def manual_seed(seed: int) -> None:
        state.generator.manual_seed(int(seed))

    def get_rng_state(device: Any = None) -> torch.Tensor:
        state.index(device)
        return state.generator.get_state()

    def set_rng_state(new_state: torch.Tensor, device: Any = None) -> None:
        state.index(device)
        state.generator.set_state(new_state)

    def set_all(new_states: Iterable[torch.Tensor]) -> None:
        for new_state in new_states:
            set_rng_state(new_state)

    def offset(new_offset: int, device: Any = None) -> None:
        state.index(device)

    return {
        "_Generator": Generator, "manual_seed": manual_seed, "manual_seed_all": manual_seed,
        "seed": lambda: state.generator.seed(), "seed_all": lambda: state.generator.seed(),
        "initial_seed": lambda: state.generator.initial_seed(), "get_rng_state": get_rng_state,
        "get_rng_state_all": lambda: [get_rng_state() for _ in range(state.count)], "set_rng_state": set_rng_state,
        "set_rng_state_all": set_all, "_get_rng_state_offset": lambda device=None: 0, "_set_rng_state_offset": offset,
        "_get_generator": lambda device=None: state.generator, "default_generators": (state.generator,) * state.count,
    }  # fmt: skip


def _restored(device: str, values: torch.Tensor) -> torch.Generator:
    made = torch.Generator(device)
    made.set_state(values)
    return made
