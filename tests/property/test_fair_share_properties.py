"""Properties of max-min fair shares: nothing is lost, requests are respected, none is favored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.engine.delivery.fair_share import fair_quotas

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
