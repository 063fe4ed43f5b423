"""Metadata of the minute job: of its steps, its log, and the assets that it keeps up to date.

Numbers come from the use cases; nothing is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

import dagster as dg

from drip_pipeline.db.operations.overview import WaitingMessages
from drip_pipeline.engine.delivery.results import DeliveryCounts
from drip_pipeline.engine.runner.run_summary import RunSummary, messages_waiting
from drip_pipeline.engine.runner.tick import Engine
from drip_pipeline.engine.runner.work_units import WorkPlan, WorkUnitReport
from drip_pipeline.orchestration.metadata.common import Metadata, counts, sentence, table
from drip_pipeline.redaction import redact

EVENT_LOG: Final = dg.AssetKey("campaign_events")
MESSAGE_OUTCOMES: Final = dg.AssetKey("message_outcomes")
BATCH_LOG: Final = dg.AssetKey("batch_log")


def describe_plan(planned: WorkPlan) -> str:
    """Describe the work of a run in one line."""
    recovered = {name: count for name, count in asdict(planned.recovered).items() if count}
    followed = planned.followed
    changed = (
        f"; changed contacts: {followed.moved:,} waits moved, {followed.ended:,} ended,"
        f" {followed.exited:,} exits"
        if followed.contacts
        else ""
    )
    return (
        f"{planned.due_states:,} enrollments due, in {len(planned.units)} batches; "
        f"{planned.due_messages:,} messages due; recovered first: {sentence(recovered)}{changed}"
    )


def work_unit_metadata(report: WorkUnitReport) -> Metadata:
    """Return the metadata of an advanced batch."""
    return {
        "enrollments": report.states,
        "transactions": report.batches,
        "outcome": counts(report.moved, "status", "enrollments"),
        "result": "no due work is left" if report.is_done else "out of time; the rest stays due",
    }


def report_delivered(
    context: dg.OpExecutionContext,
    engine: Engine,
    by_channel: Mapping[str, DeliveryCounts],
    *,
    seconds: float,
) -> None:
    """Report the messages of a delivery step, on the step and on the asset.

    Raises Failure if a transport failed and its messages wait; they stay due, and other transports
    are not affected. A transport that recovered within the step is a warning.
    """
    total = sum(by_channel.values(), DeliveryCounts())
    metadata: Metadata = {
        "messages": total.total(),
        "sent_per_second": round(total.sent / seconds, 1) if seconds else 0.0,
        "outcome": table(
            {"channel": channel, "outcome": outcome, "messages": count}
            for channel, part in by_channel.items()
            for outcome, count in part.sizes().items()
        ),
    }
    context.add_output_metadata(metadata)
    if total.total():
        context.log_event(
            dg.AssetMaterialization(
                MESSAGE_OUTCOMES,
                description="Messages sent by this step; provider events follow.",
                metadata=metadata,
            )
        )
    if total.faults:
        failing = [channel for channel, part in by_channel.items() if part.faults]
        waiting = messages_waiting(engine, failing)
        if waiting:
            raise _transport_failure(total.faults, waiting, metadata)
        for transport, error in total.faults.items():
            context.log.warning(
                "%s failed and recovered, all its messages are sent: %s", transport, redact(error)
            )


def _transport_failure(
    errors: Mapping[str, str], waiting: Sequence[WaitingMessages], step_metadata: Metadata
) -> dg.Failure:
    detail = "; ".join(f"{transport}: {redact(error)}" for transport, error in errors.items())
    total, most = sum(node.messages for node in waiting), waiting[0]
    detail += (
        f". {total:,} messages wait, {most.messages:,} of them at node {most.node!r}"
        f" of {most.campaign!r} (version {most.version})"
    )
    metadata: Metadata = {
        "what_to_do": "Run `drip doctor`: it tests each transport.",
        "campaign": most.campaign,
        "node": most.node,
        "messages_waiting": total,
        "where": table(waiting),
        "state_of_messages": "They are sent by the first run that finds the transport working.",
    }
    count = len(errors)
    return dg.Failure(
        f"{'a transport failed' if count == 1 else f'{count} transports failed'}: {detail}",
        metadata=metadata | step_metadata,  # the run page shows the first few at once
        allow_retries=False,
    )


def summary_metadata(summary: RunSummary) -> Metadata:
    """Return the metadata of a whole run."""
    return {
        "enrollments_advanced": summary.advanced,
        "enrollments_by_status": counts(summary.moved, "status", "enrollments"),
        "messages": counts(summary.messages, "outcome", "messages"),
        "still_due": int(summary.left.due_states) + int(summary.left.due_deliveries),
        "failed_batches": summary.failed,
        "unaccounted_enrollments": summary.unaccounted_states,
    }


def log_warnings(context: dg.OpExecutionContext, summary: RunSummary) -> None:
    """Log a warning for each channel that has due messages and no configuration."""
    for channel, messages in summary.without_channel.items():
        context.log.warning(
            "%d %s messages are due and the channel is not configured: see `drip doctor`",
            messages,
            channel,
        )


def materializations(summary: RunSummary) -> list[dg.AssetMaterialization]:
    """Return the materializations of the tables that the run wrote to.

    The batches keep these tables up to date, not a step of their own; a report costs no run.
    """
    if not summary.batches:
        return []
    return [
        dg.AssetMaterialization(
            EVENT_LOG,
            description="Events logged at the logical times of this run.",
            metadata={
                "events": sum(summary.events.values()),
                "by_type": counts(summary.events, "event_type", "events"),
            },
        ),
        dg.AssetMaterialization(
            BATCH_LOG,
            description="Batches of this run.",
            metadata={
                "batches": len(summary.batches),
                "failed": summary.failed,
                "by_outcome": counts(
                    Counter(batch.outcome for batch in summary.batches), "outcome", "batches"
                ),
                "duration_seconds": sum(batch.duration_ms for batch in summary.batches) / 1000,
                "preview": table(summary.batches, _BATCH_COLUMNS),
            },
        ),
    ]


_BATCH_COLUMNS: Final = ("kind", "outcome", "step_key", "size", "duration_ms", "error")
