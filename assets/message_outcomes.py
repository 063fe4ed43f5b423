"""The outcome of each message. Batches and ingestion keep the table up to date as they commit.

Materializing the asset compares days with the event log and corrects them.
"""

from datetime import date, timedelta
from time import perf_counter

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.metrics.daily_metrics import days_between
from drip_pipeline.engine.metrics.rebuild_outcomes import rebuild_outcomes
from drip_pipeline.orchestration.catalog import DELIVERY, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.common import seconds
from drip_pipeline.orchestration.metadata.daily_metrics import rebuilt_metadata
from drip_pipeline.orchestration.metadata.run import EVENT_LOG, MESSAGE_OUTCOMES
from drip_pipeline.orchestration.resources import EngineResource, RunClock


class OutcomesConfig(dg.Config):
    """The messages to compare, by their day of sending in the time zone of the workspace."""

    first_day: str | None = Field(
        default=None, description="For example 2026-03-02. Empty: six days before the last."
    )
    last_day: str | None = Field(default=None, description="For example 2026-03-08. Empty: today.")

    def days(self, today: date) -> list[date]:
        """Return the days. Raises ValueError if a value is not a date."""
        last = date.fromisoformat(self.last_day) if self.last_day else today
        first = date.fromisoformat(self.first_day) if self.first_day else last - timedelta(days=6)
        return days_between(first, last)


@dg.asset(
    key=MESSAGE_OUTCOMES,
    deps=[EVENT_LOG],
    group_name=DELIVERY,
    description="One row for each message: sent, delivered, first opened and clicked (machine "
    "events separately), replied, converted, unsubscribed, bounced. A row is inserted when the "
    "message is sent, and provider events update it in any order; the minute job reports the rows "
    "it added. Materializing it manually compares days with the event log and corrects "
    "differences; there should be none.",
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
    """Compare the days with the event log and correct them."""
    began = perf_counter()
    days = config.days(clock.current().date())
    with translate_errors("rebuilding message outcomes"):
        corrected = rebuild_outcomes(engine.database, days)
        metadata = rebuilt_metadata(engine.database, days, corrected)
    metadata["duration_seconds"] = seconds(perf_counter() - began)
    return dg.MaterializeResult(metadata=metadata)
