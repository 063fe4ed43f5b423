"""The funnels of running campaigns as pictures in the catalog: where people are, which ways they
went, where they were lost, and how far each campaign's goal is reached.
"""

from time import perf_counter

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.metrics.funnel import campaign_funnel, campaigns_to_draw
from drip_pipeline.orchestration.automation import HOURLY_WHERE_NEW
from drip_pipeline.orchestration.campaign_selection import campaign_ids
from drip_pipeline.orchestration.catalog import CAMPAIGNS, OWNERS, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.funnel import MOST_DRAWN, funnels_metadata
from drip_pipeline.orchestration.metadata.run import EVENT_LOG
from drip_pipeline.orchestration.resources import EngineResource, RunClock


class FunnelConfig(dg.Config):
    """Which campaigns to draw."""

    campaign: str | None = Field(
        default=None, description="Only this campaign (id or exact name). Empty: the latest ones."
    )


@dg.asset(
    deps=[EVENT_LOG],
    group_name=CAMPAIGNS,
    automation_condition=HOURLY_WHERE_NEW,
    description="The canvas of each campaign as a picture: people at each node now, passed on and "
    "lost, people on each edge, and the goal beside what is reached of it. Drawn hourly while "
    "something happens; `drip campaign funnel C --out FILE.html` draws any campaign and version.",
    owners=OWNERS,
    kinds={"svg"},
    retry_policy=RETRY_POLICY,
    metadata=written_by(
        counting="sql/queries/funnels.sql",
        figures="drip_pipeline/engine/metrics/funnel.py",
        drawing="drip_pipeline/reports/funnel_diagram.py",
    ),
)
def campaign_funnels(
    config: FunnelConfig, engine: EngineResource, clock: RunClock
) -> dg.MaterializeResult[None]:
    """Count and draw."""
    began = perf_counter()
    with translate_errors("drawing funnels"):
        chosen = campaign_ids(engine.database, config.campaign)
        wanted = chosen or campaigns_to_draw(engine.database)
        found = [
            campaign_funnel(engine.database, campaign_id, now=clock.moment())
            for campaign_id in wanted[:MOST_DRAWN]
        ]
    metadata = funnels_metadata(found, published=len(wanted))
    return dg.MaterializeResult(
        metadata={**metadata, "duration_seconds": round(perf_counter() - began, 3)}
    )
