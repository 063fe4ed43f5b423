"""Places under frequency caps: never more than the cap, the highest priority first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.graph.cap_places import (
    CapOfContact,
    CountedMessage,
    DueMessage,
    places,
)
from drip_pipeline.domain.graph.frequency_caps import FrequencyCap

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def limit(most: int, hours: int, *channels: str) -> CapOfContact:
    config = {"name": "cap", "max": most, "per": {"value": hours, "unit": "hours"}}
    cap = FrequencyCap.model_validate(config | ({"channels": channels} if channels else {}))
    return CapOfContact(cap, cap.period(NOW))


def due(number: int, priority: int = 0, channel: str = "email") -> DueMessage:
    return DueMessage(UUID(int=number), channel, priority)


def counted(number: int, hours_ago: int, channel: str = "email") -> CountedMessage:
    return CountedMessage(UUID(int=number), channel, NOW - hours_ago * HOUR)


def test_a_message_counts_until_the_end_of_its_period_and_no_longer():
    assert places([due(1)], [limit(1, 24)], [counted(9, 24)], [], NOW).granted == [due(1)]
    (refused,) = places([due(1)], [limit(1, 24)], [counted(9, 23)], [], NOW).refused
    assert [each.until for each in refused.full] == [NOW + HOUR]


def test_the_time_is_that_at_which_enough_messages_no_longer_count():
    earlier = [counted(n, n) for n in (1, 5, 10, 20)]  # the cap was larger when they were sent
    (refused,) = places([due(99)], [limit(2, 24)], earlier, [], NOW).refused
    assert refused.full[0].until == NOW + (24 - 5) * HOUR


def test_a_message_with_a_place_keeps_it_and_others_do_not_go_before_it():
    retried = [counted(1, 2)]
    decision = places([due(1), due(2, 9)], [limit(1, 24)], retried, [due(3, 10)], NOW)
    assert decision.granted == [due(1)]
    assert [each.id for each in decision.refused] == [UUID(int=2)]
    # Its place has expired: it is a message as any other.
    assert places([due(1)], [limit(1, 1)], retried, [due(3, 10)], NOW).refused[0].full == ()


def test_a_message_that_waits_goes_before_the_ones_below_it():
    decision = places([due(1, 5), due(2, 1)], [limit(2, 24)], [], [due(3, 9), due(4, 8)], NOW)
    assert decision.granted == []
    assert [each.full for each in decision.refused] == [(), ()]


def test_caps_of_other_channels_do_not_matter():
    caps = [limit(1, 24, "sms"), limit(2, 24)]
    assert places([due(1)], caps, [counted(9, 1, "sms")], [due(2, 9, "sms")], NOW).granted == []
    assert places([due(1)], caps, [counted(9, 1, "sms")], [], NOW).granted == [due(1)]


channels = st.sampled_from(["email", "sms"])


@given(
    st.lists(st.tuples(st.integers(-2, 2), channels), max_size=6),
    st.lists(st.tuples(st.integers(0, 40), channels), max_size=6),
    st.lists(st.tuples(st.integers(-2, 2), channels), max_size=3),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 36)), min_size=1, max_size=2),
)
def test_no_cap_is_exceeded_and_a_free_place_is_not_left_out(
    asking: list[tuple[int, str]],
    earlier: list[tuple[int, str]],
    waiting: list[tuple[int, str]],
    caps: list[tuple[int, int]],
):
    limits = [limit(most, hours) for most, hours in caps]
    counts = [counted(100 + n, hours, channel) for n, (hours, channel) in enumerate(earlier)]
    messages = [due(n, *each) for n, each in enumerate(asking)]
    others = [due(50 + n, *each) for n, each in enumerate(waiting)]
    decision = places(messages, limits, counts, others, NOW)
    assert len(decision.granted) + len(decision.refused) == len(messages)
    used = [sum(map(each.counts, counts)) for each in limits]
    free = min(each.cap.max - number for each, number in zip(limits, used, strict=True))
    assert len(decision.granted) <= max(0, free)
    # In the order of priority, with the places of `others` kept free.
    ranked = sorted([*messages, *others], key=lambda each: (-each.priority, each.id))
    first = [each for each in ranked[: max(0, free)] if each in messages]
    assert decision.granted == first
