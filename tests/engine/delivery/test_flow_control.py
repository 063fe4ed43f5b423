"""Rates, concurrency and breakers, measured by the messages that servers receive."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.domain.graph.nodes import EmailConfig, WebhookAction
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.settings import CHECKOUT
from tests.channels.email.smtp_servers import Script
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW
from tests.http_servers import HttpServers, Reply
from tests.smtp_sink import smtp_sink

Start = Callable[..., Sender]
MAIL = one_step(EmailConfig(subject="Hello", body="Dear {{ name }}"), node_type="email")
# The window at which this is believed is a minute; the suite makes do with less.
RATE_SECONDS = int(os.environ.get("RATE_SECONDS", "4"))
RATE = 50


def test_two_processes_together_respect_the_rate(sending: Start):
    sender = sending()
    sender.channel("email", {"per_second": RATE})
    with smtp_sink() as sink:
        sender.enroll(MAIL, RATE * (RATE_SECONDS + 10) * 2)
        advance_batch(sender.database, now=NOW, batch_size=100_000)
        sender.rows("UPDATE campaign_deliveries SET due_at = '2026-01-01' RETURNING id")
        arguments = [sender.database.url, str(sink.port), str(RATE_SECONDS + 4)]
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.engine.delivery.rate_worker", *arguments],
                cwd=CHECKOUT,
            )
            for _ in range(2)
        ]
        assert [worker.wait(RATE_SECONDS + 60) for worker in workers] == [0, 0]
        times = sorted(mail.at_seconds for mail in sink.received)
    # Measured while both run: in the first second one may start earlier, and buckets are full.
    begin = times[0] + 2
    counted = sum(begin <= at < begin + RATE_SECONDS for at in times)
    print(f"{counted} mails in {RATE_SECONDS} s, {counted / RATE_SECONDS:.1f}/s")  # noqa: T201
    assert 0.9 * RATE * RATE_SECONDS <= counted <= 1.1 * RATE * RATE_SECONDS
    assert len({mail.message_id for mail in sink.received}) == len(sink.received)


def test_a_call_waits_for_permits(sending: Start):
    sender = sending()
    with smtp_sink() as sink:
        sender = sending(smtp=sink)
        sender.channel("email", {"per_second": 40})
        sender.enroll(MAIL, 40)
        sender.run()
        times = sorted(mail.at_seconds for mail in sink.received)
    assert len(times) == 40
    assert times[-1] - times[0] >= 0.6  # 30 of them had to wait for their permits


def test_an_hourly_limit_ends_the_call_and_the_rest_stays_due(smtp: Any, sending: Start):
    script = smtp()
    sender = sending(smtp=script)
    sender.channel("email", {"per_hour": 60})
    sender.enroll(MAIL, 10)
    report = sender.run()
    assert report.delivered["email"].sent == len(script.received) == 1
    assert sender.deliveries() == {"sent": 1, "pending": 9}
    assert report.is_idle
    sender.run(NOW + timedelta(minutes=2))
    assert len(script.received) == 2


def test_concurrency_limits_the_messages_in_progress(http: HttpServers, sending: Start):
    import threading
    import time

    lock, now_open, most = threading.Lock(), [0], [0]

    def slow(_request: Any) -> Reply:
        with lock:
            now_open[0] += 1
            most[0] = max(most[0], now_open[0])
        time.sleep(0.005)
        with lock:
            now_open[0] -= 1
        return Reply(200)

    script = http.start(slow)
    sender = sending(allow=[script.host])
    sender.channel("webhook", {"concurrency": 3})
    sender.enroll(one_step(WebhookAction(url=script.url)), 30)
    sender.run()
    assert sender.states() == {"completed": 30}
    in_groups = sender.rows(
        "SELECT max(size) FROM campaign_batches WHERE kind = 'deliver' AND sizes ? 'sent'"
    )
    assert in_groups == [(3,)]


def test_an_unreachable_relay_uses_few_attempts(smtp: Any, sending: Start):
    script: Script = smtp(on_mail="421 4.3.2 going down")
    sender = sending(smtp=script)
    sender.channel("email", {"breaker_open_seconds": 60})
    sender.enroll(MAIL, 1_000)
    report = sender.run()
    assert report.delivered["email"].retried <= 100
    tried = sender.value("SELECT count(*) FROM campaign_deliveries WHERE attempts > 0")
    assert tried <= 100


@pytest.fixture
def dead_relay(sending: Start) -> tuple[Sender, int]:
    """A relay that nobody answers at, and 500 mails for it."""
    import socket
    from contextlib import closing

    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]

    class Nobody:
        pass

    nobody: Any = Nobody()
    nobody.port = port
    sender = sending(smtp=nobody)
    sender.enroll(MAIL, 500)
    return sender, port


def test_the_breaker_opens_probes_and_closes(dead_relay: tuple[Sender, int], sending: Start):
    sender, _ = dead_relay
    first = sender.run().delivered["email"]
    (words,) = first.faults.values()
    assert "cannot connect" in words
    assert first.retried <= 50
    # Open: nothing is attempted, and the reason is still reported.
    second = sender.run(NOW + timedelta(seconds=5)).delivered["email"]
    assert (second.total(), len(second.faults)) == (0, 1)
    # Half open: one message tries it, and it opens again for longer.
    third = sender.run(NOW + timedelta(seconds=40)).delivered["email"]
    assert third.retried == 1
    assert sender.rows("SELECT times_opened FROM channel_flow") == [(2,)]
    with smtp_sink() as sink:
        repaired = sending(smtp=sink)
        done = repaired.run(NOW + timedelta(minutes=10)).delivered["email"]
        assert done.sent == 500
        assert len(sink.received) == 500
    assert sender.states() == {"completed": 500}
    assert sender.rows("SELECT times_opened, open_until FROM channel_flow") == [(0, None)]


def test_refused_recipients_do_not_open_the_breaker(smtp: Any, sending: Start):
    sender = sending(smtp=smtp(on_rcpt="550 5.1.1 no such user"))
    sender.enroll(MAIL, 100)
    report = sender.run()
    assert report.delivered["email"].failed == 100
    assert report.delivered["email"].faults == {}
