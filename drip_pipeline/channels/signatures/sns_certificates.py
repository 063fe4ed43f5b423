"""Check the signing certificates of Amazon SNS.

What authenticates a certificate is its address: a fixed path on a host of SNS, over TLS that is
verified with the roots of the system. SNS serves the certificate alone, without those between it
and a root, and publishes no address for them, so its chain cannot be verified in general; the
validators of AWS's own libraries verify none. The certificate must be issued by another one to SNS
by name, and be valid now. If others are served with it, the chain must lead to a root of the
system.
"""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from drip_pipeline.channels.signatures.verification import VerificationError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

Roots = Callable[[], "Sequence[Certificate]"]
"""Return the certificates that chains must lead to."""

_NAME: Final = re.compile(r"sns(?:\.[a-z0-9-]{3,40})?\.amazonaws\.com(?:\.cn)?", re.ASCII)
_MOST_CERTIFICATES: Final = 6


class SigningCertificate(NamedTuple):
    """A certificate whose names and chain were checked, and when the chain is valid."""

    certificate: Certificate
    not_before: datetime
    not_after: datetime

    def is_valid(self, now: datetime) -> bool:
        """Return whether the certificate and those above it are valid at this time."""
        return self.not_before <= now <= self.not_after


@cache
def system_roots() -> Sequence[Certificate]:
    """Return the roots by which Python verifies TLS."""
    from cryptography.x509 import load_der_x509_certificate

    roots = []
    with warnings.catch_warnings():  # about the serial numbers of old roots
        warnings.simplefilter("ignore")
        for der in ssl.create_default_context().get_ca_certs(binary_form=True):
            try:
                roots.append(load_der_x509_certificate(der))
            except ValueError:
                continue  # nothing leads to a root that cannot be read
    return roots


def read_certificates(pem: bytes, now: datetime, roots: Roots) -> SigningCertificate:
    """Return the signing certificate, which comes first, after checking its names and its chain.

    Raises ValueError for a text without certificates, VerificationError for one that is not SNS's,
    or not valid now.
    """
    from cryptography.x509 import load_pem_x509_certificates

    leaf, *others = load_pem_x509_certificates(pem)
    if len(others) >= _MOST_CERTIFICATES or not _is_of_sns(leaf):
        raise VerificationError("forged")
    chain = [leaf, *others]
    signing = SigningCertificate(
        leaf,
        max(each.not_valid_before_utc for each in chain),
        min(each.not_valid_after_utc for each in chain),
    )
    if not signing.is_valid(now):
        raise VerificationError("stale")
    if others and not _leads_to_a_root(leaf, others, roots(), now):
        raise VerificationError("forged")
    return signing


def _is_of_sns(certificate: Certificate) -> bool:
    """Return whether another certificate was made for SNS: by its subject, and by its alternative
    names if it has any."""
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    alternatives = _dns_names(certificate)
    return (
        certificate.issuer != certificate.subject
        and any(_NAME.fullmatch(str(name.value)) for name in names)
        and (not alternatives or any(map(_NAME.fullmatch, alternatives)))
    )


def _dns_names(certificate: Certificate) -> list[str]:
    from cryptography.x509 import DNSName, ExtensionNotFound, SubjectAlternativeName

    try:
        extension = certificate.extensions.get_extension_for_class(SubjectAlternativeName)
    except ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(DNSName)


def _leads_to_a_root(
    leaf: Certificate, others: Sequence[Certificate], roots: Sequence[Certificate], now: datetime
) -> bool:
    from cryptography.x509 import DNSName
    from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

    name = next(filter(_NAME.fullmatch, _dns_names(leaf)), None)
    if name is None or not roots:
        return False
    builder = PolicyBuilder().store(Store(list(roots))).time(now)
    try:
        builder.build_server_verifier(DNSName(name)).verify(leaf, list(others))
    except VerificationError:
        return False
    return True
