"""The real Dagster jobs and assets, run in this process on Dagster's own storage: what the
demonstration does is there to see in the UI afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, Final

import dagster as dg

from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.run_config import clock, minute_config
from drip_pipeline.settings import hand_to_libraries

BUDGET_SECONDS: Final = 600.0
# With the repository's name the UI counts them to their jobs: runs in this process carry none.
_TAGS: Final = {"drip/kind": "demo", ".dagster/repository": "__repository__@drip_pipeline"}
# Dagster tells every step to stderr; the demonstration tells its own story.
_QUIET: Final[dict[str, Any]] = {"console": {"config": {"log_level": "WARNING"}}}


class DemoRunner:
    """Runs jobs of the code location and raises what they fail with."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._definitions = build_definitions()

    def run_minute_job(self, now: datetime) -> None:
        """The minute job, its clock at `now`."""
        config = minute_config(now, budget_seconds=BUDGET_SECONDS)
        self._run("run_due_workflows", config)

    def judge(self, now: datetime) -> None:
        """Count and judge the running tests, and take decisions that are due."""
        self._run("evaluate_ab_tests", dg.RunConfig(resources={"clock": clock(now)}))

    def count_days(self, first: date, last: date, now: datetime) -> None:
        """The daily metrics from the first day to the last, as one backfill run."""
        days = {
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        }
        self._run("compute_daily_metrics", dg.RunConfig(resources={"clock": clock(now)}), days)

    def check_invariants(self, now: datetime) -> None:
        """The asset checks: the books balance; log, outcomes and metrics agree."""
        self._run("check_invariants", dg.RunConfig(resources={"clock": clock(now)}))

    def write_reports(self, now: datetime) -> None:
        """A page per test and an overview, with their pictures in the catalog."""
        self._run("write_ab_reports", dg.RunConfig(resources={"clock": clock(now)}))

    def draw_funnels(self, now: datetime) -> None:
        """The funnel of each campaign, which automation would draw within the hour."""
        told = dg.RunConfig(resources={"clock": clock(now)}, loggers=_QUIET)
        self._definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config=told,
            instance=self._instance,
            tags=_TAGS,
            asset_selection=[dg.AssetKey("campaign_funnels")],
        )

    def _run(self, name: str, config: dg.RunConfig, tags: dict[str, str] | None = None) -> None:
        job = self._definitions.resolve_job_def(name)
        told = dg.RunConfig(ops=config.ops, resources=config.resources, loggers=_QUIET)
        job.execute_in_process(
            run_config=told, instance=self._instance, tags={**_TAGS, **(tags or {})}
        )


@contextmanager
def opened(environment: dict[str, str]) -> Iterator[DemoRunner]:
    """A cockpit on the instance that `environment` (DAGSTER_HOME and its database) names."""
    hand_to_libraries(environment)
    with dg.DagsterInstance.get() as instance:
        yield DemoRunner(instance)
