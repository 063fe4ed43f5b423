"""Run configuration in code: what `drip demo`, tests and scripts pass instead of typing YAML."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dagster as dg

from drip_pipeline.orchestration.jobs.run_due_workflows_ops import PlanConfig
from drip_pipeline.orchestration.resources import RunClock


def clock(now: datetime | None = None, *, budget_seconds: float | None = None) -> RunClock:
    """The clock of a run; without `now` it reads the real one."""
    given: dict[str, Any] = {}
    if now is not None:
        given["now"] = now.isoformat()
    if budget_seconds is not None:
        given["budget_seconds"] = budget_seconds
    return RunClock(**given)


def minute_config(
    now: datetime | None = None,
    *,
    budget_seconds: float | None = None,
    max_batches: int | None = None,
) -> dg.RunConfig:
    """The configuration of one run of the minute job."""
    ops = {} if max_batches is None else {"plan": PlanConfig(max_batches=max_batches)}
    return dg.RunConfig(ops=ops, resources={"clock": clock(now, budget_seconds=budget_seconds)})
