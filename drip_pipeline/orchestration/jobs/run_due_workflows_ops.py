"""The ops of the minute job. Each calls one use case and reports its result or failure.

No row passes between ops. A batch step gets only the key of its work unit.
"""

# No `from __future__ import annotations` in modules with ops: Dagster reads the types of their
# parameters and would get strings.
from collections.abc import Iterator
from time import monotonic
from typing import Any, Final

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.runner.factory import AVAILABLE_CHANNELS
from drip_pipeline.engine.runner.run_summary import summarize_run
from drip_pipeline.engine.runner.tick import deliver_channel
from drip_pipeline.engine.runner.work_units import (
    WorkUnit,
    advance_work_unit,
    due_channels,
    plan_work_units,
)
from drip_pipeline.orchestration.failures import RETRY_POLICY, run_context, translate_batch_errors
from drip_pipeline.orchestration.metadata.run import (
    describe_plan,
    log_warnings,
    materializations,
    report_delivered,
    summary_metadata,
    work_unit_metadata,
)
from drip_pipeline.orchestration.resources import EngineResource, RunClock

CHANNELS: Final = tuple(sorted(AVAILABLE_CHANNELS))
_AFTER: Final = {"start": dg.In(dg.Nothing)}


class PlanConfig(dg.Config):
    """How the due enrollments are divided into batches."""

    max_batches: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Maximum number of batches. There are fewer if fewer are enough for all due "
        "enrollments, at DRIP_BATCH_SIZE each.",
    )


@dg.op(
    out={
        "batches": dg.DynamicOut(dg.Nothing),
        "backlog": dg.Out(dg.Nothing, is_required=False),
    },
    retry_policy=RETRY_POLICY,
    tags={"dagster/kind": "postgres"},
)
def plan(
    context: dg.OpExecutionContext, config: PlanConfig, engine: EngineResource, clock: RunClock
) -> Iterator[Any]:
    """Recover the work of interrupted runs, let waits follow changed contacts, count the due
    enrollments and divide them into batches by a hash of their id. A batch has the same enrollments
    when it is run again.

    Messages that are already due get a step of their own, so that a batch that fails in every run
    does not delay them.
    """
    with translate_batch_errors(context, engine, clock, "planning"):
        planned = plan_work_units(engine.engine, now=clock.current(), most=config.max_batches)
    context.log.info(describe_plan(planned))
    for unit in planned.units:
        yield dg.DynamicOutput(None, mapping_key=unit.key, output_name="batches")
    if planned.units and planned.due_messages:
        yield dg.Output(None, "backlog")


@dg.op(
    ins=_AFTER,
    out=dg.Out(dg.Nothing),
    retry_policy=RETRY_POLICY,
    tags={"dagster/kind": "postgres"},
)
def advance_batch(context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock) -> None:
    """Claim the enrollments of one batch, advance each to its next wait, message or exit, and
    commit. If a transaction fails, nothing of it is written and its enrollments are still due.
    """
    unit = WorkUnit.from_key(context.get_mapping_key() or "1_of_1")
    what = f"batch {unit.number} of {unit.of}"
    with translate_batch_errors(context, engine, clock, what):
        report = advance_work_unit(
            engine.engine,
            unit,
            now=clock.current(),
            max_seconds=clock.seconds_for_batch(unit.number, unit.of),
            context=run_context(context),
        )
    context.add_output_metadata(work_unit_metadata(report))


@dg.op(
    ins=_AFTER,
    out={
        "checked": dg.Out(dg.Nothing),
        **{channel: dg.Out(dg.Nothing, is_required=False) for channel in CHANNELS},
    },
    retry_policy=RETRY_POLICY,
    tags={"dagster/kind": "postgres"},
)
def find_due_messages(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock
) -> Iterator[Any]:
    """Find the channels that have due messages. The steps of the other channels are skipped."""
    with translate_batch_errors(context, engine, clock, "finding due messages"):
        due = due_channels(engine.engine, clock.current())
    yield dg.Output(None, "checked")
    for channel in due:
        yield dg.Output(None, channel)


def deliver_op(channel: str) -> dg.OpDefinition:
    """Return the op that sends the due messages of one channel, in the pool of that channel."""

    @dg.op(
        name=f"deliver_{channel}",
        description=f"Send every due {channel} message after the eligibility check (consent, "
        "suppression, paused or archived campaigns), and advance the enrollments.",
        ins=_AFTER,
        out=dg.Out(dg.Nothing),
        pool=f"deliver_{channel}",
        retry_policy=RETRY_POLICY,
        tags={"drip/channel": channel},
    )
    def deliver(context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock) -> None:
        began = monotonic()
        with translate_batch_errors(context, engine, clock, f"delivering {channel}"):
            counts = deliver_channel(
                engine.engine,
                engine.engine.channels[channel],
                now=clock.current(),
                deadline=Deadline.after(clock.seconds_for_delivery()),
                context=run_context(context),
            )
        report_delivered(context, engine.engine, {channel: counts}, seconds=monotonic() - began)

    return deliver


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing), retry_policy=RETRY_POLICY)
def deliver_backlog(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock
) -> None:
    """Send the messages that were due before this run started: those of failed runs, of `drip run`,
    and retries. Takes at most a fifth of the run's time.
    """
    due = due_channels(engine.engine, clock.current())
    seconds = clock.seconds_for_backlog() / max(1, len(due))
    began, by_channel = monotonic(), {}
    with translate_batch_errors(context, engine, clock, "delivering the backlog"):
        for channel in due:
            by_channel[channel] = deliver_channel(
                engine.engine,
                engine.engine.channels[channel],
                now=clock.current(),
                deadline=Deadline.after(seconds),
                context=run_context(context),
            )
    report_delivered(context, engine.engine, by_channel, seconds=monotonic() - began)


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def reconcile(context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock) -> None:
    """Sum up the run from the batch log, check that every claimed enrollment is accounted for, and
    report the event log and the batch log as materialized.
    """
    summary = summarize_run(
        engine.engine, context.run_id, began_at=clock.began_at(), now=clock.current()
    )
    for materialization in materializations(summary):
        context.log_event(materialization)
    log_warnings(context, summary)
    context.add_output_metadata(summary_metadata(summary))
    if summary.unaccounted_states:
        raise dg.Failure(
            f"{summary.unaccounted_states:,} enrollments were claimed and are not accounted for",
            metadata=summary_metadata(summary),
            allow_retries=False,
        )
