"""Warnings about a rendered message: what mail programs block or cut, and what was forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from drip_pipeline.channels.email.mail_parts import HtmlImage, MailParts
from drip_pipeline.channels.sms.segments import MAX_SEGMENTS, Segments

LONGEST_SUBJECT: Final = 60
"""Characters that the inbox of a phone shows."""
CLIPPED_BYTES: Final = 102 * 1_024
"""Gmail cuts a longer HTML part, and with it the unsubscribe link at its end."""
_MANY_SEGMENTS: Final = 3
_PLACEHOLDER_TEXT: Final = re.compile(
    r"(?<![a-z])(todo|tbd|xxx+|fixme|lorem|placeholder|insert|your-?(?:link|url|domain|company))"
    r"(?![a-z])",
    re.IGNORECASE,
)
_PLACEHOLDER_HOSTS: Final = ("example.com", "example.net", "example.org")
_PLACEHOLDER_SUFFIXES: Final = (".example", ".invalid", ".test", ".localhost", ".local")
_MARKS_LEFT: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\*\|\w+\|\*|%%\w+%%|\[\[\w+\]\]|<%=?.*?%>")
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class MessageWarning:
    """A warning about a message: a stable code, and a sentence that says what is wrong."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class CheckedMail:
    """A rendered email, as the warnings need it. `unsubscribe_url` is this person's link;
    `own_links` are the engine's, `parts` has the targets of links without tracking."""

    subject: str
    preheader: str | None
    text: str
    html: str | None
    html_bytes: int
    parts: MailParts
    text_targets: Sequence[str]
    unsubscribe_url: str
    own_links: frozenset[str]
    is_unsubscribe_added: bool
    is_transactional: bool
    empty: Sequence[str]


def mail_warnings(mail: CheckedMail) -> list[MessageWarning]:
    """Return the warnings about an email."""
    return [
        *_subject(mail),
        *_empty(mail.empty),
        *_unsubscribe(mail),
        *_images(mail.parts.images),
        *_links(mail),
        *_content(mail),
    ]


def sms_warnings(text: str, segments: Segments, empty: Sequence[str]) -> list[MessageWarning]:
    """Return the warnings about an SMS."""
    warnings = list(_empty(empty))
    if segments.segments > MAX_SEGMENTS:
        message = f"the text takes {segments.segments} segments; {MAX_SEGMENTS} fit"
        warnings.append(MessageWarning("sms_too_long", message))
    elif segments.segments >= _MANY_SEGMENTS:
        message = f"the text takes {segments.segments} segments, and each is charged"
        warnings.append(MessageWarning("sms_segments", message))
    if segments.non_gsm and segments.segments > 1:
        characters = " ".join(segments.non_gsm[:_MOST_NAMED])
        message = f"{characters} halves what fits into a segment (70 characters instead of 160)"
        warnings.append(MessageWarning("sms_unicode", message))
    return warnings + list(_marks(("text", text)))


def text_warnings(empty: Sequence[str]) -> list[MessageWarning]:
    """Return the warnings about a webhook or a post."""
    return list(_empty(empty))


def _subject(mail: CheckedMail) -> Iterator[MessageWarning]:
    if len(mail.subject) > LONGEST_SUBJECT:
        yield MessageWarning(
            "subject_long",
            f"the subject has {len(mail.subject)} characters; phones show about"
            f" {LONGEST_SUBJECT} of them",
        )
    letters = [c for c in mail.subject if c.isalpha()]
    if len(letters) > LONGEST_SUBJECT // 4 and all(c.isupper() for c in letters):
        yield MessageWarning("subject_capitals", "the subject is in capitals, as spam often is")
    if mail.html and not (mail.preheader or "").strip():
        yield MessageWarning(
            "preheader_missing",
            "no preheader: the inbox shows the beginning of the mail instead",
        )


def _empty(empty: Sequence[str]) -> Iterator[MessageWarning]:
    if empty:
        names = ", ".join(f"{{{{ {name} }}}}" for name in empty[:_MOST_NAMED])
        rest = f" and {len(empty) - _MOST_NAMED} more" if len(empty) > _MOST_NAMED else ""
        yield MessageWarning(
            "variable_empty", f"empty for this person: {names}{rest}; add a default"
        )


def _unsubscribe(mail: CheckedMail) -> Iterator[MessageWarning]:
    if mail.is_transactional:
        return
    in_html = any(link.target == mail.unsubscribe_url for link in mail.parts.links)
    is_missing_in_html = mail.html is not None and not in_html
    if is_missing_in_html or (mail.text and mail.unsubscribe_url not in mail.text):
        part = "HTML" if is_missing_in_html else "text"
        yield MessageWarning(
            "unsubscribe_missing",
            f"the {part} shows this person no unsubscribe link: put {{{{ unsubscribe_url }}}} where"
            " everybody sees it",
        )
    elif mail.is_unsubscribe_added:
        yield MessageWarning(
            "unsubscribe_added",
            "the texts have no {{ unsubscribe_url }}; a plain link was added at the end",
        )


