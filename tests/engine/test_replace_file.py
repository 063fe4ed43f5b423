"""Files are written completely or not at all, also on a disk without space."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from drip_pipeline.engine.replace_file import replace_file


def test_a_file_is_created_and_replaced(tmp_path):
    path = tmp_path / "report.html"
    replace_file(path, "Zoë")
    assert path.read_text(encoding="utf-8") == "Zoë"
    path.chmod(0o640)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "report.html"
    link.symlink_to(tmp_path / "real" / "report.html")
    replace_file(link, "text")
    assert link.is_symlink()
    assert (tmp_path / "real" / "report.html").read_text(encoding="utf-8") == "text"


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_on_a_full_disk_the_existing_file_survives(tmp_path, monkeypatch, failing):
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(failing, full)
    with pytest.raises(OSError, match="No space left") as caught:
        replace_file(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_device_without_space_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(OSError, match="/dev/full"):
        replace_file(Path("/dev/full"), "text")
    missing = tmp_path / "none" / "report.html"
    with pytest.raises(FileNotFoundError) as caught:
        replace_file(missing, "text")
    assert caught.value.filename == str(missing)
