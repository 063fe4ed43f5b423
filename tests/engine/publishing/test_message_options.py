"""Translations, sender, reply address and UTM parameters: from the file to the message."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.compiler.api import complete, definition_hash, graph_hash, load_definition
from drip_pipeline.domain.graph.emails import best_language
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.templates.signed_tokens import Purpose, verify
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.preview.preview import PreviewRequest, preview
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.runner.factory import engine_from, message_settings
from drip_pipeline.engine.runner.tick import tick
from drip_pipeline.errors import DefinitionInvalid
from tests.channels.email.smtp_servers import Script
from tests.engine.delivery.test_email import StartSmtp
from tests.engine.factories import MESSAGES, NOW
from tests.engine.publishing.message_files import (
    SETTINGS,
    UNSUBSCRIBE,
    campaign,
    people,
    published,
    recorded,
)

MAIL: dict[str, Any] = {
    "subject": "Hello {{ first_name }}",
    "body_html": f'<p>Tea</p><a href="https://acme.io/tea?x=1#top">Buy</a>{UNSUBSCRIBE}',
    "translations": {
        "de": {
            "subject": "Hallo {{ first_name }}",
            "body_html": f"<p>Tee von {{{{ email }}}}</p>{UNSUBSCRIBE}",
        },
        "pt-BR": {"subject": "Oi {{ first_name }}", "body": "Chá {{ unsubscribe_url }}"},
    },
}


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("DE_at-1996", "de"),
        (" de ", "de"),
        ("pt-br", "pt-br"),
        ("pt-BR-x", "pt-br"),
        ("pt", None),
        ("d", None),
        ("den", None),
        ("", None),
        (None, None),
        (7, None),
        (["de"], None),
    ],
)
def test_a_language_falls_back_to_its_shorter_tags(language: object, expected: str | None):
    assert best_language(language, {"de", "pt-br"}) == expected


def test_each_contact_gets_the_texts_of_its_language(database: Database):
    people(
        database,
        {"email": "at@acme.io", "name": "Ann A", "language": "de-AT"},
        {"email": "br@acme.io", "name": "Bia B", "language": "pt_BR"},
        {"email": "fr@acme.io", "name": "Chloé C", "language": "fr"},
        {"email": "no@acme.io", "name": "Dan D"},
    )
    published(database, campaign(MAIL))
    messages = recorded(database)
    assert {to: message[0] for to, message in messages.items()} == {
        "at@acme.io": "Hallo Ann",
        "br@acme.io": "Oi Bia",
        "fr@acme.io": "Hello Chloé",
        "no@acme.io": "Hello Dan",
    }
    assert "Tee von at@acme.io" in messages["at@acme.io"][1]
    assert messages["br@acme.io"][2] is None  # no HTML of another language


def test_a_preview_shows_each_language():
    file = campaign(MAIL)
    shown = preview(
        None, PreviewRequest(file=json.dumps(file)), settings=MESSAGES, channels={}, now=NOW
    )
    languages = {person.messages[0].language for person in shown.recipients}
    assert languages == {None, "de", "pt-br"}
    german = next(p for p in shown.recipients if p.messages[0].language == "de")
    assert german.messages[0].subject.startswith("Hallo")
    assert dict(german.messages[0].headers)["Content-Language"] == "de"


@pytest.mark.parametrize(
    ("translations", "message"),
    [
        ({"de": {"body": "x {{ unsubscribe_url }}"}}, "translations.de.subject is missing"),
        ({"de": {"subject": "x"}}, "the email needs `body` or `body_html`"),
        ({"german": {"subject": "x", "body": "y"}}, "'german' is not a language tag"),
        ({"de": {"subject": "x", "body": "y"}, "DE": {"subject": "x", "body": "y"}}, "twice"),
        ({"de": {"subject": "x {{ firstname }}", "body": "y"}}, "translations.de.subject: unknown"),
        ({"de": {"subject": "x {{ name", "body": "y"}}, "translations.de.subject: "),
        ({"de": {"subject": "x\ny", "body": "y"}}, "one line"),
        ({"de": {"subject": "x", "body": "y", "text": "z"}}, "text"),
    ],
)
def test_wrong_translations_are_refused_by_name(
    database: Database, translations: Any, message: str
):
    with pytest.raises(DefinitionInvalid) as refused:
        published(database, campaign({**MAIL, "translations": translations}))
    assert any(message in problem.message for problem in refused.value.problems), [
        problem.message for problem in refused.value.problems
    ]


def test_a_translation_without_unsubscribe_link_gets_one(database: Database):
    mail = {**MAIL, "translations": {"de": {"subject": "Hallo", "body": "Tee"}}}
    people(database, {"email": "de@acme.io", "language": "de"})
    report = published(database, campaign(mail))
    assert [w.code for w in report.warnings if "translations.de.body" in w.message] == [
        "unsubscribe_link_missing"
    ]
    assert "https://mail.acme.io/u/" in recorded(database)["de@acme.io"][1]


def read(script: Script) -> EmailMessage:
    (envelope,) = script.received
    assert isinstance(envelope.content, bytes)
    return message_from_bytes(envelope.content, policy=policy.default)


def test_a_mail_has_its_own_sender_and_reply_address(database: Database, smtp: StartSmtp):
    script = smtp()
    settings = SETTINGS.model_copy(update={"delivery": "send", "smtp_url": _url(script)})
    people(database, {"email": "ann@example.net", "name": "Ann"})
    mail = {**MAIL, "from": "Tea Team <tea@acme.io>", "reply_to": "Help <help@acme.io>"}
    report = published(database, campaign(mail), settings=settings)
    assert not [w for w in report.warnings if w.code in ("from_domain", "mailbox_invalid")]
    enroll(database, "Tea", Everybody(), now=NOW)
    engine = engine_from(settings, database)
    tick(engine, now=NOW, until_idle=True)
    for channel in engine.channels.values():
        channel.close()
    message = read(script)
    assert message["From"] == "Tea Team <tea@acme.io>"
    assert message["Reply-To"] == "Help <help@acme.io>"
    exported = export_file(database, "Tea").file
    email = next(s for s in exported["steps"] if s["node_id"] == "mail")["channel_config"]["email"]
    assert (email["from"], email["reply_to"]) == (mail["from"], mail["reply_to"])


def _url(script: Script) -> Any:
    from drip_pipeline.settings import Secret

    return Secret(f"smtp://127.0.0.1:{script.port}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("from", "Tea Team"),
        ("from", "a@b@c"),
        ("reply_to", "Help <help@>"),
        ("from", "a@acme.io\nBcc: x@acme.io"),
    ],
)
def test_wrong_mailboxes_are_refused_by_name(database: Database, key: str, value: str):
    with pytest.raises(DefinitionInvalid) as refused:
        published(database, campaign({**MAIL, key: value}))
    assert any(problem.node_id == "mail" for problem in refused.value.problems)
    assert any(key in problem.message for problem in refused.value.problems)


def test_a_sender_at_another_domain_is_warned_of(database: Database):
    report = published(database, campaign({**MAIL, "from": "Tea <tea@elsewhere.io>"}))
    assert [w.code for w in report.warnings if w.code == "from_domain"] == ["from_domain"]


def test_links_get_utm_parameters_tracked_or_not(database: Database):
    people(database, {"email": "ann@acme.io", "name": "Ann"})
    mail = {**MAIL, "body": "Tea: https://acme.io/tea. Leave: {{ unsubscribe_url }}"}
    utm = {"source": "newsletter", "campaign": "auto", "content": "auto"}
    published(database, campaign(mail, utm=utm))
    _, text, html = recorded(database)["ann@acme.io"]
    added = "utm_source=newsletter&utm_medium=email&utm_campaign=tea&utm_content=mail"
    assert f"https://acme.io/tea?{added}. Leave: https://mail.acme.io/u/" in text
    assert "utm_source" not in text.partition("Leave")[2]
    token = html.partition('href="https://mail.acme.io/c/')[2].partition('"')[0]
    link = verify("a key for tests", Purpose.CLICK, token)
    assert link is not None
    assert link.url == f"https://acme.io/tea?x=1&{added}#top"
    shown = preview(
        database,
        PreviewRequest(campaign="Tea"),
        settings=message_settings(SETTINGS.model_copy(update={"tracking": ()})),
        channels={},
        now=NOW,
    )
    links = shown.recipients[0].messages[0].links
    assert f"https://acme.io/tea?x=1&{added}#top" in {each.target for each in links}


@pytest.mark.parametrize("utm", [{}, {"source": " "}, {"source": "a", "camp": "b"}, "newsletter"])
def test_wrong_utm_settings_are_refused_by_name(database: Database, utm: Any):
    with pytest.raises(DefinitionInvalid, match="utm"):
        published(database, campaign(MAIL, utm=utm))


def test_publishing_an_export_changes_nothing_and_graphs_survive(database: Database):
    mail = {**MAIL, "from": "Tea <tea@acme.io>", "reply_to": "help@acme.io"}
    file = campaign(mail, utm={"source": "newsletter"})
    published(database, file)
    exported = export_file(database, "Tea").file
    assert published(database, exported).status == "unchanged"
    with database.transaction() as connection:
        row = connection.execute("SELECT compiled_graph FROM campaign_versions").fetchone()
    assert row is not None
    graph = CampaignGraph.from_dict(row[0])
    assert graph.to_dict() == CampaignGraph.from_dict(graph.to_dict()).to_dict()
    assert graph.utm is not None
    assert graph.nodes["mail"].config.sender == "Tea <tea@acme.io>"  # type: ignore[union-attr]
    changed = campaign({**mail, "reply_to": "other@acme.io"}, utm={"source": "newsletter"})
    assert published(database, changed).status == "published"


def test_a_campaign_without_these_keys_keeps_the_hashes_of_earlier_releases():
    plain = {key: value for key, value in MAIL.items() if key != "translations"}
    file = campaign(plain)
    sms = {"type": "sms", "config": {"body": "Hi"}}
    file["steps"].insert(2, {"node_id": "sms", "node_type": "action", "action_config": sms})
    definition = complete(load_definition(file))
    assert definition_hash(definition) == (
        "a5a46cc4cb2b893cd3e205f19799dbe2d20d7770392a83001b310b66bd97f2a1"
    )
    assert graph_hash(definition) == (
        "9c4e9d81663aad9a7b3635bf94e3389c6f333056ab30234786f15dd69073d9ab"
    )
