"""Signed tokens for the links in messages: unsubscribe, open, click, confirm.

A token contains a delivery and, for clicks, a target URL. Without the key tokens cannot be created
or changed, and a token is valid for one purpose only. engine/ builds links and handles requests.
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
    """What a link is for."""

    UNSUBSCRIBE = "unsubscribe"
    OPEN = "open"
    CLICK = "click"
    CONFIRM = "confirm"


# Only the payload, the last part, can contain the separator: the text is unambiguous.
_SIGNED_BEFORE: Final = {
    purpose: b"\0".join((b"drip link", _VERSION.encode(), purpose.encode(), b""))
    for purpose in Purpose
}


@dataclass(frozen=True, slots=True)
class SignedLink:
    """The content of a token."""

    delivery_id: UUID
    url: str | None = None


Signer = Callable[[UUID, str | None], str]
"""Returns the token of a delivery and, for clicks, a URL."""


def signer(secret: str, purpose: Purpose) -> Signer:
    """Return a function that creates URL-safe tokens for this purpose.

    A token consists of version, HMAC-SHA256 and payload: 65 characters without a URL. Use it for
    many tokens: the secret is encoded once. Raises SettingsError if the secret is empty.
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
    """Return the token of one link. Raises SettingsError if the secret is empty."""
    return signer(secret, purpose)(link.delivery_id, link.url)


def verify(secret: str, purpose: Purpose, token: str) -> SignedLink | None:
    """Return the link of a token that was signed with this secret for this purpose, else None.

    Compares in constant time. Raises SettingsError if the secret is empty.
    """
    link = _read(token)
    if link is None:
        return None
    expected = sign(secret, purpose, link)
    return link if hmac.compare_digest(expected.encode(), token.encode()) else None


def _read(token: str) -> SignedLink | None:
    """Return the token's content without verifying the signature."""
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
