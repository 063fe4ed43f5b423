"""Write a file completely or not at all: beside its place, then renamed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import time
from typing import Final

_SUFFIX: Final = ".new"
_DRAFT_SECONDS: Final = 3_600


def replace_file(path: Path, content: str | bytes) -> None:
    """Write the content (text as UTF-8) to a file; an existing one survives every failure.

    A link stays a link, and an existing file keeps its mode. Devices and pipes are written
    directly. Raises OSError with the name of the file.
    """
    target = path.resolve()
    data = content.encode() if isinstance(content, str) else content
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as device:
                device.write(data)
            return
        _write_beside(target, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _write_beside(target: Path, data: bytes) -> None:
    # The draft begins with a dot: readers of a folder ignore such names.
    prefix = f".{target.name[:100]}."
    with suppress(OSError):
        _remove_old_drafts(target.parent, prefix)
    with NamedTemporaryFile(
        prefix=prefix, suffix=_SUFFIX, dir=target.parent, delete=False
    ) as draft:
        written = Path(draft.name)
        try:
            draft.write(data)
            draft.flush()
            os.fsync(draft.fileno())
            written.chmod(_mode(target))
            written.replace(target)
        except BaseException:
            with suppress(OSError):
                written.unlink()
            raise


def _remove_old_drafts(folder: Path, prefix: str) -> None:
    """Delete what killed processes left; a process that is writing now keeps its own draft."""
    for draft in folder.iterdir():
        if (
            draft.name.startswith(prefix)
            and draft.name.endswith(_SUFFIX)
            and draft.stat().st_mtime < time() - _DRAFT_SECONDS
        ):
            draft.unlink()


def _mode(target: Path) -> int:
    """Return the mode of the existing file, or that of a new one under the process's umask."""
    if target.exists():
        return target.stat().st_mode & 0o7777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
