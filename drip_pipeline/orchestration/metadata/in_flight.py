"""What a run shows of people who moved between versions: figures, and tables of who went where and
who has nowhere to go.
"""

import dagster as dg

from drip_pipeline.engine.publishing.in_flight_policy import InFlightReport
from drip_pipeline.orchestration.metadata.common import table

_STRANDED = ("version", "node_id", "label", "states", "reason")
_MOST_ROWS = 100


def moved_people(report: InFlightReport, *, is_dry_run: bool) -> dict[str, dg.MetadataValue]:
    """Metadata of a move, or of its preview."""
    rows = [
        {
            "version": group.version,
            "node": group.node_id,
            "step": group.label,
            "state": group.describe_state(),
            "states": group.states,
            "to": group.to_node or "",
            "action": group.action,
        }
        for group in report.groups
    ]
    stranded = [{name: getattr(group, name) for name in _STRANDED} for group in report.stranded]
    return {
        "states": dg.MetadataValue.int(report.states),
        "to_version": dg.MetadataValue.int(report.to_version),
        "dry_run": dg.MetadataValue.bool(is_dry_run),
        "who_goes_where": table(rows, most_rows=_MOST_ROWS),
        "nowhere_to_go": table(stranded, most_rows=_MOST_ROWS),
    }
