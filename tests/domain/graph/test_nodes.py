from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from drip_pipeline.domain.graph.nodes import (
    AfterDays,
    DurationWait,
    EmailConfig,
    EventWait,
    ExitConfig,
    FieldUpdateAction,
    NodeConfig,
    ScoreAction,
    SmsAction,
    SocialAction,
    SplitConfig,
    TagAction,
    TriggerConfig,
    Variant,
    WebhookAction,
    channel_of,
)


@pytest.mark.parametrize(
    ("value", "unit", "seconds"),
    [(2, "hours", 7200), (1.5, "days", 129_600), (0, "weeks", 0), (90, "minute", 5400)],
)
def test_a_wait_knows_its_length_in_seconds(value: float, unit: Any, seconds: int) -> None:
    assert DurationWait(value=value, unit=unit).seconds == seconds


@pytest.mark.parametrize("value", [-1, True, float("inf"), 4000, "soon"])
def test_a_wait_of_nonsensical_length_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        DurationWait(value=value, unit="days")


def test_an_event_wait_speaks_the_vocabulary_and_has_an_end() -> None:
    assert EventWait(event_type="email_open").event_type == "email_opened"
    assert EventWait(event_type="reply").max_wait_seconds == 7 * 86_400
    given = EventWait.model_validate(
        {"event_type": "x", "max_wait_duration": {"value": 1, "unit": "hour"}}
    )
    assert given.max_wait_seconds == 3600


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (EmailConfig, {"subject": "a", "body": "b", "color": "red"}),
        (EmailConfig, {"subject": "a\nBcc: x@example.com", "body": "b"}),
        (EmailConfig, {"subject": "a\u2028b", "body": "b"}),
        (EmailConfig, {"subject": " ", "body": "b"}),
        (EmailConfig, {"subject": "a", "body": " "}),
        (EmailConfig, {"subject": "a"}),
        (TagAction, {}),
        (TagAction, {"add": ["x"], "remove": ["x"]}),
        (ScoreAction, {}),
        (ScoreAction, {"delta": 1, "set": 2}),
        (ScoreAction, {"set": 101}),
        (ScoreAction, {"delta": True}),
        (FieldUpdateAction, {"field": "email", "value": "x@example.com"}),
        (FieldUpdateAction, {"field": "status", "value": "friend"}),
        (WebhookAction, {"url": "ftp://example.com"}),
        (WebhookAction, {"url": "https://"}),
        (WebhookAction, {"url": "/relative"}),
        (WebhookAction, {"url": "https://[::1"}),
        (WebhookAction, {"url": "https://example.com/a b"}),
        (WebhookAction, {"url": "https://example.com", "headers": {"X": "a\r\nY: b"}}),
        (SmsAction, {"body": "  "}),
        (SocialAction, {"platform": "mastodon"}),
        (ExitConfig, {"status": "completed", "reason": "goal"}),
        (TriggerConfig, {"trigger": "tag"}),
        (TriggerConfig, {"trigger": "manual", "tag": "x"}),
        (TriggerConfig, {"trigger": "schedule", "cron": "every monday"}),
        (TriggerConfig, {"trigger": "schedule", "cron": "0 0 9 * * 1"}),
        (TriggerConfig, {"trigger": "score", "at_least": 101}),
        (TriggerConfig, {"re_entry": {"after_days": -1}}),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(
    model: type[BaseModel], fields: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(fields)


def test_triggers_of_every_kind_are_read() -> None:
    assert TriggerConfig().kind == "manual"
    assert TriggerConfig(trigger="tag", tag="vip").tag == "vip"
    assert TriggerConfig(trigger="event", event_type="open").event_type == "email_opened"
    weekly = TriggerConfig.model_validate(
        {
            "trigger": "scheduled",
            "cron": "0 9 * * 1",
            "where": {"type": "tag", "operator": "contains", "value": "vip"},
            "re_entry": {"after_days": 7},
        }
    )
    assert weekly.kind == "schedule"
    assert weekly.re_entry == AfterDays(after_days=7)


def test_an_exit_with_a_reason_is_not_a_completion() -> None:
    assert ExitConfig().status == "completed"
    assert ExitConfig(reason="goal").status == "exited"
    assert ExitConfig(status="exited").reason == "exit_condition"


def test_a_field_assigns_by_value_then_id_then_name() -> None:
    split = SplitConfig(
        variants=(
            Variant(id="a", name="Mens E-Mail", percentage=50, values=("b",)),
            Variant(id="b", name="Womens E-Mail", percentage=50),
        ),
        from_field="segment",
    )
    assert split.variant_by_value() == {
        "a": "a",
        "mens e-mail": "a",
        "b": "a",
        "womens e-mail": "b",
    }


def test_one_text_stands_for_a_list_of_one() -> None:
    assert TagAction.model_validate({"add": "vip"}).add == ("vip",)


def test_every_configuration_survives_json_through_the_union() -> None:
    adapter: TypeAdapter[NodeConfig] = TypeAdapter(NodeConfig)
    configs: list[Any] = [
        TriggerConfig(trigger="score", at_least=80, re_entry=AfterDays(after_days=3)),
        EmailConfig(subject="a", body_html="<p>b</p>"),
        DurationWait(value=1.5, unit="days"),
        EventWait(event_type="purchase"),
        SplitConfig(variants=(Variant(id="a", percentage=100),)),
        TagAction(add=("x",)),
        ScoreAction(set=5),
        FieldUpdateAction(field="plan", value={"a": [1]}),
        WebhookAction(url="https://example.com", payload={"a": "{{ email }}"}),
        SmsAction(body="x"),
        SocialAction.model_validate(
            {"platform": "X", "content": "y", "schedule_time": "2026-01-28T15:00:00Z"}
        ),
        ExitConfig(reason="goal"),
    ]
    for config in configs:
        assert adapter.validate_json(config.model_dump_json()) == config


def test_only_messages_need_a_channel() -> None:
    assert channel_of(SmsAction(body="x")) == "sms"
    assert channel_of(WebhookAction(url="https://example.com")) == "webhook"
    assert channel_of(TagAction(add=("x",))) is None
