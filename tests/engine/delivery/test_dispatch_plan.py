"""`drip doctor` checks of channels and sender, and the operators' commands."""

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


def check_severities(sender: Sender, **settings: Any) -> dict[tuple[str, str], Severity]:
    changed = sender.settings.model_copy(update=settings)
    checks = diagnose_channels(changed, sender.database, now=NOW)
    return {
        (check.about.split("/")[0], check.finding.code): check.finding.severity for check in checks
    }


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
    assert check_severities(sender) == {
        ("email", "connected"): Severity.OK,
        ("email", "not_encrypted"): Severity.WARNING,
        ("webhook", "unsigned"): Severity.WARNING,
        ("sms", "connected"): Severity.OK,
        ("social", "connected"): Severity.OK,
    }
    assert mail.received == []
    assert social.statuses == []
    assert [request.method for request in text.requests] == ["GET"]


def test_missing_and_failing_channels_are_reported(
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
    severities = check_severities(sender)
    assert severities[("sms", "auth_failed")] is Severity.ERROR
    assert severities[("social", "not_set_up")] is Severity.ERROR
    assert severities[("email", "connect_failed")] is Severity.ERROR
    assert severities[("email", "off")] is Severity.WARNING
    assert severities[("webhook", "unread_keys")] is Severity.WARNING
    recorded = check_severities(sender, delivery="record")
    assert recorded[("delivery", "recorded")] is Severity.OK
    assert Severity.ERROR not in recorded.values()


def test_open_breakers_unknown_outcomes_and_gone_endpoints_are_reported(
    sending: Start, http: HttpServers
):
    gone, down = http.start(Reply(410)), http.start(Reply(500))
    sender = sending(allow=[gone.host, down.host])
    sender.enroll(one_step(WebhookAction(url=gone.url)), 1, name="Gone")
    sender.enroll(one_step(WebhookAction(url=down.url)), 20, name="Down")
    sender.run()
    sender.rows(
        "UPDATE campaign_deliveries SET status = 'unknown', due_at = NULL "
        "WHERE status = 'pending' RETURNING id"
    )
    severities = check_severities(sender)
    assert severities[("webhook", "gone")] is Severity.WARNING
    assert severities[("webhook", "breaker")] is Severity.WARNING
    assert severities[("webhook", "outcome_unknown")] is Severity.WARNING


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
def test_the_rules_for_senders_are_checked(settings: dict[str, Any], code: str, severity: Severity):
    good: dict[str, Any] = {
        "delivery": "send",
        "mail_from": "Acme <news@acme.de>",
        "public_url": "https://mail.acme.de",
        "secret_key": Secret("a key"),
    }
    severities = {
        look.finding.code: look.finding.severity
        for look in diagnose_sender(Settings(**(good | settings)))
    }
    assert severities[code] is severity


def test_dns_records_are_reported_as_not_checked():
    messages = [check.finding.message for check in diagnose_sender(Settings())]
    assert any("SPF, DKIM and DMARC" in message for message in messages)


@pytest.fixture
def drip(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command line on the test's database; gives the parsed JSON."""
    monkeypatch.setenv("DRIP_DATABASE_URL", database.url)

    def run(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(main, [*arguments, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    return run


def test_channels_are_set_listed_and_reset(
    drip: Callable[..., Any], sending: Start, http: HttpServers
):
    script = http.start(Reply(410))
    config = json.dumps({"timeout_seconds": 2, "color": "red"})
    created = drip("channels", "set", "hooks", "--category", "webhook", "--config", config)
    assert (created["slug"], created["unread"]) == ("hooks", ["color"])
    assert drip("channels", "list") == []
    sender = sending(allow=[script.host])
    sender.enroll(one_step(WebhookAction(url=script.url)), 1)
    sender.run()
    (transport,) = drip("channels", "list")
    assert transport["state"] == "disabled"
    assert transport["transport"].startswith("webhook/hooks/")
    drip("channels", "reset", transport["transport"])
    assert drip("channels", "list")[0]["state"] == "closed"
    assert "no transport" in drip("channels", "reset", "email/none", code=1)["error"]
    bad = drip("channels", "set", "x", "--category", "sms", "--config", "{}", code=1)
    assert "account_sid" in bad["error"]


def test_messages_of_unknown_outcome_are_listed_and_settled(
    drip: Callable[..., Any], sending: Start, smtp: Callable[..., Script]
):
    from drip_pipeline.domain.graph.nodes import EmailConfig
    from tests.channels.email.smtp_servers import store_and_hang_up

    sender = sending(smtp=smtp(on_data=store_and_hang_up))
    mail = EmailConfig(subject="Hi", body="Hi")
    sender.enroll(one_step(mail, node_type="email"), 2)
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
