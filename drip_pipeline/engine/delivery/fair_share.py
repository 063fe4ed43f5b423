"""Max-min fair allocation of a number of messages among groups of due deliveries."""

from __future__ import annotations

from collections.abc import Sequence


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
