"""The functions that other packages call with a campaign file: load, complete, validate, compile.

Only re-exports belong here.
"""

from drip_pipeline.domain.compiler.compile import compile_graph, definition_hash, graph_hash
from drip_pipeline.domain.compiler.validate import validate
from drip_pipeline.domain.definition.campaign_file import (
    CampaignDefinition,
    StepDefinition,
    json_schema,
    load_definition,
)
from drip_pipeline.domain.definition.complete import complete
from drip_pipeline.domain.definition.export import export_definition

__all__ = [
    "CampaignDefinition",
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
