"""Metadata of the funnel asset: a diagram for each campaign, and a table of all campaigns drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import dagster as dg

from drip_pipeline.engine.metrics.funnel import Funnel
from drip_pipeline.orchestration.metadata.common import Metadata, table
from drip_pipeline.reports.funnel_diagram import funnel_diagram
from drip_pipeline.reports.svg import as_markdown

# Dagster's event log stores every materialization with its diagrams.
MAX_DIAGRAMS: Final = 6
MAX_BYTES: Final = 70_000


def funnels_metadata(funnels: Sequence[Funnel], *, published: int) -> Metadata:
    """Return the diagram and the counts of each campaign; `published` is the number of all."""
    metadata: Metadata = {
        "campaigns_drawn": len(funnels),
        "campaigns_published": published,
        "funnels": table(
            {
                "campaign": funnel.campaign,
                "version": funnel.version,
                "entered": funnel.entered,
                "active": funnel.total("now"),
                "ended": funnel.total("ended"),
                "at_goal": funnel.total("at_goal"),
                "lost": funnel.total("lost_total"),
                "held": funnel.total("held_total"),
                "goal": funnel.goal.summary() if funnel.goal else None,
            }
            for funnel in funnels
        ),
    }
    for funnel in funnels:
        metadata[f"{funnel.campaign} ({funnel.campaign_id.hex[:8]})"] = _diagram(funnel)
    return metadata


def _diagram(funnel: Funnel) -> dg.MarkdownMetadataValue:
    markdown = as_markdown(funnel_diagram(funnel), f"Funnel of {funnel.campaign}")
    if len(markdown) > MAX_BYTES:
        markdown = (
            f"*The diagram of {len(funnel.nodes)} nodes is too large to store here:* "
            f"`drip campaign funnel {funnel.campaign_id} --out funnel.html`"
        )
    return dg.MetadataValue.md(markdown)
