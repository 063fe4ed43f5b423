"""Why runs ended, in words: the reasons of the engine, and the exit rules of a campaign."""

from __future__ import annotations

from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.diff.describe import condition, narrowed_event
from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.explanations.wording import HOLDOUT_OF_SPLIT, reason


def exit_text(name: str | None, graph: CampaignGraph | None, rule_id: str | None = None) -> str:
    """Return why a run ended. `rule_id`: the exit rule that ended it, if that is known; otherwise a
    rule is recognized by its reason."""
    rule = exit_rule(name, graph, rule_id)
    if rule is not None:
        return rule_text(rule)
    if name == "holdout":  # the exit of a split's holdout, not of the workspace's
        return HOLDOUT_OF_SPLIT
    return reason(name)


def exit_rule(
    name: str | None, graph: CampaignGraph | None, rule_id: str | None = None
) -> ExitRule | None:
    """Return the exit rule with this id, or else with this reason; None if there is none."""
    rules = () if graph is None else graph.exits
    by_id = next((rule for rule in rules if rule.id == rule_id), None)
    return by_id or next((rule for rule in rules if rule.why == name), None)


def rule_text(rule: ExitRule) -> str:
    """Return an exit rule as text: `the exit rule 'bought' holds (purchase within 30 days)`."""
    if isinstance(rule.when, Condition):
        when = condition(rule.when)
    else:
        when = narrowed_event(rule.when.event_type, rule.when)
    return f"the exit rule {rule.id!r} holds ({when})"
