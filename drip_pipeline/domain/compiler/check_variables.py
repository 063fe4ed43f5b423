"""Check where variables of the run are read: whether they can exist there.

`entry` needs a trigger that gives entry data, `event` an event trigger or a wait for an event that
comes before, `vars` an action that sets the variable on some path before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drip_pipeline.domain.compiler.analysis import Analysis
from drip_pipeline.domain.conditions.conditions import needs_of
from drip_pipeline.domain.definition.problems import Problem, Problems, did_you_mean
from drip_pipeline.domain.graph.graph import PORT_TIMEOUT, NodeType
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    EventWait,
    NodeConfig,
    PerKey,
    SocialAction,
    SplitConfig,
    TriggerConfig,
    VariableAction,
)
from drip_pipeline.domain.graph.template_texts import paths_read, template_texts
from drip_pipeline.domain.graph.traversal import reachable
from drip_pipeline.domain.run_variables import ENTRY, EVENT, VARS, variable_of

_WITHOUT_DATA = ("tag", "score", "schedule")
"""Kinds of triggers that enroll contacts without entry data."""


def variable_problems(analysis: Analysis) -> list[Problem]:
    """Return warnings for variables that cannot exist where they are read."""
    trigger = next((c for c in analysis.configs.values() if isinstance(c, TriggerConfig)), None)
    with_event = _behind_events(analysis, trigger)
    behind_setters = _behind_setters(analysis)
    problems = Problems(_key_problems(analysis))
    for node_id, config in analysis.configs.items():
        for where, path in _reads(config):
            reason = None
            variable = variable_of(path)
            if variable == ENTRY:
                reason = _without_entry(trigger)
            elif variable == EVENT and node_id not in with_event:
                reason = "neither a wait for an event nor an event trigger comes before this node"
            elif variable == VARS:
                reason = _unset(path, node_id, behind_setters)
            if reason is not None:
                message = f"{where}: {path} can have no value here: {reason}"
                problems.add(node_id, "variable_without_value", message, "warning")
    return problems


def _reads(config: NodeConfig) -> Iterator[tuple[str, str]]:
    """Yield each place of a node that reads a variable of the run, with the path."""
    if isinstance(config, SocialAction):
        return  # a post reads no data of a contact; check_templates.py reports it
    for text in template_texts(config):
        for path in sorted(paths_read(text.text, html=text.html)):
            if variable_of(path) is not None:
                yield text.where, path
    if isinstance(config, ConditionConfig):
        for branch in config.branches:
            if branch.condition is not None:
                for name in sorted(needs_of(branch.condition).fields):
                    if variable_of(name) is not None:
                        yield f"branch {branch.id}", name
    elif isinstance(config, SplitConfig) and variable_of(config.from_field or "") is not None:
        yield "from_field", str(config.from_field)


def _without_entry(trigger: TriggerConfig | None) -> str | None:
    if trigger is None or trigger.kind not in _WITHOUT_DATA:
        return None
    return (
        f"a {trigger.kind} trigger enrolls contacts without entry data; only `drip enroll --data`"
        " and applications give it"
    )


def _behind_events(analysis: Analysis, trigger: TriggerConfig | None) -> set[str]:
    if trigger is not None and trigger.kind == "event":
        return set(analysis.configs)
    starts = [
        edge.target
        for node_id, config in analysis.configs.items()
        if isinstance(config, EventWait)
        for port, edge in analysis.ports[node_id].items()
        if port != PORT_TIMEOUT
    ]
    return reachable(starts, analysis.successors)


def _behind_setters(analysis: Analysis) -> dict[str, dict[str, set[str]]]:
    """Return, by variable and by the node that sets it, the nodes that follow."""
    behind: dict[str, dict[str, set[str]]] = {}
    for node_id, config in analysis.configs.items():
        if isinstance(config, VariableAction):
            after = reachable(analysis.successors[node_id], analysis.successors)
            for name in config.set:
                behind.setdefault(name, {})[node_id] = after
    return behind


def _unset(
    path: str, node_id: str, behind_setters: Mapping[str, Mapping[str, set[str]]]
) -> str | None:
    parts = path.split(".")
    if len(parts) == 1:  # all variables, whichever there are
        return None if behind_setters else "no action sets a variable"
    setters = behind_setters.get(parts[1])
    if setters is None:
        return f"no action sets {parts[1]}{did_you_mean(parts[1], behind_setters)}"
    if any(node_id in after for after in setters.values()):
        return None
    return f"it is set by {', '.join(setters)}, which does not come before this node"


def _key_problems(analysis: Analysis) -> list[Problem]:
    """Return a warning for a trigger without entry data whose re-entry takes its key from it."""
    return [
        Problem(
            node_id,
            "re_entry_without_data",
            f"re_entry takes its key from {ENTRY}.{config.re_entry.per_key}, and a {config.kind}"
            " trigger enrolls contacts without entry data: only `drip enroll` with --data or"
            " --entry-key can enroll them",
            "warning",
        )
        for node_id in analysis.of_type(NodeType.TRIGGER)
        if isinstance(config := analysis.configs.get(node_id), TriggerConfig)
        and isinstance(config.re_entry, PerKey)
        and config.kind in _WITHOUT_DATA
    ]
