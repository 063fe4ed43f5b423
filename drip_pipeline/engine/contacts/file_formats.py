"""Open a contact file by its content: Parquet, otherwise CSV; both may be gzip, a pipe or stdin.

The meaning of columns belongs to column_mapping.py, validation of rows to row_parser.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from drip_pipeline.engine.contacts.contact_file import ContactFile, Line
from drip_pipeline.engine.contacts.csv_file import CsvFile
from drip_pipeline.engine.contacts.parquet_file import ParquetFile
from drip_pipeline.engine.contacts.sources import Source
from drip_pipeline.errors import ImportFileError

__all__ = ["ContactFile", "CsvFile", "Line", "ParquetFile", "open_contact_file"]

_PARQUET_MAGIC: Final = b"PAR1"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


def open_contact_file(path: Path) -> ContactFile:
    """Open a file, a pipe, or standard input (`-`). Raises ImportFileError or OSError."""
    return open_source(Source(path))


def open_source(source: Source) -> ContactFile:
    """Open a source by its content. Raises ImportFileError or OSError."""
    start = source.start(4)
    if start == _PARQUET_MAGIC:
        if source.is_gzip:
            raise ImportFileError(
                str(source.path), "it is Parquet inside gzip", hint="Unpack it with gunzip first."
            )
        return ParquetFile(source)
    if start[:2] in _UTF16_MARKS:
        raise ImportFileError(
            str(source.path), "it is UTF-16, not UTF-8", hint="Save it as CSV in UTF-8."
        )
    return CsvFile(source)
