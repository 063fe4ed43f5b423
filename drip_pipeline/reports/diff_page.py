"""A comparison of two definitions as a page of its own: both flows side by side with changed steps
colored, then every change in words. No script, and nothing from elsewhere.
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
from drip_pipeline.reports.diff_text import grouped, shortened
from drip_pipeline.reports.flow_diagram import MOST_BOXES, Box, Tone, Way, draw
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


def diff_page(found: VersionComparison) -> str:
    """The whole page."""
    title = f"{found.name}: {found.before_label} and {found.after_label}"
    head = (
        f"<header><p class=where>{escape(found.before_label)} → {escape(found.after_label)}</p>"
        f"<h1>{escape(found.name)}</h1></header>"
        f"<section class=verdict><p class=sentence style='margin:0'>"
        f"{escape(_sentence(found.diff.summary()))}</p></section>"
    )
    body = head + _flows(found) + _changes(found.diff) + _canvas(found.diff)
    return html_page(title, body, style=_STYLE)


def drawings(found: VersionComparison) -> dict[str, str]:
    """Both flows as SVG, by their labels; empty when one has too many steps to be drawn."""
    sides = ((found.before_label, found.before), (found.after_label, found.after))
    if any(len(definition.steps) > MOST_BOXES for _, definition in sides):
        return {}
    tones = _tones(found.diff)
    return {label: _drawn(definition, tones, label) for label, definition in sides}


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _flows(found: VersionComparison) -> str:
    pictures = drawings(found)
    if not pictures:
        return (
            f"<section><p class=note>More than {MOST_BOXES} steps: the flows are not drawn.</p>"
            "</section>"
        )
    legend = "".join(
        f"<li><b class={tone}>{sign}</b>{words}</li>" for tone, (sign, words) in _SIGNS.items()
    )
    figures = "".join(
        f'<figure class=flow style="--width:{_width(svg)}px">'
        f"<figcaption>{escape(label)}</figcaption>{svg}</figure>"
        for label, svg in pictures.items()
    )
    return f"<ul class=legend>{legend}</ul><div class=flows>{figures}</div>"


def _width(svg: str) -> str:
    """The width of a picture in points: it may shrink, but stays readable and scrolls instead."""
    return svg.split(' width="', 1)[1].split('"', 1)[0]


def _tones(diff: DefinitionDiff) -> dict[str, Tone]:
    """How each step looks: what comes or goes outranks a move, a move what changed inside."""
    rank: Sequence[Tone] = ("changed", "moved", "removed", "added")
    tones: dict[str, Tone] = {}
    for change in diff.changes:
        if change.node_id is not None:
            tone = _TONES.get(change.kind, "changed")
            before = tones.get(change.node_id, "changed")
            tones[change.node_id] = max(tone, before, key=rank.index)
        if change.kind == "step_renamed" and change.key == "node_id":
            tones[str(change.before)] = "changed"  # its box in the older flow
    return tones


def _drawn(definition: CampaignDefinition, tones: Mapping[str, Tone], label: str) -> str:
    side = AnalyzedDefinition(definition)
    boxes = [
        Box(
            node_id,
            str(side.steps[node_id].get("node_type") or "step"),
            side.name(node_id),
            [told] if (told := describe.detail(side.analysis.configs.get(node_id))) else [],
            tones.get(node_id, "plain"),
        )
        for node_id in flow_order(side.port_targets)
    ]
    ways = [
        Way(source, target, "" if port == PORT_DEFAULT else port)
        for source, ports in side.port_targets.items()
        for port, target in ports.items()
    ]
    return draw(boxes, ways, label=f"The flow of {label}", hints=_hints(side))


def _hints(side: AnalyzedDefinition) -> dict[str, float]:
    """What stands further down or to the right on the canvas stands further right here."""
    found = {}
    for node in side.canvas.get("nodes") or ():
        position = node.get("position")
        if isinstance(position, Mapping):
            x, y = position.get("x"), position.get("y")
            if isinstance(x, int | float) and isinstance(y, int | float):
                found[node["id"]] = float(x) + float(y)
    return found


def _changes(diff: DefinitionDiff) -> str:
    return "".join(
        f"<section class=step><h3>{escape(heading)}"
        + (f"<code>{escape(node_id)}</code>" if node_id not in (None, heading) else "")
        + f"</h3><ul>{''.join(map(_change, changes))}</ul></section>"
        for heading, node_id, changes in grouped(diff.changes)
    )


def _change(change: Change) -> str:
    sign, _ = _SIGNS[_TONES.get(change.kind, "changed")]
    words = f"<div class=words>{_words(change.pieces)}</div>" if change.pieces else ""
    return f'<li data-sign="{sign}">{escape(change.sentence)}{words}</li>'


def _words(pieces: Sequence[Piece]) -> str:
    tags = {"same": "{}", "removed": "<del>{}</del>", "added": "<ins>{}</ins>"}
    return "".join(tags[piece.kind].format(escape(piece.text)) for piece in shortened(pieces))


def _canvas(diff: DefinitionDiff) -> str:
    if not diff.canvas:
        return ""
    lines = "".join(
        f'<li data-sign="~">{f"<b>{escape(change.step)}</b>: " if change.step else ""}'
        f"{escape(change.sentence)}</li>"
        for change in diff.canvas
    )
    return (
        f"<section class=step><h3>Only on the canvas</h3><ul>{lines}</ul>"
        "<p class=note>How it is drawn; nobody inside the campaign notices.</p></section>"
    )
