"""The standard library's parser returns exactly what was written."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.channels.email.message import EmailWriter
from drip_pipeline.channels.protocol import OutgoingMessage

WRITER = EmailWriter("Acme <news@example.com>")
LINE_BREAKS = "\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters=LINE_BREAKS)
HEADER_TEXTS = st.text(CHARACTERS, max_size=120) | st.text("ab =?_.,<>\"'\\é😀", max_size=200)
BODIES = (
    st.text(st.characters(codec="utf-8"), max_size=300)
    | st.text("ab .=\n\té😀", max_size=300)
    | st.text("ab <>&\n", max_size=300).map(lambda text: text * 20)
)
# Python 3.11's parser puts a space between two encoded words of a name, so names fill one word
# only; longer ones have their test with the older decoder in tests/unit/channels.
NAMES = HEADER_TEXTS.map(lambda name: " ".join(name.split())).filter(
    lambda name: len(name.encode()) <= 45
)
URLS = st.text("abcXYZ012-._~:/?#[]@!$&'()*+,;=%", max_size=800).map("https://example.com/".__add__)


def lines_of(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


@given(
    HEADER_TEXTS,
    NAMES,
    BODIES,
    st.none() | BODIES,
    URLS,
    st.uuids(),
)
def test_a_message_is_parsed_as_written(
    subject: str, name: str, text: str, html: str | None, url: str, delivery_id: UUID
) -> None:
    content = WRITER.write(
        OutgoingMessage(
            delivery_id=delivery_id,
            channel="email",
            recipient="ada@example.org",
            recipient_name=name,
            created_at=datetime(2026, 1, 28, tzinfo=UTC),
            subject=subject,
            text=text,
            html=html,
            unsubscribe_url=url,
        )
    ).content
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    bare = content.replace(b"\r\n", b"")
    assert b"\r" not in bare
    assert b"\n" not in bare

    read = message_from_bytes(content, policy=policy.default)
    assert isinstance(read, EmailMessage)
    assert read["Subject"] == subject
    assert read["To"].addresses[0].display_name == name
    assert read["To"].addresses[0].addr_spec == "ada@example.org"
    assert read["List-Unsubscribe"] == f"<{url}>"
    assert read["Message-ID"] == f"<{delivery_id}@example.com>"
    for kind, written in (("plain", text), ("html", html)):
        part = read.get_body((kind,))
        if written:
            assert part is not None
            assert lines_of(part.get_content()) == lines_of(written)
