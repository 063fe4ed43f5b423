"""How a test came to where it stands: cumulative rates in steps of time, and the lead of the leader
beside the lead that would have decided at that time.
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
# The rate of a handful of people jumps about and would hide everything that comes after.
FEWEST_SHOWN = 30
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
STEPS_SECONDS = (
    MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
    DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 364 * DAY,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moment:
    """One point in time. `rates_pct`: by variant the cumulative winner metric, None while only a
    few people count. `lead_points`: the leader's lead over its closest rival; `needed_points`:
    what would decide at that sample; both None where nothing can be compared.
    """

    at: datetime
    rates_pct: Mapping[str, float | None]
    lead_points: float | None
    needed_points: float | None


@dataclass(frozen=True, slots=True)
class EvaluationHistory:
    """The moments of a test from its first person on. `leader` and `rival`: whose lead is told."""

    moments: tuple[Moment, ...]
    leader: str | None
    rival: str | None


def history_of(connection: Connection, found: SplitResults, now: datetime) -> EvaluationHistory:
    """The history of a test up to `now`, or to its end."""
    started = [row.first_assigned_at for row in found.totals.values()]
    starts_at = min((at for at in started if at), default=None)
    if starts_at is None:
        return EvaluationHistory((), None, None)
    ends_at = max(starts_at, found.experiment.ended_at or now)
    step = step_seconds((ends_at - starts_at).total_seconds())
    rows = ab_tests_db.cohort_steps(
        connection,
        found.experiment.count_request,
        starts_at=starts_at,
        step_seconds=step,
        now=ends_at,
    )
    steps = max(1, -(-int((ends_at - starts_at).total_seconds()) // step))
    tests = _tests(found.test, rows, steps)
    leader, rival = leading_pair(found.verdict)
    final = {v.variant_group: (v.cohort.contacts if v.cohort else 0) for v in tests[-1].variants}
    fewest = {name: min(FEWEST_SHOWN, count / 4) for name, count in final.items()}
    moments = []
    for position, verdict in enumerate(evaluate_tests(tests)):
        lead, needed = _lead(verdict, leader, rival)
        at = min(ends_at, starts_at + timedelta(seconds=position * step))
        rates = {
            v.variant_group: v.value_pct if v.sample >= fewest[v.variant_group] else None
            for v in verdict.variants
        }
        moments.append(Moment(at, rates, lead, needed))
    return EvaluationHistory(tuple(moments), leader, rival)


def step_seconds(span_seconds: float) -> int:
    """The step that shows a span in no more than MOST_STEPS steps."""
    return next((s for s in STEPS_SECONDS if span_seconds <= s * MOST_STEPS), STEPS_SECONDS[-1])


def leading_pair(verdict: Verdict) -> tuple[str | None, str | None]:
    """The leader and the rival that is hardest to beat; of a tie the first two variants."""
    pairs = [p for p in verdict.pairs if verdict.leader in (p.a, p.b)] or list(verdict.pairs[:1])
    if not pairs:
        return None, None
    closest = max(pairs, key=lambda p: 2.0 if p.decision_p is None else p.decision_p)
    leader = verdict.leader or closest.a
    return leader, closest.b if closest.a == leader else closest.a


def _tests(test: ABTest, rows: Sequence[CohortStepRow], steps: int) -> list[ABTest]:
    """The test as it was counted at the end of each step."""
    names = [variant.variant_group for variant in test.variants]
    news = {(row.variant_group, min(row.step, steps)): row for row in rows}
    sums = {name: CohortCounts(0, 0, 0.0, 0.0) for name in names}
    found = []
    for step in range(steps + 1):
        for name in names:
            row = news.get((name, step))
            if row is not None:
                sums[name] = _plus(sums[name], row)
        variants = tuple(_as_it_was(v, sums[v.variant_group]) for v in test.variants)
        found.append(replace(test, variants=variants, decided=None))
    return found


def _as_it_was(variant: VariantCounts, cohort: CohortCounts) -> VariantCounts:
    """A variant when only these people counted."""
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
