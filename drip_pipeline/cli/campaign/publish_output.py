"""The result of publishing, as JSON and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drip_pipeline.engine.publishing.publish import PublishReport


def published_report(report: PublishReport) -> dict[str, Any]:
    """What publishing did, as JSON."""
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


def published_text(report: PublishReport) -> str:
    """What publishing did, in words."""
    name = f"{report.name!r}"
    match report.status:
        case "published":
            said = f"published {name} as version {report.version} (campaign {report.campaign_id})"
        case "unchanged":
            said = f"{name} is version {report.version} already (campaign {report.campaign_id})"
        case _:
            said = f"{name} is valid and would become version {report.version}; nothing was changed"
    lines = [said]
    if report.entered:
        lines.append(f"{report.entered:,} people who had been waiting have entered")
    for warning in report.warnings:
        where = f"{warning.node_id}: " if warning.node_id else ""
        lines.append(f"warning: {where}{warning.message}")
    return "\n".join(lines)
