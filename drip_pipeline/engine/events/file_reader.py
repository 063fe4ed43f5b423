"""Read files of provider events line by line: NDJSON (plain or gzip) and Parquet, distinguished by
their first bytes. Validation of lines belongs to event_parser.py.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import orjson

from drip_pipeline.db.connection import dump_json
from drip_pipeline.errors import ImportFileError

LONGEST_LINE_BYTES: Final = 32 * 1024
STORED_CHARACTERS: Final = 64_000
"""Characters of a rejected line that are stored."""
_CHUNK_BYTES: Final = 4 * 1024 * 1024
_PARQUET_ROWS: Final = 10_000
_PARQUET_MAGIC: Final = b"PAR1"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_UNREADABLE: Final = object()
COLUMNS: Final = (
    "event_id",
    "event_type",
    "occurred_at",
    "message_id",
    "email",
    "campaign",
    "user_agent",
    "ip_address",
    "url",
    "data",
)


class SourceLine(NamedTuple):
    """One line of a source. `line` is its content; None for an unreadable line, with the reason in
    `problem`. `raw` is the original text, None if it equals `line` as JSON.
    """

    line_number: int
    line: Mapping[str, object] | None
    raw: bytes | None = None
    problem: str | None = None

    def text(self) -> str:
        """Return the text to store if the line is rejected."""
        raw = _json(self.line) if self.raw is None else self.raw
        text = raw[: 4 * STORED_CHARACTERS].decode("utf-8", "replace")
        return text[:STORED_CHARACTERS].replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _json(line: object) -> bytes:
    try:
        return dump_json(line)
    except (TypeError, ValueError, RecursionError):
        # Too deeply nested, or a value that JSON lacks. The reason says so; the event is in the
        # source.
        return b""


def lines_of(events: Iterable[Mapping[str, object]]) -> Iterator[SourceLine]:
    """Return events in memory as lines, numbered from 1."""
    return (SourceLine(number, event) for number, event in enumerate(events, start=1))


def read_lines(path: Path) -> Iterator[SourceLine]:
    """Read all lines of a file, in order, with a few megabytes in memory at a time.

    Raises ImportFileError if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic == _PARQUET_MAGIC:
                yield from _parquet(path)
            elif magic[:2] == _GZIP_MAGIC:
                with gzip.open(file) as unpacked:
                    yield from _ndjson(cast("IO[bytes]", unpacked))
            else:
                yield from _ndjson(file)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise ImportFileError(str(path), "the compressed file is damaged") from None
    except OSError as error:
        raise ImportFileError(str(path), error.strerror or "cannot be read") from None


def _ndjson(file: IO[bytes]) -> Iterator[SourceLine]:
    for number, raw in enumerate(_split(file), start=1):
        if len(raw) > LONGEST_LINE_BYTES:
            yield SourceLine(number, None, raw, "the line is longer than 32 kB")
            continue
        if raw.strip():
            yield parse_line(number, raw)


def parse_line(line_number: int, raw: bytes) -> SourceLine:
    """Parse a line that is not blank."""
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return SourceLine(line_number, None, raw, "the line is not JSON")
    if isinstance(line, dict):
        return SourceLine(line_number, line, raw)
    return SourceLine(line_number, None, raw, "the line is not a JSON object")


def _split(file: IO[bytes]) -> Iterator[bytes]:
    """Return lines without their ends; of a line that is too long, only the beginning."""
    rest = file.read(_CHUNK_BYTES).removeprefix(_BYTE_ORDER_MARK)
    while rest:
        *whole, rest = rest.split(b"\n")
        yield from whole
        if len(rest) > LONGEST_LINE_BYTES:
            yield rest
            rest = _after_next_line_end(file)
            continue
        chunk = file.read(_CHUNK_BYTES)
        if not chunk:
            yield rest
            return
        rest += chunk


def _after_next_line_end(file: IO[bytes]) -> bytes:
    while chunk := file.read(_CHUNK_BYTES):
        _, line_end, rest = chunk.partition(b"\n")
        if line_end:
            return rest or file.read(_CHUNK_BYTES)
    return b""


def _parquet(path: Path) -> Iterator[SourceLine]:
    # Imported here because it takes a third of a second, and most files are NDJSON.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in COLUMNS if name in file.schema_arrow.names]
            if "event_id" not in names:
                raise ImportFileError(str(path), "has no column event_id")
            number = 0
            for batch in file.iter_batches(_PARQUET_ROWS, columns=names):
                try:
                    columns = [_values(column) for column in batch.columns]
                except Exception:  # noqa: BLE001 - of one value, whatever it is
                    # The check per row costs a fifth of the time of reading, so only here.
                    for values in zip(*map(_readable_values, batch.columns), strict=True):
                        number += 1
                        yield _checked_line(number, dict(zip(names, values, strict=True)))
                    continue
                for values in zip(*columns, strict=True):
                    number += 1
                    line = dict(zip(names, values, strict=True))
                    # Not SourceLine(…): its constructor takes a fifth of the time of reading.
                    yield tuple.__new__(SourceLine, (number, line, None, None))
    except pa.ArrowException as error:
        kind = type(error).__name__
        raise ImportFileError(str(path), f"is not readable as Parquet ({kind})") from None


def _checked_line(number: int, line: dict[str, Any]) -> SourceLine:
    unreadable = [name for name, value in line.items() if value is _UNREADABLE]
    if not unreadable:
        return SourceLine(number, line)
    rest = {name: value for name, value in line.items() if value is not _UNREADABLE}
    return SourceLine(number, None, _json(rest), f"column {unreadable[0]} cannot be read")


def _readable_values(column: Any) -> list[Any]:
    """Return `_values`; if that fails, value by value, with `_UNREADABLE` in place of each value
    that Python cannot hold.
    """
    try:
        return _values(column)
    except Exception:  # noqa: BLE001 - of one value, whatever it is; the others are read
        return [_readable(scalar) for scalar in column]


def _readable(scalar: Any) -> Any:
    try:
        return _values_of_one(scalar)
    except Exception:  # noqa: BLE001 - see above
        return _UNREADABLE


def _values_of_one(scalar: Any) -> Any:
    import pyarrow as pa

    return _values(pa.array([scalar], type=scalar.type))[0]


def _values(column: Any) -> list[Any]:
    """Return the values of an Arrow column; times as ISO texts. Texts and times are converted by
    numpy, which is many times faster.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        # UTC with and without a zone, because Arrow stores instants.
        column = column.cast(pa.timestamp("us"), safe=False).cast(pa.string())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    items: list[Any] = column.to_pylist()
    return items
