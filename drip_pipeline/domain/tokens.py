"""Signed tokens for the links in messages: unsubscribe, open, click.

A token names a delivery, and a target URL where it needs one; nobody without the key can make or
change one, and one made for a purpose is worth nothing for another. Building whole links and acting
on them belongs to engine/.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from drip_pipeline.errors import SettingsError

_VERSION: Final = "1"
_UUID_BYTES: Final = 16
_SIGNATURE_BYTES: Final = 32
_MAX_TOKEN_CHARACTERS: Final = 8_000


class Purpose(StrEnum):
    """What following a link does."""

    UNSUBSCRIBE = "unsubscribe"
    OPEN = "open"
    CLICK = "click"


# No part but the payload, the last, can hold the separator: one text, one meaning.
_SIGNED_BEFORE: Final = {
    purpose: b"\0".join((b"drip link", _VERSION.encode(), purpose.encode(), b""))
    for purpose in Purpose
}


@dataclass(frozen=True, slots=True)
class SignedLink:
    """What a token carries."""

    delivery_id: UUID
    url: str | None = None


def sign(secret: str, purpose: Purpose, link: SignedLink) -> str:
    """A URL-safe token of this link: version, payload and HMAC-SHA256, 65 characters without a URL.

    Raises SettingsError when the secret is empty.
    """
    if not secret:
        raise SettingsError("DRIP_SECRET_KEY", "is empty; links cannot be signed")
    payload = link.delivery_id.bytes
    if link.url is not None:
        payload += link.url.encode()
    signature = hmac.digest(secret.encode(), _SIGNED_BEFORE[purpose] + payload, "sha256")
    return _VERSION + base64.urlsafe_b64encode(signature + payload).rstrip(b"=").decode("ascii")


def verify(secret: str, purpose: Purpose, token: str) -> SignedLink | None:
    """The link of a token that `sign` made with this secret for this purpose; None otherwise.

    Compares in constant time. Raises SettingsError when the secret is empty.
    """
    link = _read(token)
    if link is None:
        return None
    expected = sign(secret, purpose, link)
    return link if hmac.compare_digest(expected.encode(), token.encode()) else None


def _read(token: str) -> SignedLink | None:
    """What the token says, not yet believed."""
    if len(token) > _MAX_TOKEN_CHARACTERS or not (token.isascii() and token.startswith(_VERSION)):
        return None
    text = token.removeprefix(_VERSION)
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        payload = decoded[_SIGNATURE_BYTES:]
        url = payload[_UUID_BYTES:].decode()
        return SignedLink(UUID(bytes=payload[:_UUID_BYTES]), url or None)
    except (binascii.Error, ValueError):
        return None
