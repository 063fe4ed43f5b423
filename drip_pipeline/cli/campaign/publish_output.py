"""The report of a publication as JSON and as text; used by `publish`, `apply` and `rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drip_pipeline.engine.publishing.publish import PublishReport


def report_json(report: PublishReport) -> dict[str, object]:
    """Return the report as JSON."""
    return {
        "campaign_id": report.campaign_id,
        "name": report.name,
        "version": report.version,
        "status": report.status,
        "entered": report.entered,
        "in_flight": report.in_flight.to_json() if report.in_flight else None,
        "warnings": [
            {"node_id": warning.node_id, "code": warning.code, "message": warning.message}
            for warning in report.warnings
        ],
    }


def report_text(report: PublishReport) -> str:
    """Return the report as text, with its warnings."""
    name = f"{report.name!r}"
    match report.status:
        case "published":
            line = f"published {name} as version {report.version} (campaign {report.campaign_id})"
        case "unchanged":
            line = f"{name} is version {report.version} already (campaign {report.campaign_id})"
        case _:
            line = f"{name} is valid and would become version {report.version}; nothing was changed"
    lines = [line]
    if report.entered:
        lines.append(f"{report.entered:,} earlier enrollments have entered")
    for warning in report.warnings:
        where = f"{warning.node_id}: " if warning.node_id else ""
        lines.append(f"warning: {where}{warning.message}")
    return "\n".join(lines)


def has_stranded(report: PublishReport) -> bool:
    """Return whether states inside earlier versions have no target node."""
    return report.in_flight is not None and bool(report.in_flight.stranded)
