"""Metadata of a migration between versions: moved enrollments, and those without a target node."""

from __future__ import annotations

import dagster as dg

from drip_pipeline.engine.publishing.in_flight_policy import InFlightReport
from drip_pipeline.orchestration.metadata.common import Metadata, table

_STRANDED = ("version", "node_id", "label", "states", "reason")
_MAX_ROWS = 100


def migrated_metadata(report: InFlightReport, *, is_dry_run: bool) -> Metadata:
    """Return metadata of a migration, or of its preview."""
    rows = [
        {
            "version": group.version,
            "node": group.node_id,
            "step": group.label,
            "state": group.describe_state(),
            "enrollments": group.states,
            "to": group.to_node or "",
            "action": group.action,
        }
        for group in report.groups
    ]
    stranded = [{name: getattr(group, name) for name in _STRANDED} for group in report.stranded]
    return {
        "enrollments": report.states,
        "to_version": report.to_version,
        "dry_run": dg.MetadataValue.bool(is_dry_run),
        "moves": table(rows, max_rows=_MAX_ROWS),
        "without_target": table(stranded, max_rows=_MAX_ROWS),
    }
