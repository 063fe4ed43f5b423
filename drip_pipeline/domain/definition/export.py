"""Export a campaign from its database rows to a campaign file.

Publishing an export changes nothing: it has the hash of the published definition and compiles to
the same graph. db/ reads the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from drip_pipeline.domain.definition.campaign_file import (
    CAMPAIGN_KEYS,
    ROW_KEYS,
    STEP_KEYS,
    CampaignDefinition,
    load_definition,
)
from drip_pipeline.domain.definition.complete import complete
from drip_pipeline.domain.definition.text_formats import JsonObject

_JSON_COLUMNS: Final = frozenset(
    {
        "ab_test_config",
        "action_config",
        "canvas_data",
        "channel_config",
        "conditional_branches",
        "conditional_logic",
        "cta",
        "node_config",
        "node_position",
        "drip_settings",
        "wait_config",
    }
)
_NO_POSITION: Final = {"x": 0, "y": 0}
_EMPTY_BY_DEFAULT: Final = frozenset({"cta", "conditional_logic"})
"""Legacy columns whose default in some databases is an empty object."""


def export_definition(
    campaign_row: Mapping[str, object],
    step_rows: Sequence[Mapping[str, object]],
    *,
    workspace: str | None = None,
) -> JsonObject:
    """Return the canonical campaign file of a drip_campaigns row and its campaign_steps rows.

    Node ids replace the uuids of steps, so that the file means the same in another database. Keys
    without a column are read from the row's `drip_settings`. Raises DefinitionInvalid only if the
    rows contain no object.
    """
    return definition_of_rows(campaign_row, step_rows, workspace=workspace).to_dict()


def definition_of_rows(
    campaign_row: Mapping[str, object],
    step_rows: Sequence[Mapping[str, object]],
    *,
    workspace: str | None = None,
    canvas_wins: bool = False,
) -> CampaignDefinition:
    """Return the completed definition of stored rows, with its reading problems.

    `canvas_wins` as in `complete`: use it for a canvas that another application has edited.
    """
    row = _parsed(campaign_row)
    settings = row.get("drip_settings")
    values = {**(settings if isinstance(settings, Mapping) else {}), **row}
    file = {key: values[key] for key in CAMPAIGN_KEYS if values.get(key) not in (None, {}, [])}
    if workspace is not None:
        file["workspace"] = workspace
    file["steps"] = [_step(step) for step in sorted(step_rows, key=_number)]
    return complete(load_definition(file), canvas_wins=canvas_wins)


def _number(step: Mapping[str, Any]) -> tuple[bool, int]:
    """Return the sort key of a step without a canvas: by number, steps without one last."""
    number = step.get("step_number")
    return (number is None, int(number or 0))


def _step(row: Mapping[str, object]) -> JsonObject:
    step = {
        key: value
        for key, value in _parsed(row).items()
        if key in STEP_KEYS and key not in ROW_KEYS and value is not None
    }
    for key in _EMPTY_BY_DEFAULT:
        if step.get(key) in ({}, [], ""):
            del step[key]
    if step.get("node_position") == _NO_POSITION:  # the column's default
        del step["node_position"]
    return step


def _parsed(row: Mapping[str, object]) -> JsonObject:
    """Return the row with JSON columns as values, also if the driver returned text."""
    parsed = dict(row)
    for key in _JSON_COLUMNS & parsed.keys():
        value = parsed[key]
        if isinstance(value, str):
            try:
                parsed[key] = json.loads(value)
            except (ValueError, RecursionError):
                continue  # cta may be a plain text
    return parsed
