"""Explaining a verdict in plain sentences: the result, and what would change it. Wording only; all
values come from the verdict.
"""

from __future__ import annotations

import math

from drip_pipeline.domain.definition.ab_test import DecisionMethod
from drip_pipeline.experiments.codes import Reason, State
from drip_pipeline.experiments.metrics import GUARDRAILS, METRICS
from drip_pipeline.experiments.verdict import PairResult, Verdict

_FAULT_TEXTS = {
    Reason.NEGATIVE_COUNT: "a count is negative",
    Reason.SENT_EXCEEDS_ASSIGNED: "more contacts were sent something than were assigned",
    Reason.DELIVERED_EXCEEDS_SENT: "more messages were delivered than sent",
    Reason.OPENED_EXCEEDS_SENT: "more contacts opened than were sent something",
    Reason.CLICKED_EXCEEDS_SENT: "more contacts clicked than were sent something",
    Reason.REPLIED_EXCEEDS_SENT: "more contacts replied than were sent something",
    Reason.CONVERTED_EXCEEDS_SENT: "more contacts converted than were sent something",
    Reason.UNSUBSCRIBED_EXCEEDS_SENT: "more contacts unsubscribed than were sent something",
    Reason.BOUNCED_EXCEEDS_SENT: "more messages bounced than were sent",
    Reason.COMPLAINED_EXCEEDS_SENT: "more contacts complained than were sent something",
    Reason.COHORT_EXCEEDS_TOTAL: "the cohort is larger than the number of contacts sent something",
    Reason.SUCCESSES_EXCEED_COHORT: "the cohort has more successes than contacts",
    Reason.SCORE_SUMS_MISSING: "the sums of per-contact scores are missing",
    Reason.SCORE_SUMS_IMPOSSIBLE: "no scores between 0 and 1 have these sums",
    Reason.HOLDOUT_ASSIGNED_MISSING: "the number of contacts in the holdout is unknown",
    Reason.DUPLICATE_VARIANT: "a variant is listed twice",
    Reason.SEVERAL_HOLDOUTS: "there is more than one holdout",
    Reason.FEWER_THAN_TWO_VARIANTS: "there are no two variants to compare",
}

_UNTESTABLE_TEXTS = {
    Reason.EMPTY_VARIANT: "at least one variant has no contacts yet",
    Reason.SINGLE_CONTACT: "at least one variant has a single contact",
    Reason.NO_EVENTS: "no variant has any success yet",
    Reason.ALL_EVENTS: "every contact of every variant is a success",
    Reason.NO_VARIANCE: "the scores do not vary",
}


def explain(verdict: Verdict) -> str:
    """Return the verdict as one plain sentence."""
    reason = verdict.reason
    if verdict.state is State.INVALID:
        where = f" ({verdict.subject})" if verdict.subject else ""
        return f"This test cannot be evaluated: {_FAULT_TEXTS.get(reason, reason.value)}{where}."
    if verdict.state is State.SRM_BLOCKED:
        p = verdict.srm.sequential_p
        value = "" if p is None else f" (p = {p:.2g})" if p >= 1e-4 else " (p < 0.0001)"
        return (
            f"The assigned contacts do not have the expected split{value}, so the variants may not "
            "be comparable, and there is no decision until an operator clears the block."
        )
    if reason is Reason.DECLARED_BY_HAND:
        return f"{verdict.winner} was declared the winner by hand."
    if verdict.is_final and verdict.state is State.DECIDED_WINNER:
        return f"{verdict.winner} won; the decision is final."
    if reason is Reason.EQUIVALENT:
        margin = verdict.config.equivalence_margin or 0.0
        return f"No winner: the variants surely differ by less than {margin:g} percentage points."
    if reason is Reason.INCONCLUSIVE:
        return (
            "No winner: the planned sample or the maximum duration is used up and no variant "
            "beats all others."
        )
    if reason is Reason.LEADER_BEATS_ALL:
        return f"{_lead(verdict, 'wins with')}."
    if reason is Reason.AWAITING_PERSON:
        return f"{_lead(verdict, 'is significantly ahead with')}; needs manual confirmation."
    if verdict.state is State.GUARDRAIL_BLOCKED:
        ahead = f"{verdict.leader} is significantly ahead"
        return f"{ahead}, but {_worse(verdict)}, so no winner is declared."
    return f"Still collecting: {_collecting(verdict)}."


