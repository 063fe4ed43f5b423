from __future__ import annotations

import pytest

from drip_pipeline.experiments import (
    PriorDecision,
    Reason,
    SrmHold,
    State,
    evaluate_test,
    explain,
    what_would_change,
)
from tests.experiments.tables import a_test_of, counted, opens

CLEAR = ((600, 2000), (450, 2000))
CASES = {
    "winner": (
        opens(*CLEAR),
        (
            "a wins with an open rate of 30.00 % against 22.50 % for b "
            "(99.99 % confidence, 95 % needed)."
        ),
        "Nothing: the decision stands, and later events change totals only.",
    ),
    "by hand": (
        opens(*CLEAR, decided=PriorDecision(State.DECIDED_WINNER, Reason.DECLARED_BY_HAND, "b")),
        "b was declared the winner by hand.",
        "Nothing: the decision stands, and later events change totals only.",
    ),
    "small": (
        opens((3, 60), (9, 99)),
        "Still collecting: the smallest variant has 60 of 100 contacts.",
        "40 contacts more in the smallest variant.",
    ),
    "rare": (
        opens((4, 1000), (1, 1000)),
        "Still collecting: the smallest expected cell is 2.5 of 5.",
        ("More successes or more failures: the rarer of the two is too rare to compare."),
    ),
    "silent": (
        opens((0, 1000), (0, 1000)),
        "Still collecting: no variant has any success yet.",
        "A difference between the variants.",
    ),
    "tied": (
        opens((450, 2000), (450, 2000)),
        "Still collecting: the best variants are tied.",
        "A difference between the variants.",
    ),
    "close": (
        opens((465, 2000), (450, 2000)),
        (
            "Still collecting: a leads with an open rate of 23.25 % against 22.50 % for b "
            "(not yet enough: 0.00 % confidence, 95 % needed)."
        ),
        (
            "A lead over b of more than about 4.07 percentage points at this sample (it is 0.75), "
            "or more contacts with the lead as it is."
        ),
    ),
    "person": (
        opens(*CLEAR, auto_select_winner=False),
        (
            "a is significantly ahead with an open rate of 30.00 % against 22.50 % for b "
            "(99.99 % confidence, 95 % needed); needs manual confirmation."
        ),
        "An operator declares a the winner, or the lead shrinks.",
    ),
    "guardrail": (
        a_test_of(
            counted("a", 2000, opened=600, unsubscribed=80),
            counted("b", 2000, opened=450, unsubscribed=20),
        ),
        (
            "a is significantly ahead, but its unsubscribe rate is worse than that of b "
            "(4.00 % against 1.00 %), so no winner is declared."
        ),
        (
            "More data in which the harm is no longer significant, or an operator who declares a "
            "winner by hand."
        ),
    ),
    "held": (
        opens(*CLEAR, srm_hold=SrmHold.BLOCKED),
        (
            "The assigned contacts do not have the expected split, so the variants may not be "
            "comparable, and there is no decision until an operator clears the block."
        ),
        (
            "An operator finds the cause of the unexpected split and clears the block, or starts a "
            "new test."
        ),
    ),
    "invalid": (
        a_test_of(counted("a", 10, opened=11), counted("b", 10)),
        "This test cannot be evaluated: more contacts opened than were sent something (a).",
        "Consistent counts.",
    ),
    "horizon": (
        opens(*CLEAR, decision_method="fixed_horizon", planned_sample_size=2500),
        "Still collecting: the smallest variant has 2000 of the planned 2500 contacts.",
        "The only look, at the planned sample: 500 contacts more in the smallest variant.",
    ),
    "inconclusive": (
        opens((460, 2000), (450, 2000), max_duration_hours=1.0, runtime_hours=2.0),
        (
            "No winner: the planned sample or the maximum duration is used up and no variant beats "
            "all others."
        ),
        "Nothing: the decision stands, and later events change totals only.",
    ),
    "equivalent": (
        opens((30_010, 100_000), (30_000, 100_000), equivalence_margin=1.0),
        "No winner: the variants surely differ by less than 1 percentage points.",
        "Nothing: the decision stands, and later events change totals only.",
    ),
    "lift": (
        opens(*CLEAR, minimum_lift=6.0),
        "Still collecting: a is ahead, but not surely by more than 6 percentage points.",
        (
            "A lead over b of more than about 10.26 percentage points at this sample (it is 7.50), "
            "or more contacts with the lead as it is."
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_verdict_reads_as_one_plain_sentence(name):
    test, says, would_change = CASES[name]
    verdict = evaluate_test(test)
    assert explain(verdict) == says
    assert what_would_change(verdict) == would_change


def test_the_lead_named_in_the_explanation_decides():
    close = evaluate_test(opens((465, 2000), (450, 2000)))
    assert "about 4.07 percentage" in what_would_change(close)
    assert evaluate_test(opens((450 + 77, 2000), (450, 2000))).state is State.COLLECTING
    assert evaluate_test(opens((450 + 86, 2000), (450, 2000))).state is State.DECIDED_WINNER
