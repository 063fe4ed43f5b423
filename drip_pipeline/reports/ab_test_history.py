"""The history of a test: cumulative rates in time steps, the leader's lead, and the lead that would
have decided at each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from drip_pipeline.db.ab_tests import evaluations as ab_tests_db
from drip_pipeline.db.ab_tests.evaluations import CohortStepRow
from drip_pipeline.db.connection import Connection
from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.experiments import ABTest, CohortCounts, VariantCounts, Verdict, evaluate_tests

MOST_STEPS = 48
# The rate of a few contacts varies so much that it would hide all later points.
FEWEST_SHOWN = 30
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
STEPS_SECONDS = (
    MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
    DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 364 * DAY,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One point in time. `rates_pct`: by variant the cumulative winner metric, None while only a
    few contacts count. `lead_points`: the leader's lead over its closest rival; `needed_points`:
    what would decide at that sample; both None where nothing can be compared.
    """

    at: datetime
    rates_pct: Mapping[str, float | None]
    lead_points: float | None
    needed_points: float | None


@dataclass(frozen=True, slots=True)
class EvaluationHistory:
    """The points of a test since its first assignment. `leader`, `rival`: the pair of the lead."""

    points: tuple[HistoryPoint, ...]
    leader: str | None
    rival: str | None


def history_of(connection: Connection, results: SplitResults, now: datetime) -> EvaluationHistory:
    """Return the history of a test up to `now` or to its end."""
    started = [row.first_assigned_at for row in results.totals.values()]
    starts_at = min((at for at in started if at), default=None)
    if starts_at is None:
        return EvaluationHistory((), None, None)
    ends_at = max(starts_at, results.experiment.ended_at or now)
    step = step_seconds((ends_at - starts_at).total_seconds())
    rows = ab_tests_db.cohort_steps(
        connection,
        results.experiment.count_request,
        starts_at=starts_at,
        step_seconds=step,
        now=ends_at,
    )
    steps = max(1, -(-int((ends_at - starts_at).total_seconds()) // step))
    tests = _tests(results.test, rows, steps)
    leader, rival = leading_pair(results.verdict)
    final = {v.variant_group: (v.cohort.contacts if v.cohort else 0) for v in tests[-1].variants}
    fewest = {name: min(FEWEST_SHOWN, count / 4) for name, count in final.items()}
    points = []
    for position, verdict in enumerate(evaluate_tests(tests)):
        lead, needed = _lead(verdict, leader, rival)
        at = min(ends_at, starts_at + timedelta(seconds=position * step))
        rates = {
            v.variant_group: v.value_pct if v.sample >= fewest[v.variant_group] else None
            for v in verdict.variants
        }
        points.append(HistoryPoint(at, rates, lead, needed))
    return EvaluationHistory(tuple(points), leader, rival)


def step_seconds(span_seconds: float) -> int:
    """Return the smallest step that divides a span into at most MOST_STEPS steps."""
    return next((s for s in STEPS_SECONDS if span_seconds <= s * MOST_STEPS), STEPS_SECONDS[-1])


def leading_pair(verdict: Verdict) -> tuple[str | None, str | None]:
    """Return the leader and the rival with the largest p; for a tie the first two variants."""
    pairs = [p for p in verdict.pairs if verdict.leader in (p.a, p.b)] or list(verdict.pairs[:1])
    if not pairs:
        return None, None
    closest = max(pairs, key=lambda p: 2.0 if p.decision_p is None else p.decision_p)
    leader = verdict.leader or closest.a
    return leader, closest.b if closest.a == leader else closest.a


def _tests(test: ABTest, rows: Sequence[CohortStepRow], steps: int) -> list[ABTest]:
    """Return the test with its cohort at the end of each step."""
    names = [variant.variant_group for variant in test.variants]
    additions = {(row.variant_group, min(row.step, steps)): row for row in rows}
    sums = {name: CohortCounts(0, 0, 0.0, 0.0) for name in names}
    tests = []
    for step in range(steps + 1):
        for name in names:
            row = additions.get((name, step))
            if row is not None:
                sums[name] = _plus(sums[name], row)
        variants = tuple(_with_cohort(v, sums[v.variant_group]) for v in test.variants)
        tests.append(replace(test, variants=variants, decided=None))
    return tests


def _with_cohort(variant: VariantCounts, cohort: CohortCounts) -> VariantCounts:
    """Return a variant with only these contacts."""
    return VariantCounts(
        variant.variant_group,
        total_sent=0 if variant.is_holdout else cohort.contacts,
        assigned=cohort.contacts,
        weight=variant.weight,
        is_holdout=variant.is_holdout,
        cohort=cohort,
    )


def _plus(sums: CohortCounts, row: CohortStepRow) -> CohortCounts:
    return CohortCounts(
        sums.contacts + int(row.contacts),
        sums.successes + int(row.successes),
        float(sums.score_sum or 0) + float(row.score_sum),
        float(sums.score_sum_squares or 0) + float(row.score_sum_squares),
    )


def _lead(
    verdict: Verdict, leader: str | None, rival: str | None
) -> tuple[float | None, float | None]:
    for pair in verdict.pairs:
        if {pair.a, pair.b} == {leader, rival} and pair.interval is not None:
            low, high = pair.interval
            lead = (low + high) / 2
            return (lead if pair.a == leader else -lead), (high - low) / 2
    return None, None
