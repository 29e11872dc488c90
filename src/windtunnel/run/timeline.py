"""The virtual clock: the host that launches, the device's streams that run what was launched, and who waits for whom."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Timeline:
    """Seconds since the program began. host_s: how far the host is; ends: of each stream, when all that was launched on it is
    done; busy_s: the time in which a kernel ran on any stream; wait_s: the time in which none did, for want of a launch."""

    host_s: float = 0.0
    ends: dict[int, float] = field(default_factory=lambda: {0: 0.0})
    stream: int = 0
    busy_s: float = 0.0
    wait_s: float = 0.0
    _streams: int = 0
    _reach: float = 0.0

    def launch(self, seconds: float, host_seconds: float, stream: int | None = None) -> tuple[float, float, float]:
        """A kernel of ``seconds`` launched now on ``stream`` (the current one): (start, end, wait of the stream before it)."""
        which = self.stream if stream is None else stream
        self.host_s += host_seconds
        free = self.ends[which]
        start = max(free, self.host_s)
        end = self.ends[which] = start + seconds
        # streams start in the order of their launches but for what waits for another stream, so nothing fills a gap later on
        since = self._reach
        wait = max(start - max(free, since), 0.0)
        if end > since:
            self.busy_s += end - max(start, since)
            self._reach = end
        self.wait_s += wait
        return start, end, wait

    def new_stream(self) -> int:
        """The number of a stream that did not exist before."""
        self._streams += 1
        self.ends[self._streams] = 0.0
        return self._streams

    @property
    def device_s(self) -> float:
        """When everything launched up to now is done."""
        return max(self.ends.values())

    def synchronize(self) -> None:
        """The host waits for every stream."""
        self.host_s = max(self.host_s, self.device_s)

    def synchronize_stream(self, stream: int) -> None:
        """The host waits for one stream."""
        self.host_s = max(self.host_s, self.ends[stream])

    def hold(self, stream: int, until_s: float) -> None:
        """``stream`` runs nothing more before ``until_s`` (it waits for an event or for another stream)."""
        self.ends[stream] = max(self.ends[stream], until_s)

    def now_s(self) -> float:
        """The host's time."""
        return self.host_s

    def done_s(self, stream: int) -> float:
        """When all that has been launched on ``stream`` up to now is done."""
        return self.ends.get(stream, 0.0)
