"""Simulate a day of Dagster on a moved clock.

Each sensor and schedule is evaluated when it is due, each requested run is executed in this
process, and each tick is stored as the daemon does. Real are sensors, jobs, the storage in
PostgreSQL and everything written to it. There is no daemon and no process for each run, so the
events of starting a process are missing, and a run that the daemon would queue has finished before
the next evaluation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import time_machine
from croniter import croniter  # type: ignore[import-untyped]
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus

from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.resources import EngineResource
from tests.engine.factories import Published, contacts, enrolled

STEP = timedelta(seconds=30)
"""The shortest interval of any sensor."""
ENROLLMENTS_A_BUSY_MINUTE = 20


@dataclass
class Day:
    """The result of a simulation."""

    ticks: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    """Runs by job."""
    runs_in: dict[int, int] = field(default_factory=dict)
    """Runs by minute, for minutes with runs."""


def simulate(
    instance: dg.DagsterInstance,
    database: Database,
    campaign: Published,
    *,
    start: datetime,
    minutes: int,
    busy_every: int,
) -> Day:
    """Simulate this many minutes; in every `busy_every`th an application enrolls contacts."""
    definitions = build_definitions()
    sensors = [one for one in definitions.sensors or () if type(one) is dg.SensorDefinition]
    schedules = [
        one for one in definitions.schedules or () if isinstance(one, dg.ScheduleDefinition)
    ]
    day = Day()
    cursors: dict[str, str | None] = {}
    due = dict.fromkeys((sensor.name for sensor in sensors), start)
    for step in range(int(minutes * timedelta(minutes=1) / STEP)):
        at = start + step * STEP
        minute = int((at - start) / timedelta(minutes=1))
        with time_machine.travel(at):
            if step % 2 == 0 and minute % busy_every == 0:
                with database.transaction() as connection:
                    people = contacts(
                        connection,
                        campaign.workspace_id,
                        ENROLLMENTS_A_BUSY_MINUTE,
                        prefix=f"minute{minute}-",
                    )
                    enrolled(connection, campaign, people, at=at)
            for sensor in sensors:
                if due[sensor.name] <= at:
                    due[sensor.name] = at + timedelta(seconds=sensor.minimum_interval_seconds or 30)
                    cursors[sensor.name] = _evaluate(
                        definitions, instance, day, sensor, cursors.get(sensor.name), minute
                    )
            for schedule in schedules:
                if step % 2 == 0 and croniter.match(schedule.cron_schedule, at):
                    _run(definitions, instance, day, schedule.job_name, {}, minute)
                    _write_tick(instance, schedule.name, InstigatorType.SCHEDULE, at, True)
                    day.ticks += 1
    return day


def _evaluate(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    day: Day,
    sensor: dg.SensorDefinition,
    cursor: str | None,
    minute: int,
) -> str | None:
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"engine": EngineResource()}
    ) as context:
        data = sensor.evaluate_tick(context)
    requests = list(data.run_requests or ())
    now = datetime.now().astimezone()
    _write_tick(instance, sensor.name, InstigatorType.SENSOR, now, bool(requests), data)
    day.ticks += 1
    for request in requests:
        job = request.job_name or sensor.job_name
        assert job is not None
        _run(definitions, instance, day, job, request.tags, minute)
    return data.cursor


def _run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    day: Day,
    job: str,
    tags: Mapping[str, Any],
    minute: int,
) -> None:
    result = definitions.resolve_job_def(job).execute_in_process(
        instance=instance, tags=dict(tags), raise_on_error=False
    )
    assert result.success, f"{job} failed in minute {minute}"
    day.runs[job] += 1
    day.runs_in[minute] = day.runs_in.get(minute, 0) + 1


def _write_tick(
    instance: dg.DagsterInstance,
    name: str,
    kind: InstigatorType,
    at: datetime,
    has_started: bool,
    data: Any = None,
) -> None:
    instance.create_tick(
        TickData(
            instigator_origin_id=f"origin-{name}",
            instigator_name=name,
            instigator_type=kind,
            status=TickStatus.SUCCESS if has_started else TickStatus.SKIPPED,
            timestamp=at.timestamp(),
            run_ids=[],
            end_timestamp=at.timestamp(),
            skip_reason=data.skip_message if data is not None else None,
            cursor=data.cursor if data is not None else None,
            selector_id=f"selector-{name}",
        )
    )
