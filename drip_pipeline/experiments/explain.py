"""A verdict in plain sentences: what it says, and what would change it. Wording only; nothing is
computed that a verdict does not already hold.
"""

from __future__ import annotations

import math

from drip_pipeline.domain.definition.ab_test import DecisionMethod
from drip_pipeline.experiments.codes import Reason, State
from drip_pipeline.experiments.metrics import GUARDRAILS, METRICS
from drip_pipeline.experiments.verdict import PairResult, Verdict

_FAULTS = {
    Reason.NEGATIVE_COUNT: "a count is negative",
    Reason.SENT_EXCEEDS_ASSIGNED: "more people were sent something than were assigned",
    Reason.DELIVERED_EXCEEDS_SENT: "more messages were delivered than sent",
    Reason.OPENED_EXCEEDS_SENT: "more people opened than were sent something",
    Reason.CLICKED_EXCEEDS_SENT: "more people clicked than were sent something",
    Reason.REPLIED_EXCEEDS_SENT: "more people replied than were sent something",
    Reason.CONVERTED_EXCEEDS_SENT: "more people converted than were sent something",
    Reason.UNSUBSCRIBED_EXCEEDS_SENT: "more people unsubscribed than were sent something",
    Reason.BOUNCED_EXCEEDS_SENT: "more messages bounced than were sent",
    Reason.COMPLAINED_EXCEEDS_SENT: "more people complained than were sent something",
    Reason.COHORT_EXCEEDS_TOTAL: "the cohort is larger than everybody who was sent something",
    Reason.SUCCESSES_EXCEED_COHORT: "the cohort has more successes than people",
    Reason.SCORE_SUMS_MISSING: "the sums of per-contact scores are missing",
    Reason.SCORE_SUMS_IMPOSSIBLE: "no scores between 0 and 1 have these sums",
    Reason.HOLDOUT_ASSIGNED_MISSING: "it is not known how many people are held out",
    Reason.DUPLICATE_VARIANT: "a variant is listed twice",
    Reason.SEVERAL_HOLDOUTS: "there is more than one holdout",
    Reason.FEWER_THAN_TWO_VARIANTS: "there are no two variants to compare",
}

_TABLES = {
    Reason.EMPTY_VARIANT: "at least one variant has nobody to count yet",
    Reason.SINGLE_CONTACT: "at least one variant has a single person",
    Reason.NO_EVENTS: "nobody has done it yet in any variant",
    Reason.ALL_EVENTS: "everybody has done it in every variant",
    Reason.NO_VARIANCE: "the scores do not vary",
}


