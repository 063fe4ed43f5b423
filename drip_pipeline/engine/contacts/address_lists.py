"""Address lists: one address per line, or the column `email` of a CSV or Parquet file."""

from __future__ import annotations

from pathlib import Path

from drip_pipeline.engine.contacts.file_formats import open_contact_file
from drip_pipeline.errors import ImportFileError


def addresses_in(path: Path) -> list[str]:
    """Return the addresses of a file in order, without blank lines and lines that start with #.

    Raises ImportFileError for a file with columns of which none is `email`, or OSError.
    """
    with path.open("rb") as file:
        first = file.readline()
    if b"@" in first or first.startswith(b"#"):
        return _plain_lines(path)
    table = open_contact_file(path)
    names = [name.strip().lower() for name in table.columns]
    if "email" not in names:
        raise ImportFileError(
            str(path),
            "has no addresses: neither one per line nor a column `email`",
            hint="Put one address on each line.",
        )
    index = names.index("email")
    addresses = (cells[index] for _, cells in table.lines() if not isinstance(cells, str))
    return [text for cell in addresses if cell is not None and (text := str(cell).strip())]


def _plain_lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = (line.strip().strip(",;") for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
