"""Written emails: their contents, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.channels.email.message import (
    EmailWriter,
    bounce_address,
    with_preheader,
)
from drip_pipeline.channels.protocol import OutgoingMessage
from drip_pipeline.errors import DeliveryError

DELIVERY = UUID("6f0e2c1a-7f3b-5c4d-9e8f-0123456789ab")
WRITER = EmailWriter("Acme, Inc. <news@mail.example.com>")
LONG_URL = "https://links.example.com/unsubscribe/" + "Ab0_-" * 60 + "?x=1&y=2"


def outgoing(**changes: Any) -> OutgoingMessage:
    values: dict[str, Any] = {
        "delivery_id": DELIVERY,
        "channel": "email",
        "recipient": "ada@example.org",
        "recipient_name": "Ada Lovelace",
        "created_at": datetime(2026, 1, 28, 15, 30, tzinfo=UTC),
        "subject": "Hello",
        "text": "Hi Ada\n",
        "html": "<p>Hi Ada</p>",
        "unsubscribe_url": LONG_URL,
    }
    return OutgoingMessage(**(values | changes))


def parsed(message: OutgoingMessage, writer: EmailWriter = WRITER) -> EmailMessage:
    content = writer.write(message).content
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    read = message_from_bytes(content, policy=policy.default)
    assert isinstance(read, EmailMessage)
    assert not [defect for part in read.walk() for defect in part.defects]
    return read


def test_the_headers_of_a_message() -> None:
    read = parsed(outgoing())
    assert read["From"].addresses[0].display_name == "Acme, Inc."
    assert read["From"].addresses[0].addr_spec == "news@mail.example.com"
    assert read["To"].addresses[0].display_name == "Ada Lovelace"
    assert read["To"].addresses[0].addr_spec == "ada@example.org"
    assert read["Message-ID"] == f"<{DELIVERY}@mail.example.com>"
    assert read["Date"].datetime == datetime(2026, 1, 28, 15, 30, tzinfo=UTC)
    assert read["List-Unsubscribe"] == f"<{LONG_URL}>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert len(LONG_URL) > 300


def test_the_envelope_sender_names_the_delivery() -> None:
    written = EmailWriter("news@example.com", bounce_domain="bounce.example.com").write(outgoing())
    assert written.envelope_sender == f"bounces+{DELIVERY}@bounce.example.com"
    assert bounce_address(DELIVERY, "x.example") == f"bounces+{DELIVERY}@x.example"


def test_text_and_html_are_alternatives_with_the_html_last() -> None:
    read = parsed(outgoing(text="Grüße\n", html="<p>Grüße</p>"))
    kinds = [part.get_content_type() for part in read.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "text/html"]
    assert parsed(outgoing(html=None)).get_content_type() == "text/plain"
    assert parsed(outgoing(text="")).get_content_type() == "text/html"


@pytest.mark.parametrize(
    "subject",
    [
        "🎉 Überraschung für dich 🎉",
        "🎉" * 200,
        "x" * 2000,
        "word " * 100 + "end",
        "=?utf-8?q?not_encoded?=",
        "two  spaces and a\ttab",
        "",
    ],
)
def test_every_subject_is_parsed_as_written(subject: str) -> None:
    assert parsed(outgoing(subject=subject))["Subject"] == subject


@pytest.mark.parametrize(
    "name", ["Zoë Müller", 'Ada "the Countess" L.', "a@b <c>", "李小龙" * 40, "J. R. R.", "x" * 900]
)
def test_every_name_is_parsed_as_written(name: str) -> None:
    quoted = name.replace('"', '\\"')
    sender = EmailWriter(f'"{quoted}" <a@example.com>')
    content = sender.write(outgoing(recipient_name=name)).content
    read = message_from_bytes(content, policy=policy.compat32)
    # The newer parser of Python 3.11 puts a space between two encoded words of a name; RFC 2047
    # and the older decoder do not.
    for header in ("To", "From"):
        shown, address = parseaddr(" ".join(str(read[header]).split("\r\n ")))
        assert str(make_header(decode_header(shown))) == name
        assert address in ("a@example.com", "ada@example.org")
    if len(name) < 30:
        modern = parsed(outgoing(recipient_name=name), sender)
        assert modern["To"].addresses[0].display_name == name
        assert modern["From"].addresses[0].display_name == name


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "Hi\r\nBcc: eve@example.com"},
        {"subject": "Hi\nthere"},
        {"subject": "Hi\u2028there"},
        {"unsubscribe_url": "https://example.com/\r\nX: y"},
        {"unsubscribe_url": "https://example.com/>, <https://evil.example.com/"},
        {"unsubscribe_url": "https://example.com/" + "x" * 1000},
        {"headers": {"X-A": "1\r\nX-B: 2"}},
        {"headers": {"X-A: 1\r\nX-B": "2"}},
        {"headers": {"X A": "1"}},
        {"headers": {"Subject": "again"}},
        {"headers": {"bcc": "eve@example.com"}},
        {"headers": {"Reply-To": "nobody"}},
        {"recipient": "ada@example.org\r\nRCPT TO:<eve@example.com>"},
        {"recipient": "ada@example.org> <eve@example.com"},
        {"recipient": "ada@example.org,eve@example.com"},
        {"recipient": "no address"},
        {"recipient": "@example.org"},
        {"recipient": "ada@"},
        {"recipient": "a" * 65 + "@example.org"},
        {"recipient": "zoë@example.org"},
        {"recipient": "ada@exam ple.org"},
        {"recipient": "ada@-example.org"},
        {"recipient": "ada@example..org"},
    ],
)
def test_injections_and_invalid_headers_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DeliveryError) as caught:
        WRITER.write(outgoing(**changes))
    assert "eve@" not in str(caught.value)


def test_a_name_with_line_breaks_becomes_one_line() -> None:
    read = parsed(outgoing(recipient_name="Ada\r\nBcc: eve@example.com"))
    assert read["To"].addresses[0].display_name == "Ada Bcc: eve@example.com"
    assert read["Bcc"] is None


@pytest.mark.parametrize("sender", ["", "Acme", "Acme <>", "a@b@c <x@>", "ä@example.com"])
def test_a_sender_without_an_address_is_refused(sender: str) -> None:
    with pytest.raises(DeliveryError, match="sender"):
        EmailWriter(sender)
    with pytest.raises(DeliveryError, match="bounces"):
        EmailWriter("a@example.com", bounce_domain="not a domain")


def test_non_ascii_domains_are_encoded_in_idna() -> None:
    written = WRITER.write(outgoing(recipient="ada@bücher.example"))
    assert written.envelope_recipient == "ada@xn--bcher-kva.example"


def test_additional_headers_are_written() -> None:
    headers = {"Reply-To": "Zoë <zoe@example.com>", "X-Campaign": "spring – 1"}
    read = parsed(outgoing(headers=headers))
    assert read["Reply-To"].addresses[0].display_name == "Zoë"
    assert read["X-Campaign"] == "spring – 1"


def test_without_an_unsubscribe_link_there_is_no_such_header() -> None:
    read = parsed(outgoing(unsubscribe_url=None))
    assert read["List-Unsubscribe"] is None
    assert read["List-Unsubscribe-Post"] is None
    mail = parsed(outgoing(unsubscribe_url="mailto:stop@example.com?subject=stop"))
    assert mail["List-Unsubscribe"] == "<mailto:stop@example.com?subject=stop>"
    assert mail["List-Unsubscribe-Post"] is None


@pytest.mark.parametrize(
    ("html", "start"),
    [
        ("<p>Hi</p>", ""),
        ("<html><head><title>t</title></head><BODY class='a'><p>Hi</p></BODY></html>", "<html>"),
    ],
)
def test_the_preheader_is_hidden_at_the_top_of_the_body(html: str, start: str) -> None:
    result = with_preheader(html, "Only <today> & now")
    assert result.startswith(start)
    assert "Only &lt;today&gt; &amp; now</span><p>Hi</p>" in result
    assert "display:none" in result
    read = parsed(outgoing(html=html, preheader="Only <today>"))
    part = read.get_body(("html",))
    assert part is not None
    assert "Only &lt;today&gt;" in part.get_content()


def test_a_body_that_holds_the_boundary_does_not_break_the_message() -> None:
    text = f"--=_{DELIVERY.hex}\nstill text"
    part = parsed(outgoing(text=text)).get_body(("plain",))
    assert part is not None
    assert part.get_content().splitlines() == text.splitlines()
