"""The page of a version comparison: both flow diagrams side by side, then all changes as text.

The page has no scripts and loads no external resources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.diff import describe
from drip_pipeline.domain.diff.changes import Change, DefinitionDiff
from drip_pipeline.domain.diff.definition_diff import AnalyzedDefinition
from drip_pipeline.domain.diff.flow_diff import flow_order
from drip_pipeline.domain.diff.text_diff import Piece
from drip_pipeline.domain.graph.graph import PORT_DEFAULT
from drip_pipeline.engine.publishing.history import VersionComparison
from drip_pipeline.reports.diff_text import group_by_step, with_context
from drip_pipeline.reports.flow_diagram import MAX_BOXES, Box, FlowEdge, Tone, draw_flow
from drip_pipeline.reports.style import html_page

_STYLE: Final = """
main{max-width:1400px}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;margin:0 0 14px;padding:0;list-style:none;
font-size:.9rem}
.legend li{margin:0}
.legend b{display:inline-block;min-width:1.5em;text-align:center;border-radius:4px;
margin-right:.4em}
.flows{display:grid;gap:16px;grid-template-columns:repeat(2,minmax(0,1fr));margin:0 0 16px}
.flow{margin:0;overflow-x:auto}
.flow figcaption{font-weight:600;color:var(--ink);margin:0 0 .6em;position:sticky;left:0}
.flow svg{display:block;margin:0 auto;width:auto;height:auto;max-width:100%;
min-width:calc(var(--width)*.6)}
.step h3 code{font-weight:400;color:var(--faint);font-size:.85em;margin-left:.4em}
.step ul{list-style:none;padding:0}
.step li{padding-left:1.6em;position:relative;overflow-wrap:anywhere}
.step li::before{content:attr(data-sign);position:absolute;left:0;font-weight:700;width:1.2em;
text-align:center}
.words{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--ground);border-radius:6px;
padding:8px 10px;margin:.4em 0 0;font-size:.92rem}
ins{background:#cdeedd;color:#00472f;text-decoration:underline;text-decoration-thickness:1px;
border-radius:2px}
del{background:#f9d7d3;color:#7a1710;border-radius:2px}
.added{background:#e3f4ec;color:#00694a}.removed{background:#fbe9e7;color:#b3261e}
.changed{background:#fff4d6;color:#9a6700}.moved{background:#e5f1f9;color:#0067a5}
@media(max-width:800px){.flows{grid-template-columns:1fr}.flow{padding:10px 6px}}
@media print{.flows{grid-template-columns:1fr 1fr}.flow svg{min-width:0}}
"""
_SIGNS: Final[Mapping[Tone, tuple[str, str]]] = {
    "added": ("+", "added"),
    "removed": ("\N{MINUS SIGN}", "removed"),
    "changed": ("~", "changed"),
    "moved": ("\N{UP DOWN ARROW}", "moved in the flow"),
}
_TONES: Final[Mapping[str, Tone]] = {
    "step_added": "added",
    "step_removed": "removed",
    "step_moved": "moved",
}


def diff_page(comparison: VersionComparison) -> str:
    """Return the page as HTML."""
    before, after = comparison.before_label, comparison.after_label
    title = f"{comparison.name}: {before} and {after}"
    head = (
        f"<header><p class=where>{escape(before)} → {escape(after)}</p>"
        f"<h1>{escape(comparison.name)}</h1></header>"
        f"<section class=verdict><p class=sentence style='margin:0'>"
        f"{escape(_sentence(comparison.diff.summary()))}</p></section>"
    )
    body = head + _flows(comparison) + _changes(comparison.diff) + _canvas(comparison.diff)
    return html_page(title, body, style=_STYLE)


def flow_diagrams(comparison: VersionComparison) -> dict[str, str]:
    """Return both flow diagrams as SVG by label; none if a flow has more than MAX_BOXES steps."""
    sides = (
        (comparison.before_label, comparison.before),
        (comparison.after_label, comparison.after),
    )
    if any(len(definition.steps) > MAX_BOXES for _, definition in sides):
        return {}
    tones = _tones(comparison.diff)
    return {label: _drawn(definition, tones, label) for label, definition in sides}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _flows(comparison: VersionComparison) -> str:
    diagrams = flow_diagrams(comparison)
    if not diagrams:
        return (
            f"<section><p class=note>More than {MAX_BOXES} steps: the flows are not drawn.</p>"
            "</section>"
        )
    legend = "".join(
        f"<li><b class={tone}>{sign}</b>{words}</li>" for tone, (sign, words) in _SIGNS.items()
    )
    sections = "".join(
        f'<figure class=flow style="--width:{_width(svg)}px">'
        f"<figcaption>{escape(label)}</figcaption>{svg}</figure>"
        for label, svg in diagrams.items()
    )
    return f"<ul class=legend>{legend}</ul><div class=flows>{sections}</div>"


def _width(svg: str) -> str:
    """Return the width of an SVG: it may shrink to a readable size and scrolls beyond that."""
    return svg.split(' width="', 1)[1].split('"', 1)[0]


def _tones(diff: DefinitionDiff) -> dict[str, Tone]:
    """Return the tone of each step: added and removed come before moved, moved before changed."""
    rank: Sequence[Tone] = ("changed", "moved", "removed", "added")
    tones: dict[str, Tone] = {}
    for change in diff.changes:
        if change.node_id is not None:
            tone = _TONES.get(change.kind, "changed")
            before = tones.get(change.node_id, "changed")
            tones[change.node_id] = max(tone, before, key=rank.index)
        if change.kind == "step_renamed" and change.key == "node_id":
            tones[str(change.before)] = "changed"  # the box in the older flow
    return tones


def _drawn(definition: CampaignDefinition, tones: Mapping[str, Tone], label: str) -> str:
    side = AnalyzedDefinition(definition)
    boxes = [
        Box(
            node_id,
            str(side.steps[node_id].get("node_type") or "step"),
            side.name(node_id),
            [detail] if (detail := describe.detail(side.analysis.configs.get(node_id))) else [],
            tones.get(node_id, "plain"),
        )
        for node_id in flow_order(side.port_targets)
    ]
    edges = [
        FlowEdge(source, target, "" if port == PORT_DEFAULT else port)
        for source, ports in side.port_targets.items()
        for port, target in ports.items()
    ]
    return draw_flow(boxes, edges, label=f"The flow of {label}", hints=_hints(side))


def _hints(side: AnalyzedDefinition) -> dict[str, float]:
    """Return the order of the canvas: further down or right is further right in the diagram."""
    hints = {}
    for node in side.canvas.get("nodes") or ():
        position = node.get("position")
        if isinstance(position, Mapping):
            x, y = position.get("x"), position.get("y")
            if isinstance(x, int | float) and isinstance(y, int | float):
                hints[node["id"]] = float(x) + float(y)
    return hints


def _changes(diff: DefinitionDiff) -> str:
    return "".join(
        f"<section class=step><h3>{escape(heading)}"
        + (f"<code>{escape(node_id)}</code>" if node_id not in (None, heading) else "")
        + f"</h3><ul>{''.join(map(_change, changes))}</ul></section>"
        for heading, node_id, changes in group_by_step(diff.changes)
    )


def _change(change: Change) -> str:
    sign, _ = _SIGNS[_TONES.get(change.kind, "changed")]
    pieces = f"<div class=words>{_pieces(change.pieces)}</div>" if change.pieces else ""
    return f'<li data-sign="{sign}">{escape(change.sentence)}{pieces}</li>'


def _pieces(pieces: Sequence[Piece]) -> str:
    tags = {"same": "{}", "removed": "<del>{}</del>", "added": "<ins>{}</ins>"}
    return "".join(tags[piece.kind].format(escape(piece.text)) for piece in with_context(pieces))


def _canvas(diff: DefinitionDiff) -> str:
    if not diff.canvas:
        return ""
    lines = "".join(
        f'<li data-sign="~">{f"<b>{escape(change.step)}</b>: " if change.step else ""}'
        f"{escape(change.sentence)}</li>"
        for change in diff.canvas
    )
    return (
        f"<section class=step><h3>Layout</h3><ul>{lines}</ul>"
        "<p class=note>Layout changes do not affect the execution.</p></section>"
    )
