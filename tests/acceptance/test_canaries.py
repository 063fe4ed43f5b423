"""Nobody's address, no body and no secret gets into logs or into Dagster's event log, however the
providers fail and whatever they echo.
"""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from drip_pipeline.cli import main
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery.channel_accounts import ChannelDefinition
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import EmailConfig, SmsAction, SocialAction, WebhookAction
from drip_pipeline.engine.transports.accounts import set_channel
from drip_pipeline.log_setup import configure_logging
from tests.channels.email.smtp_servers import Script, store_and_hang_up
from tests.engine import factories
from tests.engine.delivery.sending import one_step
from tests.engine.factories import NOW
from tests.http_servers import HANG, HttpServers, Reply, Request
from tests.orchestration.running import failures, run_minute

SECRETS = {
    "SMTP_FOR_TESTS": "smtp://127.0.0.1:{port}",
    "SMS_FOR_TESTS": "canarysmstoken",
    "HOOK_FOR_TESTS": "whsec_" + base64.b64encode(b"canaryhooksecret").decode(),
    "HEADER_FOR_TESTS": "Bearer canaryheader",
    "POST_FOR_TESTS": "canaryposttoken",
}
CANARIES = (
    "canary", "Kanari", "5557770", "c2FuYXJ5", base64.b64encode(b"canaryhooksecret").decode()[:12],
    base64.b64encode(b"AC1:canarysmstoken").decode()[:16],
)  # fmt: skip
BODY = "Hello {{ name }} of {{ company }}, canarybody says hello to {{ email }} and {{ phone }}"


def echo(status: int) -> Callable[[Request], Reply]:
    """A provider that fails and repeats everything it was told."""

    def answer(request: Request) -> Reply:
        told = f"{request.headers} {request.form} {request.body.decode()}"
        words = f"Cannot send {request.form.get('Body', '')} to {request.form.get('To', '')}"
        return Reply(status, {"code": 21000, "message": words, "error": told[:2_000]})

    return answer


def talkative(code: str) -> Callable[..., str]:
    def reply(_script: Script, _connection: Any, envelope: Any) -> str:
        content = (envelope.content or b"").decode(errors="replace")
        quoted = " ".join(content.split())[-200:]
        return f"{code} <{envelope.rcpt_tos[-1]}> {quoted}"

    return reply


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, at the loudest."""
    stream = io.StringIO()
    configure_logging("debug", stream=stream)
    theirs = logging.getLogger("mail.log")  # what the test's own mail server writes
    theirs.setLevel(logging.CRITICAL)
    yield stream
    theirs.setLevel(logging.NOTSET)
    logging.getLogger().handlers = []
    logging.getLogger().setLevel(logging.WARNING)


def people(database: Database, graph: CampaignGraph, name: str, count: int = 3) -> None:
    with database.transaction() as connection:
        campaign = factories.a_published_campaign(connection, graph, name=name)
        ids = factories.contacts(
            connection, campaign.workspace_id, count, prefix=f"canary.{name.lower()}"
        )
        connection.execute(
            "UPDATE contacts SET name = 'Kanari Canaryson', company = 'Canary & Co', "
            "phone = '+1555777' || lpad((abs(hashtext(id::text)) %% 10000)::text, 4, '0') "
            "WHERE id = ANY(%s)",
            [ids],
        )
        factories.enrolled(connection, campaign, ids)


def check(text: str, where: str) -> None:
    for canary in CANARIES:
        assert canary not in text, f"{canary} in {where}: …{text[text.index(canary) - 200 :][:400]}"


@pytest.mark.parametrize(
    ("smtp_fault", "http_fault"),
    [
        ({"on_rcpt": talkative("550 5.7.1")}, echo(400)),
        ({"on_data": talkative("554 5.7.1")}, echo(500)),
        ({"on_data": store_and_hang_up}, lambda _: HANG),
        ({"on_mail": "530 5.7.0 authenticate as canary@canary.example"}, echo(401)),
    ],
)
def test_nobodys_data_gets_out(
    engine_database: Database,
    instance: dg.DagsterInstance,
    smtp: Callable[..., Script],
    http: HttpServers,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    smtp_fault: dict[str, Any],
    http_fault: Callable[[Request], Reply],
):
    mail, web = smtp(**smtp_fault), http.start(http_fault)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value.format(port=mail.port))
    monkeypatch.setenv("DRIP_DELIVERY", "send")
    monkeypatch.setenv("DRIP_SECRET_KEY", "canarysigningkey")
    monkeypatch.setenv("DRIP_WEBHOOK_ALLOW", web.host)
    monkeypatch.setenv("DRIP_MAIL_FROM", "Acme <news@acme.example>")
    sms = {"account_sid": "AC1", "auth_token_env": "SMS_FOR_TESTS", "from": "+15550100999"}
    hook = {"secret_env": "HOOK_FOR_TESTS", "secret_headers": {"Authorization": "HEADER_FOR_TESTS"}}
    rows: dict[str, tuple[str | None, dict[str, Any]]] = {
        "email": (None, {"smtp_url_env": "SMTP_FOR_TESTS", "max_retries": 0}),
        "sms": (None, sms | {"base_url": web.url, "timeout_seconds": 0.5, "max_retries": 0}),
        "webhook": (None, hook | {"hosts": ["127.0.0.1"], "timeout_seconds": 0.5}),
        "social": (
            "mastodon",
            {"base_url": web.url, "access_token_env": "POST_FOR_TESTS", "timeout_seconds": 0.5},
        ),
    }
    with engine_database.transaction() as connection:
        factories.the_workspace(connection)
    for category, (platform, config) in rows.items():
        channel = ChannelDefinition(category, category, platform, config)
        set_channel(engine_database, channel, now=NOW)
    mailing = EmailConfig(subject="canarysubject for {{ name }}", body=BODY, body_html=BODY)
    people(engine_database, one_step(mailing, node_type="email"), "Mail")
    people(engine_database, one_step(SmsAction(body=BODY)), "Text")
    calling = WebhookAction(url=f"{web.url}/canarypath?k=canary", payload={"all": BODY})
    people(engine_database, one_step(calling), "Hook")
    posting = SocialAction(platform="mastodon", content="A canarypost for everybody, nobody else")
    people(engine_database, one_step(posting), "Post")

    result = run_minute(instance, datetime.now(UTC))

    # The servers did see the canaries: it is not that there were none.
    assert any("canary" in request.body.decode() for request in web.requests)
    assert mail.connections
    told = failures(result)
    entries = [json.loads(entry.to_json()) for entry in instance.all_logs(result.run_id)]
    check(json.dumps(entries), "Dagster's event log")
    check(str(told), "what the run says of its failures")
    runner = CliRunner()
    for command in (
        ["run", "--json"],
        ["deliveries", "list", "--status", "failed", "--json"],
        ["deliveries", "list", "--status", "unknown"],
        ["channels", "list", "--json"],
        ["doctor", "--json"],
    ):
        done = runner.invoke(main, command)
        check(done.output, f"drip {' '.join(command)}")
    with engine_database.transaction() as connection:
        for table, column in (
            ("campaign_batches", "error"),
            ("campaign_deliveries", "last_error"),
            ("campaign_workflow_states", "last_error"),
            ("campaign_broadcasts", "last_error"),
            ("channel_flow", "transport || coalesce(last_error, '')"),
        ):
            for (words,) in connection.execute(f"SELECT {column} FROM {table}"):
                check(words or "", f"{table}.{column}")
    written = capfd.readouterr()
    check(written.out + written.err, "what the process printed")
    check(log.getvalue(), "the log")
