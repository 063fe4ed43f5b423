"""Judging: counts in, verdict with a reason out, for one test or for thousands in one call.

Collects the numbers of all tests, has them compared together, and puts each verdict together again.
The formulas are in the modules it calls; it reads no clock and keeps no memory, so judging twice
gives the same verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drip_pipeline.domain.definition.ab_test import Metric
from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.comparisons import Arms, Comparison, compare_many
from drip_pipeline.experiments.counts import ABTest, CohortCounts, fault_of
from drip_pipeline.experiments.guardrails import LeaderGuard, check_guardrails
from drip_pipeline.experiments.holdout import AgainstHoldout, lifts, no_lift
from drip_pipeline.experiments.leader import Standing, standing
from drip_pipeline.experiments.metrics import score_millionths
from drip_pipeline.experiments.pairs import Group
from drip_pipeline.experiments.sample_ratio import promised_shares, sample_ratios
from drip_pipeline.experiments.verdict import HoldoutLift, Verdict
from drip_pipeline.experiments.weigh import Evidence, final_verdict, weigh

Tested = Mapping[str, CohortCounts]
_NO_COMPARISON = Comparison(None, None, None, (), plan_complete=False)
_NO_STANDING = Standing(None, ())


def judge_one(test: ABTest) -> Verdict:
    """Judge one test. The same verdict as among others in `judge_many`."""
    return judge_many([test])[0]


def judge_many(tests: Sequence[ABTest]) -> list[Verdict]:
    """Judge tests of any mixture of metrics, methods and numbers of variants; verdicts in the order
    given.

    Never raises on counts, however degenerate: what cannot be computed is None with a reason code,
    and counts that contradict each other give the state `invalid`. A test that was decided before
    comes back as decided.
    """
    running = [test for test in tests if test.decided is None]
    faults = [fault_of(test) for test in running]
    tested = [test.tested() for test in running]
    sound = [i for i, fault in enumerate(faults) if fault is None]
    comparisons = dict(
        zip(sound, compare_many([_arms(running[i], tested[i]) for i in sound]), strict=True)
    )
    standings = {i: _standing(running[i], tested[i]) for i in sound}
    guards = [LeaderGuard(running[i].competing, standings[i], running[i].config) for i in sound]
    guardrails = dict(zip(sound, check_guardrails(guards), strict=True))
    # One variant beside a holdout has nobody to compete with, yet its lift can be told. Of counts
    # that cannot be true nothing can.
    measurable = [
        test if fault is None or fault[0] is Reason.FEWER_THAN_TWO_VARIANTS else None
        for test, fault in zip(running, faults, strict=True)
    ]
    ratios = sample_ratios(measurable)
    over_holdout = _holdout_lifts(measurable, tested)
    weighed = iter(
        [
            weigh(
                Evidence(
                    test,
                    tested[i],
                    faults[i],
                    comparisons.get(i, _NO_COMPARISON),
                    standings.get(i, _NO_STANDING),
                    guardrails.get(i, ()),
                    ratios[i],
                    over_holdout[i],
                )
            )
            for i, test in enumerate(running)
        ]
    )
    return [next(weighed) if t.decided is None else final_verdict(t, t.decided) for t in tests]


def _group(counts: CohortCounts, metric: Metric) -> Group:
    """The tested numbers of a variant; a score that is missing is caught before."""
    if metric.is_score:
        return Group(
            counts.contacts, float(counts.score_sum or 0), float(counts.score_sum_squares or 0)
        )
    return Group(counts.contacts, counts.successes)


def _arms(test: ABTest, tested: Tested) -> Arms:
    competing, metric = test.competing, test.config.winner_metric
    shares = promised_shares(test)
    of_variant = dict(zip((v.variant_group for v in test.variants), shares or (), strict=False))
    return Arms(
        names=tuple(v.variant_group for v in competing),
        groups=tuple([_group(tested[v.variant_group], metric) for v in competing]),
        shares=tuple(of_variant[v.variant_group] for v in competing) if shares else None,
        config=test.config,
    )


def _standing(test: ABTest, tested: Tested) -> Standing:
    metric = test.config.winner_metric
    counted = [tested[v.variant_group] for v in test.competing]
    numerators = [
        score_millionths(c.score_sum or 0) if metric.is_score else c.successes for c in counted
    ]
    return standing(numerators, [c.contacts for c in counted])


def _holdout_lifts(
    tests: Sequence[ABTest | None], tested: Sequence[Tested]
) -> list[tuple[HoldoutLift, ...]]:
    """The lifts of each test; nothing for None and for a test without a holdout."""
    asked: list[tuple[int, AgainstHoldout]] = []
    results: list[list[HoldoutLift]] = [[] for _ in tests]
    for position, test in enumerate(tests):
        holdout = test.holdout if test else None
        if test is None or holdout is None:
            continue
        metric = test.config.winner_metric
        held_out = tested[position][holdout.variant_group]
        for v in test.competing:
            if metric.is_score and (
                held_out.score_sum is None or held_out.score_sum_squares is None
            ):
                results[position].append(no_lift(v.variant_group, Reason.SCORE_SUMS_MISSING))
                continue
            unsent = v.assigned is not None and v.total_sent < v.assigned
            against = AgainstHoldout(
                v.variant_group,
                _group(tested[position][v.variant_group], metric),
                _group(held_out, metric),
                test.config,
                unsent,
            )
            asked.append((position, against))
    for (position, _), lift in zip(asked, lifts([a for _, a in asked]), strict=True):
        results[position].append(lift)
    return [tuple(of_test) for of_test in results]
