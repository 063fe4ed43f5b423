"""Proving messages of Amazon SNS, and confirming the subscriptions that an operator asked for.

A message names where the certificate is that it was signed with, so only hosts of SNS itself are
believed, and they are called through the guarded client. The certificate is kept.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from drip_pipeline.channels.http.client import HttpClient, HttpRequest
from drip_pipeline.channels.signatures.verification import (
    VerificationError,
    VerifiedRequest,
    check_moment,
)
from drip_pipeline.errors import DripError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

Fetch = Callable[[str], bytes]
"""URL → the body of its answer. Raises SnsUnreachable."""

RETRIES: Final = timedelta(hours=25)
"""SNS repeats a message, signed once, for an hour, or as long as the topic's policy says. What is
repeated counts once all the same."""
_FUTURE: Final = timedelta(minutes=15)
_HOST: Final = re.compile(r"sns\.[a-z0-9-]{3,40}\.amazonaws\.com(?:\.cn)?")
_MOST_CERTIFICATES: Final = 16
_SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
    "UnsubscribeConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip


class SnsUnreachable(DripError):
    """SNS does not answer, so its message can be neither believed nor refused now."""


def is_sns_url(url: str) -> bool:
    """Whether this is an address of SNS itself: https, its host, no port, no user."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and port is None
        and "@" not in parts.netloc
        and _HOST.fullmatch(parts.netloc) is not None
        # What some reader might take for something else.
        and not re.search(r"[\s\\]", url)
    )


def fetch_by(client: HttpClient) -> Fetch:
    """Fetching through the guarded client."""

    def fetch(url: str) -> bytes:
        (answer,) = client.call([HttpRequest(method="GET", url=url)])
        if answer.failure is not None or answer.status != 200:
            told = answer.failure.value if answer.failure else f"status {answer.status}"
            raise SnsUnreachable(f"Amazon SNS could not be asked: {told}")
        return answer.body

    return fetch


class SnsVerifier:
    """Checks messages of some topics. Safe to use from several threads."""

    def __init__(self, topics: Sequence[str], fetch: Fetch) -> None:
        self._topics = frozenset(topics)
        self._fetch = fetch
        self._certificates: dict[str, Certificate] = {}
        self._lock = threading.Lock()

    def check(self, message: Mapping[str, Any], now: datetime) -> VerifiedRequest:
        """The proof of a message. Raises Unproven, or SnsUnreachable when its certificate cannot be
        had.
        """
        fields = _SIGNED.get(str(message.get("Type")))
        url = message.get("SigningCertURL")
        if (
            fields is None
            or message.get("TopicArn") not in self._topics
            or not (isinstance(url, str) and is_sns_url(url) and url.endswith(".pem"))
        ):
            raise VerificationError("forged")
        self._check_signature(message, fields, self._certificate(url, now))
        try:
            moment = datetime.fromisoformat(str(message["Timestamp"]))
        except ValueError:
            raise VerificationError("forged") from None
        if moment.tzinfo is None:
            raise VerificationError("forged")
        check_moment(moment, now, past=RETRIES, future=_FUTURE)
        return VerifiedRequest(call_id=str(message["MessageId"]))

    def confirm(self, message: Mapping[str, Any]) -> bool:
        """Confirm the subscription that a checked message asks for; False when the address to
        confirm at is none of SNS's. Raises SnsUnreachable.
        """
        url = message.get("SubscribeURL")
        if not (isinstance(url, str) and is_sns_url(url)):
            return False
        self._fetch(url)
        return True

    def _check_signature(
        self, message: Mapping[str, Any], fields: Sequence[str], certificate: Certificate
    ) -> None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.hashes import SHA1, SHA256

        parts = [(name, message[name]) for name in fields if name in message]
        key = certificate.public_key()
        version = message.get("SignatureVersion")
        if (
            not isinstance(key, RSAPublicKey)
            or version not in ("1", "2")
            or not all(isinstance(value, str) for _, value in parts)
            or not {"MessageId", "Timestamp", "Message"} <= {name for name, _ in parts}
        ):
            raise VerificationError("forged")
        signed = "".join(f"{name}\n{value}\n" for name, value in parts).encode()
        try:
            signature = base64.b64decode(str(message.get("Signature")), validate=True)
            # Version 1 is SHA-1, as SNS documents it and signs by default.
            hashed = SHA256() if version == "2" else SHA1()
            key.verify(signature, signed, PKCS1v15(), hashed)
        except (InvalidSignature, binascii.Error, ValueError):
            raise VerificationError("forged") from None

    def _certificate(self, url: str, now: datetime) -> Certificate:
        from cryptography.x509 import load_pem_x509_certificate

        with self._lock:
            found = self._certificates.get(url)
        if found is None:
            try:
                found = load_pem_x509_certificate(self._fetch(url))
            except ValueError:
                raise SnsUnreachable("Amazon SNS gave something that is no certificate") from None
            with self._lock:
                if len(self._certificates) >= _MOST_CERTIFICATES:
                    self._certificates.clear()
                self._certificates[url] = found
        if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
            with self._lock:
                self._certificates.pop(url, None)
            raise VerificationError("stale")
        return found
