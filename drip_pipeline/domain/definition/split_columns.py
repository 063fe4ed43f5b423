"""Variants that stand only in columns of the steps behind a split, brought to the split itself.

`variant_group`, `variant_percentage` and `parent_split_id` are the specification's way in the
database; `variants` of the split and `ab_test_config.variants` are the file's. Where one of these
gives the weights, the columns are only compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from drip_pipeline.domain.definition.campaign_file import StepDefinition
from drip_pipeline.domain.definition.problems import Problem

COLUMN_TOLERANCE: Final = 0.5
"""The specification's column is an integer: 33.33 stands there as 33."""


def column_variants(steps: Sequence[StepDefinition], split_id: str) -> dict[str, float | None]:
    """Variant id → percentage as the columns have it, for the steps that belong to this split."""
    found: dict[str, float | None] = {}
    for step in steps_of_split(steps, split_id):
        assert step.variant_group is not None
        known = found.get(step.variant_group)
        found[step.variant_group] = known if known is not None else step.variant_percentage
    return found


def steps_of_split(steps: Sequence[StepDefinition], split_id: str) -> list[StepDefinition]:
    """Steps whose columns put them behind this split. With one split the parent may be left out."""
    splits = [step.node_id for step in steps if step.node_type == "split"]
    only = len(splits) == 1
    return [
        step
        for step in steps
        if step.variant_group is not None
        and (step.parent_split_id == split_id or (only and step.parent_split_id is None))
    ]


def with_variants_from_columns(
    steps: list[StepDefinition], ab_test_config: Mapping[str, Any] | None, problems: list[Problem]
) -> list[StepDefinition]:
    """The steps without `variant_percentage`; splits that had no other weights now have them."""
    given = (ab_test_config or {}).get("variants")
    tested = {
        str(entry.get("id")): entry.get("percentage")
        for entry in (given if isinstance(given, list) else [])
        if isinstance(entry, dict)
    }
    replaced: dict[str, StepDefinition] = {}
    for split in steps:
        if split.node_type != "split" or split.node_id is None:
            continue
        columns = column_variants(steps, split.node_id)
        _report_contradictions(steps, split.node_id, problems)
        if split.variants:
            own = {
                str(entry.get("id")): entry.get("percentage", tested.get(str(entry.get("id"))))
                for entry in split.variants
                if isinstance(entry, dict)
            }
            _compare(split.node_id, columns, own, problems)
        elif columns and not columns.keys() <= tested.keys():
            replaced[split.node_id] = split.model_copy(
                update={
                    "variants": [
                        {"id": name} | ({} if weight is None else {"percentage": weight})
                        for name, weight in columns.items()
                    ]
                }
            )
        else:
            _compare(split.node_id, columns, tested, problems)
    _report_unused(steps, problems)
    return [
        replaced.get(step.node_id or "", step).model_copy(update={"variant_percentage": None})
        for step in steps
    ]


def _compare(
    node_id: str,
    columns: Mapping[str, float | None],
    weights: Mapping[str, Any],
    problems: list[Problem],
) -> None:
    for name, column in columns.items():
        weight = weights.get(name)
        if column is None or isinstance(weight, bool) or not isinstance(weight, int | float):
            continue
        if abs(column - weight) > COLUMN_TOLERANCE:
            problems.append(
                Problem(
                    node_id,
                    "weights_conflict",
                    f"variant {name} has {weight:g} % on the split or in ab_test_config and"
                    f" {column:g} in variant_percentage",
                )
            )


def _report_contradictions(
    steps: Sequence[StepDefinition], split_id: str, problems: list[Problem]
) -> None:
    weights: dict[str, set[float]] = {}
    for step in steps_of_split(steps, split_id):
        if step.variant_percentage is not None:
            weights.setdefault(step.variant_group or "", set()).add(step.variant_percentage)
    for name, several in weights.items():
        if len(several) > 1:
            listed = " and ".join(f"{weight:g}" for weight in sorted(several))
            problems.append(
                Problem(
                    split_id,
                    "weights_conflict",
                    f"steps of variant {name} say {listed} in variant_percentage",
                )
            )


def _report_unused(steps: Sequence[StepDefinition], problems: list[Problem]) -> None:
    splits = {step.node_id for step in steps if step.node_type == "split"}
    for step in steps:
        if step.parent_split_id is not None and step.parent_split_id not in splits:
            problems.append(
                Problem(
                    step.node_id,
                    "split_unknown",
                    f"parent_split_id names {step.parent_split_id}, which is no split node",
                )
            )
        elif step.variant_percentage is not None and not (splits and step.variant_group):
            problems.append(
                Problem(
                    step.node_id,
                    "variant_column_unused",
                    "variant_percentage means nothing without variant_group and a split",
                    "warning",
                )
            )
