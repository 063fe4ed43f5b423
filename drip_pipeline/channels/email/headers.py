"""Write email header lines: encoding, folding, addresses. Line breaks in values are refused.

The standard library is not used because it folds a long List-Unsubscribe into encoded words that no
mail client understands. The headers of a message are chosen in message.py.
"""

from __future__ import annotations

import binascii
import re
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from drip_pipeline.errors import DeliveryError

MAX_LINE_BYTES: Final = 998
"""RFC 5322, 2.1.1; without the line break."""
_FOLD_AT: Final = 76
_LONGEST_PLAIN_WORD: Final = 70
_BYTES_AN_ENCODED_WORD: Final = 45  # 60 characters of base64 and 12 of frame: under 75, RFC 2047
_FRAME_OF_A_WORD: Final = 12
_FEWEST_BYTES_A_WORD: Final = 12
_MAX_QUOTED_NAME_CHARACTERS: Final = 200

# All characters that some parser treats as a line break, and all control characters but the tab.
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_PLAIN: Final = re.compile("[!-~]+(?: [!-~]+)*")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/?^_`{|}~-]+)*")
_HEADER_NAME: Final = re.compile("[!-9;-~]+")
_NAME_AND_ADDRESS: Final = re.compile(r"\s*(.*?)\s*<\s*([^<>]*?)\s*>\s*", re.DOTALL)
_URL: Final = re.compile("(?:https?|mailto):[!-;=?-~]+", re.IGNORECASE)


def text_header(name: str, value: str) -> bytes:
    """Write `name: value` with its line break, folded; RFC 2047 encoded if it is not plain ASCII.

    Decoding returns exactly `value`. Raises DeliveryError for a value with line breaks or control
    characters, and for an invalid name.
    """
    if _HEADER_NAME.fullmatch(name) is None:
        raise DeliveryError(f"{name!r} is not a header name")
    _refuse_line_breaks(name, value)
    if _is_plain(value):
        if len(name) + 2 + len(value) <= _FOLD_AT:
            return f"{name}: {value}\r\n".encode("ascii")
        words = value.split(" ")
        if max(map(len, words)) <= _LONGEST_PLAIN_WORD:
            return _folded(name, words)
    return _folded(name, _encoded_words(name, value))


def address_header(name: str, display_name: str | None, address: str) -> bytes:
    """Write `name: "Display Name" <address>` with its line break; `address` must be valid."""
    shown = " ".join(display_name.split()) if display_name else ""
    _refuse_line_breaks(name, shown)
    if not shown:
        return f"{name}: {address}\r\n".encode("ascii")
    if _ATOMS.fullmatch(shown) and "=?" not in shown and len(shown) <= _MAX_QUOTED_NAME_CHARACTERS:
        words = shown.split(" ")
    elif _is_plain(shown) and len(shown) <= _MAX_QUOTED_NAME_CHARACTERS:
        escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
        words = [f'"{escaped}"']
    else:
        words = _encoded_words(name, shown)
    return _folded(name, [*words, f"<{address}>"])


def unsubscribe_headers(url: str) -> bytes:
    """Write `List-Unsubscribe` on one line and, for web URLs, `List-Unsubscribe-Post` (RFC 8058).

    Raises DeliveryError if the URL is invalid or too long for a header line.
    """
    if _URL.fullmatch(url) is None:
        raise DeliveryError("the unsubscribe link is not a URL of printable ASCII")
    line = f"List-Unsubscribe: <{url}>"
    if len(line) > MAX_LINE_BYTES:
        raise DeliveryError(
            f"the unsubscribe link is too long for a header ({len(url)} characters)"
        )
    is_web = not url.lower().startswith("mailto:")
    post = "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" if is_web else ""
    return f"{line}\r\n{post}".encode("ascii")


@lru_cache(maxsize=256)
def date_header(date: datetime) -> bytes:
    """Write `Date:` for a timezone-aware time."""
    return f"Date: {format_datetime(date)}\r\n".encode("ascii")


def split_mailbox(mailbox: str) -> tuple[str | None, str]:
    """Split `Name <address>`, `"Name" <address>` or an address into name and address."""
    match = _NAME_AND_ADDRESS.fullmatch(mailbox)
    if match is None:
        return None, mailbox.strip()
    name = match[1]
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return name or None, match[2]


def _refuse_line_breaks(name: str, value: str) -> None:
    if _FORBIDDEN.search(value):
        raise DeliveryError(
            f"the header {name} contains a line break or another control character",
            hint="Check the template and the fields it reads for line breaks.",
        )


def _is_plain(value: str) -> bool:
    return value.isascii() and _PLAIN.fullmatch(value) is not None and "=?" not in value


def _folded(name: str, words: list[str]) -> bytes:
    lines = [f"{name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _FOLD_AT and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _encoded_words(name: str, value: str) -> list[str]:
    """Encode a value as RFC 2047 words; no word splits a character, and the first one fits on the
    line of the header's name. Decoders drop the space between two words."""
    whole = value.encode("utf-8", "replace")
    beside_name = (_FOLD_AT - len(name) - 2 - _FRAME_OF_A_WORD) // 4 * 3
    capacity = max(_FEWEST_BYTES_A_WORD, min(_BYTES_AN_ENCODED_WORD, beside_name))
    if len(whole) <= capacity:
        return [_encoded_word(whole)]
    words: list[str] = []
    chunk = b""
    for character in value:
        encoded = character.encode("utf-8", "replace")
        if len(chunk) + len(encoded) > capacity:
            words.append(_encoded_word(chunk))
            chunk = b""
            capacity = _BYTES_AN_ENCODED_WORD
        chunk += encoded
    return [*words, _encoded_word(chunk)]


def _encoded_word(chunk: bytes) -> str:
    return f"=?utf-8?b?{binascii.b2a_base64(chunk, newline=False).decode('ascii')}?="
