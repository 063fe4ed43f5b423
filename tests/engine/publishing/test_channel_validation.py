"""Publication reports steps that their channel cannot send, and chooses that channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode, NodeType
from drip_pipeline.domain.graph.nodes import (
    EmailConfig,
    NodeConfig,
    SmsAction,
    SocialAction,
    WebhookAction,
)
from drip_pipeline.engine.publishing.channel_validation import channel_problems, prepared_graph
from drip_pipeline.settings import Secret, Settings
from tests.engine import factories
from tests.engine.delivery.sending import Sender
from tests.engine.graphs import end, graph, trigger

Start = Callable[..., Sender]
MAIL = EmailConfig(subject="Hello", body="Dear {{ name }}")
SMTP = Secret("smtp://127.0.0.1:25")


def step(config: NodeConfig, channel_id: UUID | None = None) -> CampaignGraph:
    kind = NodeType.EMAIL if isinstance(config, EmailConfig) else NodeType.ACTION
    named = str(channel_id) if channel_id else None
    made = GraphNode("step", kind, "step", None, config, {}, named)
    return graph(trigger("step"), made, end())


def problems(
    database: Database, campaign_graph: CampaignGraph, **settings: Any
) -> list[tuple[str, str]]:
    values: dict[str, Any] = {"delivery": "send", "smtp_url": SMTP} | settings
    with database.transaction() as connection:
        found = channel_problems(
            connection,
            campaign_graph,
            settings=Settings(**values),
            workspace_id=factories.the_workspace(connection),
        )
    assert all(problem.node_id == "step" for problem in found)
    return [(problem.code, problem.severity) for problem in found]


def message(database: Database, campaign_graph: CampaignGraph) -> str:
    with database.transaction() as connection:
        (found,) = channel_problems(
            connection,
            campaign_graph,
            settings=Settings(delivery="send", smtp_url=SMTP),
            workspace_id=factories.the_workspace(connection),
        )
    return found.message


def test_a_step_with_a_configured_channel_has_no_problem(database: Database):
    assert problems(database, step(MAIL)) == []
    assert problems(database, step(WebhookAction(url="https://hooks.example.com/"))) == []


@pytest.mark.parametrize(
    ("config", "settings", "code"),
    [
        (MAIL, {"smtp_url": None}, "channel_missing"),
        (SmsAction(body="Hi"), {}, "channel_missing"),
        (WebhookAction(url="http://10.0.0.1/"), {}, "webhook_forbidden"),
        (SocialAction(platform="mastodon", content="Hi"), {}, "platform_unsupported"),
    ],
)
def test_a_missing_channel_is_an_error_only_if_messages_are_sent(
    database: Database, config: NodeConfig, settings: dict[str, Any], code: str
):
    assert problems(database, step(config), **settings) == [(code, "error")]
    recorded = problems(database, step(config), **settings, delivery="record")
    assert recorded == [(code, "warning")]


@pytest.mark.parametrize("platform", ["instagram", "linkedin", "x", "bluesky", "myspace"])
def test_an_unsupported_platform_is_reported_with_an_alternative(database: Database, platform: str):
    told = message(database, step(SocialAction(platform=platform, content="Hi")))
    assert platform in told
    assert "platform `webhook`" in told


def test_a_publishing_webhook_serves_its_configured_platforms(sending: Start, database: Database):
    tool = {"url": "https://tool.example.com", "secret_env": "TOOL", "platforms": ["Instagram"]}
    sending().channel("social", tool, platform="webhook", slug="tool")
    assert problems(database, step(SocialAction(platform="instagram", content="Hi"))) == []
    linkedin = step(SocialAction(platform="linkedin", content="Hi"))
    assert problems(database, linkedin) == [("platform_unsupported", "error")]


def test_mastodon_posts_have_no_media_and_a_character_limit(sending: Start, database: Database):
    account = {"base_url": "https://social.example.com", "access_token_env": "M"}
    sending().channel("social", account, platform="mastodon")
    media = ("https://example.com/a.png",)
    with_media = step(SocialAction(platform="mastodon", content="Hi", media_urls=media))
    assert problems(database, with_media) == [("post_media", "error")]
    long = SocialAction(platform="mastodon", content="x" * 495, hashtags=("launch",))
    assert problems(database, step(long)) == [("post_too_long", "error")]
    fits = SocialAction(platform="mastodon", content="https://example.com/" + "x" * 900)
    assert problems(database, step(fits)) == []


def test_long_sms_are_a_warning_and_too_long_ones_an_error(sending: Start, database: Database):
    account = {"account_sid": "AC1", "auth_token_env": "SMS_TOKEN", "from": "Acme"}
    sending().channel("sms", account)
    assert problems(database, step(SmsAction(body="Hi {{ name }}"))) == []
    assert problems(database, step(SmsAction(body="x" * 400))) == [("sms_segments", "warning")]
    assert problems(database, step(SmsAction(body="ж" * 700))) == [("sms_too_long", "error")]


def test_one_of_several_channels_must_be_named(sending: Start, database: Database):
    sender = sending()
    first = sender.channel("email", {}, slug="first")
    sender.channel("email", {}, slug="second")
    assert problems(database, step(MAIL)) == [("channel_unclear", "error")]
    assert problems(database, step(MAIL, first)) == []


def test_a_named_channel_must_exist_be_enabled_and_have_the_category(
    sending: Start, database: Database
):
    sender = sending()
    off = sender.channel("email", {}, slug="off", is_active=False)
    sms = {"account_sid": "AC1", "auth_token_env": "SMS_TOKEN", "from": "Acme"}
    text = sender.channel("sms", sms)
    for channel_id in (off, text, uuid4()):
        assert problems(database, step(MAIL, channel_id)) == [("channel_unclear", "error")]


def test_a_channel_row_of_an_application_is_ignored(database: Database):
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_channels (workspace_id, channel_slug, channel_name, "
            "channel_category, platform, specs) VALUES (%s, 'newsletter', 'Newsletter', 'email', "
            '\'sendgrid\', \'{"max_length": 5, "color": "red"}\')',
            [factories.the_workspace(connection)],
        )
    assert problems(database, step(MAIL)) == []


def test_the_channel_of_another_workspace_is_not_used(sending: Start, database: Database):
    sender = sending()
    with database.transaction() as connection:
        factories.the_workspace(connection)
        factories.a_workspace(connection, "Zeta")
    sms = {"account_sid": "AC1", "auth_token_env": "SMS_TOKEN", "from": "Acme"}
    theirs = sender.channel("sms", sms, workspace="Zeta")
    assert problems(database, step(SmsAction(body="Hi"))) == [("channel_missing", "error")]
    assert ("channel_unclear", "error") in problems(database, step(SmsAction(body="Hi"), theirs))


def test_emails_are_prepared_once(database: Database):
    html = "<style>p {color: red}</style><body><p>Hi</p></body>"
    ready = prepared_graph(step(EmailConfig(subject="Hi", body="", body_html=html)))
    config = ready.nodes["step"].config
    assert isinstance(config, EmailConfig)
    assert "unsubscribe_url" in config.body
    assert 'style="color: red' in (config.body_html or "")
    assert prepared_graph(ready) == ready


def test_an_email_that_cannot_be_prepared_fails_at_publication(database: Database):
    broken = EmailConfig(subject="Hi", body="", body_html="<p>{% if a %}<a {% endif %}>x")
    assert problems(database, step(broken)) == [("email_unprepared", "error")]
