"""Whatever the order in which events arrive and messages are settled: nobody who left by a goal or
an exit rule gets a message that was marked after that, each run ends once, and the laws hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from drip_pipeline.channels.protocol import Capabilities, DeliveryResult, Outcome, OutgoingMessage
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.engine.delivery.delivery_batch import DeliveryBatch
from drip_pipeline.engine.operations.invariants import check_invariants
from tests.conftest import own_database
from tests.engine.events.incoming import ingest, minutes, rows
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    an_event,
    contacts,
    enrolled,
    run_until_idle,
)
from tests.engine.graphs import email, end, goal, graph, trigger, wait_hours

HOURS = (0, 1, 24, 25, 60)
PEOPLE = 3
MARK_SENDING = DeliveryBatch.mark_sending


class Arriving(NamedTuple):
    """An event that ends a run: whose, by what, at which tick, and at which moment of it."""

    person: int
    event_type: str
    tick: int
    moment: str


ARRIVING = st.lists(
    st.builds(
        Arriving,
        st.integers(1, PEOPLE),
        st.sampled_from(["purchase", "left"]),
        st.integers(0, len(HOURS) - 1),
        st.sampled_from(["before", "leased", "sending"]),
    ),
    max_size=6,
)
ANSWERS = st.lists(
    st.sampled_from([Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.NOT_SENT, Outcome.UNKNOWN]),
    max_size=12,
)


class World(RecorderChannel):
    """The provider, and the events that arrive while the engine works."""

    capabilities = Capabilities(is_idempotent=False, max_batch=50)

    def __init__(
        self, database: Database, arriving: Sequence[Arriving], answers: Sequence[Outcome]
    ) -> None:
        super().__init__("email")
        self.database = database
        self.arriving = list(arriving)
        self.answers = list(answers)
        self.tick = 0
        self.ended: set[int] = set()
        self.ended_before_mark: set[int] = set()

    def let_arrive(self, moment: str) -> None:
        """Ingest the events of this moment of the tick, in a transaction of their own."""
        now = [each for each in self.arriving if (each.tick, each.moment) == (self.tick, moment)]
        self.arriving = [each for each in self.arriving if each not in now]
        hour = HOURS[self.tick]
        for number, each in enumerate(now):
            line = an_event(
                f"{self.tick}{moment}{number}",
                each.event_type,
                email=f"person{each.person}@example.com",
                occurred_at=minutes(hour * 60),
            )
            if ingest(self.database, [line], now=NOW + timedelta(hours=hour)).ended:
                self.ended.add(each.person)

    def mark(self, batch: DeliveryBatch, *args: Any, **how: Any) -> Any:
        """Mark messages, after the events between lease and mark."""
        self.let_arrive("leased")
        self.ended_before_mark = set(self.ended)
        return MARK_SENDING(batch, *args, **how)

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        people = {int(message.recipient[6]) for message in messages}
        assert not people & self.ended_before_mark
        self.let_arrive("sending")
        return [
            DeliveryResult(
                message.delivery_id, self.answers.pop() if self.answers else Outcome.ACCEPTED
            )
            for message in messages
        ]


@settings(
    max_examples=6,
    phases=(Phase.generate,),  # an example takes half a second
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ARRIVING, ANSWERS)
def test_nobody_who_left_gets_a_message_that_was_marked_after_that(
    server_url: str, template: str, arriving: list[Arriving], answers: list[Outcome]
) -> None:
    flow = graph(
        trigger("first"),
        email("first", default="pause"),
        wait_hours("pause", 24, default="second"),
        email("second", default="end"),
        end(),
        goal=goal("purchase", 48),
    )
    rule = ExitRule.model_validate({"id": "gone", "when": {"event_type": "left"}})
    flow = replace(flow, exits_at_goal=True, exits=(rule,))
    with own_database(server_url, template) as database:
        world = World(database, arriving, answers)
        with database.transaction() as connection:
            campaign = a_published_campaign(connection, flow)
            enrolled(connection, campaign, contacts(connection, campaign.workspace_id, PEOPLE))
        with patch.object(
            DeliveryBatch, "mark_sending", lambda *args, **how: world.mark(*args, **how)
        ):
            for world.tick, hour in enumerate(HOURS):
                world.let_arrive("before")
                run_until_idle(database, NOW + timedelta(hours=hour), email=world)
        ends = rows(
            database,
            "SELECT s.exit_reason, count(v.id) FROM campaign_workflow_states s"
            " LEFT JOIN campaign_events v ON v.enrollment_id = s.id"
            " AND v.event_type = 'enrollment_exited' GROUP BY s.id, s.exit_reason",
        )
        assert sum(reason in ("goal", "gone") for reason, _ in ends) == len(world.ended)
        assert all(number == (reason is not None) for reason, number in ends)
        now = NOW + timedelta(hours=HOURS[-1])
        violated = [r.name for r in check_invariants(database, now=now) if not r.holds]
        assert violated == []
