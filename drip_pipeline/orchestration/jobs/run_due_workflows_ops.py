"""The ops of the minute job. Each is a face: it calls a verb, tells what came of it, and names what
failed. No row passes between them; the name of its share is all that a step is told.
"""

# No `from __future__ import annotations` where there are ops: Dagster reads the types of their
# parameters, and would find texts.
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
    log_materializations,
    report_delivered,
    share_metadata,
    summary_metadata,
    warn_of,
)
from drip_pipeline.orchestration.resources import EngineResource, RunClock

CHANNELS: Final = tuple(sorted(AVAILABLE_CHANNELS))
_AFTER: Final = {"start": dg.In(dg.Nothing)}


class PlanConfig(dg.Config):
    """How the due people are parted."""

    max_batches: int = Field(
        default=8,
        ge=1,
        le=100,
        description="At most so many batches. There are fewer when fewer hold all who are due, at "
        "DRIP_BATCH_SIZE people each.",
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
    """Put right what an earlier run left behind, count who is due and part them into batches by a
    hash of their id: the same batch is the same people when it is run again.

    Messages that are due already get a step of their own, so that a batch that fails in every run
    never holds up what others have to send.
    """
    with translate_batch_errors(context, engine, clock, "planning"):
        planned = plan_work_units(engine.engine, now=clock.moment(), most=config.max_batches)
    context.log.info(describe_plan(planned))
    for share in planned.shares:
        yield dg.DynamicOutput(None, mapping_key=share.key, output_name="batches")
    if planned.shares and planned.due_messages:
        yield dg.Output(None, "backlog")


@dg.op(
    ins=_AFTER,
    out=dg.Out(dg.Nothing),
    retry_policy=RETRY_POLICY,
    tags={"dagster/kind": "postgres"},
)
def advance_batch(context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock) -> None:
    """Claim the people of one batch, carry each on to the next wait, message or end, and commit, in
    transactions of their own. If one fails, nothing of it was written and its people are still due.
    """
    share = WorkUnit.from_key(context.get_mapping_key() or "1_of_1")
    what = f"batch {share.number} of {share.of}"
    with translate_batch_errors(context, engine, clock, what):
        done = advance_work_unit(
            engine.engine,
            share,
            now=clock.moment(),
            max_seconds=clock.seconds_for_share(share.number, share.of),
            context=run_context(context),
        )
    context.add_output_metadata(share_metadata(done))


@dg.op(
    ins=_AFTER,
    out={
        "looked": dg.Out(dg.Nothing),
        **{channel: dg.Out(dg.Nothing, is_required=False) for channel in CHANNELS},
    },
    retry_policy=RETRY_POLICY,
    tags={"dagster/kind": "postgres"},
)
def find_due_messages(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock
) -> Iterator[Any]:
    """Find the channels on which messages are due; the others' steps are skipped."""
    with translate_batch_errors(context, engine, clock, "finding messages"):
        due = due_channels(engine.engine, clock.moment())
    yield dg.Output(None, "looked")
    for channel in due:
        yield dg.Output(None, channel)


def deliver_op(channel: str) -> dg.OpDefinition:
    """The op that hands over what is due on one channel, in that channel's pool."""

    @dg.op(
        name=f"deliver_{channel}",
        description=f"Hand over every {channel} message that is due, through the last gate "
        "(consent, suppression, paused or archived campaigns), and carry the people on.",
        ins=_AFTER,
        out=dg.Out(dg.Nothing),
        pool=f"deliver_{channel}",
        retry_policy=RETRY_POLICY,
        tags={"drip/channel": channel},
    )
    def deliver(context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock) -> None:
        began = monotonic()
        with translate_batch_errors(context, engine, clock, f"delivering {channel}"):
            done = deliver_channel(
                engine.engine,
                engine.engine.channels[channel],
                now=clock.moment(),
                deadline=Deadline.after(clock.seconds_for_delivery()),
                context=run_context(context),
            )
        report_delivered(context, engine.engine, {channel: done}, seconds=monotonic() - began)

    return deliver


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing), retry_policy=RETRY_POLICY)
def deliver_backlog(
    context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock
) -> None:
    """Hand over what was due before this run began: messages of runs that failed, of `drip run`,
    and those whose next try has come. Takes no more than a fifth of the run's time.
    """
    due = due_channels(engine.engine, clock.moment())
    seconds = clock.seconds_for_backlog() / max(1, len(due))
    began, done = monotonic(), {}
    with translate_batch_errors(context, engine, clock, "delivering the backlog"):
        for channel in due:
            done[channel] = deliver_channel(
                engine.engine,
                engine.engine.channels[channel],
                now=clock.moment(),
                deadline=Deadline.after(seconds),
                context=run_context(context),
            )
    report_delivered(context, engine.engine, done, seconds=monotonic() - began)


@dg.op(ins=_AFTER, out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def reconcile(context: dg.OpExecutionContext, engine: EngineResource, clock: RunClock) -> None:
    """Add up what the run did from the ledger, see that everybody who was claimed is accounted for,
    and report event log, messages and ledger as materialized.
    """
    account = summarize_run(
        engine.engine, context.run_id, began_at=clock.began_at(), now=clock.moment()
    )
    log_materializations(context, account)
    warn_of(context, account)
    context.add_output_metadata(summary_metadata(account))
    if account.unaccounted_states:
        raise dg.Failure(
            f"{account.unaccounted_states:,} people were claimed and are not accounted for",
            metadata=summary_metadata(account),
            allow_retries=False,
        )
