"""Reports of A/B tests as HTML files in DRIP_HOME/reports: a page for each test, and an overview.

Their diagrams are also metadata in the catalog.
"""

from time import perf_counter

import dagster as dg
from pydantic import Field

from assets.winner_decisions import winner_decisions
from drip_pipeline.orchestration.campaign_selection import campaign_ids
from drip_pipeline.orchestration.catalog import OWNERS, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.jobs.write_ab_reports import (
    REPORTS,
    mailed_metadata,
    written_metadata,
)
from drip_pipeline.orchestration.metadata.common import seconds
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.reports.write import reports_folder, write_reports
from drip_pipeline.settings import Settings


class ReportConfig(dg.Config):
    """The pages to write, and the recipients of the overview."""

    campaign: str | None = Field(
        default=None, description="Only the tests of this campaign (id or exact name)."
    )
    mail_to: list[str] | None = Field(
        default=None,
        description="Email addresses of the overview; an empty list sends none. Default: "
        "DRIP_REPORT_TO.",
    )


@dg.asset(
    deps=[winner_decisions],
    group_name=REPORTS,
    description="A page for each running and decided A/B test, and an overview: the verdict, the "
    "next step, the expected duration, caveats and diagrams. Each page is a self-contained file.",
    owners=OWNERS,
    kinds={"html"},
    retry_policy=RETRY_POLICY,
    metadata=written_by(pages="drip_pipeline/reports/ab_test_page.py"),
)
def ab_test_reports(
    config: ReportConfig, engine: EngineResource, clock: RunClock
) -> dg.MaterializeResult[None]:
    """Write the pages, and email the overview."""
    began = perf_counter()
    with translate_errors("writing reports"):
        selected = campaign_ids(engine.database, config.campaign)
        folder = reports_folder(Settings.from_env())
        written = write_reports(engine.database, folder, now=clock.current(), campaign_ids=selected)
        metadata = written_metadata(written) | mailed_metadata(written, config.mail_to, clock)
    metadata["duration_seconds"] = seconds(perf_counter() - began)
    return dg.MaterializeResult(metadata=metadata)
