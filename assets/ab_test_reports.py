"""The reports of A/B tests as files under DRIP_HOME/reports: a page per test and one overview, with
their pictures in the catalog.
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
from drip_pipeline.orchestration.metadata.ab_tests import seconds
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.reports.write import reports_folder, write_reports
from drip_pipeline.settings import Settings


class ReportConfig(dg.Config):
    """Which pages to write, and who gets the overview."""

    campaign: str | None = Field(
        default=None, description="Only the pages of this campaign (id or exact name)."
    )
    mail_to: list[str] | None = Field(
        default=None,
        description="Addresses that get the overview; empty: nobody. Default: DRIP_REPORT_TO.",
    )


@dg.asset(
    deps=[winner_decisions],
    group_name=REPORTS,
    description="A page per running and decided A/B test, and one overview: the verdict in a "
    "sentence, what would change it, how long it may still take, what to beware of, pictures. They "
    "need nothing but themselves: open them from the folder, send them on, print them.",
    owners=OWNERS,
    kinds={"html"},
    retry_policy=RETRY_POLICY,
    metadata=written_by(pages="drip_pipeline/reports/ab_test_page.py"),
)
def ab_test_reports(
    config: ReportConfig, engine: EngineResource, clock: RunClock
) -> dg.MaterializeResult[None]:
    """Write the pages, and mail the overview."""
    began = perf_counter()
    with translate_errors("reporting"):
        chosen = campaign_ids(engine.database, config.campaign)
        folder = reports_folder(Settings.from_env())
        written = write_reports(engine.database, folder, now=clock.moment(), campaign_ids=chosen)
        metadata = written_metadata(written) | mailed_metadata(written, config.mail_to, clock)
    metadata["duration_seconds"] = seconds(perf_counter() - began)
    return dg.MaterializeResult(metadata=metadata)
