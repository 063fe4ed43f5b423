"""Reports as files: one page a campaign on demand, or a page per test and one overview in a folder.
What stands in them is the business of `page.py`.
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
from drip_pipeline.reports.ab_test_history import history_of
from drip_pipeline.reports.ab_test_page import SplitReport, page, split_report
from drip_pipeline.reports.wording import STATES, remaining
from drip_pipeline.settings import Settings

OVERVIEW = "index.html"


@dataclass(frozen=True, slots=True)
class WrittenReports:
    """What was written: a page per test, in the order of the overview, and the overview. `found`:
    all tests that the overview tells of.
    """

    found: Sequence[SplitResults]
    overview: Path
    pages: Sequence[tuple[Path, SplitReport]]


def reports_folder(settings: Settings) -> Path:
    """Where the scheduled reports are kept."""
    return settings.home / "reports"


def campaign_page(database: Database, campaign: str | UUID, *, now: datetime) -> str:
    """The report of one campaign: its tests that run or were decided; those that were replaced only
    where there is no other. Raises NotAllowed when it has no test.
    """
    found = campaign_results(database, campaign, now=now)
    current = [one for one in found if one.experiment.status != "superseded"] or found[:1]
    reports = _reports(database, current, now)
    return page(f"A/B test report: {found[0].campaign.name}", [r.body for r in reports], now)


def write_reports(
    database: Database, folder: Path, *, now: datetime, campaign_ids: Sequence[UUID] | None = None
) -> WrittenReports:
    """Write a page for every running and decided test (of these campaigns, or of all), and the
    overview of all. A page that exists is replaced whole; nobody reads half of one.
    """
    found = results_of_all(database, now=now)
    wanted = [
        one
        for one in found
        if campaign_ids is None or one.experiment.campaign_id in set(campaign_ids)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for report in _reports(database, wanted, now):
        path = folder / file_name(report.found)
        _replace(path, page(report.title, [report.body], now))
        pages.append((path, report))
    overview = folder / OVERVIEW
    _replace(overview, overview_page(found, now))
    return WrittenReports(found, overview, pages)


def overview_page(found: Sequence[SplitResults], now: datetime) -> str:
    """All running and decided tests with their verdicts, each with the way to its page."""
    running = [one for one in found if one.is_running]
    decided = [one for one in found if not one.is_running]
    sections = [
        f"<h2>{title}</h2>{''.join(_card(one) for one in tests)}"
        for title, tests in (("Running", running), ("Decided", decided))
        if tests
    ]
    if not sections:
        sections = ["<section><p>No campaign has an A/B test yet.</p></section>"]
    head = "<header><h1>A/B tests</h1></header>"
    return page("A/B tests", [f"<article>{head}{''.join(sections)}</article>"], now)


def file_name(found: SplitResults) -> str:
    """A test's own file: readable, and unlike any other test's."""
    name = re.sub(r"[^a-z0-9]+", "-", found.campaign.name.lower()).strip("-")[:40] or "campaign"
    split = re.sub(r"[^A-Za-z0-9]+", "-", found.experiment.split_node_id)[:30]
    return f"{name}-{split}-{found.experiment.test_number}-{found.experiment.test_id.hex[:8]}.html"


def _card(one: SplitResults) -> str:
    badge, tone = STATES.get(one.state, (one.state, "open"))
    left = f"<p class=where>{escape(remaining(one))}</p>" if one.is_running else ""
    return (
        f'<section class="verdict card {tone}"><p class=badge>{escape(badge)}</p>'
        f'<h3><a href="{file_name(one)}">{escape(one.campaign.name)}</a>'
        f" <small>split {escape(one.experiment.split_node_id)}</small></h3>"
        f"<p>{escape(one.explanation())}</p>{left}</section>"
    )


def _reports(database: Database, found: Sequence[SplitResults], now: datetime) -> list[SplitReport]:
    with database.transaction(is_read_only=True) as connection:
        return [split_report(one, history_of(connection, one, now)) for one in found]


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
