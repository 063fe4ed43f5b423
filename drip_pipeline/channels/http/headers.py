"""Check the HTTP headers that campaigns set; headers of the engine are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_MAX_VALUE_CHARACTERS: Final = 8_000
_OWN: Final = frozenset({
    "connection", "content-encoding", "content-length", "expect", "host", "keep-alive",
    "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "webhook-id",
    "webhook-signature", "webhook-timestamp",
})  # fmt: skip


class HeaderInvalid(Exception):
    """A header cannot be sent; the text names it without its value. Stays inside channels/."""


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with stripped values. Raises HeaderInvalid."""
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None:
            raise HeaderInvalid(f"{name[:50]!r} is not a header name")
        if name.lower() in _OWN:
            raise HeaderInvalid(f"the header {name} is reserved for the engine")
        if _FORBIDDEN.search(value) or len(value) > _MAX_VALUE_CHARACTERS:
            raise HeaderInvalid(f"the header {name} contains a line break or is too long")
        checked[name] = value.strip()
    return checked
