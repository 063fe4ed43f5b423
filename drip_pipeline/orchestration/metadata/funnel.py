"""What the asset of funnels shows: a picture per campaign, and a table of all that were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import dagster as dg

from drip_pipeline.engine.metrics.funnel import Funnel
from drip_pipeline.orchestration.metadata.common import table
from drip_pipeline.reports.funnel_diagram import funnel_diagram
from drip_pipeline.reports.svg import as_markdown

# Every materialization stays in Dagster's event log, pictures and all.
MOST_DRAWN: Final = 6
MOST_BYTES: Final = 70_000


def funnels_metadata(found: Sequence[Funnel], *, published: int) -> dict[str, Any]:
    """Pictures and figures of these campaigns; `published` is how many there are."""
    metadata: dict[str, Any] = {
        "campaigns_drawn": len(found),
        "campaigns_published": published,
        "funnels": table(
            {
                "campaign": funnel.campaign,
                "version": funnel.version,
                "entered": funnel.entered,
                "inside": funnel.total("now"),
                "ended": funnel.total("ended"),
                "lost": funnel.total("lost_total"),
                "goal": funnel.goal.summary() if funnel.goal else None,
            }
            for funnel in found
        ),
    }
    for funnel in found:
        metadata[f"{funnel.campaign} ({funnel.campaign_id.hex[:8]})"] = _drawn(funnel)
    return metadata


def _drawn(funnel: Funnel) -> dg.MarkdownMetadataValue:
    picture = as_markdown(funnel_diagram(funnel), f"Funnel of {funnel.campaign}")
    if len(picture) > MOST_BYTES:
        picture = (
            f"*{len(funnel.nodes)} nodes are too large a picture to keep here:* "
            f"`drip campaign funnel {funnel.campaign_id} --out funnel.html`"
        )
    return dg.MetadataValue.md(picture)
