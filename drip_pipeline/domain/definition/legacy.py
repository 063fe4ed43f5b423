"""Read linear campaigns from before the specification: steps with a delay in days, no canvas.

They become an ordinary definition: a trigger, a wait before each step with a delay, the emails, an
exit. The engine writes it to the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drip_pipeline.domain.definition.campaign_file import CampaignDefinition
from drip_pipeline.domain.definition.canvas import has_edges
from drip_pipeline.domain.definition.export import definition_of_rows


def legacy_definition(
    campaign_row: Mapping[str, object], step_rows: Sequence[Mapping[str, object]]
) -> CampaignDefinition:
    """Return the completed definition of a legacy campaign; node ids are the same on every call.

    A step's node is `node_<step uuid>`, the wait before it `wait_before_<step uuid>`. Existing node
    ids and positions (of a step row, or of a canvas that an earlier data migration created) are
    kept. A canvas with edges is not a legacy canvas and stays unchanged.
    """
    canvas = campaign_row.get("canvas_data")
    row = dict(campaign_row)
    row["campaign_type"] = campaign_row.get("campaign_type") or "linear"
    if isinstance(canvas, Mapping) and not has_edges(canvas):
        # That migration wrote the text '[]'. An empty list means the same here, because a legacy
        # canvas never had edges.
        row["canvas_data"] = {**canvas, "edges": "[]"}
    return definition_of_rows(row, step_rows)
