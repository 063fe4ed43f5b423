"""The engine in memory and the real one give the same people the same paths, event by event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.in_memory.store import MemoryMessage
from drip_pipeline.settings import CHECKOUT
from tests.engine.factories import NOW
from tests.engine.in_memory.both_engines import BothEngines, Happening, React, some_people

ABOUT_MESSAGES: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("email_opened", {}),
    ("email_opened", {"machine": True}),
    ("email_clicked", {"url": "https://www.example.com/whats-new"}),
    ("email_clicked", {"machine": True}),
    ("email_bounced", {"bounce_type": "permanent"}),
    ("email_bounced", {"bounce_type": "soft"}),
    ("email_unsubscribed", {}),
    ("email_complained", {}),
)
OWN: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]] = {
    "winback": (("purchase", {"value": 5.0}), ("page_view", {})),
    "trial_activation": (
        ("report_created", {"is_sample": False, "pages": 4}),
        ("report_created", {"is_sample": True}),
        ("subscription_started", {}),
    ),
    "order_followup": (
        ("order.shipped", {"order_id": "A-1", "carrier": "Post"}),
        ("order.shipped", {"order_id": "A-2"}),
    ),
}
WAITS = """
name: Waits of many kinds
goal_event: {event_type: purchase, where: {type: field, field: value, operator: ">", value: 100}}
steps:
  - {node_id: hello, node_type: email, step_name: Hello,
     channel_config: {email: {subject: Hello, body: "{{ unsubscribe_url }}"}}}
  - node_id: several
    node_type: wait
    step_name: Several events
    wait_config:
      type: until_event
      max_wait: {value: 2, unit: days}
      events:
        - {id: clicked, event_type: email_clicked}
        - {id: viewed, event_type: page_view, count: {operator: ">=", value: 2}}
        - {id: small, event_type: purchase, machines: true}
  - {node_id: again, node_type: email, step_name: Again,
     channel_config: {email: {subject: Again, body: "{{ unsubscribe_url }}"}}}
  - {node_id: plain, node_type: wait, step_name: Plain,
     wait_config: {type: until_event, event_type: page_view, max_wait: {value: 1, unit: days}}}
  - {node_id: opened, node_type: wait, step_name: Opened,
     wait_config: {type: until_event, event_type: email_opened, of: {node: hello},
                   max_wait: {value: 1, unit: days}}}
  - {node_id: bye, node_type: email, step_name: Bye,
     channel_config: {email: {subject: Bye, body: "{{ unsubscribe_url }}"}}}
"""


EXITS = """
name: Exits of many kinds
exits:
  - id: rich
    when: {event_type: purchase, where: {type: field, field: value, operator: ">", value: 100}}
  - {id: often, when: {event_type: page_view, count: {value: 3}}, reason: looks around}
  - {id: machine, when: {event_type: purchase, machines: true, within: {value: 1, unit: days}}}
  - {id: scored, when: {type: score, operator: ">=", value: 69}}
  - id: clicked
    when:
      type: composite
      logic: AND
      sub_conditions:
        - {type: event, event_type: email_clicked}
        - {type: field, field: status, operator: "==", value: lead}
steps:
  - {node_id: hello, node_type: email, step_name: Hello,
     channel_config: {email: {subject: Hello, body: "{{ unsubscribe_url }}"}}}
  - {node_id: pause, node_type: wait, step_name: Pause,
     wait_config: {type: duration, value: 1, unit: days}}
  - {node_id: score, node_type: action, step_name: Score,
     action_config: {type: score, config: {delta: 10}}}
  - {node_id: again, node_type: email, step_name: Again,
     channel_config: {email: {subject: Again, body: "{{ unsubscribe_url }}"}}}
  - {node_id: long, node_type: wait, step_name: Long,
     wait_config: {type: duration, value: 3, unit: days}}
  - {node_id: bye, node_type: email, step_name: Bye,
     channel_config: {email: {subject: Bye, body: "{{ unsubscribe_url }}"}}}
"""


FOLLOWING = """
name: Waits that follow the contact
campaign_type: branching
goal_event: {event_type: purchase, where: {type: field, field: value, operator: ">", value: 100}}
canvas_data:
  nodes:
    - {id: start, type: trigger}
    - {id: date, type: wait}
    - {id: hello, type: email}
    - {id: interest, type: wait}
    - {id: later, type: action}
    - {id: again, type: wait}
    - {id: bye, type: email}
    - {id: end, type: exit}
  edges:
    - {id: "1", source: start, target: date}
    - {id: "2", source: date, target: hello}
    - {id: "3", source: date, target: hello, sourceHandle: past}
    - {id: "4", source: date, target: interest, sourceHandle: missing}
    - {id: "5", source: hello, target: interest}
    - {id: "6", source: interest, target: later, sourceHandle: met}
    - {id: "7", source: interest, target: again, sourceHandle: timeout}
    - {id: "8", source: later, target: again}
    - {id: "9", source: again, target: bye}
    - {id: "10", source: bye, target: end}
