"""Compare two campaign definitions: steps, texts, waits, weights, branches, routes, test, goal,
entry, and separately the layout.

The result is empty exactly when both definitions have the same hash. This module combines
step_diff.py, flow_diff.py and layout_diff.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from drip_pipeline.domain.compiler.analysis import Analysis, analyze
from drip_pipeline.domain.compiler.compile import definition_hash
from drip_pipeline.domain.definition.campaign_file import CampaignDefinition, load_definition
from drip_pipeline.domain.diff import describe
from drip_pipeline.domain.diff.changes import (
    Change,
    ChangeKind,
    DefinitionDiff,
    exit_at_goal_change,
    exit_rule_changes,
)
from drip_pipeline.domain.diff.flow_diff import (
    FlowDiff,
    Route,
    compare_flows,
    flow_order,
    nearest_predecessors,
)
from drip_pipeline.domain.diff.layout_diff import canvas_changes
from drip_pipeline.domain.diff.step_diff import (
    entry_changes,
    leaf_changes,
    step_changes,
    text_change,
    weight_change,
    window_change,
)
from drip_pipeline.domain.graph.graph import PORT_DEFAULT

_CAMPAIGN_KINDS: Final[Mapping[str, ChangeKind]] = {
    "goal": "goal",
    "goal_metric": "goal",
    "goal_target": "goal",
    "re_entry": "entry",
    "per_day": "entry",
    "max_people": "entry",
}
_TEST_NAMES: Final[Mapping[str, str]] = {
    "auto_select_winner": "automatic selection of the winner",
    "confidence_threshold": "confidence threshold",
    "enabled": "test enabled",
    "holdout_percentage": "holdout percentage",
    "minimum_sample_size": "minimum sample size of each variant",
    "winner_metric": "winner metric",
}


def compare_definitions(before: CampaignDefinition, after: CampaignDefinition) -> DefinitionDiff:
    """Return all differences of two definitions, without the workspace."""
    if definition_hash(before) == definition_hash(after):
        return DefinitionDiff()
    return _Comparison(before, after).diff()


class AnalyzedDefinition:
    """A completed definition with its analysis, its steps as JSON by node id, and its canvas."""

    def __init__(self, definition: CampaignDefinition) -> None:
        self.analysis: Analysis = analyze(definition)
        self.file: dict[str, Any] = self.analysis.definition.to_dict()
        self.steps: dict[str, dict[str, Any]] = {
            step["node_id"]: step for step in self.file["steps"] if "node_id" in step
        }
        self.canvas: dict[str, Any] = self.file.get("canvas_data") or {}

    @cached_property
    def port_targets(self) -> dict[str, dict[str, str]]:
        """Node id → port → target, in step order. An invalid step has numbered edges."""
        return {
            node_id: {port: edge.target for port, edge in self.analysis.ports[node_id].items()}
            if node_id in self.analysis.ports
            else {
                f"edge {number}": target
                for number, target in enumerate(self.analysis.successors[node_id], start=1)
            }
            for node_id in self.steps
        }

    def name(self, node_id: str) -> str:
        """Return the name of a step."""
        step = self.steps.get(node_id, {})
        return str(step.get("step_name") or node_id)


class _Comparison:
    def __init__(self, before: CampaignDefinition, after: CampaignDefinition) -> None:
        self.after = AnalyzedDefinition(after)
        old = AnalyzedDefinition(before)
        self.new_ids = _new_ids(old, self.after)
        self.before = AnalyzedDefinition(_with_ids(old.file, self.new_ids)) if self.new_ids else old
        self.common = [node for node in self.after.steps if node in self.before.steps]
        self.flow: FlowDiff = compare_flows(self.before.port_targets, self.after.port_targets)

    def diff(self) -> DefinitionDiff:
        of_steps = [
            replace(change, node_id=node_id, step=self.name(node_id))
            for node_id in self._order()
            for change in self._of_step(node_id)
        ]
        seen: set[tuple[str | None, str]] = set()
        changes = []
        for change in [*self._of_campaign(), *self._of_test(), *of_steps]:
            # A weight may be defined in the step and in the test; report its change once.
            if (change.node_id, change.sentence) not in seen:
                seen.add((change.node_id, change.sentence))
                changes.append(change)
        layout = list(self._of_canvas())
        if not changes and not layout:
            layout = [Change("canvas", "written differently, with the same meaning")]
        return DefinitionDiff(tuple(changes), tuple(layout))

    def name(self, node_id: str) -> str:
        """Return the present name of a step, or the former name of a removed step."""
        return (self.after if node_id in self.after.steps else self.before).name(node_id)

    def _order(self) -> list[str]:
        """Return the steps in flow order; a removed step follows its former predecessor."""
        order = flow_order(self.after.port_targets)
        place = {node: (number, 0) for number, node in enumerate(order)}
        last = (-1, 0)
        for node in flow_order(self.before.port_targets):
            if node not in place:
                place[node] = (last[0], last[1] + 1)
            last = place[node]
        return sorted(place, key=place.__getitem__)

    # --- steps ------------------------------------------------------------------------------------

    def _of_step(self, node_id: str) -> Iterator[Change]:
        if node_id not in self.before.steps:
            step = self.after.steps[node_id]
            detail = describe.detail(self.after.analysis.configs.get(node_id))
            kind = f"{step.get('node_type')} ({detail})" if detail else str(step.get("node_type"))
            where = self._where(self.after, node_id, self.after.steps)
            yield Change("step_added", f"new {kind}, {where}", key="steps", after=step)
        elif node_id not in self.after.steps:
            step = self.before.steps[node_id]
            where = self._where(self.before, node_id, self.before.steps)
            sentence = f"{step.get('node_type')} removed; it was {where}"
            yield Change("step_removed", sentence, key="steps", before=step)
        else:
            yield from self._of_kept_step(node_id)

    def _of_kept_step(self, node_id: str) -> Iterator[Change]:
        was = {new: old for old, new in self.new_ids.items()}.get(node_id)
        if was is not None:
            sentence = f"node id: {was} → {node_id} (a migration matches states by node id)"
            yield Change("step_renamed", sentence, key="node_id", before=was, after=node_id)
        if node_id in self.flow.moved:
            old = self._where(self.before, node_id, self.common)
            new = self._where(self.after, node_id, self.common)
            sentence = f"moved: {new}, no longer {old}" if new != old else f"moved: {new}"
            yield Change("step_moved", sentence, key="steps", before=old, after=new)
        rewired = frozenset(
            port
            for port in {**self.before.port_targets[node_id], **self.after.port_targets[node_id]}
            if self.before.port_targets[node_id].get(port)
            != self.after.port_targets[node_id].get(port)
        )
        yield from step_changes(
            self.before.steps[node_id], self.after.steps[node_id], rewired=rewired
        )
        yield from self._routes(node_id)
        yield from self._delays(node_id)

    def _routes(self, node_id: str) -> Iterator[Change]:
        for route in self.flow.routes:
            if route.node_id == node_id:
                yield Change(
                    "route", self._route(route), key=route.port,
                    before=list(route.before), after=list(route.after),
                )  # fmt: skip

    def _route(self, route: Route) -> str:
        """Describe a changed route; an edge that only one definition has is named by its target."""
        old = self.before.port_targets[route.node_id].get(route.port)
        new = self.after.port_targets[route.node_id].get(route.port)
        port = "" if route.port == PORT_DEFAULT else f"“{route.port}” "
        if old is None and new is not None:
            return f"{port}leads to “{self.name(new)}”"
        if new is None and old is not None:
            return f"{port}led to “{self.name(old)}”"
        was, now = self._names(route.before), self._names(route.after)
        return f"{port}leads to {now}, no longer to {was}"

    def _delays(self, node_id: str) -> Iterator[Change]:
        old = self.before.analysis.ports.get(node_id, {})
        new = self.after.analysis.ports.get(node_id, {})
        for port in [*new, *(port for port in old if port not in new)]:
            was = old[port].delay_seconds if port in old else 0
            now = new[port].delay_seconds if port in new else 0
            if was != now:
                edge = "outgoing edge" if port == PORT_DEFAULT else f"edge “{port}”"
                sentence = f"delay of the {edge}: {describe.seconds(was)} → {describe.seconds(now)}"
                yield Change("delay", sentence, key=f"{port}.delay", before=was, after=now)

    def _where(self, side: AnalyzedDefinition, node_id: str, candidates: Iterable[str]) -> str:
        """Return the position of a step by its predecessors among `candidates`: `after “A”`."""
        others = [node for node in candidates if node != node_id]
        predecessors = nearest_predecessors(side.port_targets, node_id, others)
        if not predecessors:
            return "at the start"
        return "after " + " and ".join(
            f"“{self.name(source)}”" + ("" if port == PORT_DEFAULT else f" ({port})")
            for source, port in predecessors[:3]
        )

    def _names(self, nodes: Iterable[str]) -> str:
        return " or ".join(f"“{self.name(node)}”" for node in nodes) or "the end"

    # --- the campaign and its test ----------------------------------------------------------------

    def _of_campaign(self) -> Iterator[Change]:
        old, new = self.before.file, self.after.file
        separate = {
            "workspace",
            "steps",
            "canvas_data",
            "ab_test_config",
            "description",
            "re_entry",
            "send_window",
            "exit_on_goal",
            "exits",
        }
        yield from exit_at_goal_change(old.get("exit_on_goal"), new.get("exit_on_goal"))
        yield from exit_rule_changes(old.get("exits"), new.get("exits"))
        yield from window_change(old.get("send_window"), new.get("send_window"))
        yield from text_change(
            old.get("description"), new.get("description"), "description", "description"
        )
        if old.get("re_entry") != new.get("re_entry"):
            was, now = (
                describe.re_entry(old.get("re_entry")),
                describe.re_entry(new.get("re_entry")),
            )
            yield Change("entry", f"re-entry: {was} → {now}", key="re_entry",
                         before=old.get("re_entry"), after=new.get("re_entry"))  # fmt: skip
        for key in sorted((old.keys() | new.keys()) - separate):
            kind = _CAMPAIGN_KINDS.get(key, "setting")
            yield from leaf_changes(old.get(key), new.get(key), key, kind)

    def _of_test(self) -> Iterator[Change]:
        old = self.before.file.get("ab_test_config") or {}
        new = self.after.file.get("ab_test_config") or {}
        split = self.after.analysis.tested_split_id or self.before.analysis.tested_split_id
        name = None if split is None else self.name(split)
        for change in entry_changes(
            old.get("variants"), new.get("variants"), "variant", "ab_test_config.variants",
            _variant_of_test, frozenset(),
        ):  # fmt: skip
            yield replace(change, node_id=split, step=name)
        for key in sorted((old.keys() | new.keys()) - {"variants"}):
            kind: ChangeKind = "weight" if key == "holdout_percentage" else "test"
            for change in leaf_changes(old.get(key), new.get(key), f"ab_test_config.{key}", kind):
                label = _TEST_NAMES.get(key)
                if label is not None:
                    was, now = describe.value(change.before), describe.value(change.after)
                    change = replace(change, sentence=f"{label}: {was} → {now}")
                yield change
        if (old and not new) or (new and not old):
            sentence = "A/B test added" if new else "A/B test removed"
            yield Change(
                "test", sentence, key="ab_test_config", before=old or None, after=new or None
            )

    # --- the layout -------------------------------------------------------------------------------

    def _of_canvas(self) -> Iterator[Change]:
        changed = {
            node
            for node in self.common
            if self._config(self.before, node) != self._config(self.after, node)
        }
        renamed = {
            node: (
                self.before.steps[node].get("step_name"),
                self.after.steps[node].get("step_name"),
            )
            for node in self.common
        }
        old = {
            (node, to) for node, ports in self.before.port_targets.items() for to in ports.values()
        }
        new = {
            (node, to) for node, ports in self.after.port_targets.items() for to in ports.values()
        }
        yield from canvas_changes(
            self.before.canvas,
            self.after.canvas,
            name_of=self.name,
            reconfigured=frozenset(changed),
            renamed=renamed,
            rewired=frozenset(old ^ new),
        )

    @staticmethod
    def _config(side: AnalyzedDefinition, node_id: str) -> dict[str, Any]:
        return {k: v for k, v in side.steps[node_id].items() if k not in ("step_name", "node_id")}


def _variant_of_test(
    name: str, before: object, after: object, _is_rewired: bool
) -> Iterator[Change]:
    old = before if isinstance(before, Mapping) else {"": before}
    new = after if isinstance(after, Mapping) else {"": after}
    yield from weight_change(name, old.get("percentage"), new.get("percentage"))
    for key in sorted((old.keys() | new.keys()) - {"percentage"}):
        for change in leaf_changes(old.get(key), new.get(key), key, "test"):
            yield replace(change, sentence=f"variant “{name}”: {change.sentence}")


# --- steps with another node id -------------------------------------------------------------------


def _new_ids(before: AnalyzedDefinition, after: AnalyzedDefinition) -> dict[str, str]:
    """Return steps that differ in their node id only; without an id it is made from the name."""
    removed = [node for node in before.steps if node not in after.steps]
    added = [node for node in after.steps if node not in before.steps]
    old, new = _nodes_by_content(before, removed), _nodes_by_content(after, added)
    return {
        nodes[0]: new[content][0]
        for content, nodes in old.items()
        if len(nodes) == 1 and len(new.get(content, ())) == 1
    }


def _nodes_by_content(side: AnalyzedDefinition, nodes: Iterable[str]) -> dict[str, list[str]]:
    by_content: dict[str, list[str]] = {}
    for node in nodes:
        step = {k: v for k, v in side.steps[node].items() if k not in ("node_id", "step_name")}
        by_content.setdefault(json.dumps(step, sort_keys=True), []).append(node)
    return by_content


def _with_ids(file: Mapping[str, Any], new_ids: Mapping[str, str]) -> CampaignDefinition:
    """Return the definition with its node ids replaced."""

    def new_id(value: Any) -> Any:
        return new_ids.get(value, value) if isinstance(value, str) else value

    def replaced(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: replaced(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [replaced(item, key) for item in value]
        return new_id(value) if key in _NODE_KEYS else value

    renamed = replaced(dict(file))
    canvas = renamed.get("canvas_data") or {}
    for node in canvas.get("nodes", ()):
        node["id"] = new_id(node.get("id"))
    for edge in canvas.get("edges", ()):
        if isinstance(edge, dict):
            edge["source"], edge["target"] = new_id(edge.get("source")), new_id(edge.get("target"))
    return load_definition(renamed)


_NODE_KEYS: Final = frozenset({"node_id", "target_node_id", "parent_split_id", "step_ids"})
