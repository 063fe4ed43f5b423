"""Evaluation of tests: counts in, verdict with a reason out, for one test or thousands in one call.

Collects the counts of all tests, compares them together, and builds the verdict of each. The
formulas are in the modules it calls. Reads no clock and keeps no state, so evaluating twice gives
the same verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drip_pipeline.domain.definition.ab_test import Metric
from drip_pipeline.experiments.build_verdict import Evidence, build_verdict, final_verdict
from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.comparisons import Arms, VariantComparison, compare_many
from drip_pipeline.experiments.counts import ABTest, CohortCounts, find_fault
from drip_pipeline.experiments.guardrails import LeaderGuard, check_guardrails
from drip_pipeline.experiments.holdout import HoldoutComparison, lifts, no_lift
from drip_pipeline.experiments.pairs import GroupSums
from drip_pipeline.experiments.ranking import Ranking, rank_groups, score_millionths
from drip_pipeline.experiments.sample_ratio import configured_shares, sample_ratios
from drip_pipeline.experiments.verdict import HoldoutLift, Verdict

Tested = Mapping[str, CohortCounts]
_NO_COMPARISON = VariantComparison(None, None, None, (), plan_complete=False)
_NO_RANKING = Ranking(None, ())


def evaluate_test(test: ABTest) -> Verdict:
    """Evaluate one test; the same verdict as in a call of `evaluate_tests` with others."""
    return evaluate_tests([test])[0]


def evaluate_tests(tests: Sequence[ABTest]) -> list[Verdict]:
    """Evaluate tests with any mixture of metrics, methods and numbers of variants; verdicts in the
    order of `tests`.

    Never raises on counts: a value that cannot be computed is None with a reason code, and counts
    that contradict each other give the state `invalid`. The verdict on a decided test is its
    decision.
    """
    running = [test for test in tests if test.decided is None]
    faults = [find_fault(test) for test in running]
    tested = [test.tested() for test in running]
    sound = [i for i, fault in enumerate(faults) if fault is None]
    comparisons = dict(
        zip(sound, compare_many([_arms(running[i], tested[i]) for i in sound]), strict=True)
    )
    rankings = {i: _ranking(running[i], tested[i]) for i in sound}
    guards = [LeaderGuard(running[i].competing, rankings[i], running[i].config) for i in sound]
    guardrails = dict(zip(sound, check_guardrails(guards), strict=True))
    # A single variant with a holdout has no rival, but its lift can be computed. Nothing can be
    # computed from impossible counts.
    measurable = [
        test if fault is None or fault[0] is Reason.FEWER_THAN_TWO_VARIANTS else None
        for test, fault in zip(running, faults, strict=True)
    ]
    ratios = sample_ratios(measurable)
    over_holdout = _holdout_lifts(measurable, tested)
    verdicts = iter(
        [
            build_verdict(
                Evidence(
                    test,
                    tested[i],
                    faults[i],
                    comparisons.get(i, _NO_COMPARISON),
                    rankings.get(i, _NO_RANKING),
                    guardrails.get(i, ()),
                    ratios[i],
                    over_holdout[i],
                )
            )
            for i, test in enumerate(running)
        ]
    )
    return [next(verdicts) if t.decided is None else final_verdict(t, t.decided) for t in tests]


def _group(counts: CohortCounts, metric: Metric) -> GroupSums:
    """Return the tested sums of a variant; a missing score was found by `find_fault`."""
    if metric.is_score:
        return GroupSums(
            counts.contacts, float(counts.score_sum or 0), float(counts.score_sum_squares or 0)
        )
    return GroupSums(counts.contacts, counts.successes)


def _arms(test: ABTest, tested: Tested) -> Arms:
    competing, metric = test.competing, test.config.winner_metric
    shares = configured_shares(test)
    of_variant = dict(zip((v.variant_group for v in test.variants), shares or (), strict=False))
    return Arms(
        names=tuple(v.variant_group for v in competing),
        groups=tuple([_group(tested[v.variant_group], metric) for v in competing]),
        shares=tuple(of_variant[v.variant_group] for v in competing) if shares else None,
        config=test.config,
    )


def _ranking(test: ABTest, tested: Tested) -> Ranking:
    metric = test.config.winner_metric
    counted = [tested[v.variant_group] for v in test.competing]
    numerators = [
        score_millionths(c.score_sum or 0) if metric.is_score else c.successes for c in counted
    ]
    return rank_groups(numerators, [c.contacts for c in counted])


def _holdout_lifts(
    tests: Sequence[ABTest | None], tested: Sequence[Tested]
) -> list[tuple[HoldoutLift, ...]]:
    """Return the lifts of each test; () for None and for a test without a holdout."""
    comparisons: list[tuple[int, HoldoutComparison]] = []
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
            against = HoldoutComparison(
                v.variant_group,
                _group(tested[position][v.variant_group], metric),
                _group(held_out, metric),
                test.config,
                unsent,
            )
            comparisons.append((position, against))
    for (position, _), lift in zip(comparisons, lifts([c for _, c in comparisons]), strict=True):
        results[position].append(lift)
    return [tuple(of_test) for of_test in results]
