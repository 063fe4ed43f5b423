"""Open the bytes of a file, of standard input or of a pipe, unpacked if they are gzip.

A file is read several times; what can be read only once is copied to a temporary file first.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from drip_pipeline.errors import ImportFileError

STDIN: Final = Path("-")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZIP_MAGIC: Final = b"PK\x03\x04"


class Source:
    """The bytes of a file; `path` is its name in errors and reports (`stdin` for `-`).

    Raises ImportFileError for a ZIP archive, or OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path("stdin") if path == STDIN else path
        self._copy: IO[bytes] | None = None
        if path == STDIN or not (path.is_file() or path.is_dir() or not path.exists()):
            # The temporary file lives as long as this object.
            self._copy = tempfile.NamedTemporaryFile(prefix="drip-")  # noqa: SIM115
            if path == STDIN:
                shutil.copyfileobj(sys.stdin.buffer, self._copy)
            else:
                with path.open("rb") as pipe:
                    shutil.copyfileobj(pipe, self._copy)
            self._copy.flush()
        self.local = Path(self._copy.name) if self._copy is not None else path
        with self.local.open("rb") as file:
            start = file.read(4)
        self.is_gzip = start.startswith(_GZIP_MAGIC)
        if start == _ZIP_MAGIC:
            raise ImportFileError(
                str(self.path),
                "it is a ZIP archive or an Excel workbook",
                hint="Unpack it, or save the sheet as CSV in UTF-8.",
            )

    def open(self) -> IO[bytes]:
        """Open the unpacked bytes from the start. Read them inside `read_errors`."""
        if self.is_gzip:
            return gzip.open(self.local, "rb")  # type: ignore[return-value]
        return self.local.open("rb")

    def start(self, size: int) -> bytes:
        """Return the first bytes. Raises ImportFileError if they cannot be unpacked."""
        with self.read_errors(), self.open() as file:
            return file.read(size)

    @contextmanager
    def read_errors(self) -> Iterator[None]:
        """Turn errors of the packed data into ImportFileError."""
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ImportFileError(
                str(self.path),
                f"its gzip data is damaged or cut off ({error})",
                hint="Nothing was imported. Export the file again.",
            ) from None
