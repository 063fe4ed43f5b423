"""Array parameters in PostgreSQL's binary format, for the statements of large batches.

psycopg's dumper for lists determines the type of each element and writes UUIDs as text: with a
dozen columns per state that took a third of the engine's time in Python. Small statements pass
lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import urandom
from struct import Struct
from typing import Final, TypeVar
from uuid import UUID

from psycopg.abc import AdaptContext
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_HEADER: Final = Struct("!iiIii").pack  # dimensions, has nulls, element's type, length, first index
_LENGTH: Final = Struct("!i").pack
_INTEGER: Final = Struct("!ii").pack
_NULL: Final = _LENGTH(-1)
_UUID_LENGTH: Final = _LENGTH(16)
_VERSION_4: Final = bytes(byte & 0x0F | 0x40 for byte in range(256))
_VARIANT: Final = bytes(byte & 0x3F | 0x80 for byte in range(256))


Value = TypeVar("Value")


class Column:
    """An array parameter in binary format."""

    __slots__ = ("written",)

    def __init__(self, written: bytes) -> None:
        self.written = written


class UuidColumn(Column):
    """uuid[]"""

    __slots__ = ()


class IntegerColumn(Column):
    """integer[]"""

    __slots__ = ()


class TextColumn(Column):
    """text[]"""

    __slots__ = ()


def uuids(values: Sequence[UUID | None]) -> UuidColumn:
    """Return a uuid[]; None becomes null."""
    parts = [
        _NULL if value is None else _UUID_LENGTH + value.int.to_bytes(16, "big") for value in values
    ]
    return UuidColumn(_array(_UuidDumper.element_oid, len(parts), b"".join(parts)))


def random_uuids(count: int) -> UuidColumn:
    """Return `count` random ids (RFC 9562, version 4), generated together.

    The server generates one at a time, and without OpenSSL opens the system's random source for
    each.
    """
    drawn = bytearray(urandom(16 * count))
    drawn[6::16] = drawn[6::16].translate(_VERSION_4)
    drawn[8::16] = drawn[8::16].translate(_VARIANT)
    written = bytearray(_UUID_LENGTH + bytes(16)) * count
    for place in range(16):
        written[4 + place :: 20] = drawn[place::16]
    return UuidColumn(_array(_UuidDumper.element_oid, count, bytes(written)))


def unless_empty(values: Sequence[Value | None]) -> Sequence[Value | None]:
    """Return an empty column if all values are None: `unnest` of several arrays pads the shorter
    ones with nulls."""
    return () if all(value is None for value in values) else values


def integers(values: Sequence[int]) -> IntegerColumn:
    """Return an integer[]."""
    encoded = {value: _INTEGER(4, value) for value in set(values)}
    elements = b"".join([encoded[value] for value in values])
    return IntegerColumn(_array(_IntegerDumper.element_oid, len(values), elements))


def texts(values: Sequence[str | None]) -> TextColumn:
    """Return a text[]; None becomes null."""
    parts: list[bytes] = []
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            written = value.encode()
            parts.append(_LENGTH(len(written)) + written)
    return TextColumn(_array(_TextDumper.element_oid, len(parts), b"".join(parts)))


def _array(element_oid: int, length: int, elements: bytes) -> bytes:
    if not length:
        return _HEADER(0, 0, element_oid, 0, 0)[:12]
    return _HEADER(1, 1, element_oid, length, 1) + elements


class _ColumnDumper(Dumper):
    format = Format.BINARY
    array_oid: int
    element_oid: int

    def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        # Not on the class: registered by its oid, it would also be used for lists in COPY.
        self.oid = self.array_oid

    def dump(self, obj: Column) -> Buffer:
        return obj.written


class _UuidDumper(_ColumnDumper):
    array_oid = 2951
    element_oid = 2950


class _IntegerDumper(_ColumnDumper):
    array_oid = 1007
    element_oid = 23


class _TextDumper(_ColumnDumper):
    array_oid = 1009
    element_oid = 25


DUMPERS: Final = (
    (UuidColumn, _UuidDumper),
    (IntegerColumn, _IntegerDumper),
    (TextColumn, _TextDumper),
)
"""(column type, dumper) pairs that a connection registers."""
