"""Entry keys: what tells the runs of one contact apart, given with the call or taken from the entry
data (`re_entry: {per_key: order_id}`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.domain.run_variables import JsonObject, value_at

LONGEST_KEY: Final = 200
NO_ENTRY_KEY: Final = "no_entry_key"
"""The reason for which a contact is refused whose entry data has no usable key."""


class RunEntry(NamedTuple):
    """A contact that is to enter, with the key and the data of its run."""

    contact_id: UUID
    entry_key: str | None = None
    data: JsonObject | None = None


class KeyedEntries(NamedTuple):
    """Entries of distinct runs; `without_key` is the number of those refused for want of a key,
    `repeated` that of further entries of the same runs."""

    entries: list[RunEntry]
    without_key: int = 0
    repeated: int = 0


def with_keys(entries: Iterable[RunEntry], key_path: str | None) -> KeyedEntries:
    """Return the entries with the keys that their data has at `key_path`, None without a path.

    A key that was given stays. Of several entries of one run, the first one counts.
    """
    distinct: dict[tuple[UUID, str | None], RunEntry] = {}
    without_key = repeated = 0
    for entry in entries:
        keyed = entry
        if entry.entry_key is None and key_path is not None:
            key = key_in(entry.data, key_path)
            if key is None:
                without_key += 1
                continue
            keyed = entry._replace(entry_key=key)
        place = (keyed.contact_id, keyed.entry_key)
        if place in distinct:
            repeated += 1
        else:
            distinct[place] = keyed
    return KeyedEntries(list(distinct.values()), without_key, repeated)


def key_in(data: JsonObject | None, path: str) -> str | None:
    """Return the key in entry data: a printable text of up to 200 characters, or a number as such
    a text; None if there is none."""
    value = value_at(data, path)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    text = str(value).strip()
    return text if text and len(text) <= LONGEST_KEY and text.isprintable() else None
