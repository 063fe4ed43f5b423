"""Sign outgoing calls and verify incoming ones, as specified by Standard Webhooks v1."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.channels.signatures.verification import (
    VerificationError,
    VerifiedRequest,
    check_time,
)
from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import Secret

_PREFIX: Final = "whsec_"
_LEAST_BYTES: Final = 16
_TOLERANCE: Final = timedelta(minutes=5)
_MOST_SIGNATURES: Final = 10
_LONGEST_ID: Final = 256


def signing_key(name: str, secret: Secret) -> bytes:
    """Return the key of a secret of the form `whsec_<base64>`; `name` is its variable.

    Raises SettingsError, which never quotes the secret.
    """
    try:
        key = base64.b64decode(secret.reveal().removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _LEAST_BYTES:
        raise SettingsError(
            name,
            f"must be {_PREFIX} and base64 of {_LEAST_BYTES} bytes or more",
            hint="Create one with `openssl rand -base64 32` and prefix it with whsec_.",
        )
    return key


def signature_headers(
    key: bytes | None, message_id: str, sent_at: datetime, body: bytes
) -> dict[str, str]:
    """Return `webhook-id`, `webhook-timestamp` and, with a key, `webhook-signature`."""
    timestamp = str(int(sent_at.timestamp()))
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp}
    if key is not None:
        signed = f"{message_id}.{timestamp}.".encode("ascii") + body
        digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode("ascii")
        headers["webhook-signature"] = f"v1,{digest}"
    return headers


def check_signature(
    keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: datetime
) -> VerifiedRequest:
    """Verify a call signed with one of these keys; its id is `webhook-id`. Senders sign a repeated
    call again, so the same signature twice is a replay. Raises VerificationError.
    """
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or len(message_id) > _LONGEST_ID:
        raise VerificationError("forged")
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = headers.get("webhook-signature", "").split(" ")[:_MOST_SIGNATURES]
    digests = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    for each in signatures:
        version, _, signature = each.partition(",")
        if version == "v1" and any(
            hmac.compare_digest(signature.encode(), digest) for digest in digests
        ):
            check_time(timestamp, now, past=_TOLERANCE, future=_TOLERANCE)
            return VerifiedRequest(call_id=message_id, once=f"{message_id}.{timestamp}.{signature}")
    raise VerificationError("forged")
