"""Evaluating running tests: count what changed, evaluate all tests in one call, store the results,
and record the decisions that are due.

Evaluating twice gives the same result, and the second time writes nothing. `decide.py` records
decisions; the statistics are in experiments/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from operator import attrgetter
from uuid import UUID, uuid4

from drip_pipeline.db.ab_tests import evaluations as ab_tests_db
from drip_pipeline.db.ab_tests.evaluations import EvaluationRow, VerdictRow
from drip_pipeline.db.connection import Connection, Database, dump_json
from drip_pipeline.engine.ab_tests.counts import (
    COUNTS,
    Experiment,
    as_test,
    by_test,
    count_changed,
    read_experiments,
)
from drip_pipeline.engine.ab_tests.decide import Decision, decide
from drip_pipeline.engine.gc_pause import no_collection
from drip_pipeline.experiments import (
    ENGINE_VERSION,
    ABTest,
    SrmHold,
    Verdict,
    as_item,
    evaluate_tests,
)

EVALUATIONS_PER_STATEMENT = 500
"""While the server writes some evaluations, the next are built."""


@dataclass(frozen=True, slots=True)
class EvaluatedTest:
    """One test with its counts and the verdict on them. `is_new`: counts or state differ from the
    latest evaluation, so a new evaluation was stored.
    """

    experiment: Experiment
    test: ABTest
    verdict: Verdict
    counts_hash: str
    evaluation_id: UUID
    is_new: bool


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The result of evaluating. `counted`: number of tests counted; `faults`: the error of each
    test that cannot be read, by id; `decisions`: those recorded now.
    """

    evaluated: list[EvaluatedTest]
    counted: int = 0
    faults: Mapping[UUID, str] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def evaluations(self) -> int:
        """The number of stored evaluations."""
        return sum(one.is_new for one in self.evaluated)


def judge(
    database: Database,
    campaign_ids: Sequence[UUID] | None = None,
    *,
    now: datetime,
    run_id: str | None = None,
) -> EvaluationReport:
    """Evaluate the running tests of these campaigns, or of all, and record the decisions that are
    due.

    After a crash between the two steps, the next call records the decision of the stored
    evaluation.
    """
    report = evaluate(database, campaign_ids, now=now, run_id=run_id)
    decisions = decide(database, campaign_ids, now=now)
    return EvaluationReport(report.evaluated, report.counted, report.faults, decisions)


def evaluate(
    database: Database,
    campaign_ids: Sequence[UUID] | None = None,
    *,
    now: datetime,
    run_id: str | None = None,
) -> EvaluationReport:
    """Count what changed, evaluate, and store results and evaluations in one transaction. Records
    no decision. `run_id`: the Dagster run to store with the evaluations.
    """
    with database.transaction() as connection:
        rows = ab_tests_db.tests_to_evaluate(connection, campaign_ids)
        experiments, faults = read_experiments(rows)
        counted = count_changed(connection, experiments, campaign_ids, now)
        with no_collection():
            evaluated = evaluate_counted(connection, experiments, now)
            _store(connection, evaluated, run_id, now)
        return EvaluationReport(evaluated, counted, faults)


def evaluate_counted(
    connection: Connection, experiments: Sequence[Experiment], now: datetime
) -> list[EvaluatedTest]:
    """Evaluate tests with their stored counts. Writes nothing."""
    ids = [experiment.test_id for experiment in experiments]
    counts = by_test(ab_tests_db.counted_variants(connection, ids))
    latest = ab_tests_db.latest_evaluations(connection, ids)
    tests = [as_test(e, counts.get(e.test_id, {}), now) for e in experiments]
    evaluated = []
    for experiment, test, verdict in zip(experiments, tests, evaluate_tests(tests), strict=True):
        before = latest.get(experiment.test_id)
        of_counts = counts_hash(experiment, test)
        key = (verdict.state.value, verdict.reason.value, of_counts)
        is_known = before is not None and key == (before.state, before.reason, before.counts_hash)
        evaluation_id = before.id if before is not None and is_known else uuid4()
        evaluated.append(
            EvaluatedTest(experiment, test, verdict, of_counts, evaluation_id, is_new=not is_known)
        )
    return evaluated


