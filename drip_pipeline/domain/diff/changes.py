"""The result of comparing two definitions: changes of the campaign and changes of its layout.

The comparison itself is in definition_diff.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from drip_pipeline.domain.diff.text_diff import Piece

ChangeKind = Literal[
    "step_added",
    "step_removed",
    "step_moved",
    "step_renamed",
    "type",
    "text",
    "delay",
    "weight",
    "branch",
    "route",
    "entry",
    "exit",
    "action",
    "channel",
    "test",
    "goal",
    "setting",
    "canvas",
]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a step (`node_id` and its name `step`) or of the campaign (both None).

    `sentence` describes it without the name of the step. `key` is its place in the step or file;
    `before` and `after` are the JSON values; `pieces` are the words of a changed text.
    """

    kind: ChangeKind
    sentence: str
    node_id: str | None = None
    step: str | None = None
    key: str = ""
    before: object = None
    after: object = None
    pieces: tuple[Piece, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the change as JSON."""
        data: dict[str, object] = {
            "kind": self.kind,
            "node_id": self.node_id,
            "step": self.step,
            "key": self.key,
            "sentence": self.sentence,
            "before": self.before,
            "after": self.after,
        }
        if self.pieces:
            data["words"] = [{"kind": piece.kind, "text": piece.text} for piece in self.pieces]
        return data


ENDS_AT_GOAL: Final = "ends runs at the goal"


def exit_at_goal_change(before: object, after: object) -> Iterator[Change]:
    """Yield the change of `exit_on_goal`, which is true if absent."""
    if (before is not False) != (after is not False):
        sentence = f"no longer {ENDS_AT_GOAL}" if after is False else ENDS_AT_GOAL
        yield Change("goal", sentence, key="exit_on_goal", before=before, after=after)


def exit_rule_changes(before: object, after: object) -> Iterator[Change]:
    """Yield the exit rules that were added, removed, changed or put in another order."""
    old, new = _rules(before), _rules(after)
    for rule_id, rule in old.items():
        if rule_id not in new:
            sentence = f"exit rule “{rule_id}” removed"
            yield Change("exit", sentence, key=f"exits.{rule_id}", before=rule)
    for rule_id, rule in new.items():
        earlier = old.get(rule_id)
        if earlier is None:
            sentence = f"new exit rule “{rule_id}”"
            yield Change("exit", sentence, key=f"exits.{rule_id}", after=rule)
            continue
        for key in sorted(earlier.keys() | rule.keys()):
            was, now = earlier.get(key), rule.get(key)
            if was != now:
                shown = f": {was} → {now}" if key == "reason" else ""
                sentence = f"exit rule “{rule_id}”: {key} changed{shown}"
                yield Change("exit", sentence, key=f"exits.{rule_id}.{key}", before=was, after=now)
    orders = [[each for each in rules if each in old and each in new] for rules in (old, new)]
    if orders[0] != orders[1]:
        sentence = f"order of the exit rules: {', '.join(orders[0])} → {', '.join(orders[1])}"
        yield Change("exit", sentence, key="exits", before=orders[0], after=orders[1])


def _rules(exits: object) -> dict[str, Mapping[str, object]]:
    rules = exits if isinstance(exits, Sequence) else ()
    return {
        str(rule.get("id") or number): rule
        for number, rule in enumerate(rules)
        if isinstance(rule, Mapping)
    }


@dataclass(frozen=True, slots=True)
class DefinitionDiff:
    """All differences of two definitions.

    `changes` are in the order of the flow, those of the campaign first. `canvas` are changes of the
    layout (positions, viewport, style), which do not affect the execution.
    """

    changes: tuple[Change, ...] = ()
    canvas: tuple[Change, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the definitions are equal."""
        return not self.changes and not self.canvas

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as JSON."""
        return {
            "is_empty": self.is_empty,
            "summary": self.summary(),
            "changes": [change.to_dict() for change in self.changes],
            "canvas": [change.to_dict() for change in self.canvas],
        }

    def summary(self) -> str:
        """Return one line: `1 step added, 2 texts changed; 3 layout changes`."""
        parts = [
            words.format(n=count, s="" if count == 1 else "s")
            for kinds, words in _SUMMARY
            if (count := sum(change.kind in kinds for change in self.changes))
        ]
        line = ", ".join(parts)
        if self.canvas:
            layout = f"{len(self.canvas)} layout change{'' if len(self.canvas) == 1 else 's'}"
            line = f"{line}; {layout}" if line else layout
        return line or "no difference"


_SUMMARY: Final[Sequence[tuple[tuple[str, ...], str]]] = (
    (("step_added",), "{n} step{s} added"),
    (("step_removed",), "{n} step{s} removed"),
    (("step_moved",), "{n} step{s} moved"),
    (("step_renamed",), "{n} step{s} renamed"),
    (("text",), "{n} text{s} changed"),
    (("delay",), "{n} delay{s} changed"),
    (("weight",), "{n} weight{s} changed"),
    (("branch", "route"), "{n} change{s} of branches and routes"),
    (("test",), "{n} test setting{s} changed"),
    (("goal",), "{n} change{s} of the goal"),
    (("entry",), "{n} change{s} of the entry"),
    (("type", "exit", "action", "channel", "setting"), "{n} other change{s}"),
)
