"""All findings about a definition at once, by node.

The rules stand in check_*.py and beside what they read; this module only brings them together.
"""

from __future__ import annotations

from drip_pipeline.domain.compiler.analysis import analyze
from drip_pipeline.domain.compiler.check_references import reference_problems
from drip_pipeline.domain.compiler.check_structure import structure_problems
from drip_pipeline.domain.compiler.check_templates import template_problems
from drip_pipeline.domain.definition.campaign_file import CampaignDefinition
from drip_pipeline.domain.definition.problems import Problem, Severity, errors_in, without_repeats

__all__ = ["Problem", "Severity", "errors_in", "validate"]


def validate(
    definition: CampaignDefinition,
    *,
    known_custom_fields: frozenset[str],
    available_channels: frozenset[str],
) -> list[Problem]:
    """Every problem of a definition: errors forbid publishing, warnings do not. Never raises.

    `known_custom_fields`: names of custom fields that contacts of the workspace have.
    `available_channels`: what messages can be sent over (email, sms, social, webhook). The order is
    that of the file: the campaign as a whole first, then node by node.
    """
    analysis = analyze(definition)
    problems = without_repeats(
        [
            *analysis.problems,
            *structure_problems(analysis),
            *reference_problems(
                analysis,
                known_custom_fields=known_custom_fields,
                available_channels=available_channels,
            ),
            *template_problems(analysis, known_custom_fields),
        ]
    )
    places = {node_id: place for place, node_id in enumerate(analysis.steps, 1)}
    # A node that the draft does not have (a step without a node) comes last.
    return sorted(
        problems,
        key=lambda p: 0 if p.node_id is None else places.get(p.node_id, len(places) + 1),
    )
