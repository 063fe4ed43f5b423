"""Deterministic ids, which are the same on every repetition, and the hash that assigns variants.

Pure functions: no random numbers, no clock.
"""

from __future__ import annotations

from hashlib import blake2b, md5, sha1
from typing import Final
from uuid import UUID

DELIVERY_NAMESPACE: Final = UUID("6f1ed002-ab5b-5d2c-9a4e-d51c0a6d6c11")
_TEST_PREFIX: Final = b"d-test"
_TEST_VERSION: Final = 8
BUCKETS: Final = 10_000
"""Resolution of the assignment hash: a hundredth of a percent."""


def delivery_id(state_id: UUID, node_id: str, visit: int) -> UUID:
    """Return the uuid5 of (state, node, visit).

    `visit` is the number of nodes passed before: a loop that reaches the node again creates another
    delivery, a repetition of the same step finds the existing one. Equals uuid.uuid5 (RFC 9562
    §5.5) without the conversion to text, because a batch creates thousands.
    """
    name = f"{state_id.hex}:{node_id}:{visit}".encode()
    digest = bytearray(sha1(DELIVERY_NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x50
    digest[8] = (digest[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(digest))


def id_of_test_message(source: UUID) -> UUID:
    """Return the id of a message that is no delivery: of a preview or a test send.

    A UUID of version 8 (RFC 9562 §5.8), which deliveries never have, so that its links can be
    recognized without a query. The other bits are those of `source`.
    """
    content = bytearray(_TEST_PREFIX + source.bytes[len(_TEST_PREFIX) :])
    content[6] = (content[6] & 0x0F) | 0x80
    content[8] = (content[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(content))


def is_test_message(message_id: UUID) -> bool:
    """Return whether `id_of_test_message` made this id."""
    content = message_id.bytes
    return content.startswith(_TEST_PREFIX) and content[6] >> 4 == _TEST_VERSION


def event_key(provider: str, event_id: str) -> UUID:
    """Return the id of a provider's event in the log; it is the same in every file and request."""
    return UUID(bytes=md5(f"{provider}\x1f{event_id}".encode(), usedforsecurity=False).digest())


def assignment_bucket(
    campaign_id: UUID, split_node_id: str, contact_id: UUID, salt: str = ""
) -> int:
    """Return the bucket (0 to 9,999) of a contact at a split.

    The bucket is the same on every repetition and independent between splits and campaigns.
    """
    key = f"{campaign_id.hex}:{split_node_id}:{salt}".encode()
    digest = blake2b(contact_id.bytes, digest_size=8, key=blake2b(key, digest_size=32).digest())
    return int.from_bytes(digest.digest(), "big") % BUCKETS
