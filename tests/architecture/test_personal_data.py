"""Each table and column of sql/schema.sql that could hold personal data is in the catalog of
db/privacy. tests/engine/privacy/test_catalog.py compares it with a migrated database.
"""

from __future__ import annotations

import re

from drip_pipeline.db.privacy.catalog import TABLES
from drip_pipeline.settings import CHECKOUT

_TABLE = re.compile(r"CREATE TABLE (\w+) \((.*?)\n\)", re.DOTALL)
_COLUMN = re.compile(
    r"^    (\w+) (text|jsonb|json|bytea|inet|text\[\]|character varying)\b", re.MULTILINE
)
_ID = re.compile(r"^    (contact_id|object_id) ", re.MULTILINE)


def test_every_column_is_classified() -> None:
    schema = (CHECKOUT / "sql" / "schema.sql").read_text(encoding="utf-8")
    missing = []
    for name, body in _TABLE.findall(schema):
        if name not in TABLES:
            missing.append(name)
            continue
        table = TABLES[name]
        listed = {*table.personal, *table.searched, *table.other, *table.links}
        columns = [column for column, _ in _COLUMN.findall(body)] + _ID.findall(body)
        missing += [f"{name}.{column}" for column in columns if column not in listed]
    assert missing == [], (
        f"{missing}: say in drip_pipeline/db/privacy/catalog.py what they hold of persons, and"
        " erase it in sql/queries/erasures.sql"
    )
