"""Jobs that materialise assets, chosen by group so that nothing here imports them."""

from __future__ import annotations

from typing import Final

import dagster as dg

from drip_pipeline.orchestration.catalog import EXPERIMENTS
from drip_pipeline.orchestration.minute_job import KIND_TAG

JUDGING_KIND: Final = "judging"

judge_tests = dg.define_asset_job(
    "judge_tests",
    selection=dg.AssetSelection.groups(EXPERIMENTS),
    tags={KIND_TAG: JUDGING_KIND, "dagster/max_runtime": "600"},
    description="Count and judge the running A/B tests, and take the decisions that are due.",
)
