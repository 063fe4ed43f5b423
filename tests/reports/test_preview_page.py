"""The page of a preview: complete, and safe whatever a mail contains."""

from __future__ import annotations

import json
from pathlib import Path

from drip_pipeline.engine.preview.preview import PreviewRequest, preview
from drip_pipeline.reports.preview_page import write_preview
from tests.engine.factories import MESSAGES, NOW
from tests.engine.preview.files import GOOD_MAIL, campaign

SCRIPT = "<script>alert(1)</script>"


def write(folder: Path, **changes: str) -> tuple[str, Path]:
    file = json.dumps(campaign({**GOOD_MAIL, **changes}, sms="Hello {{ first_name }}"))
    shown = preview(None, PreviewRequest(file=file), settings=MESSAGES, channels={}, now=NOW)
    page = write_preview(shown, folder)
    return page.read_text(encoding="utf-8"), folder / "messages"


def test_every_html_mail_is_a_file_in_a_frame_without_rights(tmp_path: Path):
    page, messages = write(tmp_path)
    files = sorted(file.name for file in messages.iterdir())
    assert len(files) == 10
    assert '<iframe sandbox="" loading=lazy' in page
    assert page.count('sandbox=""') == 10
    assert all(f'data-src="messages/{name}"' in page for name in files)
    assert "Hello Ann" in (messages / "01-mail.html").read_text(encoding="utf-8")


def test_nothing_of_a_mail_is_markup_of_the_page(tmp_path: Path):
    page, messages = write(
        tmp_path,
        subject=f"{SCRIPT} {{{{ first_name }}}}",
        body_html=GOOD_MAIL["body_html"] + f"<html><head></head><body>{SCRIPT}</body></html>",
    )
    assert SCRIPT not in page
    framed = (messages / "01-mail.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in framed
    assert page.count("<script>") == 1


def test_writing_again_replaces_the_files(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "messages" / "99-old.html").write_text("old")
    _, messages = write(tmp_path, subject="Other")
    assert not (messages / "99-old.html").exists()
    assert len(list(messages.iterdir())) == 10
