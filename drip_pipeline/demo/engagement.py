"""Simulate the recipients of messages: opens, clicks, replies, purchases, unsubscriptions, bounces.

Seeded by the message id: a message gets the same events in every run, whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

from drip_pipeline.db.operations.demo import RecordedMessage

EventLine = dict[str, object]
"""A line of an events file."""

_DESKTOP: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_PHONE: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
)


@dataclass(frozen=True, slots=True)
class EngagementRates:
    """Probabilities of engagement.

    `clicked` applies to opened messages, `converted` to clicked ones, all others to sent ones.
    `conversion` is the event type of a conversion.
    """

    opened: float = 0.34
    clicked: float = 0.22
    converted: float = 0.12
    replied: float = 0.02
    unsubscribed: float = 0.004
    # One in ten thousand: on a day with few messages, more would pause a campaign by its guard.
    complained: float = 0.0001
    bounced: float = 0.012
    machine_opened: float = 0.10
    conversion: str = "converted"


def engagement_events(
    messages: Iterable[RecordedMessage], rates: Mapping[str, EngagementRates]
) -> Iterator[EventLine]:
    """Yield lines of an events file, in no order.

    `rates` are by `campaign/node_id`; other messages get the default.
    """
    for message in messages:
        yield from _events(
            message, rates.get(f"{message.campaign}/{message.node_id}", EngagementRates())
        )


def _events(message: RecordedMessage, rates: EngagementRates) -> Iterator[EventLine]:
    chance = Random(message.delivery_id.int)
    arrived = message.recorded_at + timedelta(seconds=chance.uniform(2, 90))
    if chance.random() < rates.bounced:
        yield _event(message, "email_bounced", arrived, data={"bounce_type": "permanent"})
        return
    yield _event(message, "email_delivered", arrived)
    if chance.random() < rates.machine_opened:
        scanned = arrived + timedelta(seconds=chance.uniform(1, 20))
        yield _event(message, "email_opened", scanned, n="m", data={"machine": True})
    if chance.random() < rates.unsubscribed:
        yield _event(message, "email_unsubscribed", arrived + _hours(chance, 6))
        return
    if chance.random() < rates.complained:
        yield _event(message, "email_complained", arrived + _hours(chance, 6))
        return
    if chance.random() >= rates.opened:
        return
    opened = arrived + _hours(chance, 7)
    agent = chance.choice((_DESKTOP, _PHONE))
    yield _event(message, "email_opened", opened, user_agent=agent)
    if chance.random() < rates.replied:
        yield _event(message, "email_replied", opened + _hours(chance, 2))
    if chance.random() < rates.clicked:
        clicked = opened + timedelta(minutes=chance.uniform(0.1, 20))
        url = "https://www.example.com/offer"
        yield _event(message, "email_clicked", clicked, user_agent=agent, url=url)
        if chance.random() < rates.converted:
            value = round(chance.lognormvariate(3.6, 0.6), 2)
            bought = clicked + _hours(chance, 3)
            what = {"value": value, "currency": "EUR"}
            yield _event(message, rates.conversion, bought, data=what)


def _hours(chance: Random, mean: float) -> timedelta:
    return timedelta(hours=min(chance.expovariate(1 / mean), 47))


def _event(
    message: RecordedMessage, event_type: str, at: datetime, *, n: str = "", **more: object
) -> EventLine:
    return {
        "event_id": f"{message.delivery_id}-{event_type}{n}",
        "event_type": event_type,
        "occurred_at": at.isoformat(),
        "message_id": str(message.delivery_id),
        **more,
    }
