"""The simulation: the same paths as the real engine, limits and rates in force, the same bytes for
the same seed, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.in_memory.observer import SettledMessage
from drip_pipeline.engine.in_memory.store import MemoryMessage
from drip_pipeline.engine.simulation.inputs import (
    SimulatedCampaign,
    campaign_of_database,
    campaign_of_file,
    sample,
)
from drip_pipeline.engine.simulation.population import from_file, made_up
from drip_pipeline.engine.simulation.reaction_rates import (
    Measured,
    Rates,
    RatesFile,
    rates_of_nodes,
    read_rates,
    read_share,
)
from drip_pipeline.engine.simulation.reactions import ReactionModel, modeled_events
from drip_pipeline.engine.simulation.result import result_of
from drip_pipeline.engine.simulation.simulate import (
    SimulatedPerson,
    SimulationRun,
    SimulationSetup,
    simulate,
)
from drip_pipeline.engine.simulation.tally import Tally
from drip_pipeline.errors import ImportFileError
from drip_pipeline.reports.simulation_page import simulation_page
from drip_pipeline.settings import CHECKOUT
from tests.engine.factories import NOW, rows_of
from tests.engine.in_memory.both_engines import BothEngines, Happening, MemoryLog, some_people
from tests.engine.in_memory.test_both_engines import NIGHTS, example

EXAMPLES = CHECKOUT / "examples"
NO_FILE = RatesFile()
LIVELY = RatesFile(
    default={
        "opened": 0.7, "clicked": 0.5, "replied": 0.2, "bounced": 0.1, "unsubscribed": 0.1,
        "complained": 0.05, "open_hours": 20, "click_hours": 10,
    }
)  # fmt: skip
MAIL = "channel_config: {email: {subject: Hello, body: '{{ unsubscribe_url }}'}}"
ONE_MAIL = f"""
name: One mail
steps:
  - {{node_id: hello, node_type: email, step_name: Hello, {MAIL}}}
  - {{node_id: day, node_type: wait, step_name: Day,
     wait_config: {{type: duration, value: 1, unit: days}}}}
"""


class LoggingTally(Tally):
    """A tally that also keeps the events of each run."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.log = MemoryLog()

    def moved(self, transition: Any, now: datetime) -> None:
        super().moved(transition, now)
        self.log.moved(transition, now)

    def settled(self, messages: Sequence[SettledMessage], now: datetime) -> None:
        super().settled(messages, now)
        self.log.settled(messages, now)


