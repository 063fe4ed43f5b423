"""The classifier of bounces: only permanent failures of the address are permanent."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.domain.events.bounces import (
    BY_ENHANCED_STATUS,
    BY_PHRASE,
    BY_SMTP_CODE,
    BY_WORD,
    BounceClass,
    classify_bounce,
)

PERMANENT, SOFT, BLOCKED = BounceClass.PERMANENT, BounceClass.SOFT, BounceClass.BLOCKED


@pytest.mark.parametrize(("status", "kind"), BY_ENHANCED_STATUS.items())
def test_each_enhanced_status_decides_alone_and_in_a_text(status: str, kind: BounceClass | None):
    whole = f"{status}.0.0" if "." not in status else status + ".99" * (2 - status.count("."))
    assert classify_bounce(status=whole) is kind
    assert classify_bounce(text=f"smtp; 550 {whole} no") is (kind or PERMANENT)


@pytest.mark.parametrize(("code", "kind"), BY_SMTP_CODE.items())
def test_each_smtp_code_decides_without_an_enhanced_status(code: int, kind: BounceClass | None):
    assert classify_bounce(code=code) is kind
    assert classify_bounce(status=str(code)) is kind
    assert classify_bounce(text=f"{code} sorry") is kind


@pytest.mark.parametrize(("word", "kind"), BY_WORD.items())
def test_each_word_of_a_provider_decides_without_codes(word: str, kind: BounceClass | None):
    # A provider that does not know has said that it bounced, and not that the address is invalid.
    assert classify_bounce(words=[word]) is (kind or SOFT)
    assert classify_bounce(words=[word.upper()]) is (kind or SOFT)


@pytest.mark.parametrize(("phrase", "kind"), BY_PHRASE)
def test_each_phrase_decides_where_the_code_is_general(phrase: str, kind: BounceClass):
    # An earlier phrase may be part of a later one.
    expected = next(each for other, each in BY_PHRASE if other in phrase)
    assert classify_bounce(text=f"550 5.0.0 {phrase}!", code=550) is expected is kind


@pytest.mark.parametrize(
    ("known", "kind"),
    [
        ({}, None),
        ({"text": "something"}, None),
        ({"words": ["Soft Bounce"]}, SOFT),
        ({"words": ["Transient", "General"]}, SOFT),
        ({"words": ["mailbox full"]}, SOFT),
        ({"words": ["Permanent", "General"], "status": "5.1.1"}, PERMANENT),
        ({"words": ["hard_bounce"], "text": "552 5.2.2 over quota"}, SOFT),
        ({"words": ["permanent"], "status": "5.7.1"}, BLOCKED),
        ({"words": ["espblock"], "code": 550, "text": "blocked"}, BLOCKED),
        ({"words": ["old"], "code": 602, "text": "Too old"}, SOFT),
        ({"words": ["blocked"], "status": "5.1.1"}, BLOCKED),
        ({"words": ["Undetermined"], "text": "smtp; 550 5.1.1 user unknown"}, PERMANENT),
        ({"words": ["invented"]}, SOFT),
        ({"words": ["invented"], "code": 550}, PERMANENT),
        ({"code": 451, "text": "Greylisted, try again"}, SOFT),
        ({"status": "4.4.7"}, SOFT),
        ({"status": "5.4.7", "text": "delivery time expired"}, SOFT),
        ({"status": "5.0.0", "text": "554 delivery error: dd This user doesn't have a account"},
         PERMANENT),
        ({"text": "550 5.1.10 RESOLVER.ADR.RecipientNotFound"}, PERMANENT),
        ({"text": "550 see 192.0.2.55.1.1 for more"}, PERMANENT),
        ({"status": 5, "code": None, "text": 7, "words": [None, 3]}, None),
    ],
)  # fmt: skip
def test_a_bounce_is_classified_by_all_that_is_known(known: dict[str, Any], kind: Any):
    assert classify_bounce(**known) is kind
