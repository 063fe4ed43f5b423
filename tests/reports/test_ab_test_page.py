"""Reports: their texts and charts, and that pages are self-contained."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.ab_tests.declare import declare
from drip_pipeline.engine.ab_tests.judge import judge
from drip_pipeline.engine.ab_tests.results import SplitResults, campaign_results
from drip_pipeline.errors import NotAllowed
from drip_pipeline.reports.ab_test_history import EvaluationHistory, history_of
from drip_pipeline.reports.svg import as_markdown, percent, ticks
from drip_pipeline.reports.wording import duration, remaining, warnings
from drip_pipeline.reports.write import campaign_page, write_reports
from tests.engine.ab_tests.split_contacts import SplitTest, a_split_test, people
from tests.engine.factories import NOW, a_published_campaign
from tests.engine.graphs import graph, trigger

LATER = NOW + timedelta(days=2)
SMALL_BYTES = 10_000


def a_decided_test(database: Database, name: str = "Win-back") -> SplitTest:
    with database.transaction() as connection:
        test = a_split_test(connection, name=name)
        people(connection, test, "a", 1_000, opened=200, clicked=40)
        people(connection, test, "b", 1_000, opened=300, clicked=70)
    judge(database, [test.campaign.campaign_id], now=LATER)
    return test


def found_in(database: Database, test: SplitTest, now: Any = LATER) -> SplitResults:
    return campaign_results(database, test.campaign.campaign_id, now=now)[0]


def history(
    database: Database, test: SplitTest, now: Any = LATER
) -> tuple[SplitResults, EvaluationHistory]:
    found = found_in(database, test, now)
    with database.transaction(is_read_only=True) as connection:
        return found, history_of(connection, found, now)


def words(html: str) -> str:
    """Return the text of a page without tags and line breaks."""
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html)
    return re.sub(r"\s+", " ", unescape(text))


def test_a_page_is_self_contained(database):
    a_decided_test(database)
    html = campaign_page(database, "Win-back", now=LATER)
    # The name of SVG's own vocabulary is no address that is fetched.
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|link|img|iframe|object)|@import|url\(|\bsrc=", html)
    assert '<meta name=viewport content="width=device-width' in html


def test_the_verdict_is_one_sentence_with_the_next_step(database):
    with database.transaction() as connection:
        test = a_split_test(
            connection, {"a": 40, "b": 40, "holdout": 20}, winner_metric="click_rate"
        )
        people(connection, test, "a", 500, clicked=50, converted=5)
        people(connection, test, "b", 500, clicked=60, converted=9)
        people(connection, test, "holdout", 250, converted=1)
    told = words(campaign_page(database, "Welcome", now=LATER))
    assert "Still collecting: b leads with a click rate of 12.00 % against 10.00 % for a" in told
    assert "Next step A lead over a of more than about" in told
    assert re.search(
        r"Estimated time to a decision About \d+ (days|months) or [\d,]+ contacts more", told
    )
    assert "Over the holdout" in told
    for title in (
        "Click rate per variant", "Click rate over time", "Lead of Variant b over Variant a",
        "Assigned contacts per variant", "Funnel per variant", "Configuration",
    ):  # fmt: skip
        assert title in told


def test_the_same_counts_are_shown_by_each_method(database):
    with database.transaction() as connection:
        test = a_split_test(connection, winner_metric="conversion_rate")
        people(connection, test, "a", 21_307, converted=267)
        people(connection, test, "b", 21_387, converted=213)
    told = words(campaign_page(database, "Welcome", now=LATER))
    assert re.search(r"Always valid \(chosen\) 0\.\d+ Running a", told)
    assert re.search(r"Planned 0\.0\d+ Winner a Fixed horizon 0\.0\d+ Winner a", told)


def test_a_declared_winner_is_shown_with_operator_and_reason(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 50, opened=10)
        people(connection, test, "b", 50, opened=11)
    declare(
        database, test.campaign.campaign_id, variant="a", reason="The brand's own words.",
        decided_by="Ada", now=LATER,
    )  # fmt: skip
    told = words(campaign_page(database, "Welcome", now=LATER + timedelta(days=1)))
    assert "a was declared the winner by Ada: The brand's own words." in told
    assert "The evaluation at that time: Still collecting" in told
    assert "★" in told


def test_names_are_text_and_no_markup(database):
    with database.transaction() as connection:
        test = a_split_test(connection, name='<b>Bold</b> & "quoted"')
        connection.execute(
            "UPDATE campaign_ab_tests SET config = jsonb_set(config, '{variants,0,name}', %s)",
            ['"<img src=x onerror=alert(1)>"'],
        )
        people(connection, test, "a", 20, opened=4)
        people(connection, test, "b", 20, opened=5)
    html = campaign_page(database, test.campaign.campaign_id, now=LATER)
    assert "<img" not in html
    assert "<b>Bold" not in html
    assert "&lt;b&gt;Bold&lt;/b&gt; &amp;" in html


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({}, "collecting"),
        ({"a": {"assigned": 1}}, "collecting"),
        ({"a": {"assigned": 5, "sent": 0}, "b": {"assigned": 5, "sent": 0}}, "collecting"),
        ({"a": {"assigned": 300}, "b": {"assigned": 300}}, "collecting"),
        ({name: {"assigned": 300, "opened": 300} for name in "ab"}, "collecting"),
        ({"a": {"assigned": 900, "opened": 9}, "b": {"assigned": 300, "opened": 3}}, "srm_blocked"),
    ],
)
@pytest.mark.parametrize("metric", ["open_rate", "engagement_score", "conversion_rate"])
def test_a_test_at_any_stage_has_a_report(database, counts, state, metric):
    with database.transaction() as connection:
        test = a_split_test(connection, winner_metric=metric)
        for variant, of in counts.items():
            people(connection, test, variant, **of)
    found, past = history(database, test)
    assert found.state == state
    html = campaign_page(database, "Welcome", now=LATER)
    for svg in re.findall(r"<svg.*?</svg>", html):
        ElementTree.fromstring(svg)
        assert "nan" not in svg.lower()
        assert "inf" not in svg.lower().replace("sans-serif", "")
    assert bool(past.points) == bool(counts)


def test_charts_are_small_enough_for_metadata(database, tmp_path):
    with database.transaction() as connection:
        names = dict.fromkeys("abcdef", 100 / 6)
        test = a_split_test(connection, names, max_duration_hours=10_000)
        for number, name in enumerate(names):
            people(connection, test, name, 300, opened=30 + number, clicked=9, replied=3)
        connection.execute(
            "UPDATE campaign_message_outcomes "
            "SET sent_at = sent_at + random() * interval '300 days'"
        )
    written = write_reports(database, tmp_path, now=NOW + timedelta(days=300))
    ((_, report),) = written.pages
    assert len(report.charts) == 5
    for title, svg in report.charts.items():
        assert len(as_markdown(svg, title)) < 4 / 3 * SMALL_BYTES, title


def test_the_last_point_of_the_history_is_the_present(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        for hours, opened in ((0, 10), (10, 30), (30, 5)):
            at = NOW + timedelta(hours=hours)
            people(connection, test, "a", 100, opened=opened, at=at)
            people(connection, test, "b", 100, opened=opened + 20, at=at)
    found, past = history(database, test)
    assert past.points[0].at == NOW
    assert past.points[-1].at == LATER
    assert past.points[-1].rates_pct == {
        v.variant_group: v.value_pct for v in found.verdict.variants
    }
    by_hour = {round((m.at - NOW).total_seconds() / 3600): m.rates_pct["a"] for m in past.points}
    assert by_hour[9] == pytest.approx(10)
    assert by_hour[11] == pytest.approx(20)
    assert by_hour[31] == pytest.approx(15)
    assert (past.leader, past.rival) == ("b", "a")
    assert past.points[-1].lead_points == pytest.approx(20, abs=0.01)


def test_the_boundary_is_crossed_where_the_test_is_decided(database):
    test = a_decided_test(database)
    found, past = history(database, test)
    assert found.state == "decided_winner"
    last = past.points[-1]
    assert last.lead_points is not None
    assert last.needed_points is not None
    assert last.lead_points > last.needed_points
    with database.transaction() as connection:
        undecided = a_split_test(connection, name="Open")
        people(connection, undecided, "a", 1_000, opened=200)
        people(connection, undecided, "b", 1_000, opened=215)
    last = history(database, undecided)[1].points[-1]
    assert last.lead_points is not None
    assert last.needed_points is not None
    assert last.lead_points < last.needed_points


def test_contacts_join_the_history_when_their_window_ends(database):
    window: Any = {"attribution_window_hours": {"open_rate": 24}}
    with database.transaction() as connection:
        test = a_split_test(connection, **window)
        people(connection, test, "a", 100, opened=40)
        people(connection, test, "a", 100, opened=100, reacts_after=timedelta(hours=30))
        people(connection, test, "b", 100, opened=40)
    _, past = history(database, test)
    by_hour = {round((m.at - NOW).total_seconds() / 3600): m.rates_pct["a"] for m in past.points}
    assert by_hour[20] is None
    assert by_hour[25] == by_hour[48] == pytest.approx(20)


def test_the_report_lists_its_caveats(database):
    with database.transaction() as connection:
        test = a_split_test(connection, {"a": 40, "b": 40, "holdout": 20})
        people(connection, test, "a", 900, opened=90, machine_opened=500)
        people(connection, test, "b", 400, sent=300, opened=90)
        people(connection, test, "holdout", 200, converted=3)
    told = " ".join(warnings(found_in(database, test)))
    assert "Sample-ratio mismatch" in told
    assert "500 of 900 of a (56 %)" in told
    assert "clicks or conversions are a safer winner metric" in told
    assert "Some contacts assigned to a variant were sent nothing" in told


def test_a_violated_guardrail_is_a_caveat(database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 1_000, opened=200, unsubscribed=5)
        people(connection, test, "b", 1_000, opened=300, unsubscribed=80)
    found = found_in(database, test)
    assert found.state == "guardrail_blocked"
    (told,) = warnings(found)
    assert told == "The unsubscribe rate of b is worse than that of a: 8.00 % against 0.50 %."
    assert remaining(found).startswith("Until the guardrail")


def test_the_overview_links_to_the_page_of_every_test(database, tmp_path):
    decided = a_decided_test(database)
    with database.transaction() as connection:
        running = a_split_test(connection, name="Spring: first mail")
        people(connection, running, "a", 5)
        archived = a_split_test(connection, name="Long ago")
        connection.execute(
            "UPDATE drip_campaigns SET status = 'archived' WHERE id = %s",
            [archived.campaign.campaign_id],
        )
    folder = tmp_path / "reports"
    written = write_reports(database, folder, now=LATER)
    overview = written.overview.read_text(encoding="utf-8")
    links = re.findall(r'href="([^"]+)"', overview)
    assert sorted(links) == sorted(path.name for path, _ in written.pages)
    assert all((folder / link).exists() for link in links)
    told = words(overview)
    assert "Running Running Spring: first mail" in told
    assert "Decided Winner Win-back split s b wins with an open rate of 30.00 %" in told
    assert "Long ago" not in told
    # Again: the same files, and nothing left over.
    again = write_reports(database, folder, now=LATER, campaign_ids=[decided.campaign.campaign_id])
    assert [report.results.campaign.name for _, report in again.pages] == ["Win-back"]
    assert len(list(folder.iterdir())) == 3


def test_the_overview_without_tests_says_so(database, tmp_path):
    written = write_reports(database, tmp_path, now=LATER)
    assert written.pages == []
    assert "No campaign has an A/B test yet." in words(written.overview.read_text(encoding="utf-8"))


def test_a_campaign_without_a_test_has_no_report(database):
    with database.transaction() as connection:
        a_published_campaign(connection, graph(trigger("start")), name="Plain")
    with pytest.raises(NotAllowed, match="'Plain' has no A/B test"):
        campaign_page(database, "Plain", now=LATER)


@pytest.mark.parametrize(
    ("hours", "told"),
    [(0, "less than a minute"), (1, "60 minutes"), (30, "30 hours"), (24 * 9, "9 days"),
     (24 * 365, "12 months")],
)  # fmt: skip
def test_durations_have_one_unit_that_fits(hours, told):
    assert duration(hours) == told


def test_totals_that_changed_after_the_decision_are_noted(database, tmp_path):
    test = a_decided_test(database)
    assert found_in(database, test).totals_note() == ""
    with database.transaction() as connection:
        people(connection, test, "a", 50, opened=50, at=LATER + timedelta(hours=1))
    found = found_in(database, test, LATER + timedelta(days=1))
    note = found.totals_note()
    assert f"{LATER:%H:%M} UTC, the time of the decision." in note
    page = campaign_page(database, test.campaign.campaign_id, now=LATER + timedelta(days=1))
    assert note in words(page)


def test_a_page_of_many_variants_has_rows_and_the_pairs_of_the_best(database):
    weights = {f"variant_{number:03}": 1.0 for number in range(100)}
    with database.transaction() as connection:
        test = a_split_test(connection, weights)
        for name in list(weights)[:3]:
            people(connection, test, name, 20, opened=10 if name == "variant_001" else 5)
    page = campaign_page(database, test.campaign.campaign_id, now=LATER)
    assert page.count("variant_001 against") + page.count("against variant_001") == 99
    assert "variant_000 against variant_002" not in page
    headers = re.findall(r"<thead>.*?</thead>", page)
    assert all(header.count("<th") <= 17 for header in headers)


def test_labels_of_a_time_axis_do_not_overlap(database, tmp_path):
    a_decided_test(database)
    ((_, report),) = write_reports(database, tmp_path, now=LATER).pages
    svg = report.charts["Open rate over time"]
    told = re.findall(r"<text ([^>]*)>(\d+ \w+ \d\d:\d\d)<", svg)
    assert len(told) == 3  # of four, the last two would touch
    places = []
    for attributes, label in told:
        before = 1.0 if '"end"' in attributes else 0.5 if '"middle"' in attributes else 0.0
        wide = 6.0 * len(label)
        left = float(re.findall(r'x="([\d.]+)"', attributes)[0]) - before * wide
        places.append((left, left + wide))
    assert all(right[0] > left[1] for left, right in pairwise(sorted(places)))


def test_axes_have_round_numbers():
    assert ticks(0.3, 1.7) == pytest.approx([0.5, 1.0, 1.5])
    assert ticks(0, 40) == pytest.approx([0, 10, 20, 30, 40])
    assert ticks(2, 2) == [2]
    assert [percent(v, 0.5) for v in (0.5, 1.0)] == ["0.5 %", "1.0 %"]
    assert percent(27.5, 2.5) == "27.5 %"
