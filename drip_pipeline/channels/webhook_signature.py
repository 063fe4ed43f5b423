"""Signing calls as Standard Webhooks v1 has it, so that a receiver can tell ours from others."""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import datetime
from typing import Final

from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import Secret

_PREFIX: Final = "whsec_"
_LEAST_BYTES: Final = 16


def signing_key(name: str, secret: Secret) -> bytes:
    """The key in a secret of the form `whsec_<base64>`. `name` is its variable, for the message.

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
            hint="`openssl rand -base64 32` makes one; put whsec_ in front.",
        )
    return key


def signature_headers(
    key: bytes | None, message_id: str, moment: datetime, body: bytes
) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and, with a key, `webhook-signature`."""
    timestamp = str(int(moment.timestamp()))
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp}
    if key is not None:
        signed = f"{message_id}.{timestamp}.".encode("ascii") + body
        digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode("ascii")
        headers["webhook-signature"] = f"v1,{digest}"
    return headers
