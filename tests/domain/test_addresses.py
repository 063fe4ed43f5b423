"""Addresses: what is one, in which form it is compared, and where it is sent to."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.addresses import (
    Unusable,
    canonical_email,
    parse_email,
    parse_phone,
    spellings_of_phone,
    wire_email,
)


def read(text: str) -> str:
    address = parse_email(text)
    return address.reason if isinstance(address, Unusable) else address


def number(text: str, region: str | None = None) -> str:
    parsed = parse_phone(text, region)
    return parsed.reason if isinstance(parsed, Unusable) else parsed


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("ann@example.com", "ann@example.com"),
        (" Ann.Lee+List@Mail.Example.co.uk ", "ann.lee+list@mail.example.co.uk"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("ann@exämple.com", "ann@exämple.com"),
        ("ann@xn--exmple-cua.com", "ann@xn--exmple-cua.com"),
        ("\u200bann@example.com\ufeff", "ann@example.com"),
        ("an\u00adn@exam\u2060ple.com", "ann@example.com"),
        ("\u202aann@example.com\u202c", "ann@example.com"),
        ("ann@example.com.", "ann@example.com"),
        ("jörg@example.com", "non_ascii_local_part"),
        ("ann@foo_bar.com", "invalid_domain"),
        ("ann@❤x.com", "invalid_email"),
        ("ann@" + "b" * 64 + ".com", "invalid_domain"),
        ("ann@localhost", "invalid_email"),
        ("ann@@example.com", "invalid_email"),
        ("ann lee@example.com", "invalid_email"),
        (".ann@example.com", "invalid_email"),
        ("ann.@example.com", "invalid_email"),
        ("ann..lee@example.com", "invalid_email"),
        ("ann@-example.com", "invalid_email"),
        ("ann@example.c", "invalid_email"),
        ("Ann <ann@example.com>", "invalid_email"),
        ("a" * 65 + "@example.com", "invalid_email"),
        ("a@" + "b" * 250 + ".com", "invalid_email"),
        ("", "invalid_email"),
    ],
)
def test_an_address_is_stored_cleaned_or_refused_with_the_reason(text: str, result: str):
    assert read(text) == result


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("a@straße.example", "a@xn--strae-oqa.example"),
        ("a@STRASSE.example", "a@STRASSE.example"),
        ("a@faß.de", "a@xn--fa-hia.de"),
        ("a@βόλος.com", "a@xn--nxasmm1c.com"),
        ("a@Bücher.example", "a@xn--bcher-kva.example"),
        ("a@bu\u0308cher.example", "a@xn--bcher-kva.example"),
        ("a@bücher。example", "a@xn--bcher-kva.example"),
        ("a@ｅｘａｍｐｌｅ.com", "a@example.com"),
        ("jörg@example.com", None),
        ("a@foo_bar.com", None),
        ("a@under_score.müller.de", None),
    ],
)
def test_a_domain_is_encoded_by_idna_2008_and_never_another_one(written: str, sent: str | None):
    assert wire_email(written) == sent


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann@Müller.example", "ann@XN--MLLER-KVA.example"),
        ("a\u200bnn@example.com", "ANN@example.com"),
        ("ann@mu\u0308ller.example", "ann@müller.example"),
        ("ａｎｎ@example.com", "ann@example.com"),
        ("ann@example.com.", "ann@example.com"),
    ],
)
def test_spellings_of_one_address_have_one_canonical_form(one: str, other: str):
    assert canonical_email(one) == canonical_email(other)


def test_eszett_and_ss_are_two_domains():
    assert canonical_email("a@straße.example") != canonical_email("a@strasse.example")


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_the_canonical_form_of_any_text_is_idempotent(text: str):
    assert canonical_email(canonical_email(text)) == canonical_email(text)


@pytest.mark.parametrize(
    ("written", "result"),
    [
        ("+15550100123", "+15550100123"),
        ("+1 (555) 010-0123", "+15550100123"),
        ("0049 151/2345 678", "+491512345678"),
        ("+49\u00a0151\u20132345678", "+491512345678"),
        ("tel:+49-151-23456780", "+4915123456780"),
        ("(+49) 151 23456780", "+4915123456780"),
        ("+49 (0)151 23456780", "+4915123456780"),
        ("0049 (0)151 23456780", "+4915123456780"),
        ("+39 06 1234567", "+39061234567"),
        ("+٤٩١٥١٢٣٤٥٦٧٨٠", "+4915123456780"),
        ("0151 2345678", "phone_without_country"),
        ("15550100123", "phone_without_country"),
        ("+0155501001", "invalid_phone"),
        ("+1", "invalid_phone"),
        ("+155501001231234567", "invalid_phone"),
        ("+1555o100123", "invalid_phone"),
        ("4,91512E+12", "invalid_phone"),
        ("n/a", "invalid_phone"),
        ("", "invalid_phone"),
        ("+44 20 7946 0018 x12", "phone_with_extension"),
        ("+44 20 7946 0018 / +44 20 7946 0019", "several_phones"),
        ("+4915123456787, +4915123456788", "several_phones"),
        ("+4915123456787 oder 0151 23456788", "several_phones"),
    ],
)
def test_a_number_is_e164_or_refused_with_the_reason(written: str, result: str):
    assert number(written) == result


@pytest.mark.parametrize(
    ("written", "region", "result"),
    [
        ("0151 23456784", "DE", "+4915123456784"),
        ("(030) 901820", "DE", "+4930901820"),
        ("(201) 555-0123", "US", "+12015550123"),
        ("1 201 555 0123", "US", "+12015550123"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("600 11 12 22", "ES", "+34600111222"),
        # Exports without the plus sign: the workspace's own country code is one.
        ("4915123456790", "DE", "+4915123456790"),
        ("33611111111", "FR", "+33611111111"),
        # +33 6… in France, or 0336 1… in Germany: both exist.
        ("33611111111", "DE", "ambiguous_phone"),
        # A spreadsheet dropped the zero of 0151…, or this is +1 512….
        ("15123456784", "DE", "ambiguous_phone"),
        ("+33611111111", "DE", "+33611111111"),
        ("12345", "DE", "invalid_phone"),
    ],
)
def test_a_national_number_is_read_in_the_workspaces_country(
    written: str, region: str, result: str
):
    assert number(written, region) == result


EXPORTED = {
    "E164": "+4915123456780",
    "spaces": "+4915123456781",
    "trunk zero": "+442079460018",
    "trunk zero plain": "+4915123456782",
    "double zero": "+4915123456783",
    "national": "phone_without_country",
    "slash": "+4915123456785",
    "dots": "+4915123456786",
    "ext": "phone_with_extension",
    "two numbers": "several_phones",
    "wide digits": "+4915123456789",
    "letters": "+18003569377",
    "excel": "invalid_phone",
    "no plus": "phone_without_country",
    "none": "invalid_phone",
    "ltr mark": "+4915123456791",
}
PHONES = """\
E164,+4915123456780
spaces,+49 151 23456781
trunk zero,+44 (0)20 7946 0018
trunk zero plain,+49 0151 23456782
double zero,0049 151 23456783
national,0151 23456784
slash,+49-151/23456785
dots,+49.151.23456786
ext,+1 212 555 0100 ext. 5
two numbers,+4915123456787; +4915123456788
wide digits,+\uff14\uff19\uff11\uff15\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19
letters,+1-800-FLOWERS
excel,4.91512E+12
no plus,4915123456790
none,
ltr mark,\u202a+4915123456791\u202c
"""


def test_no_notation_of_an_export_becomes_another_number():
    assert {name: number(phone) for name, phone in csv.reader(PHONES.splitlines())} == EXPORTED


def test_the_spellings_inside_a_country_are_those_that_people_write():
    spellings = spellings_of_phone("+4915123456784")
    assert spellings.regions == ["DE"]
    assert set(spellings.national) == {"015123456784", "15123456784", "4915123456784"}
