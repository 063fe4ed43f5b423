"""Verify messages of Amazon SNS, and confirm the subscriptions of configured topics.

A message contains the URL of its signing certificate, so only hosts of SNS are accepted, and they
are called through the guarded client. sns_certificates.py checks the certificates; they are cached.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from drip_pipeline.channels.http.client import HttpClient, HttpRequest
from drip_pipeline.channels.signatures.sns_certificates import (
    Roots,
    SigningCertificate,
    read_certificates,
    system_roots,
)
from drip_pipeline.channels.signatures.verification import (
    VerificationError,
    VerifiedRequest,
    check_timestamp,
)
from drip_pipeline.errors import DripError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

Fetch = Callable[[str], bytes]
"""URL → the body of the answer. Raises SnsUnreachable."""

RETRIES: Final = timedelta(hours=25)
"""SNS repeats a message with the same signature for an hour, or as long as the topic's policy says.
Repeats are recognized by their message ids."""
_FUTURE: Final = timedelta(minutes=15)
_HOST: Final = re.compile(r"sns\.[a-z0-9-]{3,40}\.amazonaws\.com(?:\.cn)?")
_CERTIFICATE: Final = re.compile(
    r"https://sns\.[a-z0-9-]{3,40}\.amazonaws\.com(?:\.cn)?"
    r"/SimpleNotificationService-[0-9a-f]{1,64}\.pem",
    re.ASCII,
)
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
    """SNS does not answer, so its message can be neither verified nor refused now."""


def is_sns_url(url: str) -> bool:
    """Whether this is a URL of SNS: https, a host of SNS, no port, no user."""
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
        # URL parsers disagree about these characters.
        and not re.search(r"[\s\\]", url)
    )


def is_certificate_url(url: str) -> bool:
    """Whether this is the address of a signing certificate of SNS: nothing but its path, because
    answers of SNS itself and files of others may hold any certificate.
    """
    return _CERTIFICATE.fullmatch(url) is not None


def fetch_by(client: HttpClient) -> Fetch:
    """Return a function that fetches through the guarded client."""

    def fetch(url: str) -> bytes:
        (answer,) = client.call([HttpRequest(method="GET", url=url)])
        if answer.failure is not None or answer.status != 200:
            reason = answer.failure.value if answer.failure else f"status {answer.status}"
            raise SnsUnreachable(f"Amazon SNS could not be reached: {reason}")
        return answer.body

    return fetch


class SnsVerifier:
    """Verifies messages of the configured topics. Safe to use from several threads."""

    def __init__(self, topics: Sequence[str], fetch: Fetch, roots: Roots = system_roots) -> None:
        self._topics = frozenset(topics)
        self._fetch = fetch
        self._roots = roots
        self._certificates: dict[str, SigningCertificate] = {}
        self._lock = threading.Lock()

    def check(self, message: Mapping[str, object], now: datetime) -> VerifiedRequest:
        """Verify a message. Raises VerificationError, SnsUnreachable without its certificate."""
        fields = _SIGNED.get(str(message.get("Type")))
        url = message.get("SigningCertURL")
        if (
            fields is None
            or message.get("TopicArn") not in self._topics
            or not (isinstance(url, str) and is_certificate_url(url))
        ):
            raise VerificationError("forged")
        self._check_signature(message, fields, self._certificate(url, now))
        try:
            signed_at = datetime.fromisoformat(str(message["Timestamp"]))
        except ValueError:
            raise VerificationError("forged") from None
        if signed_at.tzinfo is None:
            raise VerificationError("forged")
        check_timestamp(signed_at, now, past=RETRIES, future=_FUTURE)
        return VerifiedRequest(call_id=str(message["MessageId"]))

    def confirm(self, message: Mapping[str, object]) -> bool:
        """Confirm the subscription of a verified message; False if the confirmation URL is not of
        SNS. Raises SnsUnreachable.
        """
        url = message.get("SubscribeURL")
        if not (isinstance(url, str) and is_sns_url(url)):
            return False
        self._fetch(url)
        return True

    def _check_signature(
        self, message: Mapping[str, object], fields: Sequence[str], certificate: Certificate
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
            # Version 1 is SHA-1, the documented default of SNS.
            hashed = SHA256() if version == "2" else SHA1()
            key.verify(signature, signed, PKCS1v15(), hashed)
        except (InvalidSignature, binascii.Error, ValueError):
            raise VerificationError("forged") from None

    def _certificate(self, url: str, now: datetime) -> Certificate:
        with self._lock:
            cached = self._certificates.get(url)
        if cached is not None and cached.is_valid(now):
            return cached.certificate
        try:
            signing = read_certificates(self._fetch(url), now, self._roots)
        except ValueError:
            raise SnsUnreachable("Amazon SNS returned an invalid certificate") from None
        with self._lock:
            if len(self._certificates) >= _MOST_CERTIFICATES:
                self._certificates.clear()
            self._certificates[url] = signing
        return signing.certificate
