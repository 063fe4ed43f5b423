"""The global holdout: a sticky share of a workspace's contacts that gets no marketing messages.

A contact has a position, computed from the salt and its id; it is in the holdout if the position is
below the threshold of the share. So a larger share keeps who is in, and a smaller one keeps who is
out. SQL computes the same position (sql/queries/holdout.sql).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import md5
from typing import Any, Final, NamedTuple
from uuid import UUID

HOLDOUT: Final = "holdout"
DEFAULT_SALT: Final = "holdout"
POSITIONS: Final = 2**32
MOST_PERCENT: Final = 50.0
_HUNDRED: Final = 100


class Holdout(NamedTuple):
    """A share of the contacts: those whose position is below `threshold`, of 2³² positions."""

    salt: str
    threshold: int

    def has(self, contact_id: UUID) -> bool:
        """Return whether a contact is in the holdout."""
        return position(self.salt, contact_id) < self.threshold


class ShareChange(NamedTuple):
    """The share of the holdout from a time on; 0 percent is no holdout."""

    since: datetime
    salt: str
    percent: float


class Period(NamedTuple):
    """A time in which one salt holds. Contacts below `low` were in the holdout all the time, those
    from `high` on never; the others are counted in neither group."""

    start: datetime
    end: datetime
    salt: str
    low: int
    high: int


def position(salt: str, contact_id: UUID) -> int:
    """Return the position of a contact, from 0 to 2³² − 1."""
    digest = md5(f"{salt}:{contact_id}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big")


def threshold(percent: float) -> int:
    """Return the first position outside of a share in percent."""
    return round(percent * POSITIONS / _HUNDRED)


def current(config: Mapping[str, Any]) -> Holdout | None:
    """Return the holdout of a stored rule; None if its share is 0."""
    percent = float(config["percent"])
    return Holdout(config["salt"], threshold(percent)) if percent > 0 else None


def history(config: Mapping[str, Any]) -> list[ShareChange]:
    """Return the changes of a stored rule, oldest first."""
    return [
        ShareChange(datetime.fromisoformat(each["since"]), each["salt"], float(each["percent"]))
        for each in config["history"]
    ]


def periods(changes: Sequence[ShareChange], start: datetime, end: datetime) -> list[Period]:
    """Return the periods of a time range in which a holdout with one salt existed, oldest first."""
    result: list[Period] = []
    ends = [change.since for change in changes[1:]] + [end]
    for change, until in zip(changes, ends, strict=True):
        since, until = max(change.since, start), min(until, end)
        if change.percent <= 0 or since >= until:
            continue
        limit = threshold(change.percent)
        last = result[-1] if result else None
        if last is not None and last.salt == change.salt and last.end == since:
            result[-1] = last._replace(
                end=until, low=min(last.low, limit), high=max(last.high, limit)
            )
        else:
            result.append(Period(since, until, change.salt, limit, limit))
    return result
