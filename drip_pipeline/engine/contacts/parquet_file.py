"""Parquet files: typed cells, with a named error for damage and a reason for each odd value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drip_pipeline.engine.contacts.contact_file import Line, LineCounts, UnreadableCell
from drip_pipeline.engine.contacts.sources import Source
from drip_pipeline.errors import ImportFileError

if TYPE_CHECKING:
    import pyarrow

_BATCH_ROWS: Final = 5_000


class ParquetFile:
    """A Parquet file: cells are Python values of their types."""

    is_typed = True
    notes: Sequence[str] = ()
    line_counts: LineCounts | None = None

    def __init__(self, source: Source) -> None:
        import pyarrow.parquet

        self.path: Path = source.path
        self._source = source
        try:
            # The schema can be damaged too, and is read here.
            self._file = pyarrow.parquet.ParquetFile(source.local)
            schema = self._file.schema_arrow
        except _read_errors() as error:
            raise self._unreadable(error) from None
        self.columns: Sequence[str] = list(schema.names)
        self.unsupported: dict[int, str] = {
            index: str(field.type)
            for index, field in enumerate(schema)
            if not _is_supported(field.type)
        }

    def lines(self) -> Iterator[Line]:
        """Read rows, numbered from 1. Raises ImportFileError for damaged data."""
        number = 0
        # By number, so that two columns of one name are two columns; unsupported ones are not read.
        batches = self._batches()
        while True:
            try:
                batch = next(batches, None)
            except _read_errors() as error:
                raise self._unreadable(error) from None
            if batch is None:
                return
            columns = [
                [None] * batch.num_rows if index in self.unsupported else _values(column)
                for index, column in enumerate(batch.columns)
            ]
            for cells in zip(*columns, strict=True):
                number += 1
                yield number, cells

    def _batches(self) -> Iterator[pyarrow.RecordBatch]:
        return iter(self._file.iter_batches(batch_size=_BATCH_ROWS))

    def _unreadable(self, error: Exception) -> ImportFileError:
        lines = str(error).strip().splitlines()
        return ImportFileError(
            str(self.path),
            f"is not a readable Parquet file ({lines[0] if lines else type(error).__name__})",
            hint="Nothing was imported. Write the file again.",
        )


def _read_errors() -> tuple[type[Exception], ...]:
    """Return what pyarrow raises for damaged or unsupported data."""
    import pyarrow

    return (
        pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError,
        RuntimeError, MemoryError,
    )  # fmt: skip


def _is_supported(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_supported(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_supported(kind.value_type)
    if types.is_struct(kind):
        return all(_is_supported(field.type) for field in kind)
    checks = (
        types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_decimal,
        types.is_string, types.is_large_string, types.is_date, types.is_timestamp, types.is_time,
    )  # fmt: skip
    return any(check(kind) for check in checks)


def _values(column: pyarrow.Array) -> list[Any]:
    """Convert a column; a value that Python cannot hold costs its own cell only."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, TypeError):
        values = [_value(scalar) for scalar in column]
    return values


def _value(scalar: pyarrow.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return UnreadableCell("not_utf8")
    except (ValueError, OverflowError, TypeError):
        return UnreadableCell("invalid_value")
