"""What the assets of experiments show: how many tests were judged, the table of results, decisions
taken. Figures come from the verbs and the tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from drip_pipeline.db.connection import Database, dump_json
from drip_pipeline.db.operations import overview as overview_db
from drip_pipeline.engine.ab_tests.decide import Decision
from drip_pipeline.engine.ab_tests.judge import EvaluationReport
from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.engine.ab_tests.results_json import test_json
from drip_pipeline.experiments import explain
from drip_pipeline.orchestration.metadata.common import MOST_ROWS, table


def judged_metadata(database: Database, report: EvaluationReport) -> dict[str, Any]:
    """Counts, the verdicts in words, the table of results, and tests that cannot be read."""
    with database.transaction(is_read_only=True) as connection:
        rows = overview_db.ab_results_preview(connection, limit=MOST_ROWS)
        totals = overview_db.ab_test_row_counts(connection)
    metadata: dict[str, Any] = {
        "dagster/row_count": totals["results"],
        "tests_judged": len(report.judged),
        "tests_counted": report.counted,
        "new_evaluations": report.evaluations,
        "preview": table(rows),
        "verdicts": table(
            {
                "split": one.experiment.split_node_id,
                "state": one.verdict.state.value,
                "verdict": explain(one.verdict),
            }
            for one in report.judged
        ),
    }
    if not report.judged:
        metadata["verdicts"] = "no test is running; what was decided stands in winner_decisions"
    if report.faults:
        metadata["unreadable_tests"] = table(
            {"test": str(test_id), "fault": fault} for test_id, fault in report.faults.items()
        )
    return metadata


def decided_metadata(database: Database, taken: list[Decision]) -> dict[str, Any]:
    """Decisions taken now, and the latest of all."""
    with database.transaction(is_read_only=True) as connection:
        latest = overview_db.decisions_preview(connection, limit=MOST_ROWS)
        totals = overview_db.ab_test_row_counts(connection)
    return {
        "dagster/row_count": totals["decisions"],
        "decisions_taken": len(taken),
        "tests_running": totals["running"],
        "preview": table(latest),
    }


def audited_metadata(found: Sequence[SplitResults], as_of: datetime) -> dict[str, Any]:
    """Tests as they stood at a moment in the past."""
    columns = (
        "total_assigned", "total_sent", "total_opened", "total_clicked", "total_replied",
        "total_converted", "p_value", "confidence_level", "is_statistically_significant",
    )  # fmt: skip
    told = [test_json(one) for one in found]
    return {
        "as_of": as_of.isoformat(),
        "what_counts": "What had happened by then, whenever it was reported.",
        "verdicts": table(
            {name: one[name] for name in ("split_node_id", "test_number", "state", "explanation")}
            for one in told
        ),
        "variants": table(
            {"split": one["split_node_id"], "variant": variant["variant_group"]}
            | {name.removeprefix("total_"): variant[name] for name in columns}
            for one in told
            for variant in one["variants"]
        ),
        "results": dg.MetadataValue.json(json.loads(dump_json(told))),
    }


def seconds(value: float) -> dg.FloatMetadataValue:
    """A duration."""
    return dg.MetadataValue.float(round(value, 3))
