from __future__ import annotations

import time
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.domain.compiler.api import complete, load_definition
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.engine.publishing.history import VersionComparison
from drip_pipeline.reports.diff_page import diff_page, flow_diagrams
from drip_pipeline.reports.flow_diagram import MAX_BOXES, Box, FlowEdge, Tone, draw_flow
from drip_pipeline.reports.flow_layout import lay_out
from tests.strategies import valid_files

SVG = "{http://www.w3.org/2000/svg}"


def chain(count: int) -> tuple[list[str], list[tuple[str, str]]]:
    nodes = [f"n{number}" for number in range(count)]
    return nodes, list(pairwise(nodes))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    nodes = [f"n{number}" for number in range(draw(st.integers(1, 12)))]
    some = st.sampled_from(nodes)
    return nodes, draw(st.lists(st.tuples(some, some), max_size=24))


@settings(max_examples=30)
@given(graphs(), st.data())
def test_boxes_never_overlap_and_edges_lead_down_except_in_cycles(graph, data):
    nodes, edges = graph
    hints = {node: float(data.draw(st.integers(-5, 5))) for node in nodes}
    layout = lay_out(nodes, edges, hints)
    assert layout == lay_out(nodes, edges, hints)
    for number, (source, target) in enumerate(edges):
        if number not in layout.back:
            assert layout.ranks[source] < layout.ranks[target]
            passed = layout.ranks[target] - layout.ranks[source] - 1
            assert len(layout.bends.get(number, ())) == passed
    for rank in set(layout.ranks.values()):
        row = sorted(layout.columns[n] for n in nodes if layout.ranks[n] == rank)
        assert all(right - left > 0.999 for left, right in pairwise(row))
        assert row[0] > 0.499
        assert row[-1] < layout.width - 0.499


def test_a_linear_flow_has_one_column():
    layout = lay_out(*chain(30), {})
    assert set(layout.columns.values()) == {0.5}
    assert layout.width == 1


def test_the_canvas_decides_the_order_of_branches():
    edges = [("start", "a"), ("start", "b")]
    first = lay_out(["start", "a", "b"], edges, {"a": 0, "b": 200})
    second = lay_out(["start", "a", "b"], edges, {"a": 200, "b": 0})
    assert first.columns["a"] < first.columns["b"]
    assert second.columns["b"] < second.columns["a"]


@settings(max_examples=8)
@given(valid_files())
def test_every_node_of_a_campaign_is_drawn_once_with_its_name(file):
    definition = complete(load_definition(file))
    same = compare_definitions(definition, definition)
    comparison = VersionComparison(definition.name, "a", "b", definition, definition, same)
    for svg in flow_diagrams(comparison).values():
        drawn = [title.text or "" for title in ElementTree.fromstring(svg).iter(f"{SVG}title")]
        assert sorted(words.split(":")[0].split(" ")[1] for words in drawn) == sorted(
            step.node_id or "" for step in definition.steps
        )


def test_a_flow_of_too_many_steps_is_not_drawn():
    steps = [
        {"node_id": f"n{n}", "node_type": "wait", "wait_config": {"type": "duration", "value": 1}}
        for n in range(MAX_BOXES + 1)
    ]
    before = complete(load_definition({"name": "Long <b>", "steps": steps[:-1]}))
    after = complete(load_definition({"name": "Long <b>", "steps": steps}))
    page = diff_page(
        VersionComparison("Long <b>", "1", "2", before, after, compare_definitions(before, after))
    )
    assert "<svg" not in page
    assert "the flows are not drawn" in page
    assert "1 step added" in page
    assert "<b>" not in page.split("<main>")[1].split("</h1>")[0]


def test_names_are_escaped():
    svg = draw_flow(
        [Box("a", "email", '<script>"x"</script>', ["1 < 2"]), Box("b", "exit", "End")],
        [FlowEdge("a", "b", "<b>"), FlowEdge("a", "nowhere")],
        label='a "label"',
    )
    assert "<script>" not in svg
    assert ElementTree.fromstring(svg).get("aria-label") == 'a "label"'


def test_a_tone_is_visible_without_color():
    tones: tuple[Tone, ...] = ("added", "removed", "changed", "moved")
    boxes = [Box(tone, "email", tone, tone=tone) for tone in tones]
    svg = draw_flow(boxes, [], label="tones")
    assert all(f">{sign}</text>" in svg for sign in "+−~↕")
    assert "stroke-dasharray" in svg


def test_details_stay_inside_their_box():
    box = Box("a", "email", "Hello", ["Welcome aboard, {{ first_name | default: 'friend' }}"])
    root = ElementTree.fromstring(draw_flow([box], [], label="one"))
    width = max(
        float(frame.attrib["width"]) for frame in root.iter(f"{SVG}rect") if frame.get("rx") == "5"
    )
    (detail,) = [text.text for text in root.iter(f"{SVG}text") if "aboard" in (text.text or "")]
    assert len(detail or "") * 6.2 <= width - 14 - 6  # the width of wide letters of this size


def test_a_large_campaign_is_drawn_within_a_second():
    nodes, edges = chain(400)
    edges += [(node, nodes[-1]) for node in nodes[:200:2]]
    started = time.process_time()
    draw_flow(
        [Box(n, "email", n) for n in nodes], [FlowEdge(*edge) for edge in edges], label="large"
    )
    assert time.process_time() - started < 1.5
