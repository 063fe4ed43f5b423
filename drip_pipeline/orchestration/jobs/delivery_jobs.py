"""Jobs that settle messages of unknown outcome and reset a transport, started from the launchpad.

They call the use cases of `drip deliveries settle` and `drip channels reset`.
"""

from typing import Final, Literal, Self

import dagster as dg
from pydantic import Field, model_validator

from drip_pipeline.engine.delivery.list_deliveries import list_deliveries
from drip_pipeline.engine.delivery.resolve_unknown import resolve_unknown
from drip_pipeline.engine.transports.accounts import reset_transport
from drip_pipeline.orchestration.actors import actor_of_run
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.job_form import (
    OPERATOR_TAGS,
    ChangeForm,
    Filled,
    WithoutAddress,
    form_of,
)
from drip_pipeline.orchestration.metadata.common import table
from drip_pipeline.orchestration.resources import EngineResource, RunClock

MOST: Final = 100_000
"""The dry run counts up to this many messages."""


class SettleForm(ChangeForm):
    """The messages, by campaign, channel or both, and what became of them."""

    campaign: WithoutAddress = Field(
        default="", description="Only messages of this campaign (id or exact name)."
    )
    channel: Literal["", "email", "sms", "social", "webhook"] = Field(
        default="", description="Only messages of this channel."
    )
    outcome: Literal["sent", "not-sent", "skip"] = Field(
        default="sent",
        description="sent: they were sent. not-sent: send them now. skip: do not send them, and "
        "continue the enrollments. Look the messages up in the provider's log first.",
    )
    dry_run: bool = Field(default=True, description="Count the messages; change nothing.")

    @model_validator(mode="after")
    def _some_messages(self) -> Self:
        if not self.campaign and not self.channel:
            raise ValueError("give `campaign`, `channel` or both")
        return self


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def record_outcome(
    context: dg.OpExecutionContext, config: SettleForm, engine: EngineResource, clock: RunClock
) -> None:
    """Record what became of messages that were handed over without an answer."""
    campaign, channel = config.campaign or None, config.channel or None
    with translate_errors("settling messages"):
        if config.dry_run:
            rows = list_deliveries(
                engine.database, status="unknown", campaign=campaign, channel=channel, limit=MOST
            )
            context.add_output_metadata(
                {
                    "messages_of_unknown_outcome": len(rows),
                    "preview": table(rows),
                    "next": f"Nothing was changed. Set dry_run: false to record {config.outcome!r}"
                    " for them.",
                }
            )
            return
        report = resolve_unknown(
            engine.database,
            config.outcome,
            now=clock.current(),
            campaign=campaign,
            channel=channel,
            actor=actor_of_run(context),
            reason=config.reason or None,
        )
    context.add_output_metadata(
        {"outcome": report.answer, "messages": report.deliveries, "posts": report.posts}
    )


@dg.job(
    description="Record the outcome of messages that a provider may or may not have accepted, by "
    "campaign or channel. Starts as a dry run that only counts them.",
    tags=OPERATOR_TAGS,
    config=form_of(SettleForm, record_outcome.name),
)
def settle_unknown_messages() -> None:
    """Run the only op."""
    record_outcome()


class ResetForm(ChangeForm):
    """The transport to reset."""

    transport: Filled = Field(
        default="",
        validate_default=True,
        description="The transport's name, as `drip channels list` and its incident show it.",
    )


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def close_breaker(
    context: dg.OpExecutionContext, config: ResetForm, engine: EngineResource, clock: RunClock
) -> None:
    """Close the breaker of a transport, and re-enable an endpoint that answered 410 Gone."""
    with translate_errors("resetting a transport"):
        reset_transport(
            engine.database,
            config.transport,
            now=clock.current(),
            actor=actor_of_run(context),
            reason=config.reason or None,
        )
    context.add_output_metadata({"transport": config.transport, "state": "enabled"})


@dg.job(
    description="Re-enable a transport at once: close its circuit breaker, or enable an endpoint "
    "that was disabled because it answered that it is gone.",
    tags=OPERATOR_TAGS,
    config=form_of(ResetForm, close_breaker.name),
)
def reset_channel() -> None:
    """Run the only op."""
    close_breaker()
