"""Streams and events on the virtual clock."""

from __future__ import annotations

from typing import Any

import torch

from windtunnel.run.surface.state import DeviceState

_STREAMS_A_PRIORITY = 32
"""Streams that are handed out in turn, again from the first after the last. **Source:** c10/cuda/CUDAStream.cpp, PyTorch 2.13."""

_PRIVATE_USE_1 = int(torch._C._autograd.DeviceType.PrivateUse1)  # type: ignore[call-overload]
_NativeStream = torch.Stream


def streams(state: DeviceState) -> dict[str, Any]:
    """The classes and functions of ``torch.<device>`` about streams and events, by name; ``_Event`` is torch.Event's."""
    machine, timeline = state.machine, state.machine.timeline
    pools: dict[int, list[int]] = {}
    turns: dict[int, int] = {}

    def numbered(priority: int) -> int:
        pool, turn = pools.setdefault(priority, []), turns.get(priority, 0)
        turns[priority] = (turn + 1) % _STREAMS_A_PRIORITY
        if turn >= len(pool):
            pool.append(timeline.new_stream())
        return pool[turn]

    class Stream(_NativeStream):
        """A stream of the virtual device: ``torch.Stream`` and ``torch.<device>.Stream`` alike."""

        priority: int

        def __new__(cls, device: Any = None, priority: int = 0, **given: Any) -> Any:
            if isinstance(device, int) and not isinstance(device, bool) and given.get("stream_id") is None:
                device = state.device(state.index(device))
            if device is not None and torch.device(device).type == "cpu":
                return _NativeStream(device=device, priority=priority)
            number = given.get("stream_id")
            made = super().__new__(
                cls, stream_id=numbered(priority) if number is None else number, device_index=0, device_type=_PRIVATE_USE_1
            )
            made.priority = priority
            return made

        def __init__(self, *_: Any, **__: Any) -> None:
            self._outer: list[int] = []

        @property
        def device(self) -> torch.device:  # type: ignore[override]
            return state.device()

        @property
        def cuda_stream(self) -> int:
            return self.stream_id

        npu_stream = musa_stream = mlu_stream = sycl_queue = native_handle = cuda_stream

        @staticmethod
        def priority_range() -> tuple[int, int]:
            return 0, -1

        def query(self) -> bool:
            machine.flush()
            timeline.host_s += machine.host["eager"].view_s  # asking takes the host a moment, so that a loop comes to an end
            return timeline.ends[self.stream_id] <= timeline.host_s

        def synchronize(self) -> None:
            machine.flush()
            timeline.synchronize_stream(self.stream_id)

        def wait_event(self, event: Any) -> None:
            event.wait(self)

        def wait_stream(self, stream: Any) -> None:
            self.wait_event(stream.record_event())

        def record_event(self, event: Any = None) -> Any:
            event = DeviceEvent() if event is None else event
            event.record(self)
            return event

        def __enter__(self) -> Any:
            machine.flush()
            self._outer.append(timeline.stream)
            timeline.stream = self.stream_id
            return self

        def __exit__(self, *_: object) -> None:
            machine.flush()
            timeline.stream = self._outer.pop()

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Stream) and other.stream_id == self.stream_id

        def __hash__(self) -> int:
            return hash((state.name, self.stream_id))

        def __repr__(self) -> str:
            return f"<torch.{state.name}.Stream device={self.device} {state.name}_stream={self.stream_id:#x}>"

    class ExternalStream(Stream):
        """A stream that another library made, by its handle."""

        def __new__(cls, stream_ptr: int, device: Any = None, **_: Any) -> Any:
            timeline.ends.setdefault(stream_ptr, 0.0)
            return super().__new__(cls, device, stream_id=stream_ptr)

    class Event:
        """``torch.Event``: a moment on a stream, on the virtual clock."""

        def __init__(
            self, device: Any = None, *, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
        ) -> None:
            if device is not None:
                state.index(device)
            self._timed = enable_timing
            self._at_s: float | None = None

        @property
        def device(self) -> torch.device:
            return state.device()

        @property
        def event_id(self) -> int:
            return id(self)

        cuda_event = npu_event = event_id

        def record(self, stream: Any = None) -> None:
            machine.flush()
            number = timeline.stream if stream is None else stream.stream_id
            timeline.host_s += machine.host["eager"].view_s
            self._at_s = max(timeline.ends[number], timeline.host_s)

        def wait(self, stream: Any = None) -> None:
            machine.flush()
            if self._at_s is not None:
                timeline.hold(timeline.stream if stream is None else stream.stream_id, self._at_s)

        def query(self) -> bool:
            machine.flush()
            timeline.host_s += machine.host["eager"].view_s
            return self._at_s is None or self._at_s <= timeline.host_s

        def synchronize(self) -> None:
            machine.flush()
            if self._at_s is not None:
                timeline.host_s = max(timeline.host_s, self._at_s)

        def elapsed_time(self, end_event: Any) -> float:
            """Milliseconds of the virtual clock. Raises as there where an event is not timed, recorded or reached."""
            machine.flush()
            if not (self._timed and end_event._timed):
                raise ValueError("Both events must be created with argument 'enable_timing=True'.")
            if self._at_s is None or end_event._at_s is None:
                raise ValueError("Both events must be recorded before calculating elapsed time.")
            if max(self._at_s, end_event._at_s) > timeline.host_s:
                raise RuntimeError("Both events must be completed before calculating elapsed time.")
            return float(end_event._at_s - self._at_s) * 1e3

        def ipc_handle(self) -> bytes:
            raise RuntimeError("events of a virtual device cannot be shared with other processes")

        def __repr__(self) -> str:
            return f"<torch.{state.name}.Event {'uninitialized' if self._at_s is None else f'{self._at_s:.6f} s'}>"

    class DeviceEvent(Event):
        """``torch.<device>.Event``."""

        def __init__(
            self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
        ) -> None:
            super().__init__(enable_timing=enable_timing, blocking=blocking, interprocess=interprocess)

    class StreamContext:
        """What ``torch.<device>.stream(s)`` gives: ``s`` is the current stream while entered; None changes nothing."""

        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __enter__(self) -> None:
            if self.stream is not None:
                self.stream.__enter__()

        def __exit__(self, *problem: object) -> None:
            if self.stream is not None:
                self.stream.__exit__(*problem)

    def current_stream(device: Any = None) -> Stream:
        state.index(device)
        return Stream(stream_id=timeline.stream)

    def default_stream(device: Any = None) -> Stream:
        state.index(device)
        return Stream(stream_id=0)

    def set_stream(stream: Any) -> None:
        if stream is not None:
            machine.flush()
            timeline.stream = stream.stream_id

    def synchronize(device: Any = None) -> None:
        state.initialize()
        state.index(device)
        machine.waited()

    def sleep(cycles: int) -> None:
        raise RuntimeError(f"torch.{state.name}._sleep counts the device's clock cycles, which a virtual device has none of")

    return {
        "Stream": Stream, "ExternalStream": ExternalStream, "Event": DeviceEvent, "_Event": Event, "StreamContext": StreamContext,
        "stream": StreamContext, "current_stream": current_stream, "default_stream": default_stream, "set_stream": set_stream,
        "get_stream_from_external": lambda data_ptr, device=None: ExternalStream(data_ptr, device), "synchronize": synchronize,
        "_set_stream_by_id": lambda stream_id, device_index=0, device_type=0: set_stream(Stream(stream_id=stream_id)),
        "_sleep": sleep,
    }  # fmt: skip
