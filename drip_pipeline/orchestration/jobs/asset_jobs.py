"""Jobs that materialize and check assets, selected by group so that no asset is imported here."""

from __future__ import annotations

from typing import Final

import dagster as dg

from drip_pipeline.orchestration.catalog import EXPERIMENTS, METRICS
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG

EVALUATION_KIND: Final = "ab_evaluation"
METRICS_KIND: Final = "metrics"
_MAX_RUNTIME_SECONDS: Final = "600"

evaluate_ab_tests = dg.define_asset_job(
    "evaluate_ab_tests",
    selection=dg.AssetSelection.groups(EXPERIMENTS),
    tags={KIND_TAG: EVALUATION_KIND, "dagster/max_runtime": _MAX_RUNTIME_SECONDS},
    description="Count and evaluate the running A/B tests, and make the decisions that are due.",
)

compute_daily_metrics = dg.define_asset_job(
    "compute_daily_metrics",
    selection=dg.AssetSelection.groups(METRICS),
    tags={KIND_TAG: METRICS_KIND},
    description="Recompute the metrics of days, any range in one run, and check them.",
)

check_invariants = dg.define_asset_job(
    "check_invariants",
    selection=dg.AssetSelection.all_asset_checks(),
    tags={"dagster/max_runtime": _MAX_RUNTIME_SECONDS},
    description="Check that every enrollment and message is accounted for, and that event log, "
    "message outcomes and metrics agree.",
)
