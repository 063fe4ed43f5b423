"""Properties of max-min fair shares: nothing is lost, requests are respected, none is favored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.engine.delivery.fair_share import by_priority, fair_quotas

wants = st.lists(st.integers(0, 1_000), max_size=40)
totals = st.integers(0, 5_000)


@given(wants, totals, st.integers(0, 100))
def test_everything_that_is_requested_and_there_is_received(
    requested: list[int], total: int, first: int
):
    quotas = fair_quotas(requested, total, first=first)
    assert sum(quotas) == min(total, sum(requested))
    assert all(0 <= quota <= request for quota, request in zip(quotas, requested, strict=True))


@given(wants, totals, st.integers(0, 100))
def test_an_unmet_request_is_at_most_one_below_the_largest_quota(
    requested: list[int], total: int, first: int
):
    quotas = fair_quotas(requested, total, first=first)
    unmet = [q for q, request in zip(quotas, requested, strict=True) if q < request]
    if unmet:
        assert max(quotas) - min(unmet) <= 1


@given(st.integers(1, 30), st.integers(1, 29))
def test_the_remainder_rotates_with_the_first_entry(entries: int, total: int):
    received = [0] * entries
    for turn in range(entries):
        for entry, quota in enumerate(fair_quotas([1_000] * entries, total, first=turn)):
            received[entry] += quota
    assert len(set(received)) == 1


@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from("ab-"), st.integers(-2, 2)), max_size=8),
    st.integers(0, 200),
    st.integers(0, 20),
)
def test_within_a_workspace_higher_priorities_receive_first_and_others_lose_nothing(
    entries: list[tuple[int, str, int]], total: int, first: int
):
    requested = [request for request, _, _ in entries]
    ranks = [None if key == "-" else (key, priority) for _, key, priority in entries]
    fair = fair_quotas(requested, total, first=first)
    quotas = by_priority(requested, fair, ranks, first=first)
    assert all(0 <= quota <= request for quota, request in zip(quotas, requested, strict=True))
    for key in "ab":
        own = [n for n, rank in enumerate(ranks) if rank is not None and rank[0] == key]
        assert sum(quotas[n] for n in own) == sum(fair[n] for n in own)
        unmet = [entries[n][2] for n in own if quotas[n] < requested[n]]
        received = [entries[n][2] for n in own if quotas[n] > 0]
        assert not unmet or not received or min(received) >= max(unmet)
    for number, rank in enumerate(ranks):
        assert rank is not None or quotas[number] == fair[number]
