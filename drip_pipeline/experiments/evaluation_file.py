"""The evaluation file: what `drip ab evaluate` reads and writes, as plain lists and dicts. No
files, no database.

Malformed input is told all at once, each problem with its item and field; degenerate counts are no
error.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drip_pipeline.errors import StatisticsInputError
from drip_pipeline.experiments.config import GRAPH_KEYS, ABTestConfig, ConfigInvalid
from drip_pipeline.experiments.counts import ABTest, SrmHold, VariantCounts
from drip_pipeline.experiments.explain import explain
from drip_pipeline.experiments.judge import judge_many
from drip_pipeline.experiments.verdict import HoldoutLift, PairResult, VariantResult, Verdict

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
VARIANT_KEYS = (
    "variant_group",
    *REQUIRED_COUNTS,
    *OPTIONAL_COUNTS,
    *SCORE_SUMS,
    "weight",
    "holdout",
)
ITEM_KEYS = (
    "variants", "runtime_hours", "srm_cleared", "profile", *GRAPH_KEYS, *ABTestConfig.model_fields,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the input. `item` is its position from 0, None for the file itself."""

    item: int | None
    field: str
    message: str

    def __str__(self) -> str:
        return (
            self.message if self.item is None else f"item {self.item}, {self.field}: {self.message}"
        )


class EvaluationFileInvalid(StatisticsInputError):
    """An evaluation file is malformed. `problems` holds all of them."""

    default_hint = "The format is in the README under `drip ab evaluate`; nothing was evaluated."

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        super().__init__("; ".join(str(p) for p in problems), hint=hint)
        self.problems = tuple(problems)


def evaluate_file(items: object) -> list[dict[str, Any]]:
    """Judge every item of a decoded evaluation file; results in the same order, ready for JSON.

    Raises `EvaluationFileInvalid` with every problem of every item when the input is malformed.
    Never raises on counts.
    """
    return [as_item(verdict) for verdict in judge_many(read_items(items))]


def read_items(items: object) -> list[ABTest]:
    """The tests of a decoded evaluation file, or `EvaluationFileInvalid`."""
    if isinstance(items, str | bytes) or not isinstance(items, Sequence):
        raise EvaluationFileInvalid(
            [Problem(None, "", "an evaluation file is a JSON list of tests")]
        )
    problems: list[Problem] = []
    tests = [_read_item(position, item, problems) for position, item in enumerate(items)]
    if problems:
        raise EvaluationFileInvalid(problems)
    return [test for test in tests if test is not None]


def _read_item(position: int, item: object, problems: list[Problem]) -> ABTest | None:
    before = len(problems)

    def fault(field: str, message: str) -> None:
        problems.append(Problem(position, field, message))

    if not isinstance(item, Mapping):
        fault("", "should be an object")
        return None
    for key in _misspelt(item, ITEM_KEYS):
        fault(*key)
    config = None
    try:
        if item.get("winner_metric") is None:
            fault("winner_metric", "is missing")
        config = ABTestConfig.from_mapping(
            {k: v for k, v in item.items() if k == "profile" or k in ABTestConfig.model_fields}
        )
    except ConfigInvalid as error:
        for key, sentence in error.problems:
            fault(key, sentence)
    runtime = item.get("runtime_hours")
    if runtime is not None and not _is_number(runtime):
        fault("runtime_hours", "should be hours, 0 or more")
    cleared = item.get("srm_cleared", False)
    if not isinstance(cleared, bool):
        fault("srm_cleared", "should be true or false")
    listed = item.get("variants")
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        fault("variants", "should be a list" if "variants" in item else "is missing")
        return None
    needs_scores = config is not None and config.winner_metric.is_score
    variants = [
        _read_variant(f"variants[{i}]", variant, needs_scores, fault)
        for i, variant in enumerate(listed)
    ]
    names = [v.variant_group for v in variants if v is not None]
    for name in sorted({n for n in names if names.count(n) > 1}):
        fault("variants", f"{name!r} is listed twice")
    if config is None or len(problems) > before:
        return None
    return ABTest(
        tuple(v for v in variants if v is not None),
        config,
        runtime_hours=None if runtime is None else float(runtime),
        srm_hold=SrmHold.CLEARED if cleared else SrmHold.NONE,
    )


