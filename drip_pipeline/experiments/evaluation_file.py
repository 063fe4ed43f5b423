"""The evaluation file: the input and output of `drip ab evaluate`, as plain lists and dicts. No
file access and no database; `evaluation_result.py` converts a verdict to an item.

All problems of malformed input are reported at once, each with its item and field. Degenerate
counts are not an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from drip_pipeline.domain.definition.ab_test import GRAPH_KEYS, ABTestConfig
from drip_pipeline.errors import StatisticsInputError
from drip_pipeline.experiments.config import STATISTICS_KEYS, ConfigInvalid, read_test_config
from drip_pipeline.experiments.counts import ABTest, SrmHold, VariantCounts
from drip_pipeline.experiments.evaluate import evaluate_tests
from drip_pipeline.experiments.evaluation_result import as_item

REQUIRED_COUNTS = (
    "total_sent",
    "total_delivered",
    "total_opened",
    "total_clicked",
    "total_replied",
    "total_converted",
    "total_unsubscribed",
    "total_bounced",
)
OPTIONAL_COUNTS = ("total_complained", "assigned")
SCORE_SUMS = ("score_sum", "score_sum_squares")
VARIANT_KEYS = frozenset(
    {"variant_group", *REQUIRED_COUNTS, *OPTIONAL_COUNTS, *SCORE_SUMS, "weight", "holdout"}
)
ITEM_KEYS = STATISTICS_KEYS | GRAPH_KEYS | {"variants", "runtime_hours", "srm_cleared"}


LARGEST_COUNT = 1e15
"""Counts up to here are exact as floats, and their squares and products stay finite."""
_LONGEST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A problem of the input. `item`: position from 0, None for the file itself."""

    item: int | None
    field: str
    message: str

    def __str__(self) -> str:
        where = ", ".join(p for p in (f"item {self.item}", self.field) if p)
        return self.message if self.item is None else f"{where}: {self.message}"


class EvaluationFileInvalid(StatisticsInputError):
    """An evaluation file is malformed. `problems` holds all problems."""

    default_hint = "Correct the file and run it again; nothing was evaluated."

    def __init__(self, problems: Sequence[FileProblem], *, hint: str | None = None) -> None:
        super().__init__("; ".join(str(p) for p in problems), hint=hint)
        self.problems = tuple(problems)


def evaluate_file(items: object) -> list[dict[str, Any]]:
    """Evaluate every item of a decoded evaluation file; results in the same order, for JSON.

    Raises `EvaluationFileInvalid` with every problem of every item if the input is malformed. Never
    raises on degenerate counts.
    """
    return [as_item(verdict) for verdict in evaluate_tests(read_items(items))]


def read_items(items: object) -> list[ABTest]:
    """Return the tests of a decoded evaluation file. Raises `EvaluationFileInvalid`."""
    if not _is_list(items):
        problem = FileProblem(None, "", "an evaluation file is a JSON list of tests")
        raise EvaluationFileInvalid([problem])
    problems: list[FileProblem] = []
    tests = [_ItemReader(position, problems).item(item) for position, item in enumerate(items)]
    if problems:
        raise EvaluationFileInvalid(problems)
    return [test for test in tests if test is not None]


