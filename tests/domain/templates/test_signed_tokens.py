"""Signed tokens are valid only with the key and for the purpose they were signed for."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.templates.signed_tokens import Purpose, SignedLink, sign, verify
from drip_pipeline.errors import SettingsError

SECRET = "a key for tests"
DELIVERY = UUID("6f0e2c1a-7f3b-5c4d-9e8f-0123456789ab")
TOKEN = sign(SECRET, Purpose.CLICK, SignedLink(DELIVERY, "https://example.com/?a=ü"))


@given(st.uuids(), st.none() | st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_signed_link_is_verified(delivery_id: UUID, url: str | None) -> None:
    link = SignedLink(delivery_id, url)
    token = sign(SECRET, Purpose.CLICK, link)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert verify(SECRET, Purpose.CLICK, token) == link


def test_an_unsubscribe_token_is_short() -> None:
    assert len(sign(SECRET, Purpose.UNSUBSCRIBE, SignedLink(DELIVERY))) == 65


def test_a_token_with_a_changed_character_is_invalid() -> None:
    alphabet = "ABCXYZabcxyz0189-_"
    for place, character in enumerate(TOKEN):
        for other in alphabet.replace(character, ""):
            changed = TOKEN[:place] + other + TOKEN[place + 1 :]
            assert verify(SECRET, Purpose.CLICK, changed) is None


def test_a_shortened_or_lengthened_token_is_invalid() -> None:
    for length in range(len(TOKEN)):
        assert verify(SECRET, Purpose.CLICK, TOKEN[:length]) is None
    for tail in ("A", "=", "==", "AAAA", "\n", " ", "é"):
        assert verify(SECRET, Purpose.CLICK, TOKEN + tail) is None


def test_a_token_is_valid_for_its_purpose_only() -> None:
    for purpose in Purpose:
        believed = verify(SECRET, purpose, TOKEN)
        assert (believed is not None) is (purpose is Purpose.CLICK)


def test_a_token_is_invalid_with_another_key() -> None:
    assert verify("another key", Purpose.CLICK, TOKEN) is None


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(SettingsError, match="DRIP_SECRET_KEY"):
        sign("", Purpose.OPEN, SignedLink(DELIVERY))
    with pytest.raises(SettingsError, match="DRIP_SECRET_KEY"):
        verify("", Purpose.CLICK, TOKEN)


@given(st.text(max_size=100) | st.text("1AZaz09-_", max_size=200))
def test_an_arbitrary_text_is_not_a_valid_token(token: str) -> None:
    assert verify(SECRET, Purpose.UNSUBSCRIBE, "1" + token) is None
