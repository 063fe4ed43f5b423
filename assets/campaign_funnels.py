"""Funnels of running campaigns as diagrams in the catalog.

They show enrollments by node and edge, losses, and the progress of the goal.
"""

from time import perf_counter

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.metrics.funnel import campaign_funnel, campaigns_to_draw
from drip_pipeline.orchestration.automation import HOURLY_WHEN_UPDATED
from drip_pipeline.orchestration.campaign_selection import campaign_ids
from drip_pipeline.orchestration.catalog import CAMPAIGNS, OWNERS, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.common import seconds
from drip_pipeline.orchestration.metadata.funnel import MAX_DIAGRAMS, funnels_metadata
from drip_pipeline.orchestration.metadata.run import EVENT_LOG
from drip_pipeline.orchestration.resources import EngineResource, RunClock


class FunnelConfig(dg.Config):
    """The campaigns to draw."""

    campaign: str | None = Field(
        default=None, description="Only this campaign (id or exact name). Empty: the latest ones."
    )


@dg.asset(
    deps=[EVENT_LOG],
    group_name=CAMPAIGNS,
    automation_condition=HOURLY_WHEN_UPDATED,
    description="The flow diagram of each campaign: enrollments at each node now, advanced and "
    "lost, enrollments on each edge, and the progress of the goal. Drawn hourly if there are new "
    "events; `drip campaign funnel C --out FILE.html` draws any campaign and version.",
    owners=OWNERS,
    kinds={"svg"},
    retry_policy=RETRY_POLICY,
    metadata=written_by(
        counting="sql/queries/funnels.sql",
        funnel="drip_pipeline/engine/metrics/funnel.py",
        drawing="drip_pipeline/reports/funnel_diagram.py",
    ),
)
def campaign_funnels(
    config: FunnelConfig, engine: EngineResource, clock: RunClock
) -> dg.MaterializeResult[None]:
    """Count enrollments and draw the diagrams."""
    began = perf_counter()
    with translate_errors("drawing funnels"):
        selected = campaign_ids(engine.database, config.campaign)
        campaigns = selected or campaigns_to_draw(engine.database)
        funnels = [
            campaign_funnel(engine.database, campaign_id, now=clock.current())
            for campaign_id in campaigns[:MAX_DIAGRAMS]
        ]
    metadata = funnels_metadata(funnels, published=len(campaigns))
    metadata["duration_seconds"] = seconds(perf_counter() - began)
    return dg.MaterializeResult(metadata=metadata)