class _ItemReader:
    """Read one item and collect its problems."""

    def __init__(self, position: int, problems: list[FileProblem]) -> None:
        self._position = position
        self._problems = problems

    def item(self, item: object) -> ABTest | None:
        """Return the test, or None after noting its problems."""
        if not isinstance(item, Mapping):
            self._note("", "should be an object")
            return None
        self._note_misspelled("", item, ITEM_KEYS)
        config = self._config(item)
        runtime = self._number("", item, "runtime_hours")
        cleared = self._flag("", item, "srm_cleared")
        variants = self._variants(item, config is not None and config.winner_metric.is_score)
        if config is None:
            return None
        hold = SrmHold.CLEARED if cleared else SrmHold.NONE
        return ABTest(variants, config, runtime_hours=runtime, srm_hold=hold)

    def _config(self, item: Mapping[str, object]) -> ABTestConfig | None:
        if item.get("winner_metric") is None:
            self._note("winner_metric", "is missing")
            return None
        try:
            return read_test_config({k: v for k, v in item.items() if k in STATISTICS_KEYS})
        except ConfigInvalid as error:
            for key, message in error.problems:
                self._note(key, message)
            return None

    def _variants(self, item: Mapping[str, object], is_score: bool) -> tuple[VariantCounts, ...]:
        listed = item.get("variants")
        if not _is_list(listed):
            self._note("variants", "should be a list" if "variants" in item else "is missing")
            return ()
        read = [self._variant(f"variants[{i}].", v, is_score) for i, v in enumerate(listed)]
        names = [v.variant_group for v in read if v is not None]
        for name in sorted({n for n in names if names.count(n) > 1}):
            self._note("variants", f"{name!r} is listed twice")
        return tuple(v for v in read if v is not None)

    def _variant(self, where: str, fields: object, is_score: bool) -> VariantCounts | None:
        if not isinstance(fields, Mapping):
            self._note(where.removesuffix("."), "should be an object")
            return None
        self._note_misspelled(where, fields, VARIANT_KEYS)
        name = fields.get("variant_group")
        if not isinstance(name, str) or not name:
            is_missing = "variant_group" not in fields
            self._note(where + "variant_group", "is missing" if is_missing else "should be a name")
            name = ""
        is_holdout = self._flag(where, fields, "holdout")
        counts: dict[str, Any] = {
            field: self._count(where, fields, field, field in REQUIRED_COUNTS)
            for field in (*REQUIRED_COUNTS, "total_complained")
        }
        scored = is_score and not is_holdout
        return VariantCounts(
            name,
            assigned=(
                self._count(where, fields, "assigned", True)
                if is_holdout or fields.get("assigned") is not None
                else None
            ),
            weight=self._number(where, fields, "weight"),
            is_holdout=is_holdout,
            score_sum=self._number(where, fields, "score_sum", scored),
            score_sum_squares=self._number(where, fields, "score_sum_squares", scored),
            **counts,
        )

    def _count(
        self, where: str, fields: Mapping[str, object], field: str, is_required: bool
    ) -> int:
        """Read a number of contacts. A missing one is 0, and a problem if it is required."""
        value = fields.get(field)
        if value is None:
            if is_required:
                self._note(where + field, "is missing")
            return 0
        if not _is_number(value) or int(value) != value:
            self._note(where + field, f"should be a whole number, 0 to 1e15, not {_shown(value)}")
            return 0
        return int(value)

    def _number(
        self, where: str, fields: Mapping[str, object], field: str, is_required: bool = False
    ) -> float | None:
        value = fields.get(field)
        if value is None:
            if is_required:
                self._note(where + field, "is missing")
            return None
        if not _is_number(value):
            self._note(where + field, f"should be a number, 0 to 1e15, not {_shown(value)}")
            return None
        return float(value)

    def _flag(self, where: str, fields: Mapping[str, object], field: str) -> bool:
        value = fields.get(field, False)
        if not isinstance(value, bool):
            self._note(where + field, f"should be true or false, not {_shown(value)}")
            return False
        return value

    def _note_misspelled(
        self, where: str, fields: Mapping[str, object], valid: frozenset[str]
    ) -> None:
        """Note unknown keys that look like a known key. Others (ids, labels, notes) are ignored."""
        for key in sorted(str(k) for k in fields if k not in valid):
            near = difflib.get_close_matches(key, valid, n=1, cutoff=0.85)
            if near:
                self._note(where + key, f"unknown key, did you mean {near[0]}?")

    def _note(self, field: str, message: str) -> None:
        self._problems.append(FileProblem(self._position, field, message))


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: object) -> TypeGuard[int | float]:
    """Return True for a number that the statistics can compute with: 0 to LARGEST_COUNT. True and
    false are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= LARGEST_COUNT


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits; deep nesting
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
