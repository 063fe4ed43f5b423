"""The sentence of a run for each state that the engine can leave it in, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import pytest

from drip_pipeline.db.explanations.one_person import PersonRow, RunRow, SuppressionRow, TopicState
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.graph.graph import Edge
from drip_pipeline.domain.graph.nodes import ConditionWait, NodeConfig
from drip_pipeline.engine.explanations.places import WAITS, place_of
from drip_pipeline.engine.explanations.refusals import ContactRefusals
from tests.engine.graphs import email, end, graph, node, trigger, wait_hours

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
SOON = NOW + timedelta(hours=1)
PAST = NOW - timedelta(hours=1)
GRAPH = replace(
    graph(
        trigger("mail"),
        email("mail", default="pause"),
        wait_hours("pause", 5, default="more"),
        email("more", default="end"),
        end(),
    ),
    topic="tips",
)
_NOTHING: dict[str, Any] = dict.fromkeys(RunRow._fields)
_PERSON: dict[str, Any] = dict.fromkeys(PersonRow._fields)
HELD = {"delivery_status": "pending", "delivery_due_at": SOON, "held_until": SOON}
MESSAGE = {"state": "waiting", "node_id": "mail", "delivery_id": UUID(int=9), "channel": "email"}


def run(**fields: Any) -> RunRow:
    """A run at the wait of `GRAPH`, which ends in an hour."""
    usual = {
        "campaign": "Welcome", "campaign_id": UUID(int=1), "campaign_status": "active",
        "enrollment_status": "active", "started_at": PAST, "version": 1, "state": "waiting",
        "node_id": "pause", "resume_port": "default", "due_at": SOON, "wait_until": SOON,
        "retry_count": 0, "max_retries": 3, "attempts": 0, "number": 1, "runs_in_campaign": 1,
    }  # fmt: skip
    return RunRow(**(_NOTHING | usual | fields))


def refusals(
    *suppressions: SuppressionRow, topic: str = "subscribed", held_out: bool = False, **person: Any
) -> ContactRefusals:
    usual = {"email": "a@example.com", "phone": "+4930123456"}
    return ContactRefusals(
        PersonRow(**(_PERSON | usual | person)),
        suppressions,
        [TopicState("tips", "Tips", topic, False, PAST)],
        held_out,
    )


def listed(reason: str, channel: str | None = None, **fields: Any) -> SuppressionRow:
    row = SuppressionRow(
        "a@example.com", channel, None, None, reason, "import", None, PAST, applies=True
    )
    return row._replace(**fields)


@pytest.mark.parametrize(
    ("fields", "sentence", "next_at"),
    [
        ({}, "Waits in 'Welcome' at 'pause' until Tue 1 Dec 09:00 (UTC), then 'more'.", SOON),
        (
            {"due_at": PAST},
            (
                "Is due in 'Welcome' at 'pause' since Tue 1 Dec 07:00 (UTC); at the next run of the"
                " engine: 'more'."
            ),
            PAST,
        ),
        (
            {"state": "running", "node_id": "start", "resume_port": None, "due_at": PAST},
            (
                "Is due in 'Welcome' at 'start' since Tue 1 Dec 07:00 (UTC); at the next run of the"
                " engine: 'start'."
            ),
            PAST,
        ),
        (
            {"node_id": "more", "resume_port": None},
            "Waits in 'Welcome' until Tue 1 Dec 09:00 (UTC), then 'more'.",
            SOON,
        ),
        (
            {"retry_count": 2, "last_error": "no such field."},
            (
                "Is in 'Welcome' at 'pause': attempt 2 of 4 failed (no such field); the next one is"
                " on Tue 1 Dec 09:00 (UTC)."
            ),
            SOON,
        ),
        (
            {"campaign_status": "paused"},
            (
                "Is in 'Welcome' at 'pause'; the campaign is paused, and nothing happens until it"
                " is resumed."
            ),
            None,
        ),
        (
            {"campaign_status": "paused", "paused_by": {"rate": "complaints"}},
            (
                "Is in 'Welcome' at 'pause'; the campaign is paused by its guard, and nothing"
                " happens until it is resumed."
            ),
            None,
        ),
        (
            {"enrollment_status": "unsubscribed"},
            "Leaves 'Welcome' at 'pause' at the next run of the engine: an application ended it.",
            NOW,
        ),
        (
            {"node_id": "removed node", "due_at": SOON},
            "Waits in 'Welcome' until Tue 1 Dec 09:00 (UTC), then the run ends.",
            SOON,
        ),
        (
            {"state": None, "version": None},
            "Is enrolled in 'Welcome', and starts when the campaign is published.",
            None,
        ),
        (
            {"state": None, "version": None, "enrollment_status": "completed"},
            "Was enrolled in 'Welcome', which ended (completed); nothing more follows.",
            None,
        ),
        (
            MESSAGE | HELD | {"held_by": "quiet_hours"},
            (
                "Is in 'Welcome' at 'mail': the rule 'quiet hours' holds the message until Tue 1"
                " Dec 09:00 (UTC); it is sent then."
            ),
            SOON,
        ),
        (
            MESSAGE | HELD | {"held_by": "a new rule"},
            (
                "Is in 'Welcome' at 'mail': the rule 'a new rule' holds the message until Tue 1 Dec"
                " 09:00 (UTC); it is sent then."
            ),
            SOON,
        ),
        (
            MESSAGE | HELD | {"attempts": 1, "delivery_error": "451 try later"},
            (
                "Is in 'Welcome' at 'mail': attempt 1 to send failed (451 try later); the next one"
                " is on Tue 1 Dec 09:00 (UTC)."
            ),
            SOON,
        ),
        (
            MESSAGE | {"delivery_status": "pending", "delivery_due_at": PAST},
            "Is in 'Welcome' at 'mail': the message is sent at the next run of the engine.",
            PAST,
        ),
        (
            MESSAGE | {"delivery_status": "sending", "leased_until": SOON},
            "Is in 'Welcome' at 'mail': the message is being sent.",
            SOON,
        ),
        (
            MESSAGE | {"delivery_status": "unknown", "leased_until": SOON},
            (
                "Is in 'Welcome' at 'mail': whether the message was sent is unknown; it counts as"
                " sent from Tue 1 Dec 09:00 (UTC)."
            ),
            SOON,
        ),
        (
            MESSAGE | {"delivery_status": "unknown"},
            (
                "Is in 'Welcome' at 'mail': whether the message was sent is unknown; `drip"
                " deliveries settle` decides."
            ),
            None,
        ),
    ],
)
def test_each_state_has_its_sentence(
    fields: dict[str, Any], sentence: str, next_at: datetime | None
) -> None:
    place = place_of(run(**fields), GRAPH, refusals(), NOW, "UTC")
    assert (place.sentence, place.next_at) == (sentence, next_at)


@pytest.mark.parametrize(
    ("of_contact", "text"),
    [
        (refusals(listed("unsubscribed")), "the contact has unsubscribed (since Tue 1 Dec 07:00)"),
        (
            refusals(listed("bounced"), listed("unsubscribed", created_at=NOW)),
            "the contact has unsubscribed (since Tue 1 Dec 08:00)",
        ),
        (refusals(topic="unsubscribed"), "the contact has left the topic 'tips' (since Tue 1 Dec"),
    ],
)
def test_what_ends_the_run_at_the_next_message_is_said(
    of_contact: ContactRefusals, text: str
) -> None:
    place = place_of(run(), GRAPH, of_contact, NOW, "UTC")
    assert f"then 'more' is not sent, because {text}" in place.sentence
    assert place.sentence.endswith(", and the run ends.")
    pending = MESSAGE | {"delivery_status": "pending", "delivery_due_at": PAST}
    due = place_of(run(**pending), GRAPH, of_contact, NOW, "UTC")
    assert f"the message is not sent at the next run of the engine, because {text}" in due.sentence


@pytest.mark.parametrize(
    ("of_contact", "text"),
    [
        (refusals(held_out=True), "the contact is in the workspace's holdout"),
        (refusals(email=None), "the contact has no address for this channel"),
        (refusals(custom_fields={"consent_email": "no"}), "the contact has not consented to this"),
    ],
)
def test_what_only_skips_the_next_message_is_said(of_contact: ContactRefusals, text: str) -> None:
    place = place_of(run(), GRAPH, of_contact, NOW, "UTC")
    assert f"then 'more' is not sent, because {text}" in place.sentence
    assert place.sentence.endswith(", and the run goes on.")


@pytest.mark.parametrize(
    "of_contact",
    [
        refusals(listed("bounced", "sms")),
        refusals(listed("bounced", applies=False)),
        refusals(listed("manual", campaign_id=UUID(int=2))),
        refusals(topic="pending"),
    ],
)
def test_what_concerns_another_message_is_not_said(of_contact: ContactRefusals) -> None:
    assert place_of(run(), GRAPH, of_contact, NOW, "UTC").sentence.endswith(", then 'more'.")


def test_times_are_in_the_zone_of_the_contact_and_have_a_year_if_it_is_another() -> None:
    until = datetime(2027, 1, 1, 23, 30, tzinfo=UTC)
    place = place_of(run(due_at=until), GRAPH, refusals(), NOW, "America/New_York")
    assert "until Fri 1 Jan 2027 18:30 (New York), then" in place.sentence
    near = place_of(run(due_at=NOW + timedelta(seconds=70)), GRAPH, refusals(), NOW, None)
    assert "until Tue 1 Dec 08:01:10 (UTC), then" in near.sentence


def test_a_delayed_edge_is_a_wait_for_its_target() -> None:
    late = graph(trigger("mail"), node("mail", "exit", end().config), end())
    assert late.nodes["start"].ports["default"] == Edge("mail")
    place = place_of(run(node_id="mail", resume_port=None), late, refusals(), NOW, "UTC")
    assert place.sentence == "Waits in 'Welcome' until Tue 1 Dec 09:00 (UTC), then the run ends."


def test_each_kind_of_wait_has_a_sentence() -> None:
    kinds = get_args(get_args(NodeConfig)[0])
    assert set(WAITS) == {kind for kind in kinds if kind.__name__.endswith("Wait")}


def test_a_wait_for_a_condition_says_what_follows_with_and_without_it() -> None:
    condition = Condition.model_validate({"type": "tag", "value": "vip"})
    config = ConditionWait.model_validate(
        {"condition": condition, "max_wait": {"value": 1, "unit": "days"}}
    )
    flow = graph(
        trigger("pause"),
        node("pause", "wait", config, met="mail", timeout="end"),
        email("mail", default="end"),
        end(),
    )
    place = place_of(run(resume_port="timeout"), flow, refusals(), NOW, "UTC")
    assert place.sentence == (
        "Waits in 'Welcome' at 'pause' until has the tag vip, until Tue 1 Dec 09:00 (UTC) at most;"
        " if it holds, at once: 'mail', otherwise then: the run ends."
    )
