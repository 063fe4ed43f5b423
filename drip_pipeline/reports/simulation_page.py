"""The page of a simulation: the canvas over time, the load, what is held, ends, and the A/B test.

Self-contained: the numbers are in the page, and its script only shows those of the chosen time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any, Final

from drip_pipeline.reports.flow_diagram import (
    BOX_WIDTH,
    LINE_HEIGHT,
    STRIPES,
    STYLES,
    FlowGeometry,
    draw_box,
    draw_edge,
    draw_edge_labels,
    wrap,
)
from drip_pipeline.reports.style import html_page
from drip_pipeline.reports.svg import FAINT_INK, INK, SvgCanvas, shorten

Result = Mapping[str, Any]
"""The result of a simulation, as `drip campaign simulate --json` prints it."""

_HEAD_HEIGHT: Final = 20.0
_MARGIN: Final = 2.0
_BARS: Final = 180
_CHART_WIDTH: Final = 720.0
_CHART_HEIGHT: Final = 190.0
_BAR_COLOR: Final = "#00855f"
_LIMIT_COLOR: Final = "#b3261e"
_PLAIN_PORTS: Final = frozenset({"default", "event", "timeout"})
_STYLE: Final = """
.player{display:flex;flex-wrap:wrap;gap:8px 14px;align-items:center;margin:0 0 10px}
.player input{flex:1 1 220px;min-width:0}
.player button{font:inherit;padding:4px 14px;border:1px solid var(--rule);border-radius:6px;
background:var(--paper);cursor:pointer}
.player output{font-weight:600;font-variant-numeric:tabular-nums;flex:1 0 100%}
.canvas{overflow-x:auto}.canvas svg{display:block;height:auto;max-width:none}
@media(min-width:700px){.canvas svg{margin:0 auto;max-width:100%}}
.load{overflow-x:auto}.load svg{display:block;width:100%;min-width:560px;height:auto}
thead th:first-child{text-align:left}
#heat rect{mix-blend-mode:multiply;pointer-events:none}
"""
_SCRIPT: Final = """
const d=JSON.parse(document.getElementById('numbers').textContent);
const slider=document.getElementById('time'),out=document.getElementById('now'),
play=document.getElementById('play'),n=x=>x.toLocaleString('en-US');
function show(i){slider.value=i;let inside=0;
d.nodes.forEach((of,k)=>{const v=of[i];inside+=v;
document.getElementById('n'+k).textContent=v?n(v)+' here':'';
document.getElementById('h'+k).setAttribute('opacity',v?(.12+.5*Math.sqrt(v/d.most)).toFixed(3):0)});
let done=0;d.ended.forEach((of,k)=>{done+=of[i]});
out.textContent=d.times[i]+': '+n(inside)+' inside, '+n(done)+' ended'}
let timer=0;function stop(){clearInterval(timer);timer=0;play.textContent='Play'}
play.onclick=()=>{if(timer){stop();return}
let i=+slider.value;if(i>=d.times.length-1)i=-1;play.textContent='Pause';
timer=setInterval(()=>{if(++i>=d.times.length){stop();return}show(i)},80)};
const canvas=document.querySelector('.canvas');
canvas.scrollLeft=(canvas.scrollWidth-canvas.clientWidth)/2;
slider.oninput=()=>{stop();show(+slider.value)};show(Math.min(d.first,d.times.length-1));
"""


def simulation_page(result: Result) -> str:
    """Return the page as HTML; the same result gives the same bytes."""
    name = result["campaign"]
    body = (
        f"<article><header><p class=where>Simulation of {result['days']} days from"
        f" {_time(result['start'])}, seed {result['seed']}</p><h1>{escape(name)}</h1></header>"
        f"<section class='verdict open'><p class=sentence>{escape(_sentence(result))}</p>"
        f"{_facts(result)}</section>"
        f"{_canvas(result)}{_load(result)}{_ends(result)}{_test(result)}{_assumptions(result)}"
        "</article><footer>Simulated by the engine itself, in memory; nothing was sent or written."
        "</footer>"
    )
    return html_page(f"Simulation: {name}", body, style=_STYLE)


def _sentence(result: Result) -> str:
    entered = result["population"]["entered"]
    ended = sum(result["ended"].values())
    messages = sum(each["total"] for each in result["messages"].values())
    share = f"{100 * ended / entered:.0f} %" if entered else "none"
    return (
        f"{_people(entered)} enter and get {messages:,} messages. After {result['days']} days"
        f" {share} have reached an end."
    )


def _people(number: int) -> str:
    return f"{number:,} {'person' if number == 1 else 'people'}"


def _facts(result: Result) -> str:
    hours = result["hours_to_end"]
    held = sum(result["held"].values())
    peaks = [
        f"{each['peak_messages']:,} {channel} from {_time(each['peak_hour'])}"
        for channel, each in result["messages"].items()
        if each["peak_hour"]
    ]
    facts = [
        ("Half have ended after", _length(hours["median"])),
        ("95 of 100 have ended after", _length(hours["p95"])),
        ("Still inside at the end", f"{result['still_inside']:,}"),
        ("Busiest hour", "; ".join(peaks) or "no messages"),
        ("Messages held by rules", f"{held:,}"),
        ("Did not enter", f"{sum(result['population']['refused'].values()):,}"),
    ]
    return "<dl>" + "".join(f"<dt>{k}<dd>{escape(v)}" for k, v in facts) + "</dl>"


# --- the canvas over time -------------------------------------------------------------------------


def _canvas(result: Result) -> str:
    over_time = result["over_time"]
    frames = len(over_time["entered"])
    start = datetime.fromisoformat(result["start"])
    times = [
        f"{start + timedelta(hours=n * over_time['step_hours']):%a %d %b %H:%M}"
        for n in range(frames)
    ]
    nodes = [over_time["at_node"].get(node["node"], [0] * frames) for node in result["nodes"]]
    numbers = {
        "times": times,
        "nodes": nodes,
        "ended": list(over_time["ended"].values()),
        "most": max((max(of) for of in nodes), default=0) or 1,
        "first": 1,
    }
    data = json.dumps(numbers, separators=(",", ":")).replace("<", "\\u003c")
    return (
        "<section><h2>Where people are</h2><div class=player>"
        "<button id=play type=button>Play</button>"
        f"<input id=time type=range min=0 max={frames - 1} value=0 aria-label='Time'>"
        "<output id=now></output></div>"
        f"<div class=canvas>{_flow(result)}</div>"
        "<p class=note>The darker a box, the more people are there. Below its name: how many passed"
        f" in all.</p></section><script type=application/json id=numbers>{data}</script>"
        f"<script>{_SCRIPT}</script>"
    )


def _flow(result: Result) -> str:
    nodes = result["nodes"]
    titles = {node["node"]: wrap(node["name"] or node["node"], 2) for node in nodes}
    heights = {
        node["node"]: _HEAD_HEIGHT + LINE_HEIGHT * (len(titles[node["node"]]) + 3) for node in nodes
    }
    edges = [(source, target) for source, _, target in result["edges"]]
    geometry = FlowGeometry(heights, edges, {})
    geometry.move((_MARGIN, _MARGIN))
    canvas = SvgCanvas(
        height=geometry.height + 2 * _MARGIN,
        label=f"The canvas of {result['campaign']}",
        width=geometry.width + 2 * _MARGIN,
        has_size=True,
    )
    for number in range(len(edges)):
        draw_edge(canvas, geometry.stops(number), STYLES["plain"].frame, width=1.4)
    heat = []
    for number, node in enumerate(nodes):
        x, y = geometry.corner(node["node"])
        lines = titles[node["node"]]
        height = heights[node["node"]]
        stripe = STRIPES.get(node["type"], FAINT_INK)
        draw_box(
            canvas, (x, y), height, style=STYLES["plain"], stripe=stripe, kind=node["type"],
            title=lines,
        )  # fmt: skip
        base = y + 31 + LINE_HEIGHT * len(lines)
        sent = f", {node['sent']:,} sent" if node["sent"] else ""
        canvas.text(x + 12, base, f"{node['passed']:,} passed{sent}", size=11, color=FAINT_INK)
        heat.append(
            f'<rect id="h{number}" x="{x:g}" y="{y:g}" width="{BOX_WIDTH:g}" height="{height:g}"'
            f' fill="#f0932b" opacity="0" rx="5"/>'
            f'<text id="n{number}" x="{x + 12:g}" y="{base + LINE_HEIGHT:g}" font-size="12"'
            f' font-weight="600" fill="{INK}"></text>'
        )
    draw_edge_labels(
        canvas,
        [
            (geometry.stops(number), [(shorten(_port(port), 22), INK)])
            for number, (_, port, _) in enumerate(result["edges"])
            if port != "default"
        ],
    )
    svg = canvas.svg()
    return f"{svg.removesuffix('</svg>')}<g id=heat>{''.join(heat)}</g></svg>"


def _port(port: str) -> str:
    return port if port in _PLAIN_PORTS else port.replace("_", " ")


# --- the load -------------------------------------------------------------------------------------


def _load(result: Result) -> str:
    parts = []
    for channel, each in result["messages"].items():
        parts.append(f"<h3>{escape(channel)}</h3><p>{escape(_queue(each))}</p>")
        parts.append(f"<div class=load>{_bars(result, channel, each)}</div>")
    held = _rows(("Rule", "Messages held"), result["held"].items())
    skipped = _rows(("Not sent because", "Messages"), result["skipped"].items())
    return (
        f"<section><h2>When the load comes</h2>{''.join(parts) or '<p>No message is sent.</p>'}"
        f"</section>{_section('What is held back', held + skipped or '<p>Nothing.</p>')}"
    )


def _queue(each: Mapping[str, Any]) -> str:
    rate = each["rate_per_second"]
    if rate is None:
        return f"{each['total']:,} messages. No rate is known for this channel."
    hourly = f"{rate * 3600:,.0f} an hour"
    text = f"{each['total']:,} messages; the channel sends {rate:g} a second ({hourly})."
    if each["still_queued"]:
        return f"{text} At the end {each['still_queued']:,} still wait for the rate."
    if not each["longest_queue"]:
        return f"{text} No message waits for the rate."
    return (
        f"{text} At most {each['longest_queue']:,} wait for it, from"
        f" {_time(each['longest_queue_at'])}; the last queue is cleared by"
        f" {_time(each['queue_cleared_at'])}."
    )


def _bars(result: Result, channel: str, each: Mapping[str, Any]) -> str:
    by_hour: Sequence[int] = each["by_hour"]
    last = max((n for n, messages in enumerate(by_hour) if messages), default=0) + 2
    by_hour = by_hour[:last]
    width = -(-len(by_hour) // _BARS)
    bars = [sum(by_hour[n : n + width]) for n in range(0, len(by_hour), width)]
    limit = None if each["rate_per_second"] is None else each["rate_per_second"] * 3600 * width
    most = max(*bars, 1)
    shows_limit = limit is not None and limit <= 3 * most
    top = max(most, limit or 0) if shows_limit else most
    unit = "hour" if width == 1 else f"{width} hours"
    label = f"{channel}: messages per {unit}, at most {most:,}"
    canvas = SvgCanvas(height=_CHART_HEIGHT, label=label, width=_CHART_WIDTH)
    left, bottom = 8.0, _CHART_HEIGHT - 22
    step = (_CHART_WIDTH - 2 * left) / len(bars)
    scale = (bottom - 22) / top
    for number, messages in enumerate(bars):
        height = messages * scale
        canvas.box(left + number * step, bottom - height, max(1.0, step - 1), height, _BAR_COLOR)
    if shows_limit and limit is not None:
        y = bottom - limit * scale
        canvas.line([(left, y), (_CHART_WIDTH - left, y)], _LIMIT_COLOR, width=1.4, dash="5 3")
        text = f"rate: {limit:,.0f} per {unit}"
        canvas.text(_CHART_WIDTH - left, y - 4, text, size=11, color=_LIMIT_COLOR, anchor="end")
    canvas.text(left, 13, f"{most:,} messages per {unit} at most", size=12, color=INK)
    start = datetime.fromisoformat(result["start"])
    for share in (0.0, 0.5, 1.0):
        at = start + timedelta(hours=share * len(by_hour))
        anchor = {0.0: "start", 0.5: "middle", 1.0: "end"}[share]
        x, y = left + share * (_CHART_WIDTH - 2 * left), _CHART_HEIGHT - 6
        canvas.text(x, y, f"{at:%d %b %H:%M}", size=11, color=FAINT_INK, anchor=anchor)
    return canvas.svg()


# --- ends, test, assumptions ----------------------------------------------------------------------


def _ends(result: Result) -> str:
    rows = [*result["ended"].items(), ("still inside", result["still_inside"])]
    refused = [(f"did not enter: {k}", n) for k, n in result["population"]["refused"].items()]
    errors = [(f"failed: {shorten(k, 90)}", n) for k, n in result["errors"].items()]
    return _section("How runs end", _rows(("End", "People"), [*rows, *refused, *errors]))


def _test(result: Result) -> str:
    test = result["ab_test"]
    if test is None:
        return ""
    arms = _rows(
        (f"Arm of {test['split']}", "Contacts"),
        [
            (f"{name} (holdout)" if arm["is_holdout"] else name, arm["contacts"])
            for name, arm in test["arms"].items()
        ],
    )
    baseline = test["baseline_pct"]
    if baseline is None:
        text = "The simulated metric is 0, so that no time can be estimated."
        return _section("How long the test takes", arms + f"<p>{text}</p>")
    rows = "".join(
        f"<tr><th scope=row>{each['lift_pct']} % better"
        f"<td>{_number(each['needed_per_arm'])}<td>{_days(each)}"
        for each in test["decisions"]
    )
    metric = test["metric"].replace("_", " ")
    return _section(
        "How long the test takes",
        f"{arms}<p>With a {metric} of {baseline:.2f} %, a decision needs:</p>"
        "<table><thead><tr><th scope=col>Difference<th scope=col>Contacts in each arm"
        f"<th scope=col>Days until then</thead><tbody>{rows}</tbody></table>"
        "<p class=note>A difference of this size is found with a chance of 80 %.</p>",
    )


def _days(decision: Mapping[str, Any]) -> str:
    if decision["days"] is not None:
        return f"{decision['days']:g}"
    pace = decision["days_at_this_pace"]
    return "–" if pace is None else f"not with these people; {pace:,.0f} at this pace"


def _assumptions(result: Result) -> str:
    rows = []
    for node_id, each in result["rates"].items():
        values = [f"{100 * each[name]:.3g} %" for name in ("opened", "clicked", "unsubscribed")]
        rows.append(
            f"<tr><th scope=row>{escape(node_id)}"
            + "".join(f"<td>{value}" for value in values)
            + f"<td>{escape(each['source'])}"
        )
    for name, each in result["events"].items():
        rows.append(
            f"<tr><th scope=row>{escape(name)}<td>{100 * each['rate']:.3g} %<td><td>"
            f"<td>{escape(each['source'])}"
        )
    table = (
        "<div class=wide><table><thead><tr><th scope=col>Message or event<th scope=col>Opened, or"
        " follows a message<th scope=col>Clicked, of opened<th scope=col>Unsubscribed"
        f"<th scope=col>Rates from</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    left_out = "".join(f"<li>{escape(text)}" for text in result["left_out"])
    return _section("What was assumed", table) + _section(
        "What is left out", f"<ul>{left_out}</ul>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _rows(heads: tuple[str, str], rows: Any) -> str:
    cells = "".join(f"<tr><th scope=row>{escape(str(k))}<td>{n:,}" for k, n in rows)
    if not cells:
        return ""
    return (
        f"<table><thead><tr><th scope=col>{escape(heads[0])}<th scope=col>{escape(heads[1])}"
        f"</thead><tbody>{cells}</tbody></table>"
    )


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _length(hours: float | None) -> str:
    if hours is None:
        return "not within the time"
    if hours < 48:
        return f"{hours:.3g} hours"
    return f"{hours / 24:.3g} days"


def _time(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%a %d %b %H:%M}"


def text_lines(result: Result) -> Iterator[str]:
    """Yield the result as lines for a terminal."""
    yield _sentence(result)
    hours = result["hours_to_end"]
    yield f"half have ended after {_length(hours['median'])}, 95 % after {_length(hours['p95'])}"
    for channel, each in result["messages"].items():
        yield f"{channel}: {_queue(each)}"
        if each["peak_hour"]:
            yield f"  busiest hour: {each['peak_messages']:,} from {_time(each['peak_hour'])}"
    for title, numbers in (
        ("ends", result["ended"]),
        ("held by rule", result["held"]),
        ("not sent", result["skipped"]),
        ("did not enter", result["population"]["refused"]),
        ("errors", result["errors"]),
    ):
        if numbers:
            yield f"{title}: " + ", ".join(f"{n:,} {name}" for name, n in numbers.items())
    if result["still_inside"]:
        yield f"still inside: {result['still_inside']:,}"
    test = result["ab_test"]
    if test is not None:
        arms = ", ".join(f"{arm['contacts']:,} {name}" for name, arm in test["arms"].items())
        yield f"A/B test of {test['split']}: {arms}"
        for each in test["decisions"]:
            if each["needed_per_arm"] is not None:
                yield (
                    f"  {each['lift_pct']} % better: {each['needed_per_arm']:,} contacts in each"
                    f" arm; days: {_days(each)}"
                )
    sources = sorted({each["source"] for each in result["rates"].values()})
    yield f"rates from: {'; '.join(sources) or 'no messages'}"
