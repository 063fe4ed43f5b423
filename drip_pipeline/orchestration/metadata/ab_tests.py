"""Metadata of the assets of A/B tests: evaluations, results and decisions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import dagster as dg

from drip_pipeline.db.connection import Database, dump_json
from drip_pipeline.db.operations import overview as overview_db
from drip_pipeline.engine.ab_tests.decide import Decision
from drip_pipeline.engine.ab_tests.judge import EvaluationReport
from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.engine.ab_tests.results_json import test_json
from drip_pipeline.experiments import explain
from drip_pipeline.orchestration.metadata.common import MAX_ROWS, Metadata, table

WINNER_DECISIONS: Final = dg.AssetKey("winner_decisions")
_VARIANT_COLUMNS = (
    "total_assigned", "total_sent", "total_opened", "total_clicked", "total_replied",
    "total_converted", "p_value", "confidence_level", "is_statistically_significant",
)  # fmt: skip


def evaluated_metadata(database: Database, report: EvaluationReport) -> Metadata:
    """Return counts, the verdict of each test, the results, and tests that cannot be read."""
    with database.transaction(is_read_only=True) as connection:
        rows = overview_db.ab_results_preview(connection, limit=MAX_ROWS)
        row_counts = overview_db.ab_test_row_counts(connection)
    metadata: Metadata = {
        "dagster/row_count": row_counts.results,
        "tests_evaluated": len(report.evaluated),
        "tests_counted": report.counted,
        "new_evaluations": report.evaluations,
        "preview": table(rows),
        "verdicts": table(
            {
                "split": one.experiment.split_node_id,
                "state": one.verdict.state.value,
                "verdict": explain(one.verdict),
            }
            for one in report.evaluated
        ),
    }
    if not report.evaluated:
        metadata["verdicts"] = "no test is running; decided tests are in winner_decisions"
    if report.faults:
        metadata["unreadable_tests"] = table(
            {"test": str(test_id), "fault": fault} for test_id, fault in report.faults.items()
        )
    return metadata


def decided_metadata(database: Database, decisions: Sequence[Decision]) -> Metadata:
    """Return the number of decisions made by this run, and the latest decisions of all."""
    return {"decisions_made": len(decisions), **_latest_decisions(database)}


def declared_metadata(database: Database) -> Metadata:
    """Return the latest decisions, after one was declared."""
    return {"decisions_made": 1, **_latest_decisions(database)}


def _latest_decisions(database: Database) -> Metadata:
    with database.transaction(is_read_only=True) as connection:
        latest = overview_db.decisions_preview(connection, limit=MAX_ROWS)
        row_counts = overview_db.ab_test_row_counts(connection)
    return {
        "dagster/row_count": row_counts.decisions,
        "tests_running": row_counts.running,
        "preview": table(latest),
    }


def audited_metadata(tests: Sequence[SplitResults], as_of: datetime) -> Metadata:
    """Return the verdicts and variants of tests as of a time in the past."""
    records = [test_json(test) for test in tests]
    return {
        "as_of": as_of.isoformat(),
        "counted_events": "Events that had happened by then, whenever they were reported.",
        "verdicts": table(
            {name: test[name] for name in ("split_node_id", "test_number", "state", "explanation")}
            for test in records
        ),
        "variants": table(
            {"split": test["split_node_id"], "variant": variant["variant_group"]}
            | {name.removeprefix("total_"): variant[name] for name in _VARIANT_COLUMNS}
            for test in records
            for variant in test["variants"]
        ),
        "results": dg.MetadataValue.json(json.loads(dump_json(records))),
    }
