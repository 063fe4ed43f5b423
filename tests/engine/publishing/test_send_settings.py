"""Kind and send window of a campaign file: validated, compiled, stored, exported, compared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.compiler.api import compile_graph, load_definition, validate
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.campaigns.campaign import show_campaign
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings
from tests.cli.conftest import Drip, answered, drip
from tests.engine.factories import NOW

__all__ = ["drip"]

WINDOW: dict[str, Any] = {"from": "9:00", "to": "20:00", "days": ["monday", "TUE"]}


def mail(node_id: str, **keys: Any) -> dict[str, Any]:
    text = {"subject": "Hello", "body": "A text. {{ unsubscribe_url }}"}
    step = {"node_id": node_id, "node_type": "email", "step_name": node_id}
    return {**step, "channel_config": {"email": text}, **keys}


def a_file(*steps: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"name": "Welcome", "steps": list(steps) or [mail("one")], **keys}


def errors(file: dict[str, Any]) -> list[tuple[str | None, str]]:
    problems = validate(
        load_definition(file),
        known_custom_fields=frozenset(),
        available_channels=frozenset({"email"}),
    )
    return [(each.node_id, each.code) for each in problems if each.severity == "error"]


def compiled(file: dict[str, Any]) -> CampaignGraph:
    graph = compile_graph(load_definition(file), {})
    stored = CampaignGraph.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert stored == graph
    return graph


def test_a_step_overrides_its_campaign() -> None:
    own = {"from": "00:00", "to": "24:00"}
    file = a_file(
        mail("one"), mail("two", kind="transactional", send_window=own), send_window=WINDOW
    )
    assert errors(file) == []
    one, two = (compiled(file).nodes[node_id] for node_id in ("one", "two"))
    assert one.send_window is not None
    assert two.send_window is not None
    assert (one.kind, one.send_window.start, one.send_window.days) == (
        "marketing", "09:00", ("mon", "tue"),
    )  # fmt: skip
    assert (two.kind, two.send_window.end) == ("transactional", "24:00")
    assert "send_window" not in compiled(a_file()).nodes["one"].to_dict()


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"send_window": {"from": "09:00"}}, "config_missing"),
        ({"send_window": {"from": "09:00", "to": "25:00"}}, "time_of_day"),
        ({"send_window": {**WINDOW, "days": []}}, "weekday"),
        ({"send_window": {**WINDOW, "timezone": "Middle-earth"}}, "zone_unknown"),
        ({"send_window": {**WINDOW, "otherwise": "drop"}}, "config_invalid"),
        (
            {"send_window": {**WINDOW, "max_delay": {"value": 1, "unit": "eons"}}},
            "config_invalid",
        ),
        ({"send_window": {**WINDOW, "start": "09:00"}}, "config_unknown_key"),
        ({"kind": "spam"}, "config_invalid"),
    ],
)
def test_what_means_nothing_is_refused(keys: dict[str, Any], code: str) -> None:
    assert errors(a_file(**keys)) == [(None, code)]
    assert errors(a_file(mail("one", **keys))) == [("one", code)]


@pytest.mark.parametrize("keys", [{"kind": "transactional"}, {"send_window": WINDOW}])
def test_only_messages_to_a_person_have_a_window(keys: dict[str, Any]) -> None:
    wait = {"type": "duration", "value": 1, "unit": "days"}
    step = {"node_id": "w", "node_type": "wait", "step_name": "Wait", "wait_config": wait}
    (key,) = keys
    assert errors(a_file(mail("one"), {**step, **keys})) == [("w", f"{key}_misplaced")]


def test_a_window_is_stored_exported_and_compared(database: Database) -> None:
    file = a_file(
        mail("one", send_window={"from": "22:00", "to": "06:00", "otherwise": "skip"}),
        mail("two", kind="transactional"),
        kind="marketing",
        send_window=WINDOW,
    )
    options = PublishOptions(now=NOW, settings=Settings())
    report = publish(database, file, options)
    exported = export_file(database, "Welcome").file
    assert exported["send_window"] == WINDOW
    assert publish(database, exported, options).version == report.version
    shown = show_campaign(database, "Welcome").campaign.settings
    assert (shown["kind"], shown["send_window"]) == ("marketing", WINDOW)
    without = {key: value for key, value in file.items() if key != "send_window"}
    changes = compare_definitions(load_definition(file), load_definition(without)).changes
    assert [each.sentence for each in changes] == [
        "send window: 9:00 to 20:00 on monday, TUE → any time"
    ]
    other = a_file(mail("one", send_window={"from": "22:00", "to": "07:00"}), *file["steps"][1:])
    changes = compare_definitions(
        load_definition({**file, "steps": file["steps"]}),
        load_definition({**file, "steps": other["steps"]}),
    ).changes
    assert [(each.node_id, each.sentence) for each in changes] == [
        ("one", "send window: 22:00 to 06:00, else skip → 22:00 to 07:00")
    ]


def test_quiet_hours_are_set_shown_and_cleared(database: Database, drip: Drip) -> None:
    publish(database, a_file(), PublishOptions(now=NOW, settings=Settings()))
    quiet = ("workspace", "quiet-hours")
    assert "no quiet hours" in drip(*quiet, "show").stdout
    arguments = (*quiet, "set", "--from", "21:00", "--to", "8:00", "--days", "mon,tue")
    stored = answered(drip(*arguments, "--max-delay-hours", "12", "--json"))
    assert stored["is_changed"] is True
    assert stored["quiet_hours"]["to"] == "08:00"
    again = drip(*arguments, "--max-delay-hours", "12")
    text = "quiet hours: 21:00 to 08:00 on mon, tue, skip after 12 hours"
    assert f"{text}; unchanged" in again.stdout
    assert text in drip(*quiet, "show").stdout
    refused = drip(*quiet, "set", "--from", "0:00", "--to", "24:00")
    assert (refused.exit_code, "never end" in refused.stderr) == (1, True)
    assert answered(drip(*quiet, "show", "--json"))["quiet_hours"]["days"] == ["mon", "tue"]
    assert "quiet hours removed" in drip(*quiet, "clear", "--reason", "summer sale").stdout
    assert "no quiet hours" in drip(*quiet, "clear").stdout
    with database.transaction() as connection:
        actions = connection.execute(
            "SELECT action, reason FROM operator_actions WHERE action LIKE '%quiet%'"
            " ORDER BY occurred_at, action"
        ).fetchall()
    assert sorted(actions, key=str) == [
        ("clear_quiet_hours", "summer sale"), ("set_quiet_hours", None),
    ]  # fmt: skip
