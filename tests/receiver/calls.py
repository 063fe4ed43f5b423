"""Calls as providers sign them, with keys of our own."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from standardwebhooks import Webhook

from tests.engine.events.incoming import LATER

TOPIC = "arn:aws:sns:eu-central-1:123456789012:ses-events"
CERTIFICATE_URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123.pem"
SUBSCRIBE_URL = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=abc"
MAILGUN_KEY = "mailgun signing key"
TWILIO_TOKEN = "twilio token"
LOGIN = "postmark:a password"
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()

Call = tuple[bytes, dict[str, str]]


@cache
def sendgrid_private() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def sendgrid_public() -> str:
    der = (
        sendgrid_private()
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    return base64.b64encode(der).decode()


@cache
def sns_private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def authority_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def intermediate_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def a_certificate(
    name: str,
    key: rsa.RSAPrivateKey,
    issuer: str,
    issuer_key: rsa.RSAPrivateKey,
    *,
    days: int = 365,
    is_authority: bool = False,
    alternatives: Sequence[str] = (),
) -> x509.Certificate:
    """A certificate as authorities issue them. Without `alternatives`, its only one is its name."""
    authority = issuer_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(LATER - timedelta(days=30))
        .not_valid_after(LATER + timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), False)
    )
    if is_authority:
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(identifier, False).add_extension(usage, True)
    else:
        names = [x509.DNSName(each) for each in alternatives or (name,)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(server, False)
    return builder.sign(issuer_key, SHA256())


@cache
def root() -> x509.Certificate:
    key = authority_key()
    return a_certificate("A root", key, "A root", key, is_authority=True)


@cache
def intermediate(days: int = 365) -> x509.Certificate:
    return a_certificate(
        "An issuer", intermediate_key(), "A root", authority_key(), days=days, is_authority=True
    )


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


@cache
def signing_certificate(days: int = 365, name: str = "sns.amazonaws.com") -> x509.Certificate:
    return a_certificate(name, sns_private(), "An issuer", intermediate_key(), days=days)


def sns_certificate() -> bytes:
    """The certificate as SNS serves it, alone."""
    return pem(signing_certificate())


def by_sendgrid(body: bytes, at: datetime = LATER) -> Call:
    timestamp = str(int(at.timestamp()))
    signature = sendgrid_private().sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    return body, {
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
    }


def by_mailgun(event_data: Any, at: datetime = LATER, token: str = "a" * 50) -> Call:
    timestamp = str(int(at.timestamp()))
    signature = hmac.digest(MAILGUN_KEY.encode(), f"{timestamp}{token}".encode(), "sha256").hex()
    signed = {"timestamp": timestamp, "token": token, "signature": signature}
    return orjson.dumps({"signature": signed, "event-data": event_data}), {}


def by_postmark(body: bytes, login: str = LOGIN) -> Call:
    return body, {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def by_twilio(form: Mapping[str, str], path: str = "/events/twilio") -> Call:
    text = f"https://mail.example.com{path}" + "".join(f"{n}{form[n]}" for n in sorted(form))
    digest = hmac.digest(TWILIO_TOKEN.encode(), text.encode(), "sha1")
    return urlencode(form).encode(), {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": base64.b64encode(digest).decode(),
    }


def by_standard(body: bytes, at: datetime = LATER, call_id: str = "msg_1") -> Call:
    return body, {
        "webhook-id": call_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(call_id, at, body.decode()),
    }


def by_sns(
    message: str, *, kind: str = "Notification", version: str = "2", at: datetime = LATER,
    **changed: str,
) -> Call:  # fmt: skip
    """A message of SNS; `changed` fields are signed along."""
    notice = {
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
    }
    fields = ["Message", "MessageId", "Timestamp", "TopicArn", "Type"]
    if kind != "Notification":
        notice |= {"Token": "abc", "SubscribeURL": SUBSCRIBE_URL}
        fields += ["SubscribeURL", "Token"]
    notice |= changed
    if "Subject" in notice:
        fields.append("Subject")
    signed = "".join(f"{name}\n{notice[name]}\n" for name in sorted(fields))
    hashed = SHA256() if version == "2" else SHA1()
    signature = sns_private().sign(signed.encode(), padding.PKCS1v15(), hashed)
    notice["Signature"] = base64.b64encode(signature).decode()
    return orjson.dumps(notice), {"Content-Type": "text/plain; charset=UTF-8"}
