"""All headers of a mail as they come off the wire, read by the standard library and by a reader of
our own that shares no code with either side.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime

import pytest

from drip_pipeline.domain.graph.nodes import EmailConfig
from tests.channels.email.smtp_servers import Script
from tests.engine.delivery.sending import Sender, one_step

PUBLIC_URL = "https://mail.example.com/" + "/".join(["a-rather-long-path"] * 14)
NAME = "Zoë Nuñez-Łukasiewicz 陳 “Z” <sz>"
SUBJECT = "🎉 Grüße, {{ name }} — 50 % off; =?utf-8?q?not_decoded?= & more than one line can hold"
ENCODED = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/=]*)\?=")


def by_hand(content: bytes) -> tuple[dict[str, str], list[bytes]]:
    """Headers by name, unfolded and decoded after RFC 5322 and RFC 2047, and the raw lines."""
    head, _, _ = content.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert b"\r" not in b"".join(lines)
    assert b"\n" not in b"".join(lines)
    unfolded: list[str] = []
    for line in lines:
        text = line.decode("ascii")
        if text[0] in " \t":
            unfolded[-1] += text
        else:
            unfolded.append(text)
    headers: dict[str, str] = {}
    for text in unfolded:
        name, _, value = text.partition(": ") if ": " in text else text.partition(":")
        assert re.fullmatch(r"[!-9;-~]+", name)
        assert name not in headers, f"duplicate header {name}"
        headers[name] = decoded(value.strip())
    return headers, lines


def decoded(value: str) -> str:
    between = re.sub(r"\?=\s+=\?", "?==?", value)
    return ENCODED.sub(lambda word: base64.b64decode(word[1]).decode(), between)


@pytest.fixture
def content(smtp: Callable[..., Script], sending: Callable[..., Sender]) -> tuple[bytes, str]:
    """A mail off the wire, and the id of its delivery."""
    script = smtp()
    sender = sending(
        smtp=script, public_url=PUBLIC_URL, mail_from="Acmé & Söhne <news@example.com>"
    )
    mail = EmailConfig(subject=SUBJECT, preheader="Für Sie", body="Hi", body_html="<p>Hi</p>")
    sender.enroll(one_step(mail, node_type="email"), 1, name="person", job_title=None)
    sender.rows("UPDATE contacts SET name = %s RETURNING id", NAME)
    sender.run()
    (envelope,) = script.received
    assert isinstance(envelope.content, bytes)
    return envelope.content, str(sender.value("SELECT id FROM campaign_deliveries"))


def test_the_standard_library_reads_every_header(content: tuple[bytes, str]):
    read = message_from_bytes(content[0], policy=policy.default)
    assert read.defects == []
    assert all(not read[name].defects for name in ("From", "To", "Subject", "Date"))
    assert read["Subject"] == SUBJECT.replace("{{ name }}", NAME)
    assert read["From"].addresses[0].display_name == "Acmé & Söhne"
    assert read["To"].addresses[0].display_name == NAME
    assert read["To"].addresses[0].addr_spec == "person1@example.com"
    assert read["Message-ID"] == f"<{content[1]}@example.com>"
    link = str(read["List-Unsubscribe"])
    assert len(link) > 300
    assert link.startswith(f"<{PUBLIC_URL}/u/")
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert read.get_content_type() == "multipart/alternative"


def test_an_independent_parser_reads_the_same(content: tuple[bytes, str]):
    headers, lines = by_hand(content[0])
    assert headers["Subject"] == SUBJECT.replace("{{ name }}", NAME)
    assert headers["From"] == "Acmé & Söhne <news@example.com>"
    assert headers["To"] == f"{NAME} <person1@example.com>"
    assert headers["Message-ID"] == f"<{content[1]}@example.com>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert headers["MIME-Version"] == "1.0"
    assert parsedate_to_datetime(headers["Date"]).tzinfo is not None
    assert set(headers) == {
        "Content-Type",
        "Date",
        "From",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "MIME-Version",
        "Message-ID",
        "Subject",
        "To",
    }
    # Neither folded nor encoded: a mail client follows it as it stands.
    (raw,) = [line for line in lines if line.startswith(b"List-Unsubscribe:")]
    assert raw.decode() == f"List-Unsubscribe: {headers['List-Unsubscribe']}"
    assert re.fullmatch(rf"<{re.escape(PUBLIC_URL)}/u/[A-Za-z0-9_-]+>", headers["List-Unsubscribe"])
    assert max(map(len, lines)) <= 998
    long = [line for line in lines if len(line) > 78]
    assert [line[:17] for line in long] == [b"List-Unsubscribe:"]
