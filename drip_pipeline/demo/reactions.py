"""How made-up recipients react to what they were sent: opens, clicks, replies, purchases,
unsubscriptions, bounces.

Seeded by the message: the same message gets the same reaction in every run, whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

_DESKTOP: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_PHONE: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
)


@dataclass(frozen=True, slots=True)
class ReactionRates:
    """Chances of a message: to be opened; of an open to be clicked; of a click to convert; and the
    rest of all sent. `conversion` is the event that converting is told by."""

    opened: float = 0.34
    clicked: float = 0.22
    converted: float = 0.12
    replied: float = 0.02
    unsubscribed: float = 0.004
    complained: float = 0.0004
    bounced: float = 0.012
    machine_opened: float = 0.10
    conversion: str = "converted"


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was recorded."""

    message_id: UUID
    campaign: str
    node_id: str
    sent_at: datetime


def reactions(
    messages: Iterable[Sent], rates: dict[str, ReactionRates]
) -> Iterator[dict[str, Any]]:
    """Lines of an events file, in no order. `rates` by `campaign/node_id`; others get the
    default."""
    for message in messages:
        yield from _react(
            message, rates.get(f"{message.campaign}/{message.node_id}", ReactionRates())
        )


def _react(message: Sent, rates: ReactionRates) -> Iterator[dict[str, Any]]:
    chance = Random(message.message_id.int)
    arrived = message.sent_at + timedelta(seconds=chance.uniform(2, 90))
    if chance.random() < rates.bounced:
        yield _event(message, "email_bounced", arrived, data={"bounce_type": "permanent"})
        return
    yield _event(message, "email_delivered", arrived)
    if chance.random() < rates.machine_opened:
        moment = arrived + timedelta(seconds=chance.uniform(1, 20))
        yield _event(message, "email_opened", moment, n="m", data={"machine": True})
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
    message: Sent, event_type: str, at: datetime, *, n: str = "", **more: Any
) -> dict[str, Any]:
    return {
        "event_id": f"{message.message_id}-{event_type}{n}",
        "event_type": event_type,
        "occurred_at": at.isoformat(),
        "message_id": str(message.message_id),
        **more,
    }