def _images(images: Sequence[HtmlImage]) -> Iterator[MessageWarning]:
    shown = [image for image in images if not image.is_pixel]
    without_alt = [image for image in shown if image.alt is None]
    if without_alt:
        yield MessageWarning(
            "image_without_alt",
            f"{_counted(without_alt)} no alt text, which is shown while images are blocked"
            f" ({_named(without_alt)})",
        )
    unsized = [image for image in shown if not image.is_sized]
    if unsized:
        yield MessageWarning(
            "image_without_size",
            f"{_counted(unsized)} no width: Outlook shows the file's own size ({_named(unsized)})",
        )
    plain = [image for image in shown if image.source.lower().startswith("http://")]
    if plain:
        yield MessageWarning(
            "image_http", f"{_counted(plain)} an http address; use https ({_named(plain)})"
        )
    unreachable = [
        image
        for image in shown
        if not image.source.lower().startswith(("http://", "https://", "cid:"))
    ]
    if unreachable:
        yield MessageWarning(
            "image_unreachable",
            f"{_counted(unreachable)} no address that a mail program can load; use a full https"
            f" address ({_named(unreachable)})",
        )


def _counted(images: Sequence[HtmlImage]) -> str:
    return "1 image has" if len(images) == 1 else f"{len(images)} images have"


def _named(images: Sequence[HtmlImage]) -> str:
    names = [image.source[:60] or "no src" for image in images[:_MOST_NAMED]]
    return ", ".join(dict.fromkeys(names))


def _links(mail: CheckedMail) -> Iterator[MessageWarning]:
    all_targets = [*(link.target for link in mail.parts.links), *mail.text_targets]
    targets = [target for target in all_targets if target not in mail.own_links]
    placeholders = list(dict.fromkeys(t for t in targets if is_placeholder(t)))
    if placeholders:
        names = ", ".join(target[:80] or "(empty)" for target in placeholders[:_MOST_NAMED])
        yield MessageWarning("link_placeholder", f"link targets that are placeholders: {names}")
    relative = [
        t for t in dict.fromkeys(targets) if t and not is_placeholder(t) and not _is_absolute(t)
    ]
    if relative:
        yield MessageWarning(
            "link_relative",
            f"links without https:// lead nowhere in a mail: {', '.join(relative[:_MOST_NAMED])}",
        )
    insecure = [
        t
        for t in dict.fromkeys(targets)
        if t.lower().startswith("http://") and not is_placeholder(t)
    ]
    if insecure:
        yield MessageWarning(
            "link_http", f"links by http, not https: {', '.join(insecure[:_MOST_NAMED])}"
        )
    silent = [link for link in mail.parts.links if not link.text]
    if silent:
        yield MessageWarning(
            "link_without_text",
            f"{len(silent)} link{'s have' if len(silent) > 1 else ' has'} neither text nor an image"
            " with alt text",
        )


def is_placeholder(target: str) -> bool:
    """Return whether a link target was never filled in: empty, `#`, example.com, TODO …"""
    lowered = target.strip().lower()
    if lowered in ("", "#", "/", "http://", "https://") or lowered.startswith("javascript:"):
        return True
    if _PLACEHOLDER_TEXT.search(lowered) or _MARKS_LEFT.search(target):
        return True
    try:
        host = urlsplit(lowered).hostname or ""
    except ValueError:
        return True
    if not lowered.startswith(("http://", "https://")):
        return False
    return (
        not host
        or host == "localhost"
        or any(host == name or host.endswith(f".{name}") for name in _PLACEHOLDER_HOSTS)
        or host.endswith(_PLACEHOLDER_SUFFIXES)
    )


def _is_absolute(target: str) -> bool:
    return bool(re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE)) or target.startswith("#")


def _content(mail: CheckedMail) -> Iterator[MessageWarning]:
    if mail.html_bytes > CLIPPED_BYTES:
        yield MessageWarning(
            "size_clipped",
            f"the HTML has {mail.html_bytes / 1024:,.0f} kB; Gmail cuts it at 102 kB, and the"
            " unsubscribe link with it",
        )
    if mail.parts.unsupported:
        names = ", ".join(f"<{name}>" for name in dict.fromkeys(mail.parts.unsupported))
        yield MessageWarning("element_unsupported", f"mail programs remove or block {names}")
    if mail.html and mail.parts.images and not _words(mail):
        yield MessageWarning(
            "text_missing", "the mail is only images; many people see none of them"
        )
    yield from _marks(
        ("subject", mail.subject),
        ("preheader", mail.preheader or ""),
        ("text", mail.text),
        ("HTML", mail.html or ""),
    )


def _words(mail: CheckedMail) -> bool:
    visible = re.sub(r"<(style|title|head)\b.*?</\1>", " ", mail.html or "", flags=re.S | re.I)
    links = re.sub(r"<a\b.*?</a>", " ", visible, flags=re.S | re.I)
    return bool(re.search(r"\w{2}", re.sub(r"<[^>]*>|&\w+;", " ", links)))


def _marks(*texts: tuple[str, str]) -> Iterator[MessageWarning]:
    for where, text in texts:
        left = _MARKS_LEFT.search(text)
        if left is not None:
            yield MessageWarning(
                "marks_left", f"the {where} shows template marks: {left.group()[:60]}"
            )
            return
