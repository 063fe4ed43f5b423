"""Funnels: every enrollment is counted once; the diagram shows all counts for any canvas."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from itertools import combinations
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.domain.graph.graph import NodeType
from drip_pipeline.engine.metrics.funnel import (
    Funnel,
    FunnelEdge,
    FunnelNode,
    Goal,
    campaign_funnel,
    campaigns_to_draw,
)
from drip_pipeline.errors import NotAllowed, VersionNotFound
from drip_pipeline.experiments import Metric
from drip_pipeline.reports.flow_diagram import text_width
from drip_pipeline.reports.funnel_diagram import funnel_diagram
from drip_pipeline.reports.funnel_page import funnel_page
from tests.engine.events.incoming import ingest, mailed, rows
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    an_event,
    people_inside,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, score_at_least, split, trigger, wait_hours

SVG = "{http://www.w3.org/2000/svg}"
TWO_WAYS = graph(
    trigger("parted"),
    split("parted", {"a": 40, "b": 40, "holdout": 20}, a="mail_a", b="mail_b"),
    email("mail_a", default="rest"),
    email("mail_b", default="rest"),
    wait_hours("rest", 24, default="worth"),
    score_at_least("worth", 50, yes="last", else_="end"),
    email("last", default="end"),
    end(),
    variant_of_node={"mail_a": ("parted", "a"), "mail_b": ("parted", "b")},
)


def everybody(funnel: Funnel) -> int:
    return sum(funnel.total(figure) for figure in ("now", "ended", "lost_total"))


# --- who is where ---------------------------------------------------------------------------------


def test_every_enrollment_is_counted_at_one_node(database):
    people_inside(database, TWO_WAYS, 200)
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET ai_score = 90 WHERE email LIKE '%%7@example.com'")
        connection.execute(
            "UPDATE campaign_enrollments SET status = 'unsubscribed' "
            "WHERE contact_email LIKE '%%3@example.com'"
        )
    before = campaign_funnel(database, "Welcome", now=NOW)
    held_out = before.nodes["parted"].ended
    assert 20 < held_out < 60
    assert before.nodes["rest"].now == 200 - held_out
    assert (before.entered, everybody(before)) == (200, 200)
    run_until_idle(database, NOW + timedelta(days=1))
    after = campaign_funnel(database, "Welcome", now=NOW + timedelta(days=1))
    assert (after.entered, everybody(after), after.total("now")) == (200, 200, 0)
    rest, done = after.nodes["rest"], after.nodes["end"]
    assert set(rest.lost) == {"unsubscribed"}
    assert rest.passed == done.ended
    assert done.ended + rest.lost_total + held_out == 200
    assert 0 < after.nodes["last"].passed < done.ended
    ways = {(edge.source, edge.target): edge for edge in after.edges}
    assert ways["worth", "last"].enrollments == after.nodes["last"].passed
    assert ways["worth", "end"].enrollments + ways["last", "end"].enrollments == done.ended
    assert (
        ways["parted", "mail_a"].enrollments + ways["parted", "mail_b"].enrollments
        == 200 - held_out
    )
    assert ways["worth", "end"].ports == ("else",)
    assert ways["start", "parted"].ports == ()


def test_failed_enrollments_are_lost_at_the_failed_node(database):
    people_inside(database, TWO_WAYS, 20)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET workflow_status = 'failed', completed_at = %s, "
            "next_execution_at = NULL WHERE current_node_id = 'rest'",
            [NOW],
        )
    funnel = campaign_funnel(database, "Welcome", now=NOW)
    assert funnel.nodes["rest"].lost == {"failed": 20 - funnel.nodes["parted"].ended}
    assert everybody(funnel) == 20


def test_enrollments_before_their_first_step_are_at_the_entry(database):
    people_inside(database, TWO_WAYS, 5)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET current_node_id = 'start', "
            "workflow_status = 'running', next_execution_at = %s, completed_at = NULL, "
            "exit_reason = NULL, execution_path = '[]'",
            [NOW],
        )
    funnel = campaign_funnel(database, "Welcome", now=NOW)
    assert (funnel.nodes["start"].now, funnel.entered, everybody(funnel)) == (5, 5, 5)


def test_an_enrollment_that_passes_a_node_twice_counts_once(database):
    people_inside(database, TWO_WAYS, 4)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET current_node_id = 'rest', "
            "execution_path = to_jsonb(string_to_array("
            "'start parted mail_a rest worth mail_a rest', ' ')), "
            "workflow_status = 'waiting', next_execution_at = %s, completed_at = NULL, "
            "exit_reason = NULL",
            [NOW + timedelta(hours=1)],
        )
    funnel = campaign_funnel(database, "Welcome", now=NOW)
    assert (funnel.nodes["mail_a"].passed, funnel.nodes["rest"].now) == (4, 4)
    assert funnel.nodes["rest"].passed == 0
    assert everybody(funnel) == 4


def test_enrollments_inside_other_versions_are_counted_separately(database):
    people_inside(database, TWO_WAYS, 10)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_versions (campaign_id, workspace_id, version, campaign_snapshot, "
            "steps_snapshot, compiled_graph, created_at) SELECT campaign_id, workspace_id, 2, "
            "campaign_snapshot, steps_snapshot, compiled_graph, created_at FROM campaign_versions"
        )
        connection.execute("UPDATE drip_campaigns SET published_version = 2")
    newest = campaign_funnel(database, "Welcome", now=NOW)
    first = campaign_funnel(database, "Welcome", now=NOW, version=1)
    assert (newest.version, newest.entered, first.entered) == (2, 0, 10)
    assert newest.elsewhere == first.total("now") > 0
    assert "more are still inside other versions." in newest.describe()
    funnel_diagram(newest)
    with pytest.raises(VersionNotFound):
        campaign_funnel(database, "Welcome", now=NOW, version=7)


def test_a_draft_has_no_funnel(database):
    with database.transaction() as connection:
        a_published_campaign(connection, TWO_WAYS, name="Draft")
        connection.execute("UPDATE drip_campaigns SET published_version = NULL, status = 'draft'")
    with pytest.raises(NotAllowed, match="'Draft' was never published"):
        campaign_funnel(database, "Draft", now=NOW)
    assert campaigns_to_draw(database) == []


# --- the goal -------------------------------------------------------------------------------------


def test_the_goal_counts_enrollments_and_not_messages(database):
    campaign, sent = mailed(database, 8)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE drip_campaigns SET goal_metric = 'click_rate', goal_target = 30 WHERE id = %s",
            [campaign.campaign_id],
        )
        # A second message to each.
        connection.execute(
            "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, "
            "campaign_version, enrollment_id, contact_id, node_id, channel, sent_at) "
            "SELECT gen_random_uuid(), workspace_id, campaign_id, 1, enrollment_id, contact_id, "
            "'mail', 'email', sent_at FROM campaign_message_outcomes"
        )
    ingest(
        database,
        [an_event(n, "email_clicked", message_id=s.message_id) for n, s in enumerate(sent[:2])],
    )
    goal = campaign_funnel(database, "Welcome", now=NOW).goal
    assert goal == Goal(Metric.CLICK_RATE, 30, 25, 2, 8)
    assert goal.describe() == (
        "Goal: a click rate of 30 %. So far 25.00 % (2 of 8 enrollments that were sent a message): "
        "5.00 points short."
    )
    assert goal.summary() == "click rate 25.00 % of 30 %"
    assert not goal.is_reached


OF_TEN = "of 10 enrollments that were sent a message"


@pytest.mark.parametrize(
    ("goal", "told"),
    [
        (
            Goal(Metric.OPEN_RATE, 20.0, 20.0, 2, 10),
            f"Goal: an open rate of 20 %. So far 20.00 % (2 {OF_TEN}): reached.",
        ),
        (
            Goal(Metric.OPEN_RATE, None, 20.0, 2, 10),
            f"Goal: an open rate. So far 20.00 % (2 {OF_TEN}).",
        ),
        (
            Goal(Metric.ENGAGEMENT_SCORE, 5.5, 2.0, None, 10),
            f"Goal: an engagement score of 5.5 %. So far 2.00 % ({OF_TEN}): 3.50 points short.",
        ),
        (
            Goal(Metric.REPLY_RATE, 1.0, None, 0, 0),
            "Goal: a reply rate of 1 %. No message was sent yet.",
        ),
    ],
)
def test_a_goal_is_described_with_its_progress(goal, told):
    assert goal.describe() == told


# --- the picture ----------------------------------------------------------------------------------

LABELS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["Welcome", "Donaudampfschifffahrtsgesellschaftskapitän " * 3, "<b>&amp;</b>", "価格" * 20]
    ),
)


@st.composite
def funnels(draw: st.DrawFn) -> Funnel:
    """Any canvas of 3 to 40 nodes, with cycles, and any counts."""
    count = draw(st.integers(3, 40))
    names = [f"n{n}" for n in range(count)]
    edges = {(names[draw(st.integers(max(0, n - 6), n - 1))], names[n]) for n in range(1, count)}
    more = draw(
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(1, count - 1)), max_size=8)
    )
    edges |= {(names[a], names[b]) for a, b in more if a != b}
    figures = st.integers(0, 2_000_000)
    nodes = {
        name: FunnelNode(
            name,
            draw(st.sampled_from(list(NodeType))) if name != "n0" else NodeType.TRIGGER,
            draw(LABELS),
            draw(figures),
            draw(figures),
            draw(figures),
            {"unsubscribed": draw(figures)},
        )
        for name in names
    }
    ports = st.sampled_from([(), ("else",), ("A very long name of a branch", "timeout")])
    return Funnel(
        uuid4(), draw(LABELS), 3, "n0", nodes,
        tuple(FunnelEdge(a, b, draw(ports), draw(figures)) for a, b in sorted(edges)),
        {}, Goal(Metric.CLICK_RATE, 5, 4, 4, 100), 3, NOW,
    )  # fmt: skip


@settings(max_examples=40)
@given(funnels())
def test_boxes_never_overlap_and_everything_is_inside_the_diagram(funnel):
    root = ET.fromstring(funnel_diagram(funnel))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    boxes = [
        tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if rect.attrib.get("rx") == "5"
    ]
    assert len(boxes) == len(funnel.nodes)
    for x, y, wide, high in boxes:
        assert x >= 0
        assert y >= 0
        assert x + wide <= width
        assert y + high <= height
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(boxes, 2):
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay
    # A title of letters outside the box would run into its neighbor.
    for words in root.iter(f"{SVG}text"):
        assert text_width(words.text or "", 9) < width


def test_a_large_diagram_is_small_enough_to_store(database):
    campaign = a_large_funnel(40)
    assert len(funnel_diagram(campaign)) < 50_000
    assert len(funnel_diagram(a_large_funnel(8))) < 12_000


def a_large_funnel(count: int) -> Funnel:
    names = [f"n{n}" for n in range(count)]
    label = "A label of quite some words in it"
    nodes = {
        name: FunnelNode(name, NodeType.EMAIL, label, 10, 20_000, 0, {"x": 9}) for name in names
    }
    edges = tuple(
        FunnelEdge(names[(n - 1) // 2], names[n], ("branch",), 999) for n in range(1, count)
    )
    return Funnel(uuid4(), "Large", 1, "n0", nodes, edges, {}, None, 0, NOW)


def test_names_are_words_and_never_markup(database):
    hostile = '<script>alert(1)</script>"&'
    node = FunnelNode("n0", NodeType.TRIGGER, hostile)
    funnel = Funnel(uuid4(), hostile, 1, "n0", {"n0": node}, (), {}, None, 0, NOW)
    for drawn in (funnel_diagram(funnel), funnel_page(funnel)):
        assert "<script" not in drawn
    ET.fromstring(funnel_diagram(funnel))


def test_the_page_contains_its_diagram_and_every_count(database):
    people_inside(database, TWO_WAYS, 30)
    funnel = campaign_funnel(database, "Welcome", now=NOW)
    page = funnel_page(funnel)
    (picture,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert base64.b64decode(picture).decode() == funnel_diagram(funnel)
    assert "http" not in page.replace("http://www.w3.org", "")
    for node in funnel.nodes.values():
        assert f'<td data-label="Reached">{node.reached:,}' in page
    assert rows(database, "SELECT count(*) FROM campaign_workflow_states") == [(30,)]
