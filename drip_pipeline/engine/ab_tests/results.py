"""Where the tests of a campaign stand, looked at afresh: totals as of now, or as of a moment in the
past, the verdict on them, and of a decided test what it was decided on. Nothing is decided here and
no evaluation is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import ab_tests as ab_tests_db
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
    """One test as it stands.

    `totals`: count rows by variant as of now, `current` the same for the statistics. `test` and
    `verdict`: the counts that are judged and the verdict on them; of a decided test those it was
    decided on. `rows`: the rows of the results table, empty before the first judging. `lifts`:
    each variant's conversions over the holdout's, as of now.
    """

    campaign: Campaign
    experiment: Experiment
    totals: Mapping[str, Mapping[str, Any]]
    current: ABTest
    test: ABTest
    verdict: Verdict
    rows: Mapping[str, Mapping[str, Any]]
    lifts: tuple[HoldoutLift, ...]
    decision: Mapping[str, Any] | None
    evaluated_at: datetime | None
    as_of: datetime

    def counts_of(self, variant_group: str) -> VariantCounts:
        """The counts of a variant as of now."""
        return next(v for v in self.current.variants if v.variant_group == variant_group)

    @property
    def is_running(self) -> bool:
        """Neither decided nor replaced."""
        return self.experiment.status == "running"

    @property
    def state(self) -> str:
        """Where the test stands; `superseded` when a newer version replaced it."""
        if self.is_running:
            return self.verdict.state.value
        return self.decision["outcome"] if self.decision else self.experiment.status

    @property
    def reason(self) -> str:
        """The reason code of the state."""
        decided = prior_decision(self.decision)
        if decided is not None:
            return decided.reason.value
        return self.verdict.reason.value if self.is_running else self.experiment.status

    @property
    def winner(self) -> str | None:
        """The variant that won, or would if the verdict were acted on now."""
        if self.is_running:
            return self.verdict.winner
        return self.decision["winner_variant"] if self.decision else None

    def explanation(self) -> str:
        """The verdict in plain words."""
        sentence = explain(self.verdict)
        if self.is_running:
            return sentence
        if self.decision is None:
            return "A newer version of the campaign replaced this test before it was decided."
        if self.decision["is_by_hand"]:
            told = self.decision["reason"].rstrip(".")
            return (
                f"{self.winner} was declared the winner by {self.decision['decided_by']}: {told}."
                f" The figures at that time: {sentence}"
            )
        return sentence

    def would_change(self) -> str:
        """What would move the verdict."""
        if self.is_running:
            return what_would_change(self.verdict)
        if self.decision is None:
            return "Nothing: the test that replaced it counts anew."
        return "Nothing: the decision stands, and later events change totals only."

    def totals_note(self) -> str:
        """That totals went on after the decision; empty where they did not."""
        if self.decision is None or self.current.variants == self.test.variants:
            return ""
        now, then = (
            f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
            for at in (self.as_of, self.decision["decided_at"])
        )
        return f"Totals are of {now}; the verdict rests on those of {then}, when it was decided."

    def remaining(self) -> TimeToDecision | None:
        """How long it may still take, None when it is over."""
        return time_to_decision(self.test, self.verdict) if self.is_running else None


def campaign_results(
    database: Database, campaign: str | UUID, *, now: datetime
) -> list[SplitResults]:
    """The tests of a campaign, running and decided ones before those that were replaced. Raises
    NotAllowed when it has none.
    """
    with database.transaction() as connection:
        found = find_campaign(connection, campaign)
        experiments = _experiments(connection, found)
        if not experiments:
            raise NotAllowed(
                f"campaign {found.name!r} has no A/B test",
                hint="Publish it with a split and an ab_test_config that is enabled.",
            )
        return _results(connection, found, experiments, now)


def results_of_all(database: Database, *, now: datetime) -> list[SplitResults]:
    """Every running and decided test of every campaign that is not archived, by campaign name."""
    with database.transaction() as connection:
        campaign_ids = dict.fromkeys(
            row["campaign_id"] for row in ab_tests_db.tests_of(connection, None)
        )
        found = []
        for campaign_id in campaign_ids:
            campaign = find_campaign(connection, campaign_id)
            current = [e for e in _experiments(connection, campaign) if e.status != "superseded"]
            found += _results(connection, campaign, current, now)
        return found


def results_as_of(
    database: Database, campaign: str | UUID, *, as_of: datetime
) -> list[SplitResults]:
    """The tests of a campaign as they stood at a moment in the past, for audits: judged by the same
    code, with nothing written.

    The time when things happened counts, not when they became known: somebody who opened before
    that moment counts, also where the provider told of it afterwards; whoever was assigned, sent
    something or did something later does not. Tests that began later are left out, decisions of
    later are not known. Raises NotAllowed when there was no test yet.
    """
    with database.transaction() as connection:
        found = find_campaign(connection, campaign)
        began = [e for e in _experiments(connection, found) if e.started_at <= as_of]
        if not began:
            raise NotAllowed(
                f"campaign {found.name!r} had no A/B test at {as_of.isoformat()}",
                hint="Name a later moment; `drip ab results` shows when tests began.",
            )
        return _results(connection, found, began, as_of, is_past=True)


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
        for test_id, decision in ab_tests_db.decisions_of(connection, ids).items()
        if until is None or decision["decided_at"] <= until
    }
    evaluations = {e.test_id: _evaluation(connection, e, decisions, until) for e in experiments}
    if until is not None:
        experiments = [_as_it_stood(e, evaluations[e.test_id], until) for e in experiments]
    kept = [e for e in experiments if e.status == "superseded"]
    fresh = [e for e in experiments if e.status != "superseded"]
    count = ab_tests_db.count_variants_until if is_past else ab_tests_db.count_variants
    totals = by_test(count(connection, [e.count_request for e in fresh], now))
    # What was counted of a test that was replaced stays as it was.
    totals |= by_test(ab_tests_db.counted_variants(connection, [e.test_id for e in kept]))
    rows = by_test(ab_tests_db.results_of(connection, ids))
    current = [as_test(e, totals.get(e.test_id, {}), e.ended_at or now) for e in experiments]
    judged = [
        _deciding_test(experiment, evaluations[experiment.test_id], test)
        for experiment, test in zip(experiments, current, strict=True)
    ]
    verdicts = evaluate_tests(judged)
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
            evaluated_at=_evaluated_at(evaluations[experiment.test_id]),
            as_of=now,
        )
        for experiment, now_counted, test, verdict, lift in zip(
            experiments, current, judged, verdicts, lifts, strict=True
        )
    ]


def _as_it_stood(
    experiment: Experiment, evaluation: Mapping[str, Any] | None, until: datetime
) -> Experiment:
    """The test as its row said at that moment; `evaluation` is the latest of then."""
    is_cleared = experiment.srm_cleared_at is not None and experiment.srm_cleared_at <= until
    if experiment.ended_at is not None and experiment.ended_at <= until:
        return experiment
    return replace(
        experiment,
        status="running",
        state=State.COLLECTING.value if evaluation is None else evaluation["state"],
        ended_at=None,
        winner_variant=None,
        srm_cleared_at=experiment.srm_cleared_at if is_cleared else None,
    )


def _evaluation(
    connection: Connection,
    experiment: Experiment,
    decisions: Mapping[UUID, Mapping[str, Any]],
    until: datetime | None,
) -> Mapping[str, Any] | None:
    """The evaluation that a decision rests on; of a test without one, the latest."""
    decision = decisions.get(experiment.test_id)
    if decision is None:
        return ab_tests_db.latest_evaluation(connection, experiment.test_id, until=until)
    if decision["evaluation_id"] is None:
        return None
    return ab_tests_db.evaluation(connection, decision["evaluation_id"])


def _evaluated_at(evaluation: Mapping[str, Any] | None) -> datetime | None:
    return None if evaluation is None else evaluation["evaluated_at"]


def _deciding_test(
    experiment: Experiment, evaluation: Mapping[str, Any] | None, current: ABTest
) -> ABTest:
    """The counts to judge: the current ones of a running test, the deciding ones of a decided."""
    if experiment.status != "decided" or evaluation is None:
        return current
    return replace(
        current,
        variants=tuple(_kept_counts(kept) for kept in evaluation["counts"]),
        runtime_hours=evaluation["verdict"].get("runtime_hours"),
    )


def _kept_counts(kept: Mapping[str, Any]) -> VariantCounts:
    """The counts of a variant as an evaluation kept them."""
    cohort = kept["cohort"]
    return VariantCounts(
        kept["variant_group"],
        assigned=kept["assigned"],
        weight=kept["weight"],
        is_holdout=kept["is_holdout"],
        cohort=None if cohort is None else CohortCounts(**cohort),
        **{name: kept.get(name, 0) for name in COUNTS},
    )


def _by_conversions(test: ABTest) -> ABTest:
    """The same test by its conversions: the one thing that people who were sent nothing can do."""
    if test.config.winner_metric is Metric.CONVERSION_RATE:
        return test
    config: ABTestConfig = test.config.model_copy(update={"winner_metric": Metric.CONVERSION_RATE})
    variants = tuple(replace(variant, cohort=None) for variant in test.variants)
    return replace(test, config=config, variants=variants)