def _store(
    connection: Connection, evaluated: Iterable[EvaluatedTest], run_id: str | None, now: datetime
) -> None:
    fresh = [one for one in evaluated if one.is_new]
    if not fresh:
        return
    with ab_tests_db.pipelined(connection):
        ab_tests_db.write_verdicts(connection, [r for one in fresh for r in _rows(one)], now)
        # A test with a due decision keeps its state until the decision is recorded.
        ab_tests_db.write_test_states(
            connection,
            {
                one.experiment.test_id: one.verdict.state.value
                for one in fresh
                if not one.verdict.state.is_terminal
            },
        )
        for start in range(0, len(fresh), EVALUATIONS_PER_STATEMENT):
            ab_tests_db.append_evaluations(
                connection,
                [_evaluation(one) for one in fresh[start : start + EVALUATIONS_PER_STATEMENT]],
                engine_version=ENGINE_VERSION,
                run_id=run_id,
                now=now,
            )


def _rows(one: EvaluatedTest) -> list[VerdictRow]:
    return [
        VerdictRow(
            one.experiment.test_id,
            variant.variant_group,
            variant.p_value,
            variant.confidence_level,
            variant.is_statistically_significant,
        )
        for variant in one.verdict.variants
    ]


def _evaluation(one: EvaluatedTest) -> EvaluationRow:
    return EvaluationRow(
        id=one.evaluation_id,
        workspace_id=one.experiment.workspace_id,
        test_id=one.experiment.test_id,
        campaign_id=one.experiment.campaign_id,
        state=one.verdict.state.value,
        reason=one.verdict.reason.value,
        leader=one.verdict.leader,
        counts=counts_listed(one.test),
        verdict=_stored_verdict(one),
        counts_hash=one.counts_hash,
        config_hash=one.experiment.fingerprint,
    )


def _stored_verdict(one: EvaluatedTest) -> dict[str, object]:
    """Return the stored form of a verdict: values and codes. Sentences and rates can be derived
    from them and the counts; over the years they would be most of the table.
    """
    item = as_item(one.verdict)
    del item["explanation"], item["would_change"]
    item["runtime_hours"] = one.test.runtime_hours
    item["variants"] = [
        {name: variant[name] for name in _STORED_COLUMNS} for variant in item["variants"]
    ]
    item["guardrails"] = [guard for guard in item["guardrails"] if guard["p"] is not None]
    return item


_STORED_COLUMNS = ("variant_group", "p_value", "confidence_level", "is_statistically_significant")


def counts_listed(test: ABTest) -> list[dict[str, object]]:
    """Return the counts to store with an evaluation; a count of 0 is left out."""
    return [
        {
            "variant_group": variant.variant_group,
            "is_holdout": variant.is_holdout,
            "weight": variant.weight,
            "assigned": variant.assigned,
            **{name: count for name in COUNTS if (count := getattr(variant, name))},
            "cohort": variant.cohort
            and {
                "contacts": variant.cohort.contacts,
                "successes": variant.cohort.successes,
                "score_sum": variant.cohort.score_sum,
                "score_sum_squares": variant.cohort.score_sum_squares,
            },
        }
        for variant in test.variants
    ]


def counts_hash(experiment: Experiment, test: ABTest) -> str:
    """Hash all inputs of an evaluation except the time: counts, configuration, a cleared sample
    ratio, and the version of the statistics.
    """
    inputs = [
        [_HASHED(variant) for variant in test.variants],
        experiment.fingerprint,
        test.srm_hold is SrmHold.CLEARED,  # a block follows from earlier counts
        ENGINE_VERSION,
    ]
    return sha256(dump_json(inputs)).hexdigest()


_HASHED = attrgetter(
    "variant_group",
    "is_holdout",
    "weight",
    "assigned",
    *COUNTS,
    "cohort.contacts",
    "cohort.successes",
    "cohort.score_sum",
    "cohort.score_sum_squares",
)
