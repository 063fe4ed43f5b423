"""The evaluation file: what `drip ab evaluate` reads and writes, as plain lists and dicts. No files
and no database here; how a verdict becomes an item is `evaluation_result.py`.

Malformed input is told all at once, each problem with its item and field; degenerate counts are no
error.
"""

from __future__ import annotations

import difflib
import math
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


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One thing wrong with the input. `item` is its position from 0, None for the file itself."""

    item: int | None
    field: str
    message: str

    def __str__(self) -> str:
        where = ", ".join(p for p in (f"item {self.item}", self.field) if p)
        return self.message if self.item is None else f"{where}: {self.message}"


class EvaluationFileInvalid(StatisticsInputError):
    """An evaluation file is malformed. `problems` holds all of them."""

    default_hint = "Correct the file and run it again; nothing was evaluated."

    def __init__(self, problems: Sequence[FileProblem], *, hint: str | None = None) -> None:
        super().__init__("; ".join(str(p) for p in problems), hint=hint)
        self.problems = tuple(problems)


def evaluate_file(items: object) -> list[dict[str, Any]]:
    """Judge every item of a decoded evaluation file; results in the same order, ready for JSON.

    Raises `EvaluationFileInvalid` with every problem of every item when the input is malformed.
    Never raises on counts, however degenerate.
    """
    return [as_item(verdict) for verdict in evaluate_tests(read_items(items))]


def read_items(items: object) -> list[ABTest]:
    """The tests of a decoded evaluation file, or `EvaluationFileInvalid`."""
    if not _is_list(items):
        problem = FileProblem(None, "", "an evaluation file is a JSON list of tests")
        raise EvaluationFileInvalid([problem])
    problems: list[FileProblem] = []
    tests = [_Reader(position, problems).item(item) for position, item in enumerate(items)]
    if problems:
        raise EvaluationFileInvalid(problems)
    return [test for test in tests if test is not None]


class _Reader:
    """Reads one item and notes what is wrong with it."""

    def __init__(self, position: int, problems: list[FileProblem]) -> None:
        self._position = position
        self._problems = problems

    def item(self, item: object) -> ABTest | None:
        """The test, or None after noting why there is none."""
        if not isinstance(item, Mapping):
            self._note("", "should be an object")
            return None
        self._note_misspelt("", item, ITEM_KEYS)
        config = self._config(item)
        runtime = self._number("", item, "runtime_hours")
        cleared = self._flag("", item, "srm_cleared")
        variants = self._variants(item, config is not None and config.winner_metric.is_score)
        if config is None:
            return None
        hold = SrmHold.CLEARED if cleared else SrmHold.NONE
        return ABTest(variants, config, runtime_hours=runtime, srm_hold=hold)

    def _config(self, item: Mapping[str, Any]) -> ABTestConfig | None:
        if item.get("winner_metric") is None:
            self._note("winner_metric", "is missing")
            return None
        try:
            given = {k: v for k, v in item.items() if k in STATISTICS_KEYS}
            return read_test_config(given)
        except ConfigInvalid as error:
            for key, sentence in error.problems:
                self._note(key, sentence)
            return None

    def _variants(self, item: Mapping[str, Any], is_score: bool) -> tuple[VariantCounts, ...]:
        listed = item.get("variants")
        if not _is_list(listed):
            self._note("variants", "should be a list" if "variants" in item else "is missing")
            return ()
        read = [self._variant(f"variants[{i}].", v, is_score) for i, v in enumerate(listed)]
        names = [v.variant_group for v in read if v is not None]
        for name in sorted({n for n in names if names.count(n) > 1}):
            self._note("variants", f"{name!r} is listed twice")
        return tuple(v for v in read if v is not None)

    def _variant(self, where: str, given: object, is_score: bool) -> VariantCounts | None:
        if not isinstance(given, Mapping):
            self._note(where.removesuffix("."), "should be an object")
            return None
        self._note_misspelt(where, given, VARIANT_KEYS)
        name = given.get("variant_group")
        if not isinstance(name, str) or not name:
            known = "variant_group" in given
            self._note(where + "variant_group", "should be a name" if known else "is missing")
            name = ""
        is_holdout = self._flag(where, given, "holdout")
        counts: dict[str, Any] = {
            field: self._count(where, given, field, field in REQUIRED_COUNTS)
            for field in (*REQUIRED_COUNTS, "total_complained")
        }
        scored = is_score and not is_holdout
        return VariantCounts(
            name,
            assigned=(
                self._count(where, given, "assigned", True)
                if is_holdout or given.get("assigned") is not None
                else None
            ),
            weight=self._number(where, given, "weight"),
            is_holdout=is_holdout,
            score_sum=self._number(where, given, "score_sum", scored),
            score_sum_squares=self._number(where, given, "score_sum_squares", scored),
            **counts,
        )

    def _count(self, where: str, given: Mapping[str, Any], field: str, is_required: bool) -> int:
        """A whole number of people; a missing one is noted if it is required, and else 0."""
        value = given.get(field)
        if value is None:
            if is_required:
                self._note(where + field, "is missing")
            return 0
        if not _is_number(value) or int(value) != value:
            self._note(where + field, f"should be a whole number, 0 or more, not {value!r}")
            return 0
        return int(value)

    def _number(
        self, where: str, given: Mapping[str, Any], field: str, is_required: bool = False
    ) -> float | None:
        value = given.get(field)
        if value is None:
            if is_required:
                self._note(where + field, "is missing")
            return None
        if not _is_number(value):
            self._note(where + field, f"should be a number, 0 or more, not {value!r}")
            return None
        return float(value)

    def _flag(self, where: str, given: Mapping[str, Any], field: str) -> bool:
        value = given.get(field, False)
        if not isinstance(value, bool):
            self._note(where + field, f"should be true or false, not {value!r}")
            return False
        return value

    def _note_misspelt(self, where: str, given: Mapping[Any, Any], known: frozenset[str]) -> None:
        """Unknown keys that look like a known one. Others (ids, labels, notes) are carried by many
        files and do no harm."""
        for key in sorted(str(k) for k in given if k not in known):
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.85)
            if near:
                self._note(where + key, f"unknown key, did you mean {near[0]}?")

    def _note(self, field: str, message: str) -> None:
        self._problems.append(FileProblem(self._position, field, message))


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: object) -> TypeGuard[int | float]:
    """A finite number, 0 or more; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value >= 0
