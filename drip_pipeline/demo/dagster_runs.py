"""Run the real Dagster jobs and assets in this process, on Dagster's own storage.

So the Dagster UI shows the runs of the demonstration afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, Final

import dagster as dg

from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.partitions import range_tags
from drip_pipeline.orchestration.run_config import clock, minute_config
from drip_pipeline.settings import hand_to_libraries

BUDGET_SECONDS: Final = 600.0
# With the repository's name the UI assigns the runs to their jobs; in-process runs have no name.
_TAGS: Final = {"drip/kind": "demo", ".dagster/repository": "__repository__@drip_pipeline"}
# Dagster logs every step to stderr; the demonstration prints its own progress.
_QUIET: Final[dict[str, Any]] = {"console": {"config": {"log_level": "WARNING"}}}


class DemoRunner:
    """Runs jobs of the code location. Each method raises the error that the job fails with."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._definitions = build_definitions()

    def run_minute_job(self, now: datetime) -> None:
        """Run the minute job with its clock at `now`."""
        self._run("run_due_workflows", minute_config(now, budget_seconds=BUDGET_SECONDS))

    def evaluate_ab_tests(self, now: datetime) -> None:
        """Count and evaluate the running tests, and make the decisions that are due."""
        self._run("evaluate_ab_tests", _at(now))

    def compute_daily_metrics(self, first: date, last: date, now: datetime) -> None:
        """Compute the daily metrics of these days, as one backfill run."""
        self._run("compute_daily_metrics", _at(now), range_tags(first, last))

    def check_invariants(self, now: datetime) -> None:
        """Run the asset checks: event log, outcomes and metrics agree, and totals reconcile."""
        self._run("check_invariants", _at(now))

    def write_reports(self, now: datetime) -> None:
        """Write a page for each test and an overview."""
        self._run("write_ab_reports", _at(now))

    def draw_funnels(self, now: datetime) -> None:
        """Draw the funnel of each campaign, which the automation would draw within an hour."""
        self._execute(
            self._definitions.resolve_implicit_global_asset_job_def(),
            _at(now),
            asset_selection=[dg.AssetKey("campaign_funnels")],
        )

    def _run(self, name: str, config: dg.RunConfig, tags: dict[str, str] | None = None) -> None:
        self._execute(self._definitions.resolve_job_def(name), config, tags)

    def _execute(
        self,
        job: dg.JobDefinition,
        config: dg.RunConfig,
        tags: dict[str, str] | None = None,
        asset_selection: list[dg.AssetKey] | None = None,
    ) -> None:
        job.execute_in_process(
            run_config=dg.RunConfig(ops=config.ops, resources=config.resources, loggers=_QUIET),
            instance=self._instance,
            tags={**_TAGS, **(tags or {})},
            asset_selection=asset_selection,
        )


@contextmanager
def opened(environment: dict[str, str]) -> Iterator[DemoRunner]:
    """Open a runner on the instance that `environment` (DAGSTER_HOME and its database) names."""
    hand_to_libraries(environment)
    with dg.DagsterInstance.get() as instance:
        yield DemoRunner(instance)


def _at(now: datetime) -> dg.RunConfig:
    return dg.RunConfig(resources={"clock": clock(now)})
