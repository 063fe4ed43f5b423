"""The names that other rooms need of a campaign file: reading, completing, checking, compiling it.

The parts stand in modules of their own; nothing is done here.
"""

from drip_pipeline.domain.compiler.compile import compile_graph, definition_hash, graph_hash
from drip_pipeline.domain.compiler.validate import Problem, validate
from drip_pipeline.domain.definition.campaign_file import (
    CampaignDefinition,
    StepDefinition,
    load_definition,
)
from drip_pipeline.domain.definition.complete import complete
from drip_pipeline.domain.definition.export import export_definition
from drip_pipeline.domain.definition.json_schema import json_schema

__all__ = [
    "CampaignDefinition",
    "Problem",
    "StepDefinition",
    "compile_graph",
    "complete",
    "definition_hash",
    "export_definition",
    "graph_hash",
    "json_schema",
    "load_definition",
    "validate",
]
