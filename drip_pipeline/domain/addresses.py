"""Email addresses and phone numbers: parse what a file or an application wrote into the form that
is stored, the form in which addresses are compared, and the form that is sent to.

The database functions canonical_email and canonical_phone compare addresses inside SQL; a test
checks that they agree with this module. The suppression list belongs to engine/.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

MAX_ADDRESS_CHARACTERS: Final = 254
MAX_LOCAL_PART_CHARACTERS: Final = 64
# Characters that nobody sees: soft hyphen, joiners, marks of direction, variation selectors, byte
# order mark. Copying from web pages and spreadsheets brings them along.
INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0"
)
_INVISIBLE: Final = re.compile(f"[{INVISIBLE}]")
_SYNTAX: Final = re.compile(
    r"""[^\s@<>(),;:"\[\]\\]{1,64}@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_](?:[\w-]*[^\W_])"""
)
_LOCAL_PART: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)
# Unambiguous: with optional parts inside a repetition, matching a malicious address of 250
# characters would take years.
_LABEL: Final = "[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_LABEL_CHARACTERS: Final = 63

_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
# What separates two numbers in a cell; a slash also groups the digits of one number, so that it
# separates only before a plus sign or `00`.
_NEXT_NUMBER: Final = re.compile(r"\d\s*(?:[;,|\n]|\bor\b|\boder\b|/\s*(?=\+|00))\s*\S*\d")
_SCIENTIFIC: Final = re.compile(r"[-+]?\d+[.,]\d+[eE]\+?\d+")
_INTERNATIONAL: Final = re.compile(r"(?:tel:)?[\s(]*\+", re.IGNORECASE)
_DIGIT: Final = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Unusable:
    """An address that cannot be used, with the reason code for reports and skipped messages."""

    reason: str


INVALID_EMAIL: Final = Unusable("invalid_email")
INVALID_DOMAIN: Final = Unusable("invalid_domain")
NON_ASCII_LOCAL_PART: Final = Unusable("non_ascii_local_part")
INVALID_PHONE: Final = Unusable("invalid_phone")
PHONE_WITHOUT_COUNTRY: Final = Unusable("phone_without_country")
AMBIGUOUS_PHONE: Final = Unusable("ambiguous_phone")
PHONE_WITH_EXTENSION: Final = Unusable("phone_with_extension")
SEVERAL_PHONES: Final = Unusable("several_phones")


def clean(text: str) -> str:
    """Remove invisible characters and surrounding white space; normalize wide digits, ligatures and
    combining accents (NFKC).
    """
    if text.isascii():
        return text.strip()
    normalized = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return normalized.replace("\u3002", ".").strip()  # the full stop of Chinese and Japanese


def parse_email(text: str) -> str | Unusable:
    """Return the address as it is stored: cleaned, in lower case, its domain as written.

    Unusable: no address (`invalid_email`), a domain that DNS cannot hold, for example with an
    underscore (`invalid_domain`), or a local part that only servers with SMTPUTF8 accept
    (`non_ascii_local_part`). Existence is not checked.
    """
    address = clean(text).rstrip(".")
    if (
        len(address) > MAX_ADDRESS_CHARACTERS
        or _SYNTAX.fullmatch(address) is None
        or ".." in address
        or address.startswith(".")
        or ".@" in address
    ):
        return INVALID_EMAIL
    if wire_email(address) is None:
        local, _, domain = address.rpartition("@")
        if wire_domain(domain) is None:
            return INVALID_DOMAIN
        return INVALID_EMAIL if local.isascii() else NON_ASCII_LOCAL_PART
    return address.lower()


def wire_email(address: str) -> str | None:
    """Return the address as sent over SMTP: ASCII, the domain in IDNA 2008; None if it is invalid.

    Quoted and non-ASCII local parts are invalid here, because few servers accept them.
    """
    if not address.isascii():
        address = clean(address)
    local, _, domain = address.rpartition("@")
    wire = wire_domain(domain)
    if wire is None or len(local) > MAX_LOCAL_PART_CHARACTERS:
        return None
    if len(local) + 1 + len(wire) > MAX_ADDRESS_CHARACTERS or _LOCAL_PART.fullmatch(local) is None:
        return None
    return f"{local}@{wire}"


def wire_domain(domain: str) -> str | None:
    """Return a domain name as DNS holds it, None if it is not one.

    IDNA 2008 with the mapping of UTS 46, non-transitional: `ß` stays a letter of its own. The codec
    of the standard library is IDNA 2003, which makes it `ss`, another domain.
    """
    if not domain.isascii():
        encoded = _encoded_domain(domain)
        if encoded is None:
            return None
        domain = encoded
    if _DOMAIN.fullmatch(domain) is None:
        return None
    if len(domain) > _MAX_LABEL_CHARACTERS and any(
        len(label) > _MAX_LABEL_CHARACTERS for label in domain.split(".")
    ):
        return None
    return domain


