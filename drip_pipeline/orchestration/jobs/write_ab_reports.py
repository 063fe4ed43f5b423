"""The job that writes the reports of A/B tests, and the metadata of its asset."""

from __future__ import annotations

from typing import Final

import dagster as dg

from drip_pipeline.engine.transports.operator_mail import mail_channel
from drip_pipeline.orchestration.metadata.common import Metadata, table
from drip_pipeline.orchestration.resources import RunClock
from drip_pipeline.reports.mail_overview import mail_overview
from drip_pipeline.reports.svg import as_markdown
from drip_pipeline.reports.write import WrittenReports
from drip_pipeline.settings import Settings

REPORTS: Final = "reports"
MAX_TESTS_DRAWN: Final = 5

write_ab_reports = dg.define_asset_job(
    "write_ab_reports",
    selection=dg.AssetSelection.groups(REPORTS),
    tags={"dagster/max_runtime": "600"},
    description="Write a page for each running and decided A/B test and an overview, and email the "
    "overview if DRIP_REPORT_TO is set.",
)


def written_metadata(written: WrittenReports) -> Metadata:
    """Return the path of the overview, all verdicts, and the diagrams of the first tests."""
    metadata: Metadata = {
        "overview": dg.MetadataValue.path(str(written.overview)),
        "tests": len(written.tests),
        "pages_written": len(written.pages),
        "verdicts": table(
            {
                "campaign": one.campaign.name,
                "split": one.experiment.split_node_id,
                "state": one.state,
                "verdict": one.explanation(),
            }
            for one in written.tests
        ),
    }
    running = [pair for pair in written.pages if pair[1].results.is_running]
    for path, report in (running or list(written.pages))[:MAX_TESTS_DRAWN]:
        test = f"{report.results.campaign.name}, {report.results.experiment.split_node_id}"
        # Two workspaces may have a campaign of the same name; file names are unique.
        label = path.stem if any(key.startswith(f"{test}: ") for key in metadata) else test
        for title, svg in report.charts.items():
            metadata[f"{label}: {title}"] = dg.MetadataValue.md(as_markdown(svg, title))
    return metadata


def mailed_metadata(written: WrittenReports, to: list[str] | None, clock: RunClock) -> Metadata:
    """Email the overview to `to`, or to DRIP_REPORT_TO, and return the outcomes."""
    settings = Settings.from_env()
    addresses = list(settings.report_to) if to is None else to
    if not addresses:
        return {"mailed": "not sent: DRIP_REPORT_TO is not set"}
    channel = mail_channel(settings)
    if channel is None:
        return {"mailed": "not sent: DRIP_DELIVERY is record"}
    try:
        outcomes = mail_overview(
            channel, settings.mail_from, written.tests, addresses, clock.current()
        )
    finally:
        channel.close()
    return {"mailed": ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())}
