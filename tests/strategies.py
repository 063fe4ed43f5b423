"""Hypothesis strategies for random valid campaign files: linear, branching, A/B test.

Plain dicts in every accepted form, so that reading, completion, validation and compilation are
all tested. `valid_files()` generates any of them; publish them with KNOWN_CUSTOM_FIELDS and
ALL_CHANNELS.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.wait_strategies import (
    PORTS_OF_WAITS,
    conditions,
    contact_waits,
    duration_waits,
    durations,
    event_waits,
)

KNOWN_CUSTOM_FIELDS = frozenset({"plan", "city", "visits"})
ALL_CHANNELS = frozenset({"email", "sms", "social", "webhook"})

File = dict[str, Any]

_WORDS = st.sampled_from(
    ["Hello", "news", "offer", "week", "Grüße", "你好", "50 %", "<b>", "& more", "—", "🙂"]
)
_OUTPUTS = st.sampled_from(
    [
        "{{ first_name }}",
        "{{ company_name | default: 'you' }}",
        "{{ plan }}",
        "{{ custom_fields.city }}",
        "{% if company %}{{ company }}{% endif %}",
    ]
)
_NAMES = st.text("abcdefghijklmnop_", min_size=1, max_size=12)


def texts() -> st.SearchStrategy[str]:
    """Generate one line of words and known variables, never empty."""
    return st.lists(_WORDS | _OUTPUTS, min_size=1, max_size=6).map(" ".join)


@st.composite
def emails(draw: st.DrawFn) -> dict[str, Any]:
    """Generate a valid channel_config.email."""
    email: dict[str, Any] = {"subject": draw(texts())}
    body = draw(texts()) + draw(st.sampled_from(["", "\n\n{{ unsubscribe_url }}"]))
    html = f"<p>{draw(texts())}</p>"
    kinds = draw(st.sampled_from(["body", "html", "both"]))
    if kinds != "html":
        email["body"] = body
    if kinds != "body":
        email["body_html"] = html
    if draw(st.booleans()):
        email["preheader"] = draw(texts())
    if draw(st.booleans()):
        email["personalization_enabled"] = draw(st.booleans())
    return email


@st.composite
def action_steps(draw: st.DrawFn) -> dict[str, Any]:
    """Generate the configuration keys of an action step: any of the seven actions."""
    kinds = ["tag", "score", "field_update", "variable", "webhook", "sms", "social"]
    kind = draw(st.sampled_from(kinds))
    match kind:
        case "tag":
            config: Any = {"add": [draw(_NAMES)]}
        case "score":
            key, least = draw(st.sampled_from([("delta", -100), ("set", 0)]))
            config = {key: draw(st.integers(least, 100))}
        case "field_update":
            value = draw(st.text("xyz", max_size=4) | st.integers(0, 9))
            config = {"field": draw(st.sampled_from(["plan", "city", "company"])), "value": value}
        case "variable":
            values: list[Any] = ["{{ email }}", "{{ vars.x | plus: 1 }}", 7, None, [1]]
            config = {"set": {draw(st.sampled_from("xyz")): draw(st.sampled_from(values))}}
        case "webhook":
            return {
                "action_config": {
                    "type": "webhook",
                    "webhook": {
                        "url": "https://hooks.example.com/in",
                        "payload": {"who": "{{ email }}", "text": draw(texts())},
                    },
                }
            }
        case "sms":
            return {"channel_config": {"sms": {"body": draw(texts())}}}
        case _:
            post = {"platform": "mastodon", "content": "News from {{ campaign_name }}"}
            return {"channel_config": {"social": post}}
    return {"action_config": {"type": kind, "config": config}}


@st.composite
def _settings(draw: st.DrawFn, campaign_type: str) -> dict[str, Any]:
    config: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {
                "name": st.text("abc DEF", min_size=1, max_size=20).filter(str.strip),
                "campaign_type": st.just(campaign_type),
            },
            optional={
                "description": st.text(max_size=30).filter(
                    lambda text: "\x00" not in text and text.isprintable()
                ),
                "goal": st.just("More readers"),
                "goal_metric": st.sampled_from(["open_rate", "reply_rate", "engagement_score"]),
                "sequence_type": st.sampled_from(["onboarding", "custom"]),
                "tags": st.lists(_NAMES, max_size=3, unique=True),
                "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
                "re_entry": st.sampled_from(
                    ["once", "after_exit", "per_key", {"after_days": 30}, {"after_days": 0.5}]
                ),
                "resume_spread_minutes": st.integers(0, 600),
                "goal_event": st.sampled_from(
                    [
                        {"event_type": "purchase"},
                        {"event_type": "page_view", "within": {"value": 36, "unit": "hours"}},
                    ]
                ),
            },
        )
    )
    return config


@st.composite
def linear_files(draw: st.DrawFn) -> File:
    """Generate a valid linear file of steps alone."""
    file: File = draw(_settings("linear"))
    steps: list[dict[str, Any]] = []
    kinds = draw(
        st.lists(
            st.sampled_from(
                ["email", "flat email", "wait", "event wait", "contact wait", "action"]
            ),
            min_size=1,
            max_size=6,
        )
    )
    for index, kind in enumerate(kinds):
        step: dict[str, Any] = {}
        if draw(st.booleans()):
            step["node_id"] = f"n{index}"
        if draw(st.booleans()):
            step["step_name"] = draw(st.sampled_from(["Welcome", "Once more", "Größe"]))
        if kind == "email":
            step |= {"node_type": "email", "channel_config": {"email": draw(emails())}}
            if draw(st.booleans()):
                step["day_delay"] = draw(st.integers(0, 9))
        elif kind == "flat email":
            step |= {"subject_line": draw(texts()), "email_body": draw(texts())}
            step["day_delay"] = draw(st.integers(0, 9))
        elif kind == "wait":
            step |= {"node_type": "wait", "wait_config": draw(duration_waits())}
        elif kind == "event wait":
            step |= {"node_type": "wait", "wait_config": draw(event_waits())}
        elif kind == "contact wait":
            step |= {"node_type": "wait", "wait_config": draw(contact_waits())}
        else:
            step |= {"node_type": "action", **draw(action_steps())}
        steps.append(step)
    return file | {"steps": steps}


class _CanvasBuilder:
    """A canvas that grows: nodes, steps and edges, in every accepted form."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []

    def add(self, node_type: str, **config: Any) -> str:
        node_id = f"{node_type}_{len(self.nodes)}"
        position = {"x": 200 * len(self.nodes), "y": self._draw(st.integers(0, 400))}
        node: dict[str, Any] = {"id": node_id, "type": node_type, "position": position}
        node["data"] = {"label": f"The {node_type}"}
        if self._draw(st.booleans()):
            node |= {"selected": False, "width": 150}  # added by React Flow
        step: dict[str, Any] = {"node_id": node_id, "node_type": node_type, **config}
        if config and self._draw(st.integers(0, 4)) == 0:
            node["data"]["config"] = config  # on the canvas only
        elif bool(config) or self._draw(st.booleans()):
            self.steps.append(step)
        self.nodes.append(node)
        return node_id

    def connect(self, source: str, target: str, handle: str | None = None, **more: Any) -> None:
        edge: dict[str, Any] = {"id": f"e{len(self.edges)}", "source": source, "target": target}
        if handle is not None:
            edge["sourceHandle"] = handle
        if self._draw(st.integers(0, 5)) == 0:
            edge["data"] = {"delay": self._draw(durations())}
        self.edges.append(edge | more)

    def message(self) -> str:
        return self.add("email", channel_config={"email": self._draw(emails())})

    def chain(self, source: str, handle: str | None = None, **more: Any) -> str:
        """Add a few consecutive nodes after `source`; return the last one's id."""
        last = source
        for kind in self._draw(
            st.lists(st.sampled_from(["email", "wait", "action"]), min_size=1, max_size=3)
        ):
            if kind == "email":
                node = self.message()
            elif kind == "wait":
                node = self.add("wait", wait_config=self._draw(duration_waits()))
            else:
                node = self.add("action", **self._draw(action_steps()))
            if last == source:
                self.connect(last, node, handle, **more)
            else:
                self.connect(last, node)
            last = node
        return last

    def canvas(self) -> dict[str, Any]:
        order = self._draw(st.permutations(self.edges))
        return {"nodes": self.nodes, "edges": order, "viewport": {"x": 0, "y": 0, "zoom": 1}}


