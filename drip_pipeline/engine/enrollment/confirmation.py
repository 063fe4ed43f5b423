"""Ask for a confirmation before an audience above the agreed size is enrolled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from uuid import UUID

from drip_pipeline.errors import NotAllowed

Chunks = Iterable[Sequence[UUID]]


def within_agreed(
    chunks: Iterator[Sequence[UUID]],
    agreed: int,
    runs_in: Callable[[Sequence[UUID]], int],
    would_enroll: Callable[[Chunks], int],
    *,
    is_confirmed: bool,
) -> Chunks:
    """Return the chunks of an audience that would not enroll more than the agreed size.

    Only an audience of more runs than that is counted exactly. Raises NotAllowed with the number
    that would be enrolled and with how to confirm it; nobody is enrolled then.
    """
    read: list[Sequence[UUID]] = []
    runs = 0
    for chunk in chunks:
        read.append(chunk)
        runs += runs_in(chunk)
        if runs > agreed:
            break
    else:
        return read
    read.extend(chunks)
    size = would_enroll(read)
    if size > agreed:
        limit = (
            f"--confirm allows {agreed:,}"
            if is_confirmed
            else f"more than {agreed:,} at once have to be confirmed"
        )
        raise NotAllowed(
            f"this would enroll {size:,} contacts, and {limit}; nobody was enrolled",
            hint=f"If that is right, repeat it with --confirm {size}. --dry-run shows the numbers;"
            " `drip workspace guard set` changes the agreed size.",
        )
    return chain(read)
