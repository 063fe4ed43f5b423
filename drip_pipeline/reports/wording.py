"""The sentences of a report: durations, how long a test may still take, and what to beware of."""

from __future__ import annotations

from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.experiments import DecisionMethod, Metric, TimeToDecision
from drip_pipeline.experiments.metrics import GUARDRAILS, METRICS

# A machine's opens are common from here on, in percent of the people sent to.
MANY_MACHINE_OPENS_PCT = 20.0
# A single look at the sample ratio that makes one wonder, though it does not block.
ODD_SAMPLE_RATIO_P = 0.001

STATES = {
    "collecting": ("Running", "open"),
    "invalid": ("Cannot be judged", "bad"),
    "srm_blocked": ("Blocked", "bad"),
    "guardrail_blocked": ("Blocked", "bad"),
    "significant": ("Waiting for a person", "good"),
    "decided_winner": ("Winner", "good"),
    "decided_no_winner": ("No winner", "open"),
    "superseded": ("Replaced", "open"),
}
WAITING = {
    "significant": "Until a person declares it.",
    "srm_blocked": "Until a person clears the block.",
    "guardrail_blocked": "Until the guardrail is no longer broken, or a person declares a winner.",
    "invalid": "Until the counts are put right.",
}
METHODS = {
    DecisionMethod.ALWAYS_VALID: "always valid: may be looked at at any time",
    DecisionMethod.PLANNED: "planned: looked at all the way to the planned sample",
    DecisionMethod.FIXED_HORIZON: "fixed horizon: one look, at the planned sample",
}


def noun(found: SplitResults) -> str:
    """What the winner is judged by."""
    return METRICS[found.experiment.statistics.winner_metric].noun


def duration(hours: float) -> str:
    """Hours in words, as exact as one needs them."""
    if hours < 1 / 60:
        return "less than a minute"
    if hours < 2:
        return _counted(round(hours * 60), "minute")
    if hours < 48:
        return _counted(round(hours), "hour")
    if hours < 24 * 60:
        return _counted(round(hours / 24), "day")
    return _counted(round(hours / (24 * 30.4)), "month")


def remaining(found: SplitResults) -> str:
    """How long the test may still take."""
    estimate = found.remaining()
    if estimate is None:
        return "It is over."
    if found.verdict.state.is_terminal:
        return "The decision is due and is taken at the next judging."
    return WAITING.get(found.state) or _estimate(estimate)


def _estimate(estimate: TimeToDecision) -> str:
    people = (
        ""
        if estimate.more_per_variant is None
        else f" {_counted(estimate.more_per_variant, 'person', 'people')} more per variant"
    )
    if estimate.hours is None:
        if people:
            return f"About{people}, if things go on as they have so far."
        return "That cannot be told: so far there is no lead to speak of."
    return (
        f"About {duration(estimate.hours)}"
        f"{f', or{people},' if people else ''} if things go on as they have so far."
    )


def warnings(found: SplitResults) -> list[str]:
    """What a reader should know before believing the verdict."""
    told = []
    verdict, current = found.verdict, found.current
    srm = verdict.srm
    if srm.sequential_p is not None and srm.sequential_p < verdict.config.srm_alpha:
        told.append(
            f"Sample-ratio mismatch (p = {srm.sequential_p:.2g}): the variants did not get the"
            " shares of people that they were promised. Something decides who gets in, and it may"
            " decide the result too."
        )
    elif srm.chi2_p is not None and srm.chi2_p < ODD_SAMPLE_RATIO_P:
        told.append(
            f"The shares of people look odd (p = {srm.chi2_p:.2g} at a single look). It does not"
            " block the test; look at how people reach the split."
        )
    told += _machine_opens(found)
    for guard in verdict.guardrails:
        if guard.is_worse:
            told.append(
                f"The {GUARDRAILS[guard.guardrail].noun} of {guard.leader} is worse than that of"
                f" {guard.runner_up}: {guard.leader_pct} % against {guard.runner_up_pct} %."
            )
    if any(lift.partly_unsent for lift in found.lifts):
        told.append(
            "Not everybody assigned to a variant was sent something. The lift over the holdout"
            " compares those who were sent with all who were held out, who may be other people."
        )
    if not any(v.assigned for v in current.variants):
        told.append("Nobody has come to the split yet.")
    return told


def _machine_opens(found: SplitResults) -> list[str]:
    many = []
    for name, row in found.totals.items():
        sent, machines = row.total_sent, row.total_machine_opened
        if sent and 100 * machines / sent >= MANY_MACHINE_OPENS_PCT:
            many.append(f"{machines:,} of {sent:,} of {name} ({100 * machines / sent:.0f} %)")
    if not many:
        return []
    told = (
        f"Many people have opens that look like a machine's: {', '.join(many)}. Those opens are"
        " left out of the decision."
    )
    if found.verdict.config.winner_metric in (Metric.OPEN_RATE, Metric.ENGAGEMENT_SCORE):
        told += (
            " People whose mail program hides their own opens are then missing: judging by clicks"
            " or conversions is safer."
        )
    return [told]


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
