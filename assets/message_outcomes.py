"""What became of each message. Batches and ingestion keep the table up to date as they commit; to
materialize it is to put days right from the log.
"""

from datetime import date, timedelta
from time import perf_counter

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.metrics.daily_metrics import days_between
from drip_pipeline.engine.metrics.rebuild_outcomes import rebuild_outcomes
from drip_pipeline.orchestration.catalog import DELIVERY, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.daily_metrics import rebuilt_metadata
from drip_pipeline.orchestration.metadata.run import EVENT_LOG, MESSAGE_OUTCOMES
from drip_pipeline.orchestration.resources import EngineResource, RunClock


class OutcomesConfig(dg.Config):
    """Which messages to compare, by their day of sending (of their workspace)."""

    first_day: str | None = Field(
        default=None, description="As in 2026-03-02. Empty: six days before the last."
    )
    last_day: str | None = Field(default=None, description="As in 2026-03-08. Empty: today.")

    def days(self, today: date) -> list[date]:
        """The days asked for. Raises ValueError for what is no date."""
        last = date.fromisoformat(self.last_day) if self.last_day else today
        first = date.fromisoformat(self.first_day) if self.first_day else last - timedelta(days=6)
        return days_between(first, last)


@dg.asset(
    key=MESSAGE_OUTCOMES,
    deps=[EVENT_LOG],
    group_name=DELIVERY,
    description="One row a message: sent, delivered, first opened and clicked (machines apart), "
    "replied, converted, unsubscribed, bounced. A row is made when the message goes out, and "
    "provider events bring it up to date in whatever order they arrive; the minute job reports "
    "what it added. Materializing it by hand compares days with the log and corrects what differs, "
    "which should be nothing.",
    owners=OWNERS,
    kinds={"postgres"},
    pool="ingestion",
    retry_policy=RETRY_POLICY,
    metadata={
        **stored_in("campaign_message_outcomes"),
        **written_by(
            deliveries="sql/queries/deliveries.sql",
            ingestion="sql/queries/events.sql",
            rebuilding="drip_pipeline/engine/metrics/rebuild_outcomes.py",
        ),
    },
)
def message_outcomes(
    config: OutcomesConfig, engine: EngineResource, clock: RunClock
) -> dg.MaterializeResult[None]:
    """Put the days right from the log."""
    began = perf_counter()
    wanted = config.days(clock.moment().date())
    with translate_errors("rebuilding message outcomes"):
        corrected = rebuild_outcomes(engine.database, wanted)
        metadata = rebuilt_metadata(engine.database, wanted, corrected)
    return dg.MaterializeResult(
        metadata={**metadata, "duration_seconds": round(perf_counter() - began, 3)}
    )
