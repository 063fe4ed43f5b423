"""The examples of docs/variables.md do what the page says."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ContactAttributes,
    compile_condition,
)
from drip_pipeline.settings import CHECKOUT
from tests.cli.conftest import Drip, answered
from tests.engine.events.incoming import rows

PAGE = (CHECKOUT / "docs" / "variables.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 20, 3, tzinfo=UTC)


def block(language: str) -> str:
    """Return the only block of a language in the page."""
    text: str
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return text


def test_the_campaign_of_the_page_sends_what_it_says(
    drip: Drip, database: Database, tmp_path: Path
) -> None:
    for name, text in (
        ("orders.yaml", block("yaml")),
        ("orders.ndjson", block("json")),
        ("people.csv", "email,name\nann@example.com,Ann\nbob@example.com,Bob\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    answered(drip("contacts", "import", tmp_path / "people.csv", "--json"))
    published = drip("campaign", "publish", tmp_path / "orders.yaml", "--json")
    assert answered(published)["version"] == 1
    assert "variable_without_value" not in published.stdout
    enroll = ("enroll", "Orders", "--data", tmp_path / "orders.ndjson", "--json")
    result = answered(drip(*enroll))
    assert (result["enrolled"], result["refused"]) == (2, {"no_entry_key": 1})
    answered(drip("run", "--json"))
    sent = rows(database, "SELECT subject FROM recorded_messages ORDER BY subject")
    assert [subject for (subject,) in sent] == block("text").splitlines()
    fields = "SELECT custom_fields ->> 'large_order' FROM contacts ORDER BY email"
    assert rows(database, fields) == [("A-1",), (None,)]
    assert answered(drip(*enroll))["already_in"] == 2


def comparisons() -> list[tuple[str, Any, Any, bool]]:
    """Return each comparison of the page: operator, expected value, value, and whether it holds."""
    table = PAGE.partition("| operator | value |")[2].partition("\n\n")[0]
    cases = []
    for line in table.splitlines()[2:]:
        operator, expected, *values = [
            [json.loads(code) if n else code for code in re.findall(r"`([^`]*)`", cell)]
            for n, cell in enumerate(re.split(r"\s*\|\s*", line.strip("| ")))
        ]
        for holds, column in zip((True, False), values, strict=True):
            cases += [(operator[0], (expected or [None])[0], value, holds) for value in column]
    return cases


@pytest.mark.parametrize(("operator", "expected", "value", "holds"), comparisons())
def test_a_comparison_of_the_page_holds_as_it_says(
    operator: str, expected: Any, value: Any, holds: bool
) -> None:
    condition = {"type": "field", "field": "x", "operator": operator, "value": expected}
    contact = ContactAttributes({"x": value}, frozenset(), {}, NOW, "America/New_York")
    assert compile_condition(Condition.model_validate(condition))(contact) is holds


def test_the_page_has_a_comparison_for_every_operator() -> None:
    operators = {operator for operator, *_ in comparisons()}
    assert operators >= {"==", "!=", ">", ">=", "<=", "contains", "in", "is empty"}
    assert len(comparisons()) > 60
