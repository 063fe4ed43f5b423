"""The signing certificates of Amazon SNS: names, times, and the chain if it is served."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from drip_pipeline.channels.signatures.sns import SnsUnreachable, SnsVerifier
from drip_pipeline.channels.signatures.sns_certificates import system_roots
from drip_pipeline.channels.signatures.verification import VerificationError
from tests.engine.events.incoming import LATER
from tests.receiver import calls


def stranger() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def check(served: bytes, *roots: x509.Certificate) -> str:
    """What comes of a signed message whose certificate is served so: "verified", or the reason."""
    body, _ = calls.by_sns('{"eventType": "Send"}')
    verifier = SnsVerifier([calls.TOPIC], lambda _url: served, lambda: roots)
    try:
        assert verifier.check(orjson.loads(body), LATER).call_id
    except VerificationError as refused:
        return str(refused)
    return "verified"


def leaf(name: str = "sns.amazonaws.com", *alternatives: str, days: int = 365) -> x509.Certificate:
    key, issuer_key = calls.sns_private(), calls.intermediate_key()
    return calls.a_certificate(
        name, key, "An issuer", issuer_key, days=days, alternatives=alternatives
    )


def test_a_certificate_alone_is_accepted_by_its_names_and_times():
    assert check(calls.pem(leaf())) == "verified"
    assert check(calls.pem(leaf("sns.cn-north-1.amazonaws.com.cn"))) == "verified"
    assert check(calls.pem(leaf("sns.amazonaws.com", "x.example.com", "sns.amazonaws.com"))) == (
        "verified"
    )


@pytest.mark.parametrize(
    "name",
    [
        "evil.example.com", "sns.amazonaws.com.evil.example.com", "xsns.amazonaws.com",
        "sns.a.b.amazonaws.com", "evil.s3.amazonaws.com", "sns-amazonaws.com", "",
    ],
)  # fmt: skip
def test_a_certificate_of_another_name_is_refused(name: str):
    certificate = calls.a_certificate(
        name or " ", calls.sns_private(), "An issuer", calls.intermediate_key()
    )
    assert check(calls.pem(certificate)) == "forged"


def test_alternative_names_must_be_of_sns_too():
    assert check(calls.pem(leaf("sns.amazonaws.com", "evil.example.com"))) == "forged"


def test_a_certificate_that_signed_itself_is_refused():
    key = calls.sns_private()
    own = calls.a_certificate("sns.amazonaws.com", key, "sns.amazonaws.com", key)
    assert check(calls.pem(own)) == "forged"


def test_an_expired_certificate_is_refused_alone_and_in_a_chain():
    assert check(calls.pem(leaf(days=-1))) == "stale"
    assert check(calls.pem(leaf(days=-1), calls.intermediate()), calls.root()) == "stale"
    assert check(calls.pem(leaf(), calls.intermediate(days=-1)), calls.root()) == "stale"


def test_a_chain_that_is_served_must_lead_to_a_root():
    served = calls.pem(leaf(), calls.intermediate())
    assert check(served, calls.root()) == "verified"
    assert check(calls.pem(leaf(), calls.intermediate(), calls.root()), calls.root()) == "verified"
    assert check(served) == "forged"
    assert check(served, *system_roots()) == "forged"


def test_a_forged_chain_is_refused():
    # The same names, by another authority and by one that may not issue.
    other = stranger()
    theirs = calls.a_certificate("A root", other, "A root", other, is_authority=True)
    assert check(calls.pem(leaf(), calls.intermediate()), theirs) == "forged"
    between = calls.a_certificate("An issuer", other, "A root", other, is_authority=True)
    assert check(calls.pem(leaf(), between), calls.root()) == "forged"
    not_an_authority = calls.a_certificate(
        "An issuer", calls.intermediate_key(), "A root", calls.authority_key()
    )
    assert check(calls.pem(leaf(), not_an_authority), calls.root()) == "forged"
    assert check(calls.pem(leaf(), *[calls.intermediate()] * 6), calls.root()) == "forged"


@pytest.mark.parametrize("served", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_what_is_no_certificate_is_asked_for_again(served: bytes):
    with pytest.raises(SnsUnreachable):
        check(served, calls.root())


def test_a_known_certificate_is_fetched_again_when_it_has_expired():
    served = [calls.pem(leaf(days=1)), calls.pem(leaf(days=300))]
    verifier = SnsVerifier([calls.TOPIC], lambda _url: served.pop(0), lambda: ())
    for days in (0, 2, 4):
        now = LATER + timedelta(days=days)
        body, _ = calls.by_sns('{"eventType": "Send"}', at=now)
        assert verifier.check(orjson.loads(body), now).call_id
    assert served == []
