"""Linear campaigns made before the specification: flat steps with a delay in days, and no canvas.

They become a definition like any other: a trigger, a wait before each step with a delay, the mails,
an exit. Writing it into the database is the engine's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drip_pipeline.domain.definition.campaign_file import CampaignDefinition
from drip_pipeline.domain.definition.canvas import has_edges
from drip_pipeline.domain.definition.export import definition_of_rows


def legacy_definition(
    campaign_row: Mapping[str, Any], step_rows: Sequence[Mapping[str, Any]]
) -> CampaignDefinition:
    """The completed definition of a legacy campaign; node ids are the same on every call.

    A step's node is `node_<step uuid>`, the wait before it `wait_before_<step uuid>`; node ids that
    a step row or a canvas drawn by an earlier data migration already has are kept, positions too. A
    canvas that connects its nodes is no legacy and stays as it is.
    """
    canvas = campaign_row.get("canvas_data")
    row = dict(campaign_row)
    row["campaign_type"] = campaign_row.get("campaign_type") or "linear"
    if isinstance(canvas, Mapping) and not has_edges(canvas):
        # That migration wrote the text '[]'. A list that is empty means the same here, where
        # nothing was ever connected.
        row["canvas_data"] = {**canvas, "edges": "[]"}
    return definition_of_rows(row, step_rows)
