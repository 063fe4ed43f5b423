"""Results of a campaign's tests, computed on request: totals as of now or as of a past time, the
verdict on them, and for a decided test the counts of its decision. Records no decision and no
evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db.ab_tests import decisions as decisions_db
from drip_pipeline.db.ab_tests import evaluations as ab_tests_db
from drip_pipeline.db.ab_tests.decisions import StoredDecision
from drip_pipeline.db.ab_tests.evaluations import (
    StoredEvaluation,
    VariantCountRow,
    VariantResultRow,
)
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.ab_tests.counts import (
    COUNTS,
    Experiment,
    as_test,
    by_test,
    prior_decision,
    read_experiment,
    store_inner_nodes,
)
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign
from drip_pipeline.errors import NotAllowed
from drip_pipeline.experiments import (
    ABTest,
    ABTestConfig,
    CohortCounts,
    Metric,
    State,
    TimeToDecision,
    VariantCounts,
    Verdict,
    evaluate_tests,
    explain,
    time_to_decision,
    what_would_change,
)
from drip_pipeline.experiments.verdict import HoldoutLift


@dataclass(frozen=True, slots=True)
class SplitResults:
    """The results of one test.

    `totals`: count rows by variant as of now; `current`: the same for the statistics. `test` and
    `verdict`: the evaluated counts and the verdict on them; for a decided test those of its
    decision. `rows`: the rows of the results table, empty before the first evaluation. `lifts`:
    each variant's conversions over the holdout's, as of now.
    """

    campaign: Campaign
    experiment: Experiment
    totals: Mapping[str, VariantCountRow]
    current: ABTest
    test: ABTest
    verdict: Verdict
    rows: Mapping[str, VariantResultRow]
    lifts: tuple[HoldoutLift, ...]
    decision: StoredDecision | None
    evaluated_at: datetime | None
    as_of: datetime

    def counts_of(self, variant_group: str) -> VariantCounts:
        """Return the counts of a variant as of now."""
        return next(v for v in self.current.variants if v.variant_group == variant_group)

    @property
    def is_running(self) -> bool:
        """True if the test is neither decided nor superseded."""
        return self.experiment.status == "running"

    @property
    def state(self) -> str:
        """The state of the test; `superseded` if a newer version replaced it."""
        if self.is_running:
            return self.verdict.state.value
        return self.decision.outcome if self.decision else self.experiment.status

    @property
    def reason(self) -> str:
        """The reason code of the state."""
        decided = prior_decision(self.decision)
        if decided is not None:
            return decided.reason.value
        return self.verdict.reason.value if self.is_running else self.experiment.status

    @property
    def winner(self) -> str | None:
        """The variant that won, or that the current verdict names."""
        if self.is_running:
            return self.verdict.winner
        return self.decision.winner_variant if self.decision else None

    def explanation(self) -> str:
        """Explain the verdict in one or two sentences."""
        sentence = explain(self.verdict)
        if self.is_running:
            return sentence
        if self.decision is None:
            return "A newer version of the campaign replaced this test before it was decided."
        if self.decision.is_by_hand:
            reason = self.decision.reason.rstrip(".")
            return (
                f"{self.winner} was declared the winner by {self.decision.decided_by}: {reason}."
                f" The evaluation at that time: {sentence}"
            )
        return sentence

    def would_change(self) -> str:
        """Describe what would change the verdict."""
        if self.is_running:
            return what_would_change(self.verdict)
        if self.decision is None:
            return "Nothing: the test that replaced it counts from the start."
        return "Nothing: the decision stands, and later events change totals only."

    def totals_note(self) -> str:
        """Describe what the totals are if they are not those of an evaluation: nothing was
        evaluated yet, or they changed after the decision. Empty otherwise.
        """
        if self.is_running and self.evaluated_at is None:
            return (
                "This test has not been evaluated yet: the totals were counted just now, and the"
                " first evaluation (`drip ab judge`, or the next run in Dagster) can differ."
            )
        if self.decision is None or self.current.variants == self.test.variants:
            return ""
        now, then = (
            f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
            for at in (self.as_of, self.decision.decided_at)
        )
        basis = f"the verdict is based on those of {then}, the time of the decision"
        return f"Totals are of {now}; {basis}."

    def remaining(self) -> TimeToDecision | None:
        """Estimate the time to a decision, None if the test has ended."""
        return time_to_decision(self.test, self.verdict) if self.is_running else None


def campaign_results(
    database: Database, campaign: str | UUID, *, now: datetime
) -> list[SplitResults]:
    """Return the results of a campaign's tests, superseded tests last. Raises NotAllowed if it has
    no test.
    """
    with database.transaction() as connection:
        owner = find_campaign(connection, campaign)
        experiments = _experiments(connection, owner)
        if not experiments:
            raise NotAllowed(
                f"campaign {owner.name!r} has no A/B test",
                hint="Publish it with a split and an ab_test_config that is enabled.",
            )
        return _results(connection, owner, experiments, now)


def results_of_all(database: Database, *, now: datetime) -> list[SplitResults]:
    """Return every running and decided test of all campaigns that are not archived, by campaign
    name.
    """
    with database.transaction() as connection:
        campaign_ids = dict.fromkeys(
            row.campaign_id for row in ab_tests_db.tests_of(connection, None)
        )
        results = []
        for campaign_id in campaign_ids:
            campaign = find_campaign(connection, campaign_id)
            current = [e for e in _experiments(connection, campaign) if e.status != "superseded"]
            results += _results(connection, campaign, current, now)
        return results


def results_as_of(
    database: Database, campaign: str | UUID, *, as_of: datetime
) -> list[SplitResults]:
    """Return the results of a campaign's tests as of a past time, for audits: evaluated by the same
    code, nothing written.

    Events count by the time they happened, not by the time they were received: an open before
    `as_of` counts even if the provider reported it later. Assignments, messages and events after
    `as_of` do not count; tests that started later are left out, later decisions are ignored. Raises
    NotAllowed if there was no test yet.
    """
    with database.transaction() as connection:
        owner = find_campaign(connection, campaign)
        began = [e for e in _experiments(connection, owner) if e.started_at <= as_of]
        if not began:
            raise NotAllowed(
                f"campaign {owner.name!r} had no A/B test at {as_of.isoformat()}",
                hint="Choose a later time; `drip ab results` shows when tests started.",
            )
        return _results(connection, owner, began, as_of, is_past=True)


def _experiments(connection: Connection, campaign: Campaign) -> list[Experiment]:
    rows = ab_tests_db.tests_of(connection, [campaign.campaign_id])
    return [read_experiment(row) for row in rows]


def _results(
    connection: Connection,
    campaign: Campaign,
    experiments: Sequence[Experiment],
    now: datetime,
    *,
    is_past: bool = False,
) -> list[SplitResults]:
    ids = [experiment.test_id for experiment in experiments]
    store_inner_nodes(connection, experiments)
    until = now if is_past else None
    decisions = {
        test_id: decision
        for test_id, decision in decisions_db.decisions_of(connection, ids).items()
        if until is None or decision.decided_at <= until
    }
    evaluations = {e.test_id: _evaluation(connection, e, decisions, until) for e in experiments}
    if until is not None:
        experiments = [_as_of(e, evaluations[e.test_id], until) for e in experiments]
    superseded = [e for e in experiments if e.status == "superseded"]
    count = ab_tests_db.count_variants_until if is_past else ab_tests_db.count_variants
    totals = by_test(count(connection, [e.count_request for e in experiments], now))
    # The counts at the end of a superseded test are kept when retention deletes what was counted.
    kept = by_test(ab_tests_db.counted_variants(connection, [e.test_id for e in superseded]))
    totals |= {id_: rows for id_, rows in kept.items() if _assigned(rows) > _assigned(totals[id_])}
    rows = by_test(ab_tests_db.results_of(connection, ids))
    current = [as_test(e, totals.get(e.test_id, {}), e.ended_at or now) for e in experiments]
    basis = [evaluations[experiment.test_id] for experiment in experiments]
    evaluated = [
        _deciding_test(*inputs) for inputs in zip(experiments, basis, current, strict=True)
    ]
    verdicts = evaluate_tests(evaluated)
    lifts = [
        verdict.holdout_lifts for verdict in evaluate_tests([_by_conversions(t) for t in current])
    ]
    return [
        SplitResults(
            campaign=campaign,
            experiment=experiment,
            totals=totals.get(experiment.test_id, {}),
            current=now_counted,
            test=test,
            verdict=verdict,
            rows=rows.get(experiment.test_id, {}),
            lifts=lift,
            decision=decisions.get(experiment.test_id),
            evaluated_at=evaluation.evaluated_at if evaluation else None,
            as_of=now,
        )
        for experiment, evaluation, now_counted, test, verdict, lift in zip(
            experiments, basis, current, evaluated, verdicts, lifts, strict=True
        )
    ]


def _assigned(rows: Mapping[str, VariantCountRow]) -> int:
    return sum(row.total_assigned for row in rows.values())


def _as_of(
    experiment: Experiment, evaluation: StoredEvaluation | None, until: datetime
) -> Experiment:
    """Return the test as of `until`; `evaluation` is its latest evaluation at that time."""
    is_cleared = experiment.srm_cleared_at is not None and experiment.srm_cleared_at <= until
    if experiment.ended_at is not None and experiment.ended_at <= until:
        return experiment
    return replace(
        experiment,
        status="running",
        state=State.COLLECTING.value if evaluation is None else evaluation.state,
        ended_at=None,
        winner_variant=None,
        srm_cleared_at=experiment.srm_cleared_at if is_cleared else None,
    )


def _evaluation(
    connection: Connection,
    experiment: Experiment,
    decisions: Mapping[UUID, StoredDecision],
    until: datetime | None,
) -> StoredEvaluation | None:
    """Return the evaluation of a test's decision; for a test without a decision, the latest."""
    decision = decisions.get(experiment.test_id)
    if decision is None:
        return ab_tests_db.latest_evaluation(connection, experiment.test_id, until=until)
    if decision.evaluation_id is None:
        return None
    return ab_tests_db.evaluation(connection, decision.evaluation_id)