def what_would_change(verdict: Verdict) -> str:
    """Return what would change the verdict, as one plain sentence."""
    reason, progress = verdict.reason, verdict.progress
    if verdict.state.is_terminal:
        return "Nothing: the decision stands, and later events change totals only."
    if verdict.state is State.INVALID:
        return "Consistent counts."
    if verdict.state is State.SRM_BLOCKED:
        return (
            "An operator finds the cause of the unexpected split and clears the block, or starts a "
            "new test."
        )
    if verdict.state is State.GUARDRAIL_BLOCKED:
        return (
            "More data in which the harm is no longer significant, or an operator who declares a "
            "winner by hand."
        )
    if verdict.state is State.SIGNIFICANT:
        return f"An operator declares {verdict.leader} the winner, or the lead shrinks."
    if reason in (Reason.EMPTY_VARIANT, Reason.SAMPLE_TOO_SMALL):
        missing = progress.needed_sample - progress.smallest_sample
        return f"{_contacts(missing)} more in the smallest variant."
    if reason in (Reason.RUNTIME_TOO_SHORT, Reason.RUNTIME_UNKNOWN):
        return f"A runtime of {progress.needed_hours:g} hours."
    if reason is Reason.BEFORE_HORIZON:
        missing = (verdict.config.planned_sample_size or 0) - progress.smallest_sample
        more = f"{_contacts(missing)} more in the smallest variant"
        return f"The only look, at the planned sample: {more}."
    if reason in (Reason.LEADERS_TIED, Reason.NO_VARIANCE) or verdict.leader is None:
        return "A difference between the variants."
    if reason is Reason.EXPECTED_CELL_TOO_SMALL or reason in _UNTESTABLE_TEXTS:
        return "More successes or more failures: the rarer of the two is too rare to compare."
    return _needed_lead(verdict)


def _collecting(verdict: Verdict) -> str:
    reason, progress = verdict.reason, verdict.progress
    if reason in _UNTESTABLE_TEXTS:
        return _UNTESTABLE_TEXTS[reason]
    if reason is Reason.SAMPLE_TOO_SMALL:
        needed = _contacts(progress.needed_sample)
        return f"the smallest variant has {progress.smallest_sample} of {needed}"
    if reason is Reason.EXPECTED_CELL_TOO_SMALL:
        cell = progress.min_expected_cell or 0.0
        return f"the smallest expected cell is {cell:.1f} of {progress.needed_cell:g}"
    if reason is Reason.RUNTIME_TOO_SHORT:
        return f"{progress.runtime_hours or 0.0:.1f} of {progress.needed_hours:g} hours have passed"
    if reason is Reason.RUNTIME_UNKNOWN:
        return f"the test must run {progress.needed_hours:g} hours, and its runtime is unknown"
    if reason is Reason.BEFORE_HORIZON:
        planned = _contacts(verdict.config.planned_sample_size or 0)
        return f"the smallest variant has {progress.smallest_sample} of the planned {planned}"
    if reason is Reason.LEADERS_TIED:
        return "the best variants are tied"
    if reason is Reason.LIFT_TOO_SMALL:
        least = verdict.config.minimum_lift
        return f"{verdict.leader} is ahead, but not surely by more than {least:g} percentage points"
    return _lead(verdict, "leads with", "not yet enough: ")


def _lead(verdict: Verdict, predicate: str, qualifier: str = "") -> str:
    """Describe the leader and its closest rival with rates and confidence."""
    rival = _closest(verdict)
    if verdict.leader is None or rival is None:
        return "no variant leads"
    leader = verdict.variant(verdict.leader)
    other = verdict.variant(rival.b if rival.a == leader.variant_group else rival.a)
    noun = METRICS[verdict.config.winner_metric].noun
    needed = f"{verdict.config.confidence_threshold:g} % needed"
    rates = f"{_pct(leader.value_pct)} against {_pct(other.value_pct)} for {other.variant_group}"
    return (
        f"{leader.variant_group} {predicate} {_article(noun)} {noun} of {rates} "
        f"({qualifier}{leader.confidence_level} % confidence, {needed})"
    )


def _closest(verdict: Verdict) -> PairResult | None:
    """Return the leader's pair with the largest p."""
    pairs = [p for p in verdict.pairs if verdict.leader in (p.a, p.b)]
    return max(
        pairs, key=lambda p: math.inf if p.decision_p is None else p.decision_p, default=None
    )


def _needed_lead(verdict: Verdict) -> str:
    rival = _closest(verdict)
    if rival is None or verdict.leader is None:
        return "More contacts."
    values = verdict.variant(rival.a).value_pct, verdict.variant(rival.b).value_pct
    lead = abs((values[0] or 0.0) - (values[1] or 0.0))
    other = rival.b if rival.a == verdict.leader else rival.a
    if rival.interval is None or verdict.config.decision_method is not DecisionMethod.ALWAYS_VALID:
        return (
            f"A larger lead over {other} (it is {lead:.2f} percentage points), or more contacts "
            "with the lead as it is."
        )
    # The half towards the leader is never cut off at 0, so it is the whole margin.
    low, high = rival.interval
    margin = high - lead if rival.a == verdict.leader else -low - lead
    return (
        f"A lead over {other} of more than about {margin + verdict.config.minimum_lift:.2f} "
        f"percentage points at this sample (it is {lead:.2f}), or more contacts with the lead as "
        "it is."
    )


def _worse(verdict: Verdict) -> str:
    worse = next(g for g in verdict.guardrails if g.is_worse)
    noun = GUARDRAILS[worse.guardrail].noun
    rates = f"{worse.leader_pct} % against {worse.runner_up_pct} %"
    return f"its {noun} is worse than that of {worse.runner_up} ({rates})"


def _pct(value: float | None) -> str:
    return "no rate" if value is None else f"{value:.2f} %"


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeo" else "a"


def _contacts(count: int) -> str:
    return f"{count} {'contact' if count == 1 else 'contacts'}"
