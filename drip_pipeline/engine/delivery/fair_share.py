"""Allocation of a number of messages among groups of due deliveries: max-min fair, and by priority
within workspaces that have frequency caps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Key = TypeVar("Key")


def fair_quotas(requested: Sequence[int], total: int, *, first: int = 0) -> list[int]:
    """Allocate up to `total` in a max-min fair way; return one quota per entry.

    No entry receives more than it requested, and an entry that receives less than another had its
    request met in full. The remainder goes to the entries from index `first` on, cyclically: with
    an advancing number, each entry has its turn.
    """
    quotas = [0] * len(requested)
    order = [(first + step) % len(requested) for step in range(len(requested))] if requested else []
    unmet = [entry for entry in order if requested[entry] > 0]
    while total > 0 and unmet:
        each = total // len(unmet)
        if each == 0:
            for entry in unmet[:total]:
                quotas[entry] += 1
            break
        for entry in unmet:
            added = min(each, requested[entry] - quotas[entry])
            quotas[entry] += added
            total -= added
        unmet = [entry for entry in unmet if quotas[entry] < requested[entry]]
    return quotas


def by_priority(
    requested: Sequence[int],
    quotas: Sequence[int],
    ranks: Sequence[tuple[Key, int] | None],
    *,
    first: int = 0,
) -> list[int]:
    """Return the quotas, with those of entries of the same key reallocated by priority.

    `ranks` has the key (a workspace) and the priority of each entry, None for entries that keep
    their quota. The sum of a key stays what it was: its entries of the highest priority get as much
    as they request, and the rest goes to those of the next one, fairly among equal ones.
    """
    changed = list(quotas)
    entries: dict[Key, dict[int, list[int]]] = {}
    for entry, rank in enumerate(ranks):
        if rank is not None:
            entries.setdefault(rank[0], {}).setdefault(rank[1], []).append(entry)
    for levels in entries.values():
        left = sum(quotas[entry] for level in levels.values() for entry in level)
        for priority in sorted(levels, reverse=True):
            level = levels[priority]
            shares = fair_quotas([requested[entry] for entry in level], left, first=first)
            for entry, share in zip(level, shares, strict=True):
                changed[entry] = share
            left -= sum(shares)
    return changed
