"""Validate a definition: collect the problems that analysis and the check_*.py modules report."""

from __future__ import annotations

from drip_pipeline.domain.compiler.analysis import analyze
from drip_pipeline.domain.compiler.check_matchers import matcher_problems
from drip_pipeline.domain.compiler.check_references import reference_problems
from drip_pipeline.domain.compiler.check_structure import structure_problems
from drip_pipeline.domain.compiler.check_templates import template_problems
from drip_pipeline.domain.compiler.check_variables import variable_problems
from drip_pipeline.domain.definition.campaign_file import CampaignDefinition
from drip_pipeline.domain.definition.problems import Problem, without_repeats


def validate(
    definition: CampaignDefinition,
    *,
    known_custom_fields: frozenset[str],
    available_channels: frozenset[str],
    own_event_names: frozenset[str] = frozenset(),
) -> list[Problem]:
    """Return every problem of a definition: errors prevent publishing, warnings do not.

    `known_custom_fields`: names of the custom fields of the workspace's contacts.
    `available_channels`: categories with a configured channel (email, sms, social, webhook).
    `own_event_names`: event names outside the vocabulary that events of the workspace had. The
    campaign's own problems come first, then those of the nodes in the order of the file. Never
    raises.
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
                own_event_names=own_event_names,
            ),
            *matcher_problems(analysis),
            *template_problems(analysis, known_custom_fields),
            *variable_problems(analysis),
        ]
    )
    places = {node_id: place for place, node_id in enumerate(analysis.steps, 1)}
    # A node that is not in the analysis (a step without a node) comes last.
    return sorted(
        problems,
        key=lambda p: 0 if p.node_id is None else places.get(p.node_id, len(places) + 1),
    )
