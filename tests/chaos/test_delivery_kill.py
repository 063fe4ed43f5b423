"""A process that delivers is killed repeatedly at random times.

SMTP servers do not detect repeated messages. So no message may be sent twice, few deliveries may
have an unknown outcome, and none may wait forever.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta

from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.delivery.deliver import MAX_SENDING
from drip_pipeline.engine.delivery.delivery_batch import LEASE_SECONDS
from drip_pipeline.engine.delivery.settle import GRACE_SECONDS
from drip_pipeline.engine.runner.tick import Engine, tick
from drip_pipeline.settings import CHECKOUT
from tests.engine import factories
from tests.engine.factories import MESSAGES, NOW
from tests.engine.graphs import email, end, graph, trigger
from tests.smtp_sink import Sink, smtp_sink

# The size at which this is believed; the suite makes do with less. CHAOS_MAILS=10000 CHAOS_KILLS=10
MAILS = int(os.environ.get("CHAOS_MAILS", "900"))
# The workers' clock moves on while they send; longer than this none of them runs.
RUNNING = timedelta(minutes=5)
KILLS = int(os.environ.get("CHAOS_KILLS", "3"))


def count(database: Database, status: str) -> int:
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT count(*) FROM campaign_deliveries WHERE status = %s", [status]
        ).fetchone()
    assert row is not None
    return int(row[0])


def started(database: Database, sink: Sink) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.delivery_worker", database.url, str(sink.port)],
        cwd=CHECKOUT,
    )


def kill_in_the_middle(database: Database, sink: Sink, rng: random.Random) -> None:
    """Start a worker, let it send for a random time, and kill it."""
    before = len(sink.received)
    left = MAILS - before
    target = before + rng.randint(1, max(1, left // (KILLS + 1)))
    worker = started(database, sink)
    deadline = time.monotonic() + 60
    while len(sink.received) < target and worker.poll() is None:
        assert time.monotonic() < deadline, "the worker does not get on"
        time.sleep(0.001)
    time.sleep(rng.random() * 0.02)
    worker.send_signal(signal.SIGKILL)
    assert worker.wait(30) == -signal.SIGKILL, "it was done before it could be killed"


def test_a_killed_sender_leaves_few_unknown_deliveries_and_repeats_none(
    database: Database,
):
    rng = random.Random(20260302)
    with database.transaction() as connection:
        campaign = factories.a_published_campaign(
            connection, graph(trigger("mail"), email("mail", default="end"), end())
        )
        people = factories.contacts(connection, campaign.workspace_id, MAILS)
        factories.enrolled(connection, campaign, people)
    with smtp_sink() as sink:
        for kills in range(1, KILLS + 1):
            kill_in_the_middle(database, sink, rng)
            assert count(database, "sending") <= MAX_SENDING * kills
        last = started(database, sink)
        assert last.wait(120) == 0
        received = Counter(mail.message_id for mail in sink.received)
        recipients = Counter(mail.recipient for mail in sink.received)
    assert max(received.values()) == 1
    assert max(recipients.values()) == 1
    assert count(database, "pending") == 0
    unknown = count(database, "sending")
    assert unknown <= MAX_SENDING * KILLS

    # Every message is settled as sent or its outcome is unknown.
    with database.transaction() as connection:
        settled = {
            str(row[0])
            for row in connection.execute(
                "SELECT id FROM campaign_deliveries WHERE status = 'sent'"
            ).fetchall()
        }
        unsettled = {
            str(row[0])
            for row in connection.execute(
                "SELECT id FROM campaign_deliveries WHERE status = 'sending'"
            ).fetchall()
        }
    assert settled <= set(received)
    assert set(received) <= settled | unsettled
    assert len(set(received) | unsettled) == MAILS

    # No message is sent again: the recorder replaces the relay and must stay empty.
    relay = RecorderChannel("email")
    engine = Engine(database, {"email": relay}, MESSAGES)
    tick(engine, now=NOW + timedelta(seconds=LEASE_SECONDS) + RUNNING, until_idle=True)
    assert count(database, "unknown") == unknown
    late = NOW + timedelta(seconds=LEASE_SECONDS + GRACE_SECONDS) + RUNNING
    tick(engine, now=late, until_idle=True)
    assert relay.messages == []
    assert count(database, "sent") == MAILS
    with database.transaction() as connection:
        states = connection.execute(
            "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1"
        ).fetchall()
        certain = connection.execute(
            "SELECT event_data ->> 'certainty', count(*) FROM campaign_events "
            "WHERE event_type = 'email_sent' GROUP BY 1"
        ).fetchall()
    assert states == [("completed", MAILS)]
    assert dict(certain) == {None: MAILS - unknown} | ({"unknown": unknown} if unknown else {})
    print(f"{MAILS} mails, {KILLS} kills, {unknown} unknown, {len(received)} received")  # noqa: T201