def _deciding_test(
    experiment: Experiment, evaluation: StoredEvaluation | None, current: ABTest
) -> ABTest:
    """Return the counts to evaluate: those of the decision for a decided test, else the current."""
    if experiment.status != "decided" or evaluation is None:
        return current
    return replace(
        current,
        variants=tuple(_stored_counts(counts) for counts in evaluation.counts),
        runtime_hours=evaluation.verdict.get("runtime_hours"),
    )


def _stored_counts(counts: Mapping[str, Any]) -> VariantCounts:
    """Read the counts of a variant from an evaluation."""
    cohort = counts["cohort"]
    return VariantCounts(
        counts["variant_group"],
        assigned=counts["assigned"],
        weight=counts["weight"],
        is_holdout=counts["is_holdout"],
        cohort=None if cohort is None else CohortCounts(**cohort),
        **{name: counts.get(name, 0) for name in COUNTS},
    )


def _by_conversions(test: ABTest) -> ABTest:
    """Return the test with the metric conversion_rate: the only one that a holdout can have."""
    if test.config.winner_metric is Metric.CONVERSION_RATE:
        return test
    config: ABTestConfig = test.config.model_copy(update={"winner_metric": Metric.CONVERSION_RATE})
    variants = tuple(replace(variant, cohort=None) for variant in test.variants)
    return replace(test, config=config, variants=variants)