steps:
  - {node_id: date, node_type: wait,
     wait_config: {type: until_date, field: renews_on, time: "09:00",
                   offset: {value: -1, unit: days}}}
  - {node_id: hello, node_type: email,
     channel_config: {email: {subject: Hello, body: "{{ unsubscribe_url }}"}}}
  - node_id: interest
    node_type: wait
    wait_config:
      type: until_condition
      max_wait: {value: 2, unit: days}
      condition:
        type: composite
        logic: OR
        sub_conditions:
          - {type: event, event_type: page_view, count: {operator: ">=", value: 2}}
          - {type: event, event_type: email_clicked}
          - {type: tag, value: active}
  - {node_id: later, node_type: action,
     action_config: {type: field_update, config: {field: renews_on, value: "2027-06-01"}}}
  - {node_id: again, node_type: wait,
     wait_config: {type: until_condition, max_wait: {value: 1, unit: days},
                   condition: {type: field, field: renews_on, operator: ">", value: "2027-01-01"}}}
  - {node_id: bye, node_type: email,
     channel_config: {email: {subject: Bye, body: "{{ unsubscribe_url }}"}}}
"""


NIGHTS = """
name: Nights
send_window: {from: "07:00", to: "22:00"}
steps:
  - {node_id: first, node_type: email, step_name: First,
     channel_config: {email: {subject: First, body: "{{ unsubscribe_url }}"}}}
  - {node_id: hours, node_type: wait, step_name: Hours,
     wait_config: {type: duration, value: 11, unit: hours}}
  - {node_id: second, node_type: email, step_name: Second,
     channel_config: {email: {subject: Second, body: "{{ unsubscribe_url }}"}}}
  - {node_id: evening, node_type: wait, step_name: Evening,
     wait_config: {type: until_time, time: "23:00"}}
  - {node_id: third, node_type: email, step_name: Third,
     send_window: {days: [sat], from: "10:00", to: "12:00", otherwise: skip},
     channel_config: {email: {subject: Third, body: "{{ unsubscribe_url }}"}}}