def _grow(
    canvas_builder: _CanvasBuilder, draw: st.DrawFn, source: str, exit_node: str, depth: int
) -> None:
    """Add after `source` nothing, the exit, or a wait or condition with a subtree per port."""
    kind = draw(
        st.sampled_from(["exit", "end", "wait", "condition", "loop"] if depth else ["exit"])
    )
    if kind == "exit":
        canvas_builder.connect(source, exit_node)
    elif kind == "wait":
        config = draw(event_waits() | contact_waits())
        wait = canvas_builder.add("wait", wait_config=config)
        canvas_builder.connect(source, wait)
        for port in PORTS_OF_WAITS[config["type"]]:
            _grow(canvas_builder, draw, canvas_builder.chain(wait, port), exit_node, depth - 1)
    elif kind == "condition":
        _grow_condition(canvas_builder, draw, source, exit_node, depth)
    elif kind == "loop":
        message = canvas_builder.message()
        canvas_builder.connect(source, message)
        branches = [{"id": "again", "condition": draw(conditions(0))}, {"id": "enough"}]
        choice = canvas_builder.add("condition", conditional_branches=branches)
        pause = canvas_builder.add("wait", wait_config=draw(duration_waits(minimum=1)))
        canvas_builder.connect(message, choice)
        canvas_builder.connect(choice, pause, "again")
        canvas_builder.connect(pause, message)
        canvas_builder.connect(choice, exit_node, "enough")


