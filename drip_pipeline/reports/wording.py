"""The texts of a report: durations, the estimated time to a decision, and caveats."""

from __future__ import annotations

from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.experiments import DecisionMethod, Metric, TimeToDecision
from drip_pipeline.experiments.metrics import GUARDRAILS, METRICS

# From this percentage of sent contacts, machine opens are worth a caveat.
MANY_MACHINE_OPENS_PCT = 20.0
# A sample-ratio p for one look that is worth a caveat but does not block.
ODD_SAMPLE_RATIO_P = 0.001

STATES = {
    "collecting": ("Running", "open"),
    "invalid": ("Cannot be evaluated", "bad"),
    "srm_blocked": ("Blocked", "bad"),
    "guardrail_blocked": ("Blocked", "bad"),
    "significant": ("Waiting for confirmation", "good"),
    "decided_winner": ("Winner", "good"),
    "decided_no_winner": ("No winner", "open"),
    "superseded": ("Replaced", "open"),
}
WAITING = {
    "significant": "Until an operator declares the winner.",
    "srm_blocked": "Until an operator clears the block.",
    "guardrail_blocked": "Until the guardrail is met again, or an operator declares a winner.",
    "invalid": "Until the counts are corrected.",
}
METHODS = {
    DecisionMethod.ALWAYS_VALID: "always valid: any number of looks at any time",
    DecisionMethod.PLANNED: "planned: any number of looks up to the planned sample",
    DecisionMethod.FIXED_HORIZON: "fixed horizon: one look, at the planned sample",
}


def noun(results: SplitResults) -> str:
    """Return the name of the winner metric."""
    return METRICS[results.experiment.statistics.winner_metric].noun


def duration(hours: float) -> str:
    """Format hours with one unit that fits."""
    if hours < 1 / 60:
        return "less than a minute"
    if hours < 2:
        return _counted(round(hours * 60), "minute")
    if hours < 48:
        return _counted(round(hours), "hour")
    if hours < 24 * 60:
        return _counted(round(hours / 24), "day")
    return _counted(round(hours / (24 * 30.4)), "month")


def remaining(results: SplitResults) -> str:
    """Describe how long the test may still take."""
    estimate = results.remaining()
    if estimate is None:
        return "The test has ended."
    if results.verdict.state.is_terminal:
        return "The decision is due and is recorded by the next evaluation."
    return WAITING.get(results.state) or _estimate(estimate)


def _estimate(estimate: TimeToDecision) -> str:
    contacts = (
        ""
        if estimate.more_per_variant is None
        else f" {_counted(estimate.more_per_variant, 'contact')} more per variant"
    )
    if estimate.hours is None:
        if contacts:
            return f"About{contacts} at the present pace."
        return "No estimate: so far there is hardly any lead."
    return (
        f"About {duration(estimate.hours)}"
        f"{f' or{contacts}' if contacts else ''} at the present pace."
    )


def warnings(results: SplitResults) -> list[str]:
    """Return the caveats of the verdict."""
    caveats = []
    verdict, current = results.verdict, results.current
    srm = verdict.srm
    if srm.sequential_p is not None and srm.sequential_p < verdict.config.srm_alpha:
        caveats.append(
            f"Sample-ratio mismatch (p = {srm.sequential_p:.2g}): the assigned contacts do not have"
            " the expected split. Whatever causes this may also affect the result."
        )
    elif srm.chi2_p is not None and srm.chi2_p < ODD_SAMPLE_RATIO_P:
        caveats.append(
            f"The split of contacts is unusual (p = {srm.chi2_p:.2g} for one look). It does not"
            " block the test; check how contacts reach the split."
        )
    caveats += _machine_opens(results)
    for guard in verdict.guardrails:
        if guard.is_worse:
            caveats.append(
                f"The {GUARDRAILS[guard.guardrail].noun} of {guard.leader} is worse than that of"
                f" {guard.runner_up}: {guard.leader_pct} % against {guard.runner_up_pct} %."
            )
    if any(lift.partly_unsent for lift in results.lifts):
        caveats.append(
            "Some contacts assigned to a variant were sent nothing. The lift over the holdout"
            " compares the contacts sent with all contacts of the holdout, which may differ."
        )
    if not any(v.assigned for v in current.variants):
        caveats.append("No contact has reached the split yet.")
    return caveats


def _machine_opens(results: SplitResults) -> list[str]:
    many = []
    for name, row in results.totals.items():
        sent, machines = row.total_sent, row.total_machine_opened
        if sent and 100 * machines / sent >= MANY_MACHINE_OPENS_PCT:
            many.append(f"{machines:,} of {sent:,} of {name} ({100 * machines / sent:.0f} %)")
    if not many:
        return []
    caveat = (
        f"Many contacts have machine opens: {', '.join(many)}. The decision ignores machine opens."
    )
    if results.verdict.config.winner_metric in (Metric.OPEN_RATE, Metric.ENGAGEMENT_SCORE):
        caveat += (
            " Contacts with an email program that hides their opens are missing: clicks or"
            " conversions are a safer winner metric."
        )
    return [caveat]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"
