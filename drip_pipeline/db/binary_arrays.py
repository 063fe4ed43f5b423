"""Columns of a batch as array parameters in PostgreSQL's binary form, made in one go. psycopg's own
dumper for lists asks for each element what it is and writes uuids as text: with a dozen columns a
person that was a third of the engine's time in Python. For the statements of large batches; others
pass lists.
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
    """An array parameter, written already."""

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
    """A uuid[]; None is null."""
    parts = [
        _NULL if value is None else _UUID_LENGTH + value.int.to_bytes(16, "big") for value in values
    ]
    return UuidColumn(_array(_UuidDumper.element_oid, len(parts), b"".join(parts)))


def random_uuids(count: int) -> UuidColumn:
    """So many random ids (RFC 9562, version 4), drawn in one go. The server draws each by itself,
    and opens the system's source of randomness for each where it is built without OpenSSL."""
    drawn = bytearray(urandom(16 * count))
    drawn[6::16] = drawn[6::16].translate(_VERSION_4)
    drawn[8::16] = drawn[8::16].translate(_VARIANT)
    written = bytearray(_UUID_LENGTH + bytes(16)) * count
    for place in range(16):
        written[4 + place :: 20] = drawn[place::16]
    return UuidColumn(_array(_UuidDumper.element_oid, count, bytes(written)))


def unless_empty(values: Sequence[Value | None]) -> Sequence[Value | None]:
    """Nothing in the place of nothing but nulls, for a column beside full ones: `unnest` of several
    arrays fills the shorter ones up with nulls."""
    return () if all(value is None for value in values) else values


def integers(values: Sequence[int]) -> IntegerColumn:
    """An integer[]."""
    known = {value: _INTEGER(4, value) for value in set(values)}
    elements = b"".join([known[value] for value in values])
    return IntegerColumn(_array(_IntegerDumper.element_oid, len(values), elements))


def texts(values: Sequence[str | None]) -> TextColumn:
    """A text[]; None is null."""
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
        # Not on the class: registered by its oid, it would be asked to write lists for COPY, too.
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
"""What a connection must know to take columns."""