def _grow_condition(
    canvas_builder: _CanvasBuilder, draw: st.DrawFn, source: str, exit_node: str, depth: int
) -> None:
    count = draw(st.integers(1, 3))
    branches: list[dict[str, Any]] = [
        {"id": f"b{index}", "condition": draw(conditions(1))} for index in range(count)
    ]
    branches.insert(draw(st.integers(0, count)), {"id": "else"})
    node = canvas_builder.add("condition", conditional_branches=branches)
    canvas_builder.connect(source, node)
    by_type = count == 1 and draw(st.booleans())
    for branch in branches:
        if by_type:
            kind = "conditional-true" if "condition" in branch else "conditional-false"
            last = canvas_builder.chain(node, None, type=kind)
        else:
            last = canvas_builder.chain(node, branch["id"])
        if draw(st.booleans()):
            branch["target_node_id"] = next(
                edge["target"]
                for edge in canvas_builder.edges
                if edge["source"] == node
                and (
                    edge.get("type") == kind
                    if by_type
                    else edge.get("sourceHandle") == branch["id"]
                )
            )
        _grow(canvas_builder, draw, last, exit_node, depth - 1)


@st.composite
def branching_files(draw: st.DrawFn) -> File:
    """Generate a valid branching file: conditions, waits for events, cycles through a wait."""
    canvas_builder = _CanvasBuilder(draw)
    triggers = st.sampled_from(
        [
            {"trigger": "manual"},
            {"trigger": "tag", "tag": "vip"},
            {"trigger": "score", "at_least": 80},
            {"trigger": "schedule", "cron": "0 9 * * 1"},
            {"trigger": "event", "event_type": "purchase", "backfill": True},
        ]
    )
    start = canvas_builder.add("trigger", trigger_config=draw(triggers))
    end = canvas_builder.add("exit")
    last = canvas_builder.chain(start)
    _grow_condition(canvas_builder, draw, last, end, draw(st.integers(1, 2)))
    if not any(edge["target"] == end for edge in canvas_builder.edges):
        canvas_builder.nodes = [node for node in canvas_builder.nodes if node["id"] != end]
        canvas_builder.steps = [step for step in canvas_builder.steps if step["node_id"] != end]
    file: File = draw(_settings("branching"))
    return file | {"canvas_data": canvas_builder.canvas(), "steps": canvas_builder.steps}


@st.composite
def weights(draw: st.DrawFn, count: int) -> list[float]:
    """Generate `count` percentages that sum to 100, some of them fractional."""
    parts = draw(st.lists(st.integers(1, 1000), min_size=count, max_size=count))
    found = [round(100 * part / sum(parts), 2) for part in parts]
    found[-1] = round(100 - sum(found[:-1]), 2)
    return found


@st.composite
def ab_test_files(draw: st.DrawFn) -> File:
    """Generate a valid A/B test: 2 to 4 variants, weights in any key, sometimes a holdout."""
    canvas_builder = _CanvasBuilder(draw)
    start = canvas_builder.add("trigger")
    last = canvas_builder.chain(start) if draw(st.booleans()) else start
    count = draw(st.integers(2, 4))
    ids = [f"variant_{'abcd'[index]}" for index in range(count)]
    held_out = draw(st.sampled_from(["none", "variant", "percentage"]))
    if held_out == "variant":
        ids.append("quiet")
    shares = dict(zip(ids, draw(weights(len(ids))), strict=True))
    tested: list[dict[str, Any]] = [
        {"id": name, "name": name.title(), "percentage": share} for name, share in shares.items()
    ]
    if held_out == "variant":
        tested[-1]["holdout"] = True
    split_config: dict[str, Any] = {}
    if draw(st.booleans()):
        split_config["variants"] = [{"id": v["id"], "percentage": v["percentage"]} for v in tested]
        if draw(st.booleans()):
            for variant in tested:
                del variant["percentage"]
    split = canvas_builder.add("split", **split_config)
    canvas_builder.connect(last, split)
    end = canvas_builder.add("exit")
    how = draw(st.sampled_from(["handle", "type"]))
    for name in ids:
        if name == "quiet":
            continue
        more = {"type": name.replace("_", "-")} if how == "type" else {}
        final = canvas_builder.chain(split, name if how == "handle" else None, **more)
        canvas_builder.connect(final, end)
    config: dict[str, Any] = {
        "enabled": True,
        "variants": tested,
        "winner_metric": draw(st.sampled_from(["open_rate", "click_rate", "engagement_score"])),
        "minimum_sample_size": draw(st.integers(1, 10_000)),
        "confidence_threshold": draw(st.sampled_from([90, 95.0, 99.5])),
        "auto_select_winner": draw(st.booleans()),
    }
    if held_out == "percentage":
        config["holdout_percentage"] = draw(st.sampled_from([5, 12.5]))
    file: File = draw(_settings("ab_test"))
    return file | {
        "ab_test_config": config,
        "canvas_data": canvas_builder.canvas(),
        "steps": canvas_builder.steps,
    }


def valid_files() -> st.SearchStrategy[File]:
    """Generate any valid campaign file."""
    return st.one_of(linear_files(), branching_files(), ab_test_files())
