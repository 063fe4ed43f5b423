"""Verify calls of SendGrid, Mailgun and Postmark, and of applications with a bearer token.

Twilio's signature is in sms/twilio_callbacks.py, that of Amazon SNS in sns.py.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import orjson

from drip_pipeline.channels.signatures.verification import (
    VerificationError,
    VerifiedRequest,
    check_time,
)
from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

FUTURE: Final = timedelta(minutes=15)
SENDGRID_RETRIES: Final = timedelta(hours=25)
"""SendGrid repeats a call for 24 hours, so calls of that age must be accepted. Replays within that
time are recognized by their event ids."""
MAILGUN_RETRIES: Final = timedelta(hours=9)
"""Mailgun repeats a call for 8 hours."""
SENDGRID_SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
SENDGRID_TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"


def sendgrid_key(text: str) -> EllipticCurvePublicKey:
    """Parse SendGrid's public key (base64). Raises SettingsError."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except ValueError:
        key = None
    if not isinstance(key, EllipticCurvePublicKey):
        raise SettingsError("DRIP_SENDGRID_KEYS", "contains an invalid public key")
    return key


def check_sendgrid(
    keys: Sequence[EllipticCurvePublicKey], headers: Mapping[str, str], body: bytes, now: datetime
) -> VerifiedRequest:
    """Verify the ECDSA signature over time and body. Raises VerificationError."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    timestamp = headers.get(SENDGRID_TIMESTAMP, "")
    encoded = headers.get(SENDGRID_SIGNATURE, "")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise VerificationError("forged") from None
    for key in keys:
        try:
            key.verify(signature, timestamp.encode() + body, ECDSA(SHA256()))
        except InvalidSignature:
            continue
        check_time(timestamp, now, past=SENDGRID_RETRIES, future=FUTURE)
        return VerifiedRequest(once=f"{timestamp}.{encoded}")
    raise VerificationError("forged")


def check_mailgun(keys: Sequence[Secret], body: bytes, now: datetime) -> VerifiedRequest:
    """Verify the HMAC over time and token, both in the body. A token is accepted once. Raises
    VerificationError."""
    signed = _signature_of(body)
    timestamp, token, signature = (
        str(signed.get(name, "")) for name in ("timestamp", "token", "signature")
    )
    if not token:
        raise VerificationError("forged")
    message = f"{timestamp}{token}".encode()
    for key in keys:
        digest = hmac.digest(key.reveal().encode(), message, "sha256").hex()
        if hmac.compare_digest(digest.encode(), signature.encode()):
            check_time(timestamp, now, past=MAILGUN_RETRIES, future=FUTURE)
            return VerifiedRequest(once=token)
    raise VerificationError("forged")


def check_login(logins: Sequence[Secret], headers: Mapping[str, str]) -> VerifiedRequest:
    """Verify basic authentication, which is all that Postmark offers. Raises VerificationError."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    expected = [base64.b64encode(login.reveal().encode()) for login in logins]
    if scheme.lower() != "basic" or not _is_among(credentials.strip().encode(), expected):
        raise VerificationError("forged")
    return VerifiedRequest()


def check_token(tokens: Sequence[Secret], headers: Mapping[str, str]) -> VerifiedRequest:
    """Verify a bearer token. Raises VerificationError."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    expected = [token.reveal().encode() for token in tokens]
    if scheme.lower() != "bearer" or not _is_among(credentials.strip().encode(), expected):
        raise VerificationError("forged")
    return VerifiedRequest()


def _is_among(credentials: bytes, expected: Sequence[bytes]) -> bool:
    return any(hmac.compare_digest(credentials, each) for each in expected)


def _signature_of(body: bytes) -> Mapping[str, object]:
    try:
        signed = orjson.loads(body)["signature"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise VerificationError("forged") from None
    if not isinstance(signed, dict):
        raise VerificationError("forged")
    return signed