def explain(verdict: Verdict) -> str:
    """The verdict in one plain sentence."""
    reason = verdict.reason
    if verdict.state is State.INVALID:
        where = f" ({verdict.subject})" if verdict.subject else ""
        return f"This test cannot be judged: {_FAULTS.get(reason, reason.value)}{where}."
    if verdict.state is State.SRM_BLOCKED:
        p = verdict.srm.sequential_p
        figure = "" if p is None else f" (p = {p:.2g})" if p >= 1e-4 else " (p < 0.0001)"
        return (
            f"The people assigned do not have the promised proportions{figure}, so the variants "
            "may not be comparable and nothing is decided until a person has cleared this."
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
        return f"{_lead(verdict, 'is significantly ahead with')}; a person has to declare it."
    if verdict.state is State.GUARDRAIL_BLOCKED:
        ahead = f"{verdict.leader} is significantly ahead"
        return f"{ahead}, but {_worse(verdict)}, so no winner is declared."
    return f"Still collecting: {_collecting(verdict)}."


def what_would_change(verdict: Verdict) -> str:
    """What would move the verdict, in one plain sentence."""
    reason, progress = verdict.reason, verdict.progress
    if verdict.state.is_terminal:
        return "Nothing: the decision stands, and later events change totals only."
    if verdict.state is State.INVALID:
        return "Counts that can be true."
    if verdict.state is State.SRM_BLOCKED:
        return (
            "A person who knows why the proportions are off clears the block, or starts a new test."
        )
    if verdict.state is State.GUARDRAIL_BLOCKED:
        return (
            "More data in which the harm is no longer clear, or a person who declares a winner "
            "by hand."
        )
    if verdict.state is State.SIGNIFICANT:
        return f"A person declares {verdict.leader} the winner, or the lead shrinks."
    if reason in (Reason.EMPTY_VARIANT, Reason.SAMPLE_TOO_SMALL):
        missing = progress.needed_sample - progress.smallest_sample
        return f"{_people(missing)} more in the smallest variant."
    if reason in (Reason.RUNTIME_TOO_SHORT, Reason.RUNTIME_UNKNOWN):
        return f"A runtime of {progress.needed_hours:g} hours."
    if reason is Reason.BEFORE_HORIZON:
        missing = (verdict.config.planned_sample_size or 0) - progress.smallest_sample
        return (
            f"The one look at the planned sample: {_people(missing)} more in the smallest variant."
        )
    if reason in (Reason.LEADERS_TIED, Reason.NO_VARIANCE) or verdict.leader is None:
        return "A difference between the variants."
    if reason is Reason.EXPECTED_CELL_TOO_SMALL or reason in _TABLES:
        return (
            "More people who do it, or more people who do not: the rarer of the two is too rare "
            "to compare."
        )
    return _needed_lead(verdict)


def _collecting(verdict: Verdict) -> str:
    reason, progress = verdict.reason, verdict.progress
    if reason in _TABLES:
        return _TABLES[reason]
    if reason is Reason.SAMPLE_TOO_SMALL:
        needed = _people(progress.needed_sample)
        return f"the smallest variant has {progress.smallest_sample} of {needed}"
    if reason is Reason.EXPECTED_CELL_TOO_SMALL:
        cell = progress.min_expected_cell or 0.0
        return f"the smallest expected cell is {cell:.1f} of {progress.needed_cell:g}"
    if reason is Reason.RUNTIME_TOO_SHORT:
        return f"{progress.runtime_hours or 0.0:.1f} of {progress.needed_hours:g} hours have passed"
    if reason is Reason.RUNTIME_UNKNOWN:
        return f"the test must run {progress.needed_hours:g} hours, and its runtime is not known"
    if reason is Reason.BEFORE_HORIZON:
        planned = verdict.config.planned_sample_size or 0
        return (
            f"the smallest variant has {progress.smallest_sample} of the planned {_people(planned)}"
        )
    if reason is Reason.LEADERS_TIED:
        return "the best variants are tied"
    if reason is Reason.LIFT_TOO_SMALL:
        least = verdict.config.minimum_lift
        return f"{verdict.leader} is ahead, but not surely by more than {least:g} percentage points"
    return _lead(verdict, "leads with", "not yet enough: ")


def _lead(verdict: Verdict, verb: str, qualifier: str = "") -> str:
    """Who is ahead of whom, with rates and confidence."""
    rival = _closest(verdict)
    if verdict.leader is None or rival is None:
        return "no variant leads"
    leader = verdict.variant(verdict.leader)
    other = verdict.variant(rival.b if rival.a == leader.variant_group else rival.a)
    noun = METRICS[verdict.config.winner_metric].noun
    needed = f"{verdict.config.confidence_threshold:g} % needed"
    rates = f"{_pct(leader.value_pct)} against {_pct(other.value_pct)} for {other.variant_group}"
    return (
        f"{leader.variant_group} {verb} {_article(noun)} {noun} of {rates} "
        f"({qualifier}{leader.confidence_level} % confidence, {needed})"
    )


def _closest(verdict: Verdict) -> PairResult | None:
    """The leader's pair that is hardest to win."""
    pairs = [p for p in verdict.pairs if verdict.leader in (p.a, p.b)]
    return max(
        pairs, key=lambda p: math.inf if p.decision_p is None else p.decision_p, default=None
    )


def _needed_lead(verdict: Verdict) -> str:
    rival = _closest(verdict)
    if rival is None or verdict.leader is None:
        return "More people."
    values = verdict.variant(rival.a).value_pct, verdict.variant(rival.b).value_pct
    lead = abs((values[0] or 0.0) - (values[1] or 0.0))
    other = rival.b if rival.a == verdict.leader else rival.a
    if rival.interval is None or verdict.config.decision_method is not DecisionMethod.ALWAYS_VALID:
        return (
            f"A larger lead over {other} (it is {lead:.2f} percentage points), or more people with "
            "the lead as it is."
        )
    # The half towards the leader is never cut off at 0, so it is the whole margin.
    low, high = rival.interval
    margin = high - lead if rival.a == verdict.leader else -low - lead
    return (
        f"A lead over {other} of more than about {margin + verdict.config.minimum_lift:.2f} "
        f"percentage points at this sample (it is {lead:.2f}), or more people with the lead as it "
        "is."
    )


def _worse(verdict: Verdict) -> str:
    found = next(g for g in verdict.guardrails if g.is_worse)
    noun = GUARDRAILS[found.guardrail].noun
    rates = f"{found.leader_pct} % against {found.runner_up_pct} %"
    return f"its {noun} is worse than that of {found.runner_up} ({rates})"


def _pct(value: float | None) -> str:
    return "no rate" if value is None else f"{value:.2f} %"


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeo" else "a"


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"
