"""Attachments: taken at publishing from a file or an address, and sent as they were then."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.channels.email.message import EmailWriter
from drip_pipeline.channels.protocol import MailAttachment, OutgoingMessage
from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.attachments import MOST_BYTES
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.preview.preview import PreviewRequest, preview
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.plan import apply, plan
from drip_pipeline.engine.runner.factory import engine_from
from drip_pipeline.engine.runner.tick import tick
from drip_pipeline.errors import DefinitionInvalid
from drip_pipeline.settings import Secret
from tests.engine.delivery.test_email import StartSmtp
from tests.engine.factories import MESSAGES, NOW
from tests.engine.publishing.message_files import SETTINGS, campaign, options, people, published
from tests.http_servers import Reply

PDF = b"%PDF-1.4 terms \x00\xff" * 400
MAIL: dict[str, Any] = {"subject": "Terms", "body": "Attached. {{ unsubscribe_url }}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "terms.pdf").write_bytes(PDF)
    write(tmp_path, [{"file": "files/terms.pdf"}])
    return tmp_path


def write(folder: Path, attachments: Any) -> None:
    file = campaign({**MAIL, "attachments": attachments})
    (folder / "tea.json").write_text(json.dumps(file), encoding="utf-8")


def action(database: Database, folder: Path) -> str:
    (file,) = plan(database, folder, options()).files
    return file.action


def publish_folder(database: Database, folder: Path, **changes: Any) -> None:
    applied = apply(database, plan(database, folder, options(**changes)), options(**changes))
    assert not applied.failed, [error.items() for error in applied.failed.values()]


def problems(database: Database, folder: Path, **changes: Any) -> list[str]:
    (file,) = plan(database, folder, options(**changes)).files
    return [problem.message for problem in file.problems]


def test_a_mail_has_its_attachments(database: Database, folder: Path, smtp: StartSmtp):
    people(database, {"email": "ann@example.net"}, {"email": "bob@example.net"})
    script = smtp()
    settings = SETTINGS.model_copy(
        update={"delivery": "send", "smtp_url": Secret(f"smtp://127.0.0.1:{script.port}")}
    )
    publish_folder(database, folder, settings=settings)
    (folder / "files" / "terms.pdf").unlink()  # the version has it
    enroll(database, "Tea", Everybody(), now=NOW)
    engine = engine_from(settings, database)
    tick(engine, now=NOW, until_idle=True)
    for channel in engine.channels.values():
        channel.close()
    assert len(script.received) == 2
    for envelope in script.received:
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        (attached,) = mail.iter_attachments()
        assert attached.get_filename() == "terms.pdf"
        assert attached.get_content_type() == "application/pdf"
        assert attached.get_content() == PDF
        body = mail.get_body()
        assert body is not None
        assert "Attached." in body.get_content()


def test_a_changed_file_is_a_changed_campaign(database: Database, folder: Path):
    publish_folder(database, folder)
    assert action(database, folder) == "unchanged"
    (folder / "files" / "terms.pdf").write_bytes(PDF + b"new")
    assert action(database, folder) == "new_version"
    publish_folder(database, folder)
    assert action(database, folder) == "unchanged"
    with database.transaction() as connection:
        rows = connection.execute("SELECT digest FROM campaign_attachments").fetchall()
    assert {row[0] for row in rows} == {
        sha256(PDF).hexdigest(), sha256(PDF + b"new").hexdigest()
    }  # fmt: skip


def test_an_export_names_the_content_and_needs_it(database: Database, folder: Path):
    publish_folder(database, folder)
    exported = export_file(database, "Tea").file
    assert published(database, exported).status == "unchanged"
    with database.transaction() as connection:
        connection.execute("DELETE FROM campaign_attachments")
    with pytest.raises(DefinitionInvalid, match=r"'terms\.pdf' was not read"):
        published(database, exported)


def test_an_address_is_fetched_once_at_publishing(database: Database, folder: Path, http: Any):
    server = http.start(Reply(200, body=PDF.decode("latin-1").encode("latin-1")))
    url = f"{server.url}/terms%20of%20use.pdf"
    write(folder, [{"url": url}, {"url": url, "name": "Copy.pdf"}])
    allowed = SETTINGS.model_copy(update={"webhook_allow": (server.host,)})
    (file,) = plan(database, folder, options(settings=allowed)).files
    assert not file.problems
    assert len(server.requests) == 1
    forbidden = problems(database, folder)
    assert len(forbidden) >= 1
    assert "cannot be fetched" in forbidden[0]


@pytest.mark.parametrize(
    ("attachments", "message"),
    [
        ([{"file": "files/none.pdf"}], "'files/none.pdf' does not exist beside the campaign file"),
        ([{"file": "../secret.txt"}], "must be a path inside the campaign file's folder"),
        ([{"file": "/etc/passwd"}], "must be a path inside the campaign file's folder"),
        ([{"file": "link.txt"}], "is outside the campaign file's folder"),
        ([{"file": "empty.txt"}], "is empty"),
        ([{"file": "large.bin"}], "is larger than 5,000,000 bytes"),
        ([{"file": "a.bin"}, {"file": "b.bin"}, {"file": "c.bin"}], "10,000,000 fit"),
        ([{"file": "files/terms.pdf", "url": "https://a.io/x"}], "has both `file` and `url`"),
        ([{"name": "x.pdf"}], "needs `file` or `url`"),
        ([{"url": "ftp://a.io/x"}], "must be an address with https://"),
        ([{"file": "files/terms.pdf", "name": "a/b.pdf"}], "must be one of a file"),
        ([{"file": "files/terms.pdf", "media_type": "x"}], "media_type"),
        ([{"file": "files/terms.pdf"}] * 11, "10"),
        ("files/terms.pdf", "attachments"),
    ],
)
def test_wrong_attachments_are_refused_by_name(
    database: Database, folder: Path, attachments: Any, message: str
):
    (folder / "link.txt").symlink_to("/etc/hostname")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "large.bin").write_bytes(b"x" * (MOST_BYTES + 1))
    for name in "abc":
        (folder / f"{name}.bin").write_bytes(name.encode() * 4_000_000)
    write(folder, attachments)
    reasons = problems(database, folder)
    assert any(message in text for text in reasons), reasons


def test_a_preview_names_the_attachments(folder: Path):
    path = folder / "tea.json"
    request = PreviewRequest(file=path.read_text(encoding="utf-8"), path=path, settings=SETTINGS)
    shown = preview(None, request, settings=MESSAGES, channels={}, now=NOW)
    (attachment,) = shown.recipients[0].messages[0].attachments
    assert (attachment.name, attachment.size) == ("terms.pdf", len(PDF))
    assert shown.recipients[0].messages[0].size_bytes > len(PDF)


@pytest.mark.parametrize("name", ["a.pdf", "Grüße & mehr.pdf", "x" * 146 + ".pdf", "價目表.xlsx"])
@pytest.mark.parametrize("html", [None, "<p>Hi</p>"])
def test_the_standard_library_reads_what_is_attached(name: str, html: str | None):
    attachments = (
        MailAttachment(name, "application/pdf", PDF),
        MailAttachment("b.txt", "text/plain", b"line\r\n.\r\nend"),
    )
    message = OutgoingMessage(
        delivery_id=UUID(int=7),
        channel="email",
        recipient="ann@acme.io",
        created_at=NOW,
        subject="Hi",
        text="Hello",
        html=html,
        attachments=attachments,
    )
    content = EmailWriter("news@acme.io").write(message).content
    content.decode("ascii")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    mail = message_from_bytes(content, policy=policy.default)
    read = list(mail.iter_attachments())
    assert [part.get_filename() for part in read] == [name, "b.txt"]
    assert [part.get_payload(decode=True) for part in read] == [PDF, b"line\r\n.\r\nend"]
    body = mail.get_body(preferencelist=("plain",))
    assert body is not None
    assert body.get_content().strip() == "Hello"
