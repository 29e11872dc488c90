"""A verdict: what the record says of one chip, one destination and one day; engineering data, no legal advice."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum

from windtunnel.catalog.destination import Destination
from windtunnel.catalog.instrument import Tag
from windtunnel.rules.classify import Condition
from windtunnel.rules.launch import Launch

NO_ADVICE = "Engineering data, not legal advice."


class Status(StrEnum):
    """What is needed to send the chip there, the freest first; the last two say that the record does not tell."""

    FREE = "no licence required"
    EXCEPTION = "licence exception"
    APPROVAL = "licence, presumption of approval"
    CASE_BY_CASE = "licence, case by case"
    LICENCE = "licence required"
    DENIAL = "licence, presumption of denial"
    NEEDS_FIGURE = "cannot be told"
    NOT_COVERED = "not in the record"

    @property
    def bars(self) -> bool:
        """Whether the chip may not be had: a licence is needed, and nothing published says that it would be granted."""
        return self in (Status.LICENCE, Status.DENIAL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """item: the chip or system that was asked about, chip: the IC that decides.

    eccn: 3A090's paragraph, "" where none applies or it cannot be told; missing: the figure that is needed to tell.
    clause: the provision that decides, in words, instrument: its record's id. conditions: the numbers that decide.
    tag: how the text of the instrument is known.
    origin: "US", "CN", or "" where the record does not say whose item it is. launch: the chip's; known_until: the
    record's last day.
    """

    item: str
    chip: str
    destination: Destination
    date: datetime.date
    status: Status
    eccn: str
    clause: str
    instrument: str
    conditions: tuple[Condition, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    tag: Tag
    missing: str = ""
    origin: str = "US"
    launch: Launch | None = None
    known_until: datetime.date = datetime.date.max

    @property
    def hypothetical(self) -> bool:
        """Whether the limits are only applied as if it were a US item."""
        return self.origin != "US"

    @property
    def barred(self) -> bool:
        """Whether the export rules keep the chip from the destination on that day; never so for what is no US item."""
        return self.status.bars and not self.hypothetical

    @property
    def headline(self) -> str:
        """``licence required``, ``cannot be told: needs die area``; what is no US item says so first."""
        if not self.hypothetical:
            return self.plain
        return f"{'no US item; if it were' if self.origin else 'maker not in the record; if a US item'}: {self.plain}"

    @property
    def plain(self) -> str:
        """The status, and the figure that is missing, whosever item it is."""
        return str(self.status) + (f": needs {self.missing}" if self.missing else "")
