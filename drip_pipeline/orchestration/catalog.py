"""What all assets share in the catalog: owners, groups, the way to their SQL."""

from __future__ import annotations

from typing import Any, Final

import dagster as dg

OWNERS: Final = ["team:lifecycle"]

# In lineage order; a group is a room of its own on the graph.
INGEST: Final = "ingest"
DELIVERY: Final = "delivery"
METRICS: Final = "metrics"
EXPERIMENTS: Final = "experiments"
CAMPAIGNS: Final = "campaigns"


def written_by(**files: str) -> dict[str, Any]:
    """Return metadata that names the files which write an asset, as paths in the checkout:
    `batches="sql/queries/workflow_states.sql"`.
    """
    listed = "\n".join(f"- {name}: `{path}`" for name, path in files.items())
    return {"written_by": dg.MetadataValue.md(listed)}


def stored_in(table: str) -> dict[str, Any]:
    """Metadata that names an asset's table."""
    return {"dagster/table_name": table}
