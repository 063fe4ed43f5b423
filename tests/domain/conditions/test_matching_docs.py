"""The examples of docs/matching.md hold."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from drip_pipeline.domain.conditions.event_matcher import EventMatcher
from drip_pipeline.domain.conditions.matcher_keys import MATCHER_KEYS
from drip_pipeline.domain.conditions.occurrences import Occurrence, RunPosition
from drip_pipeline.domain.graph.nodes import EventWait
from drip_pipeline.settings import CHECKOUT

TEXT = (CHECKOUT / "docs" / "matching.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| `(\{.*?\})` \| `(\{.*?\})` \| (yes|no) \|$", TEXT, re.MULTILINE)
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_the_page_has_examples_and_all_keys() -> None:
    assert len(EXAMPLES) == 10
    assert {counts for _, _, counts in EXAMPLES} == {"yes", "no"}
    assert all(f"| `{key}` |" in TEXT for key in MATCHER_KEYS)


@pytest.mark.parametrize(("keys", "data", "counts"), EXAMPLES)
def test_an_example_counts_as_the_page_says(keys: str, data: str, counts: str) -> None:
    matcher = EventMatcher.model_validate_json(keys)
    run = RunPosition(BEGAN, BEGAN, entry={"order_id": 17})
    properties: dict[str, Any] = json.loads(data)
    is_machine = properties.get("machine") is True
    event = Occurrence(matcher.event_type, BEGAN + timedelta(hours=1), properties, is_machine)
    assert matcher.test().holds([event], run, BEGAN + timedelta(hours=2)) is (counts == "yes")


def test_the_wait_of_the_page_is_valid() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    config = EventWait.model_validate(yaml.safe_load(block)["wait_config"])
    assert config.ports() == ("large", "small", "pricing", "timeout")
