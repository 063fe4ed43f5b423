"""A frequency cap is never exceeded: whatever the caps, the priorities, the answers of the provider
and the times at which the engine runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drip_pipeline.channels.protocol import Outcome
from drip_pipeline.db.connection import Database
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.engine.campaigns.frequency_caps import set_cap
from drip_pipeline.engine.campaigns.workspace_rules import forget
from tests.engine.delivery.capped import (
    NOW,
    Provider,
    entering,
    one_mail,
    people,
    rows,
)
from tests.engine.factories import run_until_done, run_until_idle

ZONES = ["Asia/Kathmandu", "America/Santiago"]
HOUR = timedelta(hours=1)

periods = st.one_of(
    st.sampled_from(["calendar_day", "calendar_week"]),
    st.builds(lambda hours: {"value": hours, "unit": "hours"}, st.integers(1, 80)),
)
caps = st.lists(st.tuples(st.integers(1, 3), periods), min_size=1, max_size=2)


class Step(NamedTuple):
    """Hours that pass, the priority of a campaign that all enter, if any, and the answer."""

    hours: int
    priority: int | None
    answer: Outcome


steps = st.lists(
    st.builds(
        Step,
        st.integers(0, 30),
        st.one_of(st.none(), st.integers(-2, 2)),
        st.sampled_from([*[Outcome.ACCEPTED] * 3, *Outcome]),
    ),
    min_size=2,
    max_size=7,
)


def is_counted(per: dict[str, Any] | str, sent_at: datetime, at: datetime, zone: str) -> bool:
    """Whether a message that was sent at a time counts at another one, by the definition."""
    if isinstance(per, dict):
        return sent_at <= at < sent_at + timedelta(hours=per["value"])
    then, now = (each.astimezone(zone_of(zone)).date() for each in (sent_at, at))
    if per == "calendar_day":
        return then == now
    return then.isocalendar()[:2] == now.isocalendar()[:2]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(caps=caps, steps=steps)
def test_a_cap_is_never_exceeded(
    database: Database, caps: Sequence[tuple[int, Any]], steps: Sequence[Step]
) -> None:
    with database.transaction() as connection:
        connection.execute("TRUNCATE workspaces CASCADE")
        connection.execute("TRUNCATE campaign_deliveries, campaign_message_outcomes")
    ids = people(database, len(ZONES))
    with database.transaction() as connection:
        connection.execute(
            "UPDATE contacts k SET custom_fields = jsonb_build_object('timezone', u.zone)"
            " FROM unnest(%s::uuid[], %s::text[]) AS u (id, zone) WHERE k.id = u.id",
            [ids, ZONES],
        )
    for number, (most, per) in enumerate(caps):
        forget(set_cap(database, None, {"name": f"c{number}", "max": most, "per": per},
                       now=NOW).workspace_id)  # fmt: skip
    at = NOW
    for number, step in enumerate(steps):
        at += step.hours * HOUR
        if step.priority is not None:
            entering(database, ids, at, **{f"Campaign {number}": one_mail(step.priority)})
        run_until_idle(database, at, email=Provider(step.answer))
    run_until_done(database, at + HOUR)
    zone_of_contact = dict(zip(ids, ZONES, strict=True))
    sent: dict[UUID, list[datetime]] = {}
    for contact, sent_at in rows(
        database, "SELECT contact_id, sent_at FROM campaign_message_outcomes"
    ):
        sent.setdefault(contact, []).append(sent_at)
    for contact, times in sent.items():
        for most, per in caps:
            for at in times:
                zone = zone_of_contact[contact]
                assert sum(is_counted(per, each, at, zone) for each in times) <= most
    open_messages = rows(
        database, "SELECT FROM campaign_deliveries WHERE status IN ('pending', 'sending')"
    )
    assert open_messages == []
