"""A delivering process is killed at random, again and again. SMTP cannot recognize a repeated
message, so what counts is: nobody gets two, few are in doubt, and nobody waits for ever.
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
    """Start a worker, let it send for a random while, and kill it."""
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
    in_doubt = count(database, "sending")
    assert in_doubt <= MAX_SENDING * KILLS

    # Every message is known to be out, or it is in doubt: none is lost between the two.
    with database.transaction() as connection:
        settled = {
            str(row[0])
            for row in connection.execute(
                "SELECT id FROM campaign_deliveries WHERE status = 'sent'"
            ).fetchall()
        }
        doubtful = {
            str(row[0])
            for row in connection.execute(
                "SELECT id FROM campaign_deliveries WHERE status = 'sending'"
            ).fetchall()
        }
    assert settled <= set(received)
    assert set(received) <= settled | doubtful
    assert len(set(received) | doubtful) == MAILS

    # Nothing is sent again: the recorder stands in for the relay and must stay empty.
    relay = RecorderChannel("email")
    engine = Engine(database, {"email": relay}, MESSAGES)
    tick(engine, now=NOW + timedelta(seconds=LEASE_SECONDS) + RUNNING, until_idle=True)
    assert count(database, "unknown") == in_doubt
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
    assert dict(certain) == {None: MAILS - in_doubt} | ({"unknown": in_doubt} if in_doubt else {})
    print(f"{MAILS} mails, {KILLS} kills, {in_doubt} in doubt, {len(received)} received")  # noqa: T201
