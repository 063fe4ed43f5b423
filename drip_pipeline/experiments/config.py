"""Reading the statistical part of an `ab_test_config`, strictly and with every problem at once.

The model itself, with all keys and limits, is `domain.definition.ab_test.ABTestConfig`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from drip_pipeline.domain.definition.ab_test import GRAPH_KEYS, ABTestConfig
from drip_pipeline.errors import StatisticsInputError

STATISTICS_KEYS = frozenset(ABTestConfig.model_fields) - GRAPH_KEYS


class ConfigInvalid(StatisticsInputError):
    """An A/B test configuration is not valid. `problems` holds all problems as (key, message)."""

    default_hint = "Correct ab_test_config; the keys and their units are in ABTestConfig."

    def __init__(self, problems: Sequence[tuple[str, str]], *, hint: str | None = None) -> None:
        listed = "; ".join(f"{key}: {message}" for key, message in problems)
        super().__init__(f"ab_test_config cannot be used: {listed}", hint=hint)
        self.problems = tuple(problems)


def read_test_config(mapping: Mapping[str, object] | None) -> ABTestConfig:
    """Read an `ab_test_config` without its graph keys (`variants`, `assignment`).

    Raises `ConfigInvalid` with every key that is unknown, of the wrong type or out of range.
    """
    keys = {k: v for k, v in (mapping or {}).items() if k not in GRAPH_KEYS}
    try:
        return ABTestConfig.model_validate(keys, strict=True)
    except ValidationError as error:
        raise ConfigInvalid(_problems(error)) from None


def _problems(error: ValidationError) -> list[tuple[str, str]]:
    """Return pydantic's errors as (key, message), with a suggestion for a misspelled key."""
    problems = []
    for item in error.errors(include_url=False):
        key = str(item["loc"][0]) if item["loc"] else "planned_sample_size"
        message = item["msg"]
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, STATISTICS_KEYS, n=1)
            message = "unknown key" + (f", did you mean {near[0]}?" if near else "")
        problems.append((key, message))
    return problems
