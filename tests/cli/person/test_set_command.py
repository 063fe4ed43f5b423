"""`drip contacts set`: what it prints, and how it refuses."""

from __future__ import annotations

from drip_pipeline.db.connection import Database
from tests.cli.conftest import Drip, answered
from tests.engine.factories import contacts, the_workspace


def test_fields_are_set_and_the_operation_is_recorded(drip: Drip, database: Database) -> None:
    with database.transaction() as connection:
        contacts(connection, the_workspace(connection), 1)
    call = (
        "contacts",
        "set",
        "person1@example.com",
        "company=Acorn",
        "plan=a=b",
        "--reason",
        "typo",
    )
    assert drip(*call).stdout == "changed: company, plan\n"
    again = answered(drip(*call, "--json"))
    assert (again["changed"], again["unchanged"]) == ([], ["company", "plan"])
    assert drip(*call).stdout == "nothing changed: the contact has these values\n"
    shown = answered(drip("contacts", "show", "person1@example.com", "--json"))
    assert shown["person"]["custom_fields"] == {"plan": "a=b"}
    (action,) = answered(drip("audit", "--contact", str(shown["person"]["id"]), "--json"))
    assert (action["action"], action["reason"]) == ("set_fields", "typo")
    assert action["details"] == {"fields": ["company", "plan"]}
    listed = " ".join(drip("audit").stdout.replace("│", " ").split())
    assert "['company'" not in listed


def test_wrong_usage_and_values_are_named(drip: Drip, database: Database) -> None:
    with database.transaction() as connection:
        contacts(connection, the_workspace(connection), 1)
    usage = drip("contacts", "set", "person1@example.com", "company")
    assert (usage.exit_code, "'company' is not FIELD=VALUE" in usage.stderr) == (2, True)
    twice = drip("contacts", "set", "person1@example.com", "plan=a", "plan=b")
    assert (twice.exit_code, "'plan' is given twice" in twice.stderr) == (2, True)
    refused = drip("contacts", "set", "person1@example.com", "company=A", "ai_score=101")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: ai_score cannot be set: invalid ai score.\n")
