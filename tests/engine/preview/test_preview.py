"""Previews: the very message of delivery, and people chosen so that everything is seen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.identity import delivery_id, id_of_test_message, is_test_message
from drip_pipeline.domain.templates.traced_templates import traced
from drip_pipeline.engine.preview.preview import CampaignPreview, PreviewRequest, preview
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import DatabaseError, DefinitionInvalid, NotAllowed, NotFound
from drip_pipeline.settings import Settings
from tests.engine.factories import MESSAGES, NOW
from tests.engine.preview.files import GOOD_MAIL, campaign

BRANCHES = (
    "{% if tags contains 'vip' %}A{% elsif ai_score > 80 %}B{% else %}C{% endif %}"
    "{% case job_title %}{% when 'Buyer' %}D{% when 'Chef', 'Cook' %}E{% endcase %}"
    "{% unless company == blank %}F{% if company == 'Acme' and phone %}G{% endif %}{% endunless %}"
    "{% for item in entry.items %}{{ item.name }}{% if item.price >= 100 %}H{% endif %}"
    "{% else %}I{% endfor %}"
)


def shown(file: dict[str, Any], database: Database | None = None, **request: Any):
    """The preview of a file."""
    return preview(
        database,
        PreviewRequest(file=json.dumps(file), **request),
        settings=MESSAGES,
        channels={},
        now=NOW,
    )


def subjects(result: CampaignPreview) -> list[str]:
    return [person.messages[0].subject for person in result.recipients]


def add_contact(database: Database, **columns: Any) -> None:
    with database.transaction() as connection:
        row = connection.execute("SELECT id FROM workspaces WHERE name = 'Acme'").fetchone()
        if row is None:
            row = connection.execute(
                "INSERT INTO workspaces (name) VALUES ('Acme') RETURNING id"
            ).fetchone()
        assert row is not None
        names = ["workspace_id", *columns]
        values = [
            json.dumps(value) if name == "custom_fields" else value
            for name, value in columns.items()
        ]
        connection.execute(
            f"INSERT INTO contacts ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})",
            [row[0], *values],
        )


def test_made_up_people_see_every_branch():
    result = shown(campaign({**GOOD_MAIL, "body": BRANCHES + " {{ unsubscribe_url }}"}))
    assert not result.unseen
    # if 3, case 2 and none, unless 2, if 2, for 2, if 2
    assert len(result.branches) == 14
    assert len(result.recipients) == 10
    assert all(person.is_made_up for person in result.recipients)


def test_a_branch_that_no_value_reaches_is_named():
    text = "{% if name == 'a' and name == 'b' %}never{% endif %} {{ unsubscribe_url }}"
    result = shown(campaign({**GOOD_MAIL, "body": text}))
    assert [(b.text, b.line, b.branch) for b in result.unseen] == [
        ("body", 1, "if name == 'a' and name == 'b'")
    ]


def test_the_choice_is_the_same_on_every_call():
    file = campaign({**GOOD_MAIL, "body": BRANCHES + " {{ unsubscribe_url }}"})
    assert shown(file).to_dict() == shown(file).to_dict()


def test_contacts_are_preferred_and_what_none_of_them_shows_is_made_up(database: Database):
    for number in range(3):
        add_contact(database, email=f"p{number}@acme.io", name=f"P{number}")
    add_contact(database, email="vip@acme.io", name="Vera", tags=["vip"])
    text = BRANCHES + " {{ unsubscribe_url }}"
    result = shown(campaign({**GOOD_MAIL, "body": text}), database, workspace="Acme")
    assert not result.unseen
    own = [person.person for person in result.recipients if not person.is_made_up]
    assert "vip@acme.io" in own
    assert any(person.is_made_up for person in result.recipients)


def test_the_emptiest_and_the_longest_contact_are_among_them(database: Database):
    for number in range(30):
        add_contact(database, email=f"p{number}@acme.io", name=f"Person {number}", company="Acme")
    add_contact(database, email="empty@acme.io")
    add_contact(database, email="long@acme.io", name="Long " * 80, company="Company " * 90)
    mail = {**GOOD_MAIL, "subject": "{{ name | default: 'x' }} {{ company | default: 'y' }}"}
    result = shown(campaign(mail), database, workspace="Acme")
    why = {person.person: person.why for person in result.recipients}
    assert "the longest values" in why["long@acme.io"]
    assert any("the emptiest values" in reasons for reasons in why.values())
    assert len(result.recipients) == 10


def test_what_differs_is_said_for_each_person():
    result = shown(campaign({**GOOD_MAIL, "subject": "{% if company %}Ah{% else %}Oh{% endif %}"}))
    first = next(p for p in result.recipients if "no values" in p.why).messages[0]
    assert "subject: Oh" in first.differences
    assert "subject, line 1: else of if company" in first.differences
    assert result.versions["mail"] > 1


def test_a_preview_is_what_delivery_renders_for_that_contact(database: Database):
    add_contact(database, email="ann@acme.io", name="Ann Archer", custom_fields={"plan": "pro"})
    file = campaign({**GOOD_MAIL, "subject": "{{ first_name }}: {{ plan }}"}, sms="{{ plan }}")
    publish(database, file, PublishOptions(now=NOW, settings=Settings(), workspace="Acme"))
    tracked = replace(MESSAGES, tracks_opens=True, tracks_clicks=True)
    result = preview(
        database,
        PreviewRequest(campaign="Tea", person="ANN@acme.io"),
        settings=tracked,
        channels={},
        now=NOW,
    )
    (person,) = result.recipients
    mail, sms = person.messages
    assert (mail.subject, mail.recipient, mail.sender) == (
        "Ann: pro", "ann@acme.io", "Example <hello@example.com>",
    )  # fmt: skip
    tea = next(link for link in mail.links if link.text == "Tea")
    assert tea.target == "https://acme.io/tea"
    assert tea.tracked is not None
    assert tea.tracked.startswith("https://mail.example.com/c/")
    assert "/o/" in (mail.html or "")
    headers = dict(mail.headers)
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail.size_bytes > mail.html_bytes > 0
    assert (sms.text, sms.segments and sms.segments.segments) == ("pro", 1)


def test_a_preview_writes_nothing(database: Database):
    add_contact(database, email="ann@acme.io", name="Ann")
    options = PublishOptions(now=NOW, settings=Settings(), workspace="Acme")
    publish(database, campaign(GOOD_MAIL), options)
    with database.transaction() as connection:
        name = connection.execute("SELECT quote_ident(current_database())").fetchone()
        assert name
        connection.execute(f"ALTER DATABASE {name[0]} SET default_transaction_read_only = on")
    with Database(database.url) as read_only:
        with pytest.raises(DatabaseError), read_only.transaction() as connection:
            connection.execute("UPDATE contacts SET name = 'Bob'")
        request = PreviewRequest(campaign="Tea")
        assert preview(read_only, request, settings=MESSAGES, channels={}, now=NOW).recipients


def test_entry_data_is_the_given_one_else_that_of_the_run(database: Database):
    mail = {**GOOD_MAIL, "subject": "Order {{ entry.order_id }}"}
    assert set(subjects(shown(campaign(mail), data={"order_id": "A-17"}))) == {"Order A-17"}


def test_messages_that_cannot_be_rendered_or_are_empty_are_part_of_the_preview():
    mail = {**GOOD_MAIL, "subject": "{% if company %}Hello{% endif %}"}
    nobody = next(p for p in shown(campaign(mail)).recipients if "no values" in p.why)
    assert (nobody.messages[0].status, nobody.messages[0].reason) == ("skipped", "empty_subject")
    failing = {**GOOD_MAIL, "body": "{{ ai_score | divided_by: 0 }} {{ unsubscribe_url }}"}
    result = shown(campaign(failing))
    assert result.failures
    assert {message.status for p in result.recipients for message in p.messages} >= {"failed"}


def test_wrong_requests_are_refused_by_name(database: Database):
    add_contact(database, email="ann@acme.io")
    with pytest.raises(NotAllowed, match="'nowhere' is no node that sends a message"):
        shown(campaign(GOOD_MAIL), node_id="nowhere")
    with pytest.raises(NotAllowed, match="sends no message"):
        shown(campaign())
    with pytest.raises(NotFound):
        shown(campaign(GOOD_MAIL), database, workspace="Acme", person="nobody@acme.io")
    with pytest.raises(DefinitionInvalid, match="subject"):
        shown(campaign({**GOOD_MAIL, "subject": "{{ first_name"}))


def test_a_field_that_no_contact_has_is_a_note_and_gets_a_made_up_value():
    result = shown(campaign({**GOOD_MAIL, "subject": "{{ favorite_tea }}"}))
    assert "sample favorite tea" in subjects(result)
    assert len(result.notes) == 1
    assert "favorite_tea" in result.notes[0]


def test_ids_of_test_messages_are_recognized_and_those_of_deliveries_are_not():
    assert all(is_test_message(id_of_test_message(uuid4())) for _ in range(200))
    state = uuid4()
    assert not any(is_test_message(delivery_id(state, "n", n)) for n in range(200))
    assert not is_test_message(uuid4())
    assert id_of_test_message(state) == id_of_test_message(state)


def test_tracing_does_not_change_what_other_renderings_see():
    text = "{% if a %}1{% endif %}{{ b }}"
    template = traced(text, html=False)
    assert template.trace({"a": 1}).empty == ("b",)
    assert template.trace({"b": 2}).empty == ()
    assert [b.id for b in template.branches if b.id in template.trace({}).branches] == [1]
