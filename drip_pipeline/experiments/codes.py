"""The codes of a verdict: states of a test, and reasons for states and for missing values.

The conditions of each state are in `states.py`, the sentences for each code in `explain.py`.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The state of a test. `states.next_state` has the order of the rules."""

    COLLECTING = "collecting"
    INVALID = "invalid"
    SRM_BLOCKED = "srm_blocked"
    GUARDRAIL_BLOCKED = "guardrail_blocked"
    SIGNIFICANT = "significant"
    DECIDED_WINNER = "decided_winner"
    DECIDED_NO_WINNER = "decided_no_winner"

    @property
    def is_terminal(self) -> bool:
        """True if the state is never left and nothing more is computed for it."""
        return self in (State.DECIDED_WINNER, State.DECIDED_NO_WINNER)


class Reason(StrEnum):
    """Why a test is in its state, or why a value is None."""

    # the data contradict themselves (state `invalid`)
    NEGATIVE_COUNT = "negative_count"
    SENT_EXCEEDS_ASSIGNED = "sent_exceeds_assigned"
    DELIVERED_EXCEEDS_SENT = "delivered_exceeds_sent"
    OPENED_EXCEEDS_SENT = "opened_exceeds_sent"
    CLICKED_EXCEEDS_SENT = "clicked_exceeds_sent"
    REPLIED_EXCEEDS_SENT = "replied_exceeds_sent"
    CONVERTED_EXCEEDS_SENT = "converted_exceeds_sent"
    UNSUBSCRIBED_EXCEEDS_SENT = "unsubscribed_exceeds_sent"
    BOUNCED_EXCEEDS_SENT = "bounced_exceeds_sent"
    COMPLAINED_EXCEEDS_SENT = "complained_exceeds_sent"
    COHORT_EXCEEDS_TOTAL = "cohort_exceeds_total"
    SUCCESSES_EXCEED_COHORT = "successes_exceed_cohort"
    SCORE_SUMS_MISSING = "score_sums_missing"
    SCORE_SUMS_IMPOSSIBLE = "score_sums_impossible"
    HOLDOUT_ASSIGNED_MISSING = "holdout_assigned_missing"
    DUPLICATE_VARIANT = "duplicate_variant"
    SEVERAL_HOLDOUTS = "several_holdouts"
    FEWER_THAN_TWO_VARIANTS = "fewer_than_two_variants"

    # sample-ratio mismatch
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    ASSIGNED_UNKNOWN = "assigned_unknown"
    WEIGHTS_UNKNOWN = "weights_unknown"
    NOBODY_ASSIGNED = "nobody_assigned"

    # a table that has no test
    EMPTY_VARIANT = "empty_variant"
    SINGLE_CONTACT = "single_contact"
    NO_EVENTS = "no_events"
    ALL_EVENTS = "all_events"
    NO_VARIANCE = "no_variance"

    # still collecting
    SAMPLE_TOO_SMALL = "sample_too_small"
    EXPECTED_CELL_TOO_SMALL = "expected_cell_too_small"
    RUNTIME_TOO_SHORT = "runtime_too_short"
    RUNTIME_UNKNOWN = "runtime_unknown"
    BEFORE_HORIZON = "before_horizon"
    LEADERS_TIED = "leaders_tied"
    NOT_SIGNIFICANT = "not_significant"
    LIFT_TOO_SMALL = "lift_too_small"

    # blocked by a guardrail
    UNSUBSCRIBES_WORSE = "unsubscribes_worse"
    BOUNCES_WORSE = "bounces_worse"
    COMPLAINTS_WORSE = "complaints_worse"

    # significant and decided
    AWAITING_PERSON = "awaiting_person"
    LEADER_BEATS_ALL = "leader_beats_all"
    DECLARED_BY_HAND = "declared_by_hand"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