"""


def example(name: str) -> str:
    return (CHECKOUT / "examples" / f"{name}.yaml").read_text(encoding="utf-8")


def reactions(seed: int, own: Sequence[tuple[str, Mapping[str, Any]]]) -> React:
    """Up to three events after each message, which depend on the person and the node only."""

    def react(email: str, message: MemoryMessage, now: datetime) -> list[Happening]:
        random = Random(f"{seed}/{email}/{message.note.node_id}")
        happenings = []
        for _ in range(random.randrange(4)):
            at = now + timedelta(seconds=random.choice([1, 30, 600, 7_200, 86_400, 200_000]))
            at += timedelta(seconds=random.randrange(50))
            if own and random.random() < 0.5:
                happenings.append(Happening(at, email, *random.choice(own)))
            else:
                event_type, data = random.choices(ABOUT_MESSAGES, [6, 2, 6, 2, 1, 1, 1, 1])[0]
                node_id = message.note.node_id
                happenings.append(Happening(at, email, event_type, data, message.id, node_id))
        return happenings

    return react


def assert_equal(both: BothEngines) -> None:
    real, simulated = both.real(), both.simulated()
    for email in real.events:
        assert simulated.events[email] == real.events[email], email
        assert simulated.states[email] == real.states[email], email
        assert simulated.contacts[email] == real.contacts[email], email


@pytest.mark.parametrize("name", ["winback", "trial_activation", "subject_test"])
def test_an_example_takes_the_same_paths(database: Database, name: str) -> None:
    both = BothEngines.begin(database, example(name), some_people(40, seed=1))
    both.run(reactions(2, OWN.get(name, ())))
    assert_equal(both)
    assert len({tuple(state[4]) for state in both.real().states.values()}) > 1


def test_waits_of_many_kinds_end_in_the_same_way(database: Database) -> None:
    own: Sequence[tuple[str, Mapping[str, Any]]] = (
        ("page_view", {}),
        ("purchase", {"value": 20.0}),
        ("purchase", {"value": 200.0}),
        ("purchase", {"value": 20.0, "machine": True}),
    )
    both = BothEngines.begin(database, WAITS, some_people(60, seed=3))
    early = [
        Happening(NOW - timedelta(seconds=30), f"person{n}@example.com", "page_view", {})
        for n in range(0, 60, 7)
    ]
    both.run(reactions(4, own), early)
    assert_equal(both)
    ends = {event[1:] for log in both.real().events.values() for event in log}
    assert ("goal_reached", "several") in ends
    assert ("enrollment_completed", "exit") in ends


def test_exit_rules_end_the_same_runs(database: Database) -> None:
    own: Sequence[tuple[str, Mapping[str, Any]]] = (
        ("page_view", {}),
        ("page_view", {}),
        ("purchase", {"value": 200.0}),
        ("purchase", {"value": 20.0, "machine": True}),
    )
    people = [p for p in some_people(80, seed=13) if (p.get("ai_score") or 0) < 69]
    both = BothEngines.begin(database, EXITS, people)
    both.run(reactions(14, own))
    assert_equal(both)
    reasons = {state[2] for state in both.real().states.values()}
    assert {"rich", "looks around", "machine", "scored", "clicked", None} <= reasons


def test_waits_that_follow_the_contact_end_in_the_same_way(database: Database) -> None:
    own: Sequence[tuple[str, Mapping[str, Any]]] = (
        ("page_view", {}),
        ("purchase", {"value": 20.0}),
    )
    people = some_people(60, seed=8)
    for n, person in enumerate(people):
        days = [None, "soon", -2, 1, 4, 9][n % 6]
        at = days if isinstance(days, str | None) else (NOW + timedelta(days=days)).isoformat()
        person["custom_fields"]["renews_on"] = at
    both = BothEngines.begin(database, FOLLOWING, people)
    both.run(reactions(9, own))
    assert_equal(both)
    ends = {event[1:] for log in both.real().events.values() for event in log}
    assert ("field_updated", "later") in ends
    assert {("enrollment_completed", "end"), ("wait_completed", "again")} <= ends


def test_entry_data_and_variables_lead_to_the_same_values(database: Database) -> None:
    people = some_people(20, seed=5)
    entries = {
        person["email"]: {"order_id": f"A-{n % 3}", "total": 60 + 4 * n}
        for n, person in enumerate(people)
    }
    both = BothEngines.begin(database, example("order_followup"), people, entries=entries)
    both.run(reactions(6, OWN["order_followup"]))
    assert_equal(both)


def test_windows_and_quiet_hours_hold_and_skip_the_same_messages(database: Database) -> None:
    both = BothEngines.begin(
        database,
        NIGHTS,
        some_people(30, seed=7),
        quiet_hours={"from": "20:00", "to": "08:00", "max_delay": {"value": 11, "unit": "hours"}},
        zone="Europe/Berlin",
    )
    both.run(reactions(8, ()), days=12)
    assert_equal(both)
    kinds = {e[1] for log in both.real().events.values() for e in log}
    assert {"message_held", "message_skipped", "enrollment_completed"} <= kinds


DAILY = """
name: Daily
steps:
""" + "".join(
    f"""
  - {{node_id: mail{n}, node_type: email, step_name: Mail, kind: {kind},
     channel_config: {{email: {{subject: Mail, body: "{{{{ unsubscribe_url }}}}"}}}}}}
  - {{node_id: wait{n}, node_type: wait, step_name: Wait,
     wait_config: {{type: duration, value: {hours}, unit: hours}}}}"""
    for n, (kind, hours) in enumerate(
        [("marketing", 3), ("marketing", 2), ("transactional", 1), ("marketing", 20),
         ("marketing", 1), ("marketing", 5)]
    )
)  # fmt: skip


@pytest.mark.parametrize(
    "caps",
    [
        [{"name": "day", "max": 2, "per": {"value": 1, "unit": "days"}}],
        [
            {"name": "day", "max": 1, "per": "calendar_day"},
            {"name": "week", "max": 3, "per": "calendar_week",
             "max_defer": {"value": 2, "unit": "days"}},
        ],
        [{"name": "once", "max": 1, "per": {"value": 10, "unit": "hours"}, "on_cap": "skip"}],
    ],
    ids=["rolling", "calendar", "skipping"],
)  # fmt: skip
def test_caps_hold_and_skip_the_same_messages(
    database: Database, caps: list[dict[str, Any]]
) -> None:
    both = BothEngines.begin(database, DAILY, some_people(12, seed=12), caps=caps)
    both.run(lambda *_: [])
    assert_equal(both)
    kinds = {event[1] for log in both.real().events.values() for event in log}
    assert kinds & {"message_held", "message_skipped"}
