"""What `drip doctor` says of channels and of the sender, and the commands that operators use."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from drip_pipeline.channels.protocol import Severity
from drip_pipeline.cli import main
from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.nodes import WebhookAction
from drip_pipeline.engine.transports.diagnostics import diagnose_channels, diagnose_sender
from drip_pipeline.settings import Secret, Settings
from tests.channels.email.smtp_servers import Script
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW
from tests.http_servers import HttpServers, Reply
from tests.mastodon import MastodonLike

Start = Callable[..., Sender]
SMS = {"account_sid": "AC1", "auth_token_env": "SMS_TOKEN", "from": "Acme"}


def looks(sender: Sender, **settings: Any) -> dict[tuple[str, str], Severity]:
    changed = sender.settings.model_copy(update=settings)
    found = diagnose_channels(changed, sender.database, now=NOW)
    return {(look.about.split("/")[0], look.finding.code): look.finding.severity for look in found}


def test_every_channel_connects_and_authenticates_and_nothing_is_sent(
    sending: Start,
    smtp: Callable[..., Script],
    http: HttpServers,
    monkeypatch: pytest.MonkeyPatch,
):
    mail = smtp()
    social = MastodonLike(token="m-token")
    post, text = http.start(social.answer), http.start(Reply(200, {"status": "active"}))
    monkeypatch.setenv("SMS_TOKEN", "token")
    monkeypatch.setenv("M_TOKEN", "m-token")
    sender = sending(smtp=mail, allow=[post.host, text.host])
    sender.channel("sms", SMS | {"base_url": text.url})
    account = {"base_url": post.url, "access_token_env": "M_TOKEN"}
    sender.channel("social", account, platform="mastodon")
    assert looks(sender) == {
        ("email", "connected"): Severity.OK,
        ("email", "not_encrypted"): Severity.WARNING,
        ("webhook", "unsigned"): Severity.WARNING,
        ("sms", "connected"): Severity.OK,
        ("social", "connected"): Severity.OK,
    }
    assert mail.received == []
    assert social.statuses == []
    assert [request.method for request in text.requests] == ["GET"]


def test_what_lacks_or_fails_is_named(
    sending: Start, http: HttpServers, monkeypatch: pytest.MonkeyPatch
):
    text = http.start(Reply(401))
    monkeypatch.setenv("SMS_TOKEN", "wrong")
    sender = sending(allow=[text.host], smtp_url=Secret("smtp://127.0.0.1:1"))
    sender.channel("sms", SMS | {"base_url": text.url})
    account = {"base_url": "https://social.example.com", "access_token_env": "NOT_SET"}
    sender.channel("social", account, platform="mastodon")
    sender.channel("webhook", {"per_secnd": 5})
    sender.channel("email", {}, is_active=False)
    found = looks(sender)
    assert found[("sms", "auth_failed")] is Severity.ERROR
    assert found[("social", "not_set_up")] is Severity.ERROR
    assert found[("email", "connect_failed")] is Severity.ERROR
    assert found[("email", "off")] is Severity.WARNING
    assert found[("webhook", "unread_keys")] is Severity.WARNING
    recorded = looks(sender, delivery="record")
    assert recorded[("delivery", "recorded")] is Severity.OK
    assert Severity.ERROR not in recorded.values()


def test_open_breakers_unknown_outcomes_and_gone_endpoints_are_reported(
    sending: Start, http: HttpServers
):
    gone, down = http.start(Reply(410)), http.start(Reply(500))
    sender = sending(allow=[gone.host, down.host])
    sender.people(one_step(WebhookAction(url=gone.url)), 1, name="Gone")
    sender.people(one_step(WebhookAction(url=down.url)), 20, name="Down")
    sender.run()
    sender.rows(
        "UPDATE campaign_deliveries SET status = 'unknown', due_at = NULL "
        "WHERE status = 'pending' RETURNING id"
    )
    found = looks(sender)
    assert found[("webhook", "gone")] is Severity.WARNING
    assert found[("webhook", "breaker")] is Severity.WARNING
    assert found[("webhook", "outcome_unknown")] is Severity.WARNING


@pytest.mark.parametrize(
    ("settings", "code", "severity"),
    [
        ({"mail_from": "news@acme.example.de"}, "sender_aligned", Severity.OK),
        ({"mail_from": "Acme"}, "sender_invalid", Severity.ERROR),
        ({"mail_from": "acme@gmail.com"}, "sender_free_mail", Severity.ERROR),
        ({"mail_from": "Drip <drip@example.com>"}, "sender_reserved", Severity.ERROR),
        ({"public_url": "http://mail.acme.de"}, "public_url_not_https", Severity.WARNING),
        ({"secret_key": None}, "secret_key_kept", Severity.WARNING),
        ({}, "unsubscribe_headers", Severity.OK),
        ({}, "dns_not_seen", Severity.OK),
        (
            {"public_url": "https://mail.acme.de/" + "x" * 1_000},
            "unsubscribe_headers",
            Severity.ERROR,
        ),
    ],
)
def test_the_rules_for_senders_are_looked_at(
    settings: dict[str, Any], code: str, severity: Severity
):
    good: dict[str, Any] = {
        "delivery": "send",
        "mail_from": "Acme <news@acme.de>",
        "public_url": "https://mail.acme.de",
        "secret_key": Secret("a key"),
    }
    found = {
        look.finding.code: look.finding.severity
        for look in diagnose_sender(Settings(**(good | settings)))
    }
    assert found[code] is severity


def test_what_only_the_dns_can_answer_is_said_to_be_so():
    told = [look.finding.message for look in diagnose_sender(Settings())]
    assert any("SPF, DKIM and DMARC" in message for message in told)


@pytest.fixture
def drip(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command line on the test's database; gives the parsed JSON."""
    monkeypatch.setenv("DRIP_DATABASE_URL", database.url)

    def run(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(main, [*arguments, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    return run


def test_channels_are_set_listed_and_brought_back(
    drip: Callable[..., Any], sending: Start, http: HttpServers
):
    script = http.start(Reply(410))
    config = json.dumps({"timeout_seconds": 2, "color": "red"})
    made = drip("channels", "set", "hooks", "--category", "webhook", "--config", config)
    assert (made["slug"], made["unread"]) == ("hooks", ["color"])
    assert drip("channels", "list") == []
    sender = sending(allow=[script.host])
    sender.people(one_step(WebhookAction(url=script.url)), 1)
    sender.run()
    (transport,) = drip("channels", "list")
    assert transport["state"] == "disabled"
    assert transport["transport"].startswith("webhook/hooks/")
    drip("channels", "reset", transport["transport"])
    assert drip("channels", "list")[0]["state"] == "closed"
    assert "no transport" in drip("channels", "reset", "email/none", code=1)["error"]
    bad = drip("channels", "set", "x", "--category", "sms", "--config", "{}", code=1)
    assert "account_sid" in bad["error"]


def test_messages_in_doubt_are_listed_and_settled(
    drip: Callable[..., Any], sending: Start, smtp: Callable[..., Script]
):
    from drip_pipeline.domain.graph.nodes import EmailConfig
    from tests.channels.email.smtp_servers import store_and_hang_up

    sender = sending(smtp=smtp(on_data=store_and_hang_up))
    mail = EmailConfig(subject="Hi", body="Hi")
    sender.people(one_step(mail, node_type="email"), 2)
    sender.run()
    listed = drip("deliveries", "list")
    assert {row["status"] for row in listed} == {"unknown"}
    done = drip("deliveries", "settle", listed[0]["id"], "--as", "sent")
    assert done["deliveries"] == 1
    assert drip("deliveries", "settle", "--as", "not-sent", "--channel", "email")["deliveries"] == 1
    assert [row["status"] for row in drip("deliveries", "list", "--status", "pending")] == [
        "pending"
    ]
    nothing = CliRunner().invoke(main, ["deliveries", "settle", "--as", "sent"])
    assert nothing.exit_code == 2
    assert sender.states() == {"completed": 1, "waiting": 1}
    assert sender.run(NOW + timedelta(days=1000)).delivered["email"].total() == 1
