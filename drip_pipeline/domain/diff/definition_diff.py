"""Comparing two campaign definitions in people's terms: steps that came, went, moved or got another
name; texts, waits, shares, branches, ways; test, goal, entry; and, apart, the drawing.

Empty exactly when both have the same hash. The parts stand in step_diff.py, flow_diff.py and
canvas_diff.py; here they are put together.
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
from drip_pipeline.domain.diff import describe as in_words
from drip_pipeline.domain.diff.changes import Change, ChangeKind, DefinitionDiff
from drip_pipeline.domain.diff.flow_diff import (
    FlowDiff,
    Route,
    comes_after,
    compare_flows,
    in_order,
)
from drip_pipeline.domain.diff.layout_diff import canvas_changes
from drip_pipeline.domain.diff.step_diff import (
    entry_changes,
    leaf_changes,
    share_change,
    step_changes,
    text_change,
)
from drip_pipeline.domain.graph.graph import PORT_DEFAULT

_CAMPAIGN_KINDS: Final[Mapping[str, ChangeKind]] = {
    "goal": "goal",
    "goal_metric": "goal",
    "goal_target": "goal",
    "re_entry": "entry",
}
_TEST_NAMES: Final[Mapping[str, str]] = {
    "auto_select_winner": "the winner is chosen without asking",
    "confidence_threshold": "confidence that is asked for",
    "enabled": "the test runs",
    "holdout_percentage": "share that is held out",
    "minimum_sample_size": "people asked for in each variant",
    "winner_metric": "what decides",
}


def compare_definitions(before: CampaignDefinition, after: CampaignDefinition) -> DefinitionDiff:
    """Everything in which `after` differs from `before`. The workspace does not count."""
    if definition_hash(before) == definition_hash(after):
        return DefinitionDiff()
    return _Comparison(before, after).diff()


class Side:
    """One of the two definitions, completed and taken apart."""

    def __init__(self, definition: CampaignDefinition) -> None:
        self.analysis: Analysis = analyze(definition)
        self.file: dict[str, Any] = self.analysis.definition.to_dict()
        self.steps: dict[str, dict[str, Any]] = {
            step["node_id"]: step for step in self.file["steps"] if "node_id" in step
        }
        self.canvas: dict[str, Any] = self.file.get("canvas_data") or {}

    @cached_property
    def ways(self) -> dict[str, dict[str, str]]:
        """Node → way out → target, in the order of the steps; of a step that cannot be read, the
        bare lines."""
        return {
            node_id: {port: edge.target for port, edge in self.analysis.ports[node_id].items()}
            if node_id in self.analysis.ports
            else {
                f"way {number}": target
                for number, target in enumerate(self.analysis.successors[node_id], start=1)
            }
            for node_id in self.steps
        }

    def name(self, node_id: str) -> str:
        """What people call a step."""
        step = self.steps.get(node_id, {})
        return str(step.get("step_name") or node_id)


class _Comparison:
    def __init__(self, before: CampaignDefinition, after: CampaignDefinition) -> None:
        self.after = Side(after)
        old = Side(before)
        self.new_ids = _new_ids(old, self.after)
        self.before = Side(_with_ids(old.file, self.new_ids)) if self.new_ids else old
        self.common = [node for node in self.after.steps if node in self.before.steps]
        self.flow: FlowDiff = compare_flows(self.before.ways, self.after.ways)

    def diff(self) -> DefinitionDiff:
        of_steps = [
            replace(change, node_id=node_id, step=self.name(node_id))
            for node_id in self._order()
            for change in self._of_step(node_id)
        ]
        seen: set[tuple[str | None, str]] = set()
        changes = []
        for change in [*self._of_campaign(), *self._of_test(), *of_steps]:
            # A share may stand with the step and with the test; it changed once.
            if (change.node_id, change.sentence) not in seen:
                seen.add((change.node_id, change.sentence))
                changes.append(change)
        drawn = list(self._of_canvas())
        if not changes and not drawn:
            drawn = [Change("canvas", "written in another way; nothing reads the difference")]
        return DefinitionDiff(tuple(changes), tuple(drawn))

    def name(self, node_id: str) -> str:
        """A step's name now, or that it had."""
        return (self.after if node_id in self.after.steps else self.before).name(node_id)

    def _order(self) -> list[str]:
        """Steps in the order of the flow, those that went after what they stood behind."""
        order = in_order(self.after.ways)
        place = {node: (number, 0) for number, node in enumerate(order)}
        last = (-1, 0)
        for node in in_order(self.before.ways):
            if node not in place:
                place[node] = (last[0], last[1] + 1)
            last = place[node]
        return sorted(place, key=place.__getitem__)

    # --- steps ------------------------------------------------------------------------------------

    def _of_step(self, node_id: str) -> Iterator[Change]:
        if node_id not in self.before.steps:
            step = self.after.steps[node_id]
            told = in_words.detail(self.after.analysis.configs.get(node_id))
            does = f" ({told})" if told else ""
            where = self._where(self.after, node_id, self.after.steps)
            said = f"new {step.get('node_type')}{does}, {where}"
            yield Change("step_added", said, key="steps", after=step)
        elif node_id not in self.after.steps:
            step = self.before.steps[node_id]
            where = self._where(self.before, node_id, self.before.steps)
            said = f"{step.get('node_type')} removed; it stood {where}"
            yield Change("step_removed", said, key="steps", before=step)
        else:
            yield from self._of_kept_step(node_id)

    def _of_kept_step(self, node_id: str) -> Iterator[Change]:
        was = {new: old for old, new in self.new_ids.items()}.get(node_id)
        if was is not None:
            said = f"its node id: {was} → {node_id} (people inside are matched by node id)"
            yield Change("step_renamed", said, key="node_id", before=was, after=node_id)
        if node_id in self.flow.moved:
            old = self._where(self.before, node_id, self.common)
            new = self._where(self.after, node_id, self.common)
            said = f"moved: {new}, no longer {old}" if new != old else f"moved: {new}"
            yield Change("step_moved", said, key="steps", before=old, after=new)
        rewired = frozenset(
            port
            for port in {**self.before.ways[node_id], **self.after.ways[node_id]}
            if self.before.ways[node_id].get(port) != self.after.ways[node_id].get(port)
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
        """Where a way leads now; a way that only one side has is told with its very next step."""
        old = self.before.ways[route.node_id].get(route.port)
        new = self.after.ways[route.node_id].get(route.port)
        way = "" if route.port == PORT_DEFAULT else f"“{route.port}” "
        if old is None and new is not None:
            return f"{way}leads to “{self.name(new)}”"
        if new is None and old is not None:
            return f"{way}led to “{self.name(old)}”"
        verb = "leads" if way else "goes on"
        was, now = self._named(route.before), self._named(route.after)
        return f"{way}{verb} to {now}, no longer to {was}"

    def _delays(self, node_id: str) -> Iterator[Change]:
        old = self.before.analysis.ports.get(node_id, {})
        new = self.after.analysis.ports.get(node_id, {})
        for port in [*new, *(port for port in old if port not in new)]:
            was = old[port].delay_seconds if port in old else 0
            now = new[port].delay_seconds if port in new else 0
            if was != now:
                way = "on the way on" if port == PORT_DEFAULT else f"on the way “{port}”"
                said = f"delay {way}: {in_words.seconds(was)} → {in_words.seconds(now)}"
                yield Change("delay", said, key=f"{port}.delay", before=was, after=now)

    def _where(self, side: Side, node_id: str, known: Iterable[str]) -> str:
        """`after “Welcome”`, told by known steps."""
        found = comes_after(side.ways, node_id, [node for node in known if node != node_id])
        if not found:
            return "at the start"
        return "after " + " and ".join(
            f"“{self.name(source)}”" + ("" if port == PORT_DEFAULT else f" ({port})")
            for source, port in found[:3]
        )

    def _named(self, nodes: Iterable[str]) -> str:
        return " or ".join(f"“{self.name(node)}”" for node in nodes) or "the end"

    # --- the campaign and its test ----------------------------------------------------------------

    def _of_campaign(self) -> Iterator[Change]:
        old, new = self.before.file, self.after.file
        apart = {"workspace", "steps", "canvas_data", "ab_test_config", "description", "re_entry"}
        yield from text_change(
            old.get("description"), new.get("description"), "description", "description"
        )
        if old.get("re_entry") != new.get("re_entry"):
            was, now = (
                in_words.re_entry(old.get("re_entry")),
                in_words.re_entry(new.get("re_entry")),
            )
            yield Change("entry", f"people may enter: {was} → {now}", key="re_entry",
                         before=old.get("re_entry"), after=new.get("re_entry"))  # fmt: skip
        for key in sorted((old.keys() | new.keys()) - apart):
            kind = _CAMPAIGN_KINDS.get(key, "setting")
            yield from leaf_changes(old.get(key), new.get(key), key, kind)

    def _of_test(self) -> Iterator[Change]:
        old = self.before.file.get("ab_test_config") or {}
        new = self.after.file.get("ab_test_config") or {}
        split = self.after.analysis.tested_split_id or self.before.analysis.tested_split_id
        named = None if split is None else self.name(split)
        for change in entry_changes(
            old.get("variants"), new.get("variants"), "variant", "ab_test_config.variants",
            _variant_of_test, frozenset(),
        ):  # fmt: skip
            yield replace(change, node_id=split, step=named)
        for key in sorted((old.keys() | new.keys()) - {"variants"}):
            kind: ChangeKind = "weight" if key == "holdout_percentage" else "test"
            for change in leaf_changes(old.get(key), new.get(key), f"ab_test_config.{key}", kind):
                words = _TEST_NAMES.get(key)
                if words is not None:
                    was, now = in_words.value(change.before), in_words.value(change.after)
                    change = replace(change, sentence=f"{words}: {was} → {now}")
                yield change
        if (old and not new) or (new and not old):
            said = "an A/B test is set up" if new else "no A/B test any more"
            yield Change("test", said, key="ab_test_config", before=old or None, after=new or None)

    # --- the drawing ------------------------------------------------------------------------------

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
        old = {(node, to) for node, ports in self.before.ways.items() for to in ports.values()}
        new = {(node, to) for node, ports in self.after.ways.items() for to in ports.values()}
        yield from canvas_changes(
            self.before.canvas,
            self.after.canvas,
            name_of=self.name,
            retold=frozenset(changed),
            renamed=renamed,
            rewired=frozenset(old ^ new),
        )

    @staticmethod
    def _config(side: Side, node_id: str) -> dict[str, Any]:
        return {k: v for k, v in side.steps[node_id].items() if k not in ("step_name", "node_id")}


def _variant_of_test(name: str, before: Any, after: Any, _is_rewired: bool) -> Iterator[Change]:
    old = before if isinstance(before, Mapping) else {"": before}
    new = after if isinstance(after, Mapping) else {"": after}
    yield from share_change(name, old.get("percentage"), new.get("percentage"))
    for key in sorted((old.keys() | new.keys()) - {"percentage"}):
        for change in leaf_changes(old.get(key), new.get(key), key, "test"):
            yield replace(change, sentence=f"variant “{name}”: {change.sentence}")


# --- steps that only got another id ---------------------------------------------------------------


def _new_ids(before: Side, after: Side) -> dict[str, str]:
    """Steps that are the same but for their node id (a name in a file without ids makes one)."""
    gone = [node for node in before.steps if node not in after.steps]
    come = [node for node in after.steps if node not in before.steps]
    old, new = _signatures(before, gone), _signatures(after, come)
    return {
        nodes[0]: new[told][0]
        for told, nodes in old.items()
        if len(nodes) == 1 and len(new.get(told, ())) == 1
    }


def _signatures(side: Side, nodes: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in nodes:
        step = {k: v for k, v in side.steps[node].items() if k not in ("node_id", "step_name")}
        found.setdefault(json.dumps(step, sort_keys=True), []).append(node)
    return found


def _with_ids(file: Mapping[str, Any], new_ids: Mapping[str, str]) -> CampaignDefinition:
    """The definition with other node ids wherever nodes are named."""

    def named(value: Any) -> Any:
        return new_ids.get(value, value) if isinstance(value, str) else value

    def walked(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: walked(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [walked(item, key) for item in value]
        return named(value) if key in _NODE_KEYS else value

    told = walked(dict(file))
    canvas = told.get("canvas_data") or {}
    for node in canvas.get("nodes", ()):
        node["id"] = named(node.get("id"))
    for edge in canvas.get("edges", ()):
        if isinstance(edge, dict):
            edge["source"], edge["target"] = named(edge.get("source")), named(edge.get("target"))
    return load_definition(told)


_NODE_KEYS: Final = frozenset({"node_id", "target_node_id", "parent_split_id", "step_ids"})