class RecordingModel(ReactionModel):
    """A model that remembers the reactions by message."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.drawn: dict[UUID, Any] = {}

    def react(self, message: MemoryMessage, now: datetime) -> Any:
        reactions = super().react(message, now)
        self.drawn[message.id] = reactions
        return reactions


def model_of(campaign: SimulatedCampaign, file: RatesFile, seed: int = 1) -> RecordingModel:
    rates = rates_of_nodes(campaign.channels(), (), file, {})
    events, _ = modeled_events(campaign.version.graph, file.events)
    return RecordingModel(seed, rates, events)


@pytest.mark.parametrize("name", ["winback", "trial_activation", "nights"])
def test_simulated_and_really_run_take_the_same_paths(database: Database, name: str) -> None:
    text = NIGHTS if name == "nights" else example(name)
    quiet = {"from": "20:00", "to": "08:00"}
    both = BothEngines.begin(
        database, text, some_people(25, seed=11), quiet_hours=quiet, zone="Europe/Berlin"
    )
    campaign = campaign_of_database(database, both.store.version.campaign_name, NOW)
    contacts = {person.contact_id: person for person in sample(
        database, campaign.version.workspace_id, 100, seed=1
    )}  # fmt: skip
    # Reactions are drawn by the ids of messages, which follow from the ids of runs.
    population = [
        contacts[run.contact.id]._replace(run_id=run.id) for run in both.store.runs.values()
    ]
    lively = LIVELY.model_copy(update={"events": RatesFile.model_validate(
        {"events": {"purchase": {"rate": 0.3}, "report_created": {"rate": 0.6, "hours": 5},
                    "subscription_started": {"rate": 0.1}}}
    ).events})  # fmt: skip
    model = model_of(campaign, lively)
    setup = SimulationSetup(
        campaign.version, population, model, NOW, 12, campaign.rules, campaign.time_zone
    )
    run = simulate(setup, tally_type=LoggingTally)
    assert isinstance(run.tally, LoggingTally)

    def react(email: str, message: MemoryMessage, now: datetime) -> list[Happening]:
        return [
            Happening(
                each.at, email, each.event_type, each.data,
                message.id if each.is_of_message else None, message.note.node_id,
            )
            for each in model.drawn[message.id]
        ]  # fmt: skip

    both.run(react, days=12)
    real = both.real()
    both.store, both.log = run.store, run.tally.log
    simulated = both.simulated()
    for email in real.events:
        assert simulated.events[email] == real.events[email], email
        assert simulated.states[email] == real.states[email], email
        assert simulated.contacts[email] == real.contacts[email], email
    kinds = {event[1] for log in real.events.values() for event in log}
    assert kinds >= {"email_sent", "enrollment_exited", "message_held"}


def a_file(folder: Path, text: str) -> SimulatedCampaign:
    path = folder / "campaign.yaml"
    path.write_text(text, encoding="utf-8")
    return campaign_of_file(path)


def run_of(
    campaign: SimulatedCampaign,
    people: Sequence[SimulatedPerson] | int = 200,
    *,
    seed: int = 1,
    file: RatesFile = NO_FILE,
    **changes: Any,
) -> SimulationRun:
    population = (
        made_up(campaign.version.graph, people, seed=seed, now=NOW)
        if isinstance(people, int)
        else people
    )
    setup = SimulationSetup(
        campaign.version, population, model_of(campaign, file, seed), NOW, 30, campaign.rules
    )
    return simulate(replace(setup, **changes))


def result(run: SimulationRun, campaign: SimulatedCampaign, seed: int = 1) -> dict[str, Any]:
    rates = rates_of_nodes(campaign.channels(), (), RatesFile(), {})
    events, _ = modeled_events(campaign.version.graph, {})
    return result_of(run, campaign, rates, events, seed=seed, refused={})


@pytest.mark.parametrize("name", ["winback", "subject_test", "order_followup"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(name: str) -> None:
    campaign = campaign_of_file(EXAMPLES / f"{name}.yaml")
    pages = [
        (json.dumps(each := result(run_of(campaign, 300, seed=seed), campaign, seed)),
         simulation_page(each))
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert pages[0] == pages[1]
    assert pages[0][0] != pages[2][0]


def test_everybody_is_somewhere(tmp_path: Path) -> None:
    campaign = campaign_of_file(EXAMPLES / "winback.yaml")
    data = result(run_of(campaign, 500, file=LIVELY), campaign)
    ended = sum(data["ended"].values())
    assert data["population"]["entered"] == 500 == ended + data["still_inside"]
    over_time = data["over_time"]
    for frame in range(len(over_time["entered"])):
        inside = sum(counts[frame] for counts in over_time["at_node"].values())
        gone = sum(counts[frame] for counts in over_time["ended"].values())
        assert inside + gone == over_time["entered"][frame]
    email = data["messages"]["email"]
    assert email["total"] == sum(email["by_day"]) == sum(email["by_hour"])
    assert email["total"] == sum(node["sent"] for node in data["nodes"])


def test_the_rate_of_a_channel_makes_a_queue_that_clears(tmp_path: Path) -> None:
    campaign = a_file(tmp_path, ONE_MAIL)
    run = run_of(campaign, 1_000, rates={"email": 0.5})
    email = result(run, campaign)["messages"]["email"]
    assert (email["total"], email["longest_queue"]) == (1_000, 970)
    # 30 a minute: the last of the 1,000 in the 34th.
    assert datetime.fromisoformat(email["queue_cleared_at"]) == NOW + timedelta(minutes=33)
    busy = {"email": dict.fromkeys(range(168), 900.0)}
    slower = run_of(campaign, 1_000, rates={"email": 0.5}, others=busy)
    assert slower.cleared_at["email"] == NOW + timedelta(minutes=66)


def test_limits_of_entries_are_in_force(tmp_path: Path) -> None:
    campaign = a_file(tmp_path, f"per_day: 100\nmax_people: 250\n{ONE_MAIL}")
    run = run_of(campaign, 300)
    assert run.refused == {"over_max_people": 50}
    # The day ends 15 hours after NOW.
    assert dict(run.tally.entries) == {0: 100, 15: 100, 39: 50}
    spread = run_of(a_file(tmp_path, ONE_MAIL), 48, entry_span=timedelta(hours=24))
    assert set(spread.tally.entries.values()) == {2}


def test_windows_hold_messages(tmp_path: Path) -> None:
    window = 'send_window: {from: "12:00", to: "18:00", timezone: UTC}\n'
    run = run_of(a_file(tmp_path, window + ONE_MAIL), 100)
    assert dict(run.tally.held_by_rule) == {"send_window": 100}
    assert {hour for hour, _, _ in run.tally.sent} == {3}


def test_arms_and_the_days_until_a_decision() -> None:
    campaign = campaign_of_file(EXAMPLES / "subject_test.yaml")
    file = RatesFile(default={"opened": 0.98, "clicked": 0.85, "open_hours": 1})
    run = run_of(campaign, 1_600, file=file, entry_span=timedelta(days=4))
    test = result(run, campaign)["ab_test"]
    assert sum(arm["contacts"] for arm in test["arms"].values()) == 1_600
    assert 75 < test["baseline_pct"] < 88
    five, ten, twenty = test["decisions"]
    assert five["needed_per_arm"] > ten["needed_per_arm"] > twenty["needed_per_arm"] >= 500
    assert 2 < twenty["days"] <= ten["days"] < 4
    few = result(run_of(campaign, 100), campaign)["ab_test"]["decisions"][0]
    assert few["days"] is None
    assert few["days_at_this_pace"] > 100


def test_made_up_people_take_every_branch_of_the_example() -> None:
    campaign = campaign_of_file(EXAMPLES / "winback.yaml")
    run = run_of(campaign, 800, file=LIVELY)
    assert {node for node in campaign.version.graph.nodes if not run.tally.passed[node]} == set()


def test_people_of_a_file_enter_and_those_who_refuse_do_not(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(
        "email,name,ai_score,unsubscribed\nann@example.com,Ann,70,\nbob@example.com,Bob,5,yes\n"
        "ann@example.com,Ann,70,\nnobody,,,\n",
        encoding="utf-8",
    )
    people, refused = from_file(path, now=NOW)
    assert [person.row["email"] for person in people] == ["ann@example.com"]
    assert people[0].row["ai_score"] == 70
    assert sum(refused.values()) == 3
    again, _ = from_file(path, now=NOW)
    assert again == people


def test_events_satisfy_the_matchers_of_the_campaign() -> None:
    campaign = campaign_of_file(EXAMPLES / "order_followup.yaml")
    file = RatesFile.model_validate({"events": {"order.shipped": {"rate": 1, "hours": 1}}})
    people = [
        SimulatedPerson(
            uuid5(NAMESPACE_URL, str(n)),
            uuid5(NAMESPACE_URL, f"run {n}"),
            {"email": f"person{n}@example.com"},
            {"order_id": f"A-{n}", "total": 5},
        )
        for n in range(20)
    ]
    run = run_of(campaign, people, file=file)
    assert run.tally.passed["on_its_way"] >= 19  # but for bounces


def measured(node_id: str | None, messages: int, **counts: int) -> Measured:
    values: Mapping[str, Any] = {
        "bounced": 0, "opened": 0, "clicked": 0, "replied": 0, "unsubscribed": 0, "complained": 0,
    } | counts  # fmt: skip
    return Measured(node_id, "email", messages, **values, open_hours=2.0, click_hours=None)


def test_rates_come_from_options_the_file_the_log_and_the_defaults_in_this_order() -> None:
    channels = {"a": "email", "b": "email", "c": "sms"}
    log = [measured("a", 1_000, opened=500, clicked=100), measured("b", 50, opened=50),
           measured(None, 2_000, opened=400)]  # fmt: skip
    file = RatesFile.model_validate(
        {"default": {"replied": "5%"}, "nodes": {"b": {"clicked": 0.9}}}
    )
    rates = rates_of_nodes(channels, log, file, {"unsubscribed": 0.4})
    of = {node: each.rates for node, each in rates.items()}
    assert (of["a"].opened, of["a"].clicked, of["a"].replied) == (0.5, 0.2, 0.05)
    assert (of["b"].opened, of["b"].clicked) == (0.2, 0.9)
    assert of["c"].opened == Rates().opened
    assert {each.unsubscribed for each in of.values()} == {0.4}
    assert rates["a"].source == "1,000 messages of this node, options, file"
    assert 2.8 < of["a"].open_hours < 2.9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes: {hello: {opend: 0.1}}", "opend"),
        ("default: {opened: 30}", "is not between 0 and 1; write 0.25 or 25%"),
        ("events: {purchase: {hours: 3}}", "rate is missing"),
        ("- 1", "must be an object"),
        ("nodes: [", "line 1"),
    ],
)
def test_a_wrong_file_of_rates_is_named(text: str, said: str) -> None:
    with pytest.raises(ImportFileError) as error:
        read_rates(text, "rates.yaml")
    assert said in str(error.value)


def test_shares_are_read() -> None:
    assert (read_share("25%"), read_share("0.25"), read_share(1)) == (0.25, 0.25, 1.0)
    for wrong in ("x", "-1", "101%", "nan", True):
        with pytest.raises(ValueError, match="is not"):
            read_share(wrong)


def test_a_simulation_changes_nothing_in_the_database(database: Database) -> None:
    both = BothEngines.begin(
        database, (EXAMPLES / "winback.yaml").read_text(encoding="utf-8"), some_people(10, seed=1)
    )
    tables = ("contacts", "campaign_enrollments", "campaign_workflow_states", "campaign_events",
              "campaign_deliveries", "operator_actions")  # fmt: skip
    with database.transaction() as connection:
        before = {table: rows_of(connection, table) for table in tables}
    campaign = campaign_of_database(database, both.store.version.campaign_name, NOW)
    people = sample(database, campaign.version.workspace_id, 100, seed=1)
    assert len(people) == 10
    assert result(run_of(campaign, people), campaign)["population"]["entered"] == 10
    with database.transaction() as connection:
        assert {table: rows_of(connection, table) for table in tables} == before