def _read_variant(
    where: str, variant: object, needs_scores: bool, fault: Any
) -> VariantCounts | None:
    """One variant, or None after telling `fault` what is wrong."""
    if not isinstance(variant, Mapping):
        fault(where, "should be an object")
        return None
    sound = True

    def bad(field: str, message: str) -> None:
        nonlocal sound
        sound = False
        fault(f"{where}.{field}", message)

    for key, message in _misspelt(variant, VARIANT_KEYS):
        bad(key, message)
    name = variant.get("variant_group")
    if not isinstance(name, str) or not name:
        bad("variant_group", "should be a name" if "variant_group" in variant else "is missing")
    holdout = variant.get("holdout", False)
    if not isinstance(holdout, bool):
        bad("holdout", "should be true or false")
    counts: dict[str, int] = {}
    for field in (*REQUIRED_COUNTS, *OPTIONAL_COUNTS):
        value = variant.get(field)
        if value is None:
            if field in REQUIRED_COUNTS or (field == "assigned" and holdout is True):
                bad(field, "is missing")
        elif not _is_number(value) or int(value) != value:
            bad(field, f"should be a whole number, 0 or more, not {value!r}")
        else:
            counts[field] = int(value)
    sums: dict[str, float] = {}
    for field in SCORE_SUMS:
        value = variant.get(field)
        if value is None:
            if needs_scores and holdout is not True:
                bad(field, "is missing; engagement_score is tested on per-contact scores")
        elif not _is_number(value):
            bad(field, f"should be a number, 0 or more, not {value!r}")
        else:
            sums[field] = float(value)
    weight = variant.get("weight")
    if weight is not None and not _is_number(weight):
        bad("weight", f"should be a number, 0 or more, not {weight!r}")
    if not sound:
        return None
    return VariantCounts(
        str(name),
        **counts,
        weight=None if weight is None else float(weight),
        is_holdout=holdout,
        **sums,
    )


def _is_number(value: object) -> bool:
    """A finite number, 0 or more; true and false are no numbers."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )


def _misspelt(given: Mapping[Any, Any], known: Sequence[str]) -> list[tuple[str, str]]:
    """Unknown keys that look like a known one. Others (ids, labels, notes) are carried by many
    files and do no harm.
    """
    found = []
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.85)
        if near:
            found.append((str(key), f"unknown key, did you mean {near[0]}?"))
    return found


def as_item(verdict: Verdict) -> dict[str, Any]:
    """A verdict as an item of the result."""
    return {
        "state": verdict.state.value,
        "reason": verdict.reason.value,
        "subject": verdict.subject,
        "srm": {
            "chi2": verdict.srm.chi2,
            "chi2_p": verdict.srm.chi2_p,
            "sequential_p": verdict.srm.sequential_p,
            "reason": verdict.srm.reason,
        },
        "min_expected_cell": verdict.min_expected_cell,
        "leader": verdict.leader,
        "winner": verdict.winner,
        "variants": [_variant_item(v) for v in verdict.variants],
        "pairs": [_pair_item(p) for p in verdict.pairs],
        "holdout_lift": [_lift_item(lift) for lift in verdict.holdout_lifts],
        "guardrails": [
            {
                "guardrail": g.guardrail.value,
                "leader": g.leader,
                "runner_up": g.runner_up,
                "p": g.p,
                "is_worse": g.is_worse,
            }
            for g in verdict.guardrails
        ],
        "explanation": explain(verdict),
    }


def _variant_item(variant: VariantResult) -> dict[str, Any]:
    rates = {
        name: None if value is None else str(value)
        for name, value in variant.columns().items()
        if name.endswith(("_rate", "_score"))
    }
    return {
        "variant_group": variant.variant_group,
        "holdout": variant.is_holdout,
        **rates,
        "p_value": None if variant.p_value is None else float(variant.p_value),
        "confidence_level": float(variant.confidence_level),
        "is_statistically_significant": variant.is_statistically_significant,
        "is_winner": variant.is_winner,
    }


def _pair_item(pair: PairResult) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "chi2": pair.chi2,
        "chi2_p": pair.chi2_p,
        "decision_p": pair.decision_p,
        "interval": None if pair.interval is None else list(pair.interval),
        "reason": pair.reason,
    }


def _lift_item(lift: HoldoutLift) -> dict[str, Any]:
    return {
        "variant_group": lift.variant_group,
        "difference": lift.difference,
        "interval": None if lift.interval is None else list(lift.interval),
        "relative": lift.relative,
        "relative_interval": None
        if lift.relative_interval is None
        else list(lift.relative_interval),
        "chi2_p": lift.chi2_p,
        "decision_p": lift.decision_p,
        "partly_unsent": lift.partly_unsent,
        "reason": lift.reason,
    }
