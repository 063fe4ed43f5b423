"""Owners, groups and links to source files that the assets share in the catalog."""

from __future__ import annotations

from typing import Any, Final

import dagster as dg

from drip_pipeline.db.table_columns import columns_of
from drip_pipeline.orchestration.metadata.common import Metadata

OWNERS: Final = ["team:lifecycle"]

# In lineage order; each group is a box of its own in the graph.
INGEST: Final = "ingest"
DELIVERY: Final = "delivery"
METRICS: Final = "metrics"
EXPERIMENTS: Final = "experiments"
CAMPAIGNS: Final = "campaigns"


def written_by(**files: str) -> Metadata:
    """Return metadata that names the files which write an asset, as paths in the checkout:
    `batches="sql/queries/workflow_states.sql"`.
    """
    lines = "\n".join(f"- {name}: `{path}`" for name, path in files.items())
    return {"written_by": dg.MetadataValue.md(lines)}


def stored_in(table: str) -> dict[str, Any]:
    """Return metadata that names the table of an asset, with its columns and their types."""
    columns = [
        dg.TableColumn(
            column.name, column.type, constraints=dg.TableColumnConstraints(column.is_nullable)
        )
        for column in columns_of(table)
    ]
    return {
        "dagster/table_name": table,
        "dagster/column_schema": dg.TableSchema(columns),
    }
