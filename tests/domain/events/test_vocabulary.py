from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.events.vocabulary import (
    CONTACT_EVENT_TYPES,
    ENGINE_EVENT_TYPES,
    EVENT_ALIASES,
    EVENT_SOURCES,
    EVENT_TYPES,
    PROVIDER_EVENT_TYPES,
    event_type_named,
    is_known_event_type,
    is_own_event_name,
    normalize_event_type,
    suggest_event_type,
)

SPECIFIED = [
    "email_sent",
    "email_delivered",
    "email_opened",
    "email_clicked",
    "email_replied",
    "email_bounced",
    "sms_sent",
    "sms_delivered",
    "sms_replied",
    "social_posted",
    "social_engaged",
    "webhook_triggered",
    "webhook_succeeded",
    "webhook_failed",
    "tag_added",
    "tag_removed",
    "score_updated",
    "condition_evaluated",
    "wait_started",
    "wait_completed",
    "variant_assigned",
    "enrollment_started",
    "enrollment_completed",
    "enrollment_exited",
]
ADDED = [
    "email_unsubscribed",
    "email_complained",
    "email_deferred",
    "email_failed",
    "email_suppressed",
    "sms_failed",
    "sms_opted_out",
    "social_failed",
    "field_updated",
    "message_skipped",
    "goal_reached",
    "converted",
    "enrollment_failed",
    "retry_scheduled",
]


@pytest.mark.parametrize("name", SPECIFIED + ADDED)
def test_every_event_type_that_was_decided_is_in_the_vocabulary(name: str) -> None:
    assert EVENT_TYPES[name].name == name
    assert name in PROVIDER_EVENT_TYPES | ENGINE_EVENT_TYPES


@pytest.mark.parametrize(
    ("short", "name"),
    [
        ("email_open", "email_opened"),
        ("email_click", "email_clicked"),
        ("reply", "email_replied"),
        ("email_reply", "email_replied"),
        ("Email-Opened ", "email_opened"),
        ("unsubscribe", "email_unsubscribed"),
        ("spam complaint", "email_complained"),
        ("sms_reply", "sms_replied"),
        ("conversion", "converted"),
        ("page_viewed", "page_view"),
    ],
)
def test_short_names_mean_the_event_type(short: str, name: str) -> None:
    assert normalize_event_type(short) == name
    assert is_known_event_type(short)


def test_normalizing_is_idempotent_and_aliases_are_in_the_vocabulary() -> None:
    for alias, name in EVENT_ALIASES.items():
        assert name in EVENT_TYPES, alias
        assert alias not in EVENT_TYPES
        assert normalize_event_type(normalize_event_type(alias)) == name


def test_an_unknown_name_is_returned_and_distinguished() -> None:
    assert normalize_event_type("Moon Rise") == "moon_rise"
    assert not is_known_event_type("Moon Rise")
    assert suggest_event_type("moonrise", {"moon_rise"}) == "moon_rise"
    assert suggest_event_type("email_clickked") == "email_clicked"
    assert suggest_event_type("zzzzzz") is None


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("report_created", "report_created"),
        ("order.shipped", "order.shipped"),
        ("Order.Shipped ", "order.shipped"),
        ("plan-b 2", "plan_b_2"),
        ("x" * 64, "x" * 64),
    ],
)
def test_an_organization_names_its_own_events(name: str, own: str) -> None:
    assert event_type_named(name) == own
    assert is_own_event_name(name)
    assert not is_known_event_type(name)


@pytest.mark.parametrize(
    "name", ["", "9lives", "_a", ".a", "größe", "a/b", "a\x00", "x" * 65, "a:b", "İx", "a\u00b2"]
)
def test_a_name_that_is_not_well_formed_is_refused(name: str) -> None:
    assert not is_own_event_name(name)
    with pytest.raises(ValueError, match="an event name has lower-case letters"):
        event_type_named(name)


@pytest.mark.parametrize("name", ["email.opened", "order", "Order", "purchase", "email_sent"])
def test_names_of_the_vocabulary_keep_their_meaning(name: str) -> None:
    assert event_type_named(name) in EVENT_TYPES
    assert not is_own_event_name(name)


@given(st.text(st.sampled_from("ab._- E9"), max_size=12))
def test_normalizing_any_name_is_idempotent(name: str) -> None:
    assert normalize_event_type(normalize_event_type(name)) == normalize_event_type(name)


def test_only_contact_level_events_need_no_enrollment() -> None:
    assert {"purchase", "page_view", "converted"} <= CONTACT_EVENT_TYPES
    assert not CONTACT_EVENT_TYPES & {"email_opened", "email_sent", "wait_started"}
    assert CONTACT_EVENT_TYPES <= PROVIDER_EVENT_TYPES


def test_internal_events_are_not_accepted_from_outside() -> None:
    assert not PROVIDER_EVENT_TYPES & {"enrollment_started", "variant_assigned", "email_sent"}
    assert all(kind.source in EVENT_SOURCES for kind in EVENT_TYPES.values())
