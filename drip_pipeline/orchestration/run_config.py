"""Build run configurations in code, for `drip demo`, tests and scripts."""

from __future__ import annotations

from datetime import datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.run_due_workflows_ops import PlanConfig
from drip_pipeline.orchestration.resources import RunClock


def clock(now: datetime | None = None, *, budget_seconds: float | None = None) -> RunClock:
    """Return the clock of a run; without `now` it reads the wall clock."""
    at = None if now is None else now.isoformat()
    return (
        RunClock(now=at)
        if budget_seconds is None
        else RunClock(now=at, budget_seconds=budget_seconds)
    )


def minute_config(
    now: datetime | None = None,
    *,
    budget_seconds: float | None = None,
    max_batches: int | None = None,
) -> dg.RunConfig:
    """Return the configuration of one run of the minute job."""
    ops = {} if max_batches is None else {"plan": PlanConfig(max_batches=max_batches)}
    return dg.RunConfig(ops=ops, resources={"clock": clock(now, budget_seconds=budget_seconds)})
