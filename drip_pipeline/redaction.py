"""Redact personal data and passwords from texts before they are logged, stored or shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Final

ADDRESS: Final = "<address>"
PHONE: Final = "<phone>"
MESSAGE: Final = "<message>"
MAX_RESPONSE_CHARACTERS: Final = 500

_URL_PASSWORD: Final = re.compile(
    r"(?P<user>[a-z][a-z0-9+.\-]*://[^\s:/@]*):[^\s/@]+@", re.IGNORECASE
)
_EMAIL: Final = re.compile(r"[\w.!#$%&'+=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+")
# Providers quote addresses in any form, without a domain too; log lines have other uses of `@`.
_ANY_ADDRESS: Final = re.compile(r"""[^\s<>"'(),;:\[\]]+@[^\s<>"'(),;:\[\]]+""")
# With its plus sign: without one, IP addresses and queue ids would match too.
_PHONE: Final = re.compile(r"(?<![\w+])\+\(?\d(?:[ ().-]{0,2}\d){7,14}(?!\w)")
_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f]+")
_SHORTEST_NAME: Final = 3
_LONGEST_READ: Final = 4 * MAX_RESPONSE_CHARACTERS
_SHORTEST_QUOTE: Final = 16


def redact(text: str) -> str:
    """Mask passwords in URLs, email addresses and international phone numbers."""
    text = _URL_PASSWORD.sub(r"\g<user>:***@", text)
    text = _EMAIL.sub(ADDRESS, text)
    return _PHONE.sub(PHONE, text)


def redact_response(response: str, *secrets: str, texts: Iterable[str | None] = ()) -> str:
    """Return a provider's response as one line of at most 500 characters, redacted.

    Masks email addresses, phone numbers, the `secrets` (of an address its local part too: servers
    write "user ada unknown"), and quotes of the message's `texts`.
    """
    line = _BLANKS.sub(" ", response[:_LONGEST_READ]).strip()
    for text in texts:
        if text:
            line = _without_quotes(line, _BLANKS.sub(" ", text))
    line = _PHONE.sub(ADDRESS, _ANY_ADDRESS.sub(ADDRESS, line))
    for text in secrets:
        for secret in (text, text.partition("@")[0]):
            if len(secret) >= _SHORTEST_NAME:
                pattern = rf"(?<!\w){re.escape(secret)}(?!\w)"
                line = re.sub(pattern, ADDRESS, line, flags=re.IGNORECASE)
    if len(line) <= MAX_RESPONSE_CHARACTERS:
        return line
    return line[: MAX_RESPONSE_CHARACTERS - 1] + "…"


def _without_quotes(line: str, text: str) -> str:
    """Mask parts of the line that quote `text`: 16 characters of it or more, or all of it."""
    length = min(_SHORTEST_QUOTE, len(text.strip()))
    if length < _SHORTEST_NAME:
        return line
    is_quoted = [False] * len(line)
    for start in range(len(line) - length + 1):
        if line[start : start + length] in text:
            is_quoted[start : start + length] = [True] * length
    parts = groupby(zip(line, is_quoted, strict=True), key=itemgetter(1))
    return "".join(
        MESSAGE if quoted else "".join(character for character, _ in part) for quoted, part in parts
    )
