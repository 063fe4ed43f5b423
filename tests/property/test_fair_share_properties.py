"""Laws of sharing out: nothing is lost, nobody gets more than wanted, nobody is favored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.engine.delivery.fair_share import fair_quotas

wants = st.lists(st.integers(0, 1_000), max_size=40)
totals = st.integers(0, 5_000)


@given(wants, totals, st.integers(0, 100))
def test_everything_that_is_wanted_and_there_is_given_out(
    wanted: list[int], total: int, first: int
):
    quotas = fair_quotas(wanted, total, first=first)
    assert sum(quotas) == min(total, sum(wanted))
    assert all(0 <= quota <= want for quota, want in zip(quotas, wanted, strict=True))


@given(wants, totals, st.integers(0, 100))
def test_whoever_wants_more_gets_at_most_one_more(wanted: list[int], total: int, first: int):
    quotas = fair_quotas(wanted, total, first=first)
    hungry = [q for q, want in zip(quotas, wanted, strict=True) if q < want]
    if hungry:
        assert max(quotas) - min(hungry) <= 1


@given(st.integers(1, 30), st.integers(1, 29))
def test_everybody_has_a_turn_when_the_first_moves_on(places: int, total: int):
    given_out = [0] * places
    for turn in range(places):
        for place, quota in enumerate(fair_quotas([1_000] * places, total, first=turn)):
            given_out[place] += quota
    assert len(set(given_out)) == 1
