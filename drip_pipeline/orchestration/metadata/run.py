"""What the minute job says of itself: on each step, in its log, and on the assets that it keeps up
to date. Figures come from the verbs; nothing is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import dagster as dg

from drip_pipeline.engine.delivery.results import DeliveryCounts
from drip_pipeline.engine.runner.run_summary import RunSummary, messages_waiting
from drip_pipeline.engine.runner.tick import Engine
from drip_pipeline.engine.runner.work_units import WorkPlan, WorkUnitReport
from drip_pipeline.orchestration.metadata.common import counts, sentence, table
from drip_pipeline.redaction import redact

EVENT_LOG: Final = dg.AssetKey("campaign_events")
MESSAGE_OUTCOMES: Final = dg.AssetKey("message_outcomes")
BATCH_LOG: Final = dg.AssetKey("batch_log")


def describe_plan(planned: WorkPlan) -> str:
    """What there is to do, in one line."""
    put_right = {name: count for name, count in asdict(planned.recovered).items() if count}
    return (
        f"{planned.due_people:,} people due, parted into {len(planned.shares)} batches; "
        f"{planned.due_messages:,} messages due; put right first: {sentence(put_right)}"
    )


def share_metadata(done: WorkUnitReport) -> dict[str, Any]:
    """The figures of an advanced share."""
    left = "nothing is due any more" if done.is_done else "the time was over; the rest stays due"
    return {
        "people": done.states,
        "transactions": done.batches,
        "outcome": counts(done.moved, "status", "people"),
        "end": left,
    }


def report_delivered(
    context: dg.OpExecutionContext,
    engine: Engine,
    by_channel: Mapping[str, DeliveryCounts],
    *,
    seconds: float,
) -> None:
    """The figures of `seconds` of deliveries, on their step and on the asset. A provider that fails
    makes the step fail: its messages stay due, those of others went out.
    """
    done = sum(by_channel.values(), DeliveryCounts())
    figures: dict[str, Any] = {
        "messages": done.total(),
        "sent_per_second": round(done.sent / seconds, 1) if seconds else 0.0,
        "outcome": table(
            {"channel": channel, "outcome": outcome, "messages": count}
            for channel, part in by_channel.items()
            for outcome, count in part.sizes().items()
        ),
    }
    context.add_output_metadata(figures)
    if done.total():
        context.log_event(
            dg.AssetMaterialization(
                MESSAGE_OUTCOMES,
                description="Messages handed over by this step; provider events follow.",
                metadata=figures,
            )
        )
    if done.faults:
        failing = [channel for channel, part in by_channel.items() if part.faults]
        raise _ways_out_fail(done.faults, messages_waiting(engine, failing), figures)


def _ways_out_fail(
    faults: Mapping[str, str], waiting: Sequence[Mapping[str, Any]], figures: Mapping[str, Any]
) -> dg.Failure:
    told = "; ".join(f"{transport}: {redact(words)}" for transport, words in faults.items())
    metadata: dict[str, Any] = {"what_to_do": "`drip doctor` shows what each way out lacks."}
    if waiting:
        total, most = sum(place["messages"] for place in waiting), waiting[0]
        told += (
            f". {total:,} messages wait, {most['messages']:,} of them at node {most['node']!r}"
            f" of {most['campaign']!r} (version {most['version']})"
        )
        metadata |= {
            "campaign": most["campaign"],
            "node": most["node"],
            "messages_waiting": total,
            "where": table(waiting),
            "state_of_messages": "They go out by themselves with the first run that finds the way"
            " out working.",
        }
    count = len(faults)
    return dg.Failure(
        f"{'a way out fails' if count == 1 else f'{count} ways out fail'}: {told}",
        metadata={**metadata, **figures},  # the run page shows the first few at once
        allow_retries=False,
    )


def summary_metadata(account: RunSummary) -> dict[str, Any]:
    """The figures of a whole run."""
    return {
        "people_advanced": account.advanced,
        "people_by_status": counts(account.moved, "status", "people"),
        "messages": counts(account.messages, "outcome", "messages"),
        "still_due": int(account.left.due_states) + int(account.left.due_deliveries),
        "failed_batches": account.failed,
        "unaccounted_people": account.unaccounted_states,
    }


def warn_of(context: dg.OpExecutionContext, account: RunSummary) -> None:
    """Say in the run's log what an operator should look at."""
    for channel, messages in account.without_channel.items():
        context.log.warning(
            "%d %s messages are due and no such channel is set up: see `drip doctor`",
            messages,
            channel,
        )


def log_materializations(context: dg.OpExecutionContext, account: RunSummary) -> None:
    """Report the tables that the run wrote to. They are kept up to date by batches, not by a step
    of their own, and a report costs no run.
    """
    if not account.batches:
        return
    context.log_event(
        dg.AssetMaterialization(
            EVENT_LOG,
            description="Events logged at the times the run worked at.",
            metadata={
                "events": sum(account.events.values()),
                "by_type": counts(account.events, "event_type", "events"),
            },
        )
    )
    context.log_event(
        dg.AssetMaterialization(
            BATCH_LOG,
            description="Batches of this run.",
            metadata={
                "batches": len(account.batches),
                "failed": account.failed,
                "by_outcome": counts(
                    Counter(str(batch["outcome"]) for batch in account.batches),
                    "outcome",
                    "batches",
                ),
                "duration_seconds": sum(b["duration_ms"] for b in account.batches) / 1000,
                "preview": table(account.batches, _BATCH_COLUMNS),
            },
        )
    )


_BATCH_COLUMNS: Final = ("kind", "outcome", "step_key", "size", "duration_ms", "error")