@lru_cache(maxsize=4096)
def _encoded_domain(domain: str) -> str | None:
    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:  # idna's errors among them
        return None


def canonical_email(text: str) -> str:
    """Return the form in which addresses are compared: lower case, no invisible characters, the
    domain in ASCII. A text that is no address is only cleaned. Idempotent.
    """
    address = clean(text).rstrip(".")
    if not address.isascii():
        local, _, domain = address.rpartition("@")
        encoded = _encoded_domain(domain)
        if encoded is not None:
            address = f"{local}@{encoded}"
    return address.lower()


def parse_phone(text: str, region: str | None = None) -> str | Unusable:
    """Return a phone number in E.164 form: plus sign, country code, national number.

    `region` is the ISO 3166 code of the country of numbers without a country code. Unusable: such a
    number without a region (`phone_without_country`), because a guess would call somebody else;
    digits that are two existing numbers (`ambiguous_phone`); a cell with several numbers
    (`several_phones`); a number with an extension, which a text message cannot reach
    (`phone_with_extension`); and what cannot be read (`invalid_phone`).
    """
    return _parse_phone(clean(text), region)


@lru_cache(maxsize=4096)
def _parse_phone(text: str, region: str | None) -> str | Unusable:
    if _SCIENTIFIC.fullmatch(text) or not _DIGIT.search(text):
        return INVALID_PHONE
    if _NEXT_NUMBER.search(text):
        return SEVERAL_PHONES
    if text.startswith("00"):
        text = f"+{text[2:].lstrip()}"
    if _INTERNATIONAL.match(text):
        return _e164(text, None)
    return PHONE_WITHOUT_COUNTRY if region is None else _national(text, region)


def _national(text: str, region: str) -> str | Unusable:
    """Read a number that was written without a plus sign.

    Where national numbers begin with a zero, digits that do not may be those of an international
    number (exports leave the plus sign out) or of a national one (spreadsheets drop the zero). If
    both exist, the number is refused: one of them is somebody else's.
    """
    import phonenumbers

    national = _e164(text, region)
    trunk_prefix = phonenumbers.ndd_prefix_for_region(region, True)
    digits = "".join(_DIGIT.findall(text))
    if trunk_prefix != "0" or digits.startswith("0"):
        return national
    international = _e164(f"+{digits}", None, must_exist=True)
    if isinstance(international, Unusable):
        return national
    if digits.startswith(str(phonenumbers.country_code_for_region(region))):
        return international
    return AMBIGUOUS_PHONE if isinstance(national, str) else national


def _e164(text: str, region: str | None, *, must_exist: bool = False) -> str | Unusable:
    """Format a number. One with a country code needs the right length, a national one must exist in
    its country's numbering plan, because its country is a guess.
    """
    import phonenumbers  # 0.1 s, only for those who send SMS

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return INVALID_PHONE
    if number.extension:
        return PHONE_WITH_EXTENSION
    is_usable = (
        phonenumbers.is_valid_number(number)
        if region is not None or must_exist
        else phonenumbers.is_possible_number(number)
    )
    if not is_usable:
        return INVALID_PHONE
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return e164 if _E164.fullmatch(e164) else INVALID_PHONE


@dataclass(frozen=True, slots=True)
class PhoneSpellings:
    """A number in E.164 form, and its spellings inside its countries (`regions`), digits only: with
    and without the zero that is dialed there, and without the plus sign.
    """

    number: str
    national: list[str]
    regions: list[str]


def spellings_of_phone(number: str) -> PhoneSpellings:
    """Return the spellings of a number in E.164 form that applications may have written."""
    import phonenumbers

    parsed = phonenumbers.parse(number, None)
    regions = list(phonenumbers.region_codes_for_country_code(parsed.country_code or 0))
    significant = phonenumbers.national_significant_number(parsed)
    prefixes = {phonenumbers.ndd_prefix_for_region(region, True) or "" for region in regions}
    national = {f"{prefix}{significant}" for prefix in prefixes} | {significant, number[1:]}
    return PhoneSpellings(number, sorted(national), regions)


def is_region(code: str) -> bool:
    """Return whether `code` is an ISO 3166 country code with phone numbers of its own."""
    import phonenumbers

    return code in phonenumbers.SUPPORTED_REGIONS


def parse_address(text: str, region: str | None = None) -> str | Unusable:
    """Return an email address or a phone number as it is stored; with an `@` it is the former."""
    return parse_email(text) if "@" in clean(text) else parse_phone(text, region)
