"""Reading files of provider events line by line: NDJSON (plain or gzip) and Parquet, told apart by
their first bytes. What a line must hold is the business of `event_lines.py`.
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

LONGEST_LINE_BYTES: Final = 1_000_000
KEPT_OF_A_BAD_LINE: Final = 64_000
"""Characters of a rejected line that are kept."""
_CHUNK_BYTES: Final = 4 * 1024 * 1024
_PARQUET_ROWS: Final = 10_000
_PARQUET_MAGIC: Final = b"PAR1"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_GZIP_MAGIC: Final = b"\x1f\x8b"
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
    """One line of a source. `line` is its content, or None with `problem` saying why there is none;
    `raw` is what it looked like, None when `line` tells the same.
    """

    line_number: int
    line: Mapping[str, Any] | None
    raw: bytes | None = None
    problem: str | None = None

    def text(self) -> str:
        """What is kept of the line when it is rejected."""
        raw = dump_json(self.line) if self.raw is None else self.raw
        text = raw[: 4 * KEPT_OF_A_BAD_LINE].decode("utf-8", "replace")
        return text[:KEPT_OF_A_BAD_LINE].replace("\x00", "\N{REPLACEMENT CHARACTER}")


def lines_of(events: Iterable[Mapping[str, Any]]) -> Iterator[SourceLine]:
    """Events that are in memory already, numbered from 1."""
    return (SourceLine(number, event) for number, event in enumerate(events, start=1))


def read_lines(path: Path) -> Iterator[SourceLine]:
    """All lines of a file, in order; memory holds a few megabytes of it at a time.

    Raises ImportFileError when the file cannot be read as a whole.
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
            yield SourceLine(number, None, raw, "the line is longer than a megabyte")
            continue
        try:
            line = orjson.loads(raw)
        except orjson.JSONDecodeError:
            if raw.strip():
                yield SourceLine(number, None, raw, "the line is not JSON")
            continue
        if isinstance(line, dict):
            yield SourceLine(number, line, raw)
        else:
            yield SourceLine(number, None, raw, "the line is not a JSON object")


def _split(file: IO[bytes]) -> Iterator[bytes]:
    """Lines without their ends; of one that is too long and goes on, only the beginning."""
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
    # Imported here: it costs a third of a second, and most files are NDJSON.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in COLUMNS if name in file.schema_arrow.names]
            if "event_id" not in names:
                raise ImportFileError(str(path), "has no column event_id")
            number = 0
            for batch in file.iter_batches(_PARQUET_ROWS, columns=names):
                for values in zip(*map(_values, batch.columns), strict=True):
                    number += 1
                    yield SourceLine(number, dict(zip(names, values, strict=True)))
    except pa.ArrowException as error:
        kind = type(error).__name__
        raise ImportFileError(str(path), f"is not readable as Parquet ({kind})") from None


def _values(column: Any) -> list[Any]:
    """The values of an Arrow column. Texts and times by way of numpy, which is many times faster;
    times as ISO texts.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        # Without a zone it is UTC, and so it is with one: Arrow stores moments.
        moments = column.cast(pa.timestamp("us"), safe=False)
        column = moments.cast(pa.string())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    listed: list[Any] = column.to_pylist()
    return listed
