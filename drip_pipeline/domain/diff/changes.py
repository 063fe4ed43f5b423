"""What comparing two definitions comes to, as values: changes in people's terms, and those that
only concern how the canvas is drawn. Finding them is the business of definition_diff.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

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
    """One change. `sentence` says it without naming the step, which `node_id` and `step` do (None:
    the campaign as a whole). `key` is where in the step or file it stands; `pieces` are the words
    of a text that changed.
    """

    kind: ChangeKind
    sentence: str
    node_id: str | None = None
    step: str | None = None
    key: str = ""
    before: Any = None
    after: Any = None
    pieces: tuple[Piece, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON."""
        told: dict[str, Any] = {
            "kind": self.kind,
            "node_id": self.node_id,
            "step": self.step,
            "key": self.key,
            "sentence": self.sentence,
            "before": self.before,
            "after": self.after,
        }
        if self.pieces:
            told["words"] = [{"kind": piece.kind, "text": piece.text} for piece in self.pieces]
        return told


@dataclass(frozen=True, slots=True)
class DefinitionDiff:
    """Everything in which two definitions differ. `changes` are in the order of the flow, those of
    the campaign first; `canvas` are positions, viewport and looks, which nobody inside notices.
    """

    changes: tuple[Change, ...] = ()
    canvas: tuple[Change, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether both say the same in every respect."""
        return not self.changes and not self.canvas

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return {
            "is_empty": self.is_empty,
            "summary": self.summary(),
            "changes": [change.to_dict() for change in self.changes],
            "canvas": [change.to_dict() for change in self.canvas],
        }

    def summary(self) -> str:
        """One line: `1 step added, 2 texts changed; canvas: 3 changes`."""
        told = [
            words.format(n=count, s="" if count == 1 else "s")
            for kinds, words in _SUMMARY
            if (count := sum(change.kind in kinds for change in self.changes))
        ]
        line = ", ".join(told)
        if self.canvas:
            drawn = f"{len(self.canvas)} on the canvas only"
            line = f"{line}; {drawn}" if line else drawn
        return line or "no difference"


_SUMMARY: Final[Sequence[tuple[tuple[str, ...], str]]] = (
    (("step_added",), "{n} step{s} added"),
    (("step_removed",), "{n} step{s} removed"),
    (("step_moved",), "{n} step{s} moved"),
    (("step_renamed",), "{n} step{s} renamed"),
    (("text",), "{n} text{s} changed"),
    (("delay",), "{n} delay{s} changed"),
    (("weight",), "{n} weight{s} changed"),
    (("branch", "route"), "{n} change{s} of branches and ways"),
    (("test",), "{n} test setting{s} changed"),
    (("goal",), "{n} change{s} of the goal"),
    (("entry",), "{n} change{s} of the entry"),
    (("type", "exit", "action", "channel", "setting"), "{n} other change{s}"),
)
