"""Signed tokens for the links in messages: unsubscribe, open, click.

A token names a delivery, and a target URL where it needs one; nobody without the key can make or
change one, and one made for a purpose is worth nothing for another. Building whole links and acting
on them belongs to engine/.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
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


Signer = Callable[[UUID, str | None], str]
"""Makes the token of a delivery and, where the purpose needs one, a URL."""


def signer(secret: str, purpose: Purpose) -> Signer:
    """Makes URL-safe tokens for this purpose: version, payload and HMAC-SHA256, 65 characters
    without a URL. For many: the secret is read once.

    Raises SettingsError when the secret is empty.
    """
    if not secret:
        raise SettingsError("DRIP_SECRET_KEY", "is empty; links cannot be signed")
    key = secret.encode()
    before = _SIGNED_BEFORE[purpose]

    def token(delivery_id: UUID, url: str | None) -> str:
        payload = delivery_id.bytes if url is None else delivery_id.bytes + url.encode()
        signature = hmac.digest(key, before + payload, "sha256")
        encoded = base64.urlsafe_b64encode(signature + payload)
        return _VERSION + encoded.rstrip(b"=").decode("ascii")

    return token


def sign(secret: str, purpose: Purpose, link: SignedLink) -> str:
    """The token of one link. Raises SettingsError when the secret is empty."""
    return signer(secret, purpose)(link.delivery_id, link.url)


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
