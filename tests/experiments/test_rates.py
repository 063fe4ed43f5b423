from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.experiments.rates import (
    engagement_score_pct,
    rate_pct,
)


def half_up(exact: Fraction) -> Decimal:
    hundredths = exact * 100
    return Decimal(int(hundredths + Fraction(1, 2))).scaleb(-2)


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [
        (1, 800, "0.13"),  # 0.125: half to even, or a float, would say 0.12
        (267, 21307, "1.25"),
        (189, 21387, "0.88"),
        (122, 21306, "0.57"),
        (0, 7, "0.00"),
        (7, 7, "100.00"),
        (1, 3, "33.33"),
        (19_999, 20_000, "100.00"),
    ],
)
def test_a_rate_is_rounded_half_up_to_two_places(count, total, expected):
    assert str(rate_pct(count, total)) == expected


@given(st.integers(1, 10**12), st.data())
def test_a_rate_equals_the_exact_fraction_rounded(total, data):
    count = data.draw(st.integers(0, total))
    assert rate_pct(count, total) == half_up(Fraction(100 * count, total))


def test_there_is_no_rate_if_nothing_was_sent():
    assert rate_pct(0, 0) is None
    assert engagement_score_pct(0, 0, 0, 0) is None


@pytest.mark.parametrize("count", [-1, 11])
def test_counts_outside_the_sent_have_no_rate(count):
    assert rate_pct(count, 10) is None
    assert engagement_score_pct(count, 0, 0, 10) is None


@given(st.integers(1, 10**9), st.data())
def test_the_engagement_score_weighs_the_unrounded_rates(sent, data):
    opened, clicked, replied = (data.draw(st.integers(0, sent)) for _ in range(3))
    exact = Fraction(100, sent) * (
        Fraction(3, 10) * opened + Fraction(4, 10) * clicked + Fraction(3, 10) * replied
    )
    assert engagement_score_pct(opened, clicked, replied, sent) == half_up(exact)


def test_rounding_is_the_one_of_decimal_arithmetic():
    exact = (Decimal(100) * 1 / 800).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert rate_pct(1, 800) == exact
