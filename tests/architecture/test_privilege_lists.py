"""Each table, view and function of the schema is in the lists of privileges of public roles."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drip_pipeline.db.migration_files import schema_objects
from drip_pipeline.settings import CHECKOUT

LISTS = CHECKOUT / "tests" / "db" / "schema"
RELATIONS = LISTS / "relation_privileges.txt"
FUNCTIONS = LISTS / "function_privileges.txt"
# Replaced by canonical_phone.
DROPPED = {"suppressed_phone"}


def names(path: Path) -> set[str]:
    return set(re.findall(r"^([a-z_0-9]+)[(:]", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize(
    ("kinds", "path"), [({"table", "view"}, RELATIONS), ({"function"}, FUNCTIONS)]
)
def test_every_object_of_the_schema_has_a_line(kinds: set[str], path: Path) -> None:
    """A new table: `name: authenticated SELECT` if it has workspace_id or campaign_id, otherwise
    `name: nobody`; its identity column: `name_id_seq: nobody`. A new function: `servers`."""
    created = {name for kind, name in schema_objects() if kind in kinds}
    assert created - names(path) - DROPPED == set()
