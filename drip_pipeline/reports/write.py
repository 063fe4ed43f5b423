"""Writing reports to files: one page per campaign on demand, or one page per test and an overview
in a folder. `ab_test_page.py` builds their content.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.ab_tests.results import SplitResults, campaign_results, results_of_all
from drip_pipeline.engine.replace_file import replace_file
from drip_pipeline.reports.ab_test_history import history_of
from drip_pipeline.reports.ab_test_page import SplitReport, page, split_report
from drip_pipeline.reports.wording import STATES, remaining
from drip_pipeline.settings import Settings

OVERVIEW = "index.html"


@dataclass(frozen=True, slots=True)
class WrittenReports:
    """The written files: a page per test, in the order of the overview, and the overview. `tests`:
    all tests of the overview.
    """

    tests: Sequence[SplitResults]
    overview: Path
    pages: Sequence[tuple[Path, SplitReport]]


def reports_folder(settings: Settings) -> Path:
    """Return the folder of the scheduled reports."""
    return settings.home / "reports"


def campaign_page(database: Database, campaign: str | UUID, *, now: datetime) -> str:
    """Return the report of a campaign: its running and decided tests, or a superseded one if there
    is no other. Raises NotAllowed if it has no test.
    """
    tests = campaign_results(database, campaign, now=now)
    current = [test for test in tests if test.experiment.status != "superseded"] or tests[:1]
    reports = _reports(database, current, now)
    return page(f"A/B test report: {tests[0].campaign.name}", [r.body for r in reports], now)


def write_reports(
    database: Database, folder: Path, *, now: datetime, campaign_ids: Sequence[UUID] | None = None
) -> WrittenReports:
    """Write a page for every running and decided test (of these campaigns, or of all), and the
    overview of all tests. Files are replaced atomically.
    """
    tests = results_of_all(database, now=now)
    selected = [
        test
        for test in tests
        if campaign_ids is None or test.experiment.campaign_id in set(campaign_ids)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for report in _reports(database, selected, now):
        path = folder / file_name(report.results)
        replace_file(path, page(report.title, [report.body], now))
        pages.append((path, report))
    overview = folder / OVERVIEW
    replace_file(overview, overview_page(tests, now))
    return WrittenReports(tests, overview, pages)


def overview_page(tests: Sequence[SplitResults], now: datetime) -> str:
    """Return the overview of all running and decided tests, with links to their pages."""
    running = [test for test in tests if test.is_running]
    decided = [test for test in tests if not test.is_running]
    sections = [
        f"<h2>{title}</h2>{''.join(_card(test) for test in tests)}"
        for title, tests in (("Running", running), ("Decided", decided))
        if tests
    ]
    if not sections:
        sections = ["<section><p>No campaign has an A/B test yet.</p></section>"]
    head = "<header><h1>A/B tests</h1></header>"
    return page("A/B tests", [f"<article>{head}{''.join(sections)}</article>"], now)


def file_name(tests: SplitResults) -> str:
    """Return a readable and unique file name for a test."""
    name = re.sub(r"[^a-z0-9]+", "-", tests.campaign.name.lower()).strip("-")[:40] or "campaign"
    split = re.sub(r"[^A-Za-z0-9]+", "-", tests.experiment.split_node_id)[:30]
    return f"{name}-{split}-{tests.experiment.test_number}-{tests.experiment.test_id.hex[:8]}.html"


def _card(test: SplitResults) -> str:
    badge, tone = STATES.get(test.state, (test.state, "open"))
    left = f"<p class=where>{escape(remaining(test))}</p>" if test.is_running else ""
    return (
        f'<section class="verdict card {tone}"><p class=badge>{escape(badge)}</p>'
        f'<h3><a href="{file_name(test)}">{escape(test.campaign.name)}</a>'
        f" <small>split {escape(test.experiment.split_node_id)}</small></h3>"
        f"<p>{escape(test.explanation())}</p>{left}</section>"
    )


def _reports(database: Database, tests: Sequence[SplitResults], now: datetime) -> list[SplitReport]:
    with database.transaction(is_read_only=True) as connection:
        return [split_report(test, history_of(connection, test, now)) for test in tests]
