"""Automation: only after updates, and never one run per partition."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.metadata.run import EVENT_LOG
from drip_pipeline.orchestration.partitions import range_tags
from drip_pipeline.orchestration.run_config import clock
from sensors.daily_schedules import nightly_metrics

FUNNELS = dg.AssetKey("campaign_funnels")
FILES = dg.AssetKey("daily_metrics_files")
METRICS = dg.AssetKey("daily_campaign_metrics")
NOON = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)


class Ticks:
    """Evaluates the automation conditions repeatedly with one cursor."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.definitions = build_definitions()
        self.cursor: Any = None

    def __call__(self, at: datetime) -> dg.EvaluateAutomationConditionsResult:
        result = dg.evaluate_automation_conditions(
            defs=self.definitions,
            instance=self.instance,
            asset_selection=dg.AssetSelection.assets(FUNNELS, FILES),
            cursor=self.cursor,
            evaluation_time=at,
        )
        self.cursor = result.cursor
        return result


@pytest.fixture
def ticks(engine_database, instance) -> Ticks:
    evaluations = Ticks(instance)
    evaluations(NOON)
    return evaluations


def test_funnels_are_drawn_once_an_hour_after_new_events(ticks, instance):
    assert ticks(NOON + timedelta(minutes=50)).total_requested == 0
    instance.report_runless_asset_event(dg.AssetMaterialization(EVENT_LOG))
    assert ticks(NOON + timedelta(minutes=55)).total_requested == 0
    assert ticks(NOON + timedelta(minutes=101)).get_num_requested(FUNNELS) == 1
    instance.report_runless_asset_event(dg.AssetMaterialization(FUNNELS))
    assert ticks(NOON + timedelta(minutes=102)).total_requested == 0
    assert ticks(NOON + timedelta(minutes=161)).total_requested == 0


def test_idle_minutes_start_nothing(ticks):
    requested = [ticks(NOON + timedelta(minutes=n)).total_requested for n in range(1, 200, 25)]
    assert sum(requested) == 0


def test_files_follow_days_that_were_computed_alone(ticks, instance):
    for day in ("2026-03-02", "2026-03-03", "2026-03-04"):
        instance.report_runless_asset_event(dg.AssetMaterialization(METRICS, partition=day))
    due = ticks(NOON + timedelta(minutes=1))
    assert due.get_requested_partitions(FILES) == {"2026-03-02", "2026-03-03", "2026-03-04"}
    assert ticks(NOON + timedelta(minutes=2)).total_requested == 0


def test_a_run_that_computes_and_writes_needs_no_other(ticks, instance):
    job = build_definitions().resolve_job_def("compute_daily_metrics")
    tags = range_tags(date(2026, 3, 2), date(2026, 3, 4))
    config = dg.RunConfig(resources={"clock": clock(NOON)})
    assert job.execute_in_process(instance=instance, tags=tags, run_config=config).success
    assert ticks(NOON + timedelta(minutes=1)).total_requested == 0


def test_every_night_the_last_days_are_recomputed():
    context = dg.build_schedule_context(scheduled_execution_time=NOON)
    request = nightly_metrics(context)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == "2026-03-08"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-03-10"
