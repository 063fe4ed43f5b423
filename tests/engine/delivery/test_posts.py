"""A social step sends one post for all enrollments, whatever fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.domain.graph.nodes import SocialAction
from drip_pipeline.engine.delivery.broadcast import broadcast_id
from drip_pipeline.engine.delivery.delivery_batch import LEASE_SECONDS
from drip_pipeline.engine.delivery.recover import recover
from drip_pipeline.engine.operations.requeue import requeue
from drip_pipeline.engine.runner.tick import Engine, tick
from tests.engine import factories
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import MESSAGES, NOW
from tests.http_servers import DROP, HANG, HttpScript, HttpServers, Reply, in_turn
from tests.mastodon import MastodonLike

Start = Callable[..., Sender]
Post = Callable[..., tuple[Sender, HttpScript]]
LATER = timedelta(minutes=10)


def a_post(**fields: Any) -> SocialAction:
    values: dict[str, Any] = {
        "platform": "mastodon",
        "content": "We are live: {{ campaign_name }}",
        "hashtags": ["launch"],
    }
    return SocialAction(**(values | fields))


@pytest.fixture
def server() -> MastodonLike:
    return MastodonLike(token="canary-token")


@pytest.fixture
def posting(sending: Start, http: HttpServers, monkeypatch: pytest.MonkeyPatch) -> Post:
    monkeypatch.setenv("M_TOKEN", "canary-token")

    def start(answer: Any, **config: Any) -> tuple[Sender, HttpScript]:
        script = http.start(answer)
        sender = sending(allow=[script.host])
        whole = {"base_url": script.url, "access_token_env": "M_TOKEN", "timeout_seconds": 0.5}
        sender.channel("social", whole | config, platform="mastodon")
        return sender, script

    return start


def test_one_post_is_sent_and_all_events_refer_to_it(posting: Post, server: MastodonLike):
    sender, script = posting(server.answer)
    campaign, _ = sender.enroll(one_step(a_post()), 300)
    done = sender.run().delivered["social"]
    assert (done.posts, done.sent) == (1, 300)
    assert [status["status"] for status in server.statuses] == ["We are live: Welcome\n\n#launch"]
    assert len(script.requests) == 1
    assert sender.states() == {"completed": 300}
    post_id = broadcast_id(campaign.campaign_id, 1, "step", None)
    assert script.requests[0].headers["idempotency-key"] == str(post_id)
    events = sender.data("social_posted")
    assert len(events) == 300
    assert {event["post_id"] for event in events} == {str(post_id)}
    assert {event["url"] for event in events} == {"https://social.example.com/@a/1"}
    # A post is no message to a person, so it counts as none.
    assert sender.value("SELECT count(*) FROM campaign_message_outcomes") == 0
    assert sender.rows("SELECT status, provider_message_id FROM campaign_broadcasts") == [
        ("sent", "1")
    ]


def test_later_enrollments_pass_without_another_post(posting: Post, server: MastodonLike):
    sender, script = posting(server.answer)
    campaign, _ = sender.enroll(one_step(a_post()), 3)
    sender.run()
    with sender.database.transaction() as connection:
        late = factories.contacts(connection, campaign.workspace_id, 5, prefix="late")
        factories.enrolled(connection, campaign, late)
    sender.run(NOW + timedelta(days=30))
    assert sender.states() == {"completed": 8}
    assert len(script.requests) == 1


def test_another_campaign_or_version_has_a_post_of_its_own(posting: Post, server: MastodonLike):
    # What Mastodon takes an hour would make the second post wait for half a minute.
    sender, _ = posting(server.answer, per_hour=36_000)
    sender.enroll(one_step(a_post()), 2, name="One")
    sender.enroll(one_step(a_post()), 2, name="Two")
    sender.run()
    assert len(server.statuses) == 2


def test_several_processes_post_once(posting: Post, server: MastodonLike, sending: Start):
    from concurrent.futures import ThreadPoolExecutor

    sender, script = posting(server.answer)
    sender.enroll(one_step(a_post()), 200)
    others = [sending(allow=[script.host]) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: each.run(), [sender, *others]))
    sender.run(NOW + LATER)
    assert len(script.requests) == len(server.statuses) == 1
    assert sender.states() == {"completed": 200}


@pytest.mark.parametrize("fault", [HANG, DROP, Reply(500), Reply(502)])
def test_a_failure_is_retried_and_the_post_is_sent_once(
    posting: Post, server: MastodonLike, fault: Reply
):
    first = [True]

    def answer(request: Any) -> Reply:
        good = server.answer(request)  # the server may have acted before it failed to say so
        return fault if first and first.pop() else good

    sender, script = posting(answer)
    sender.enroll(one_step(a_post()), 20)
    report = sender.run()
    assert report.delivered["social"].sent == 0
    assert sender.states() == {"waiting": 20}
    assert sender.deliveries() == {"pending": 20}
    status, attempts, error = sender.rows(
        "SELECT status, attempts, last_error FROM campaign_broadcasts"
    )[0]
    assert (status, attempts) == ("pending", 1)
    assert "Mastodon" in error
    sender.run(NOW + LATER)
    assert sender.states() == {"completed": 20}
    assert len(script.requests) == 2
    assert len(server.statuses) == 1


def test_a_refused_post_fails_its_states_and_requeueing_sends_it(
    posting: Post, server: MastodonLike
):
    sender, script = posting(Reply(422, {"error": "Text character limit exceeded"}))
    campaign, _ = sender.enroll(one_step(a_post()), 5)
    sender.run()
    assert sender.states() == {"failed": 5}
    assert sender.events()["social_failed/http_422"] == 5
    (error,) = sender.rows("SELECT DISTINCT last_error FROM campaign_workflow_states")[0]
    assert "Text character limit exceeded" in error
    script.answer = server.answer
    now = NOW + timedelta(hours=1)
    assert requeue(sender.database, now=now, campaign=campaign.campaign_id).deliveries == 5
    sender.run(now)
    assert sender.states() == {"completed": 5}
    assert len(server.statuses) == 1


def test_an_expired_token_stops_the_post_with_the_reason(posting: Post):
    sender, script = posting(Reply(401, {"error": "The access token was revoked"}))
    sender.enroll(one_step(a_post()), 5)
    (words,) = sender.run().delivered["social"].faults.values()
    assert "revoked" in words
    assert sender.states() == {"waiting": 5}
    assert len(script.requests) == 1


def test_the_engine_keeps_a_schedule_time_that_the_provider_cannot(
    sending: Start, http: HttpServers, monkeypatch: pytest.MonkeyPatch
):
    import base64

    secret = "whsec_" + base64.b64encode(b"sixteen bytes or more").decode()
    monkeypatch.setenv("TOOL_SECRET", secret)
    script = http.start(Reply(200, {"id": "p-1"}))
    sender = sending(allow=[script.host])
    tool = {"url": f"{script.url}/publish", "secret_env": "TOOL_SECRET"}
    sender.channel("social", tool, platform="webhook")
    time = NOW + timedelta(days=2)
    post = a_post(
        platform="instagram", schedule_time=time, media_urls=["https://example.com/a.mp4"]
    )
    sender.enroll(one_step(post), 4)
    sender.run()
    sender.run(NOW + timedelta(days=1))
    assert script.requests == []
    assert sender.states() == {"waiting": 4}
    sender.run(time + timedelta(minutes=1))
    assert len(script.requests) == 1
    assert script.requests[0].json["data"]["platform"] == "instagram"
    assert sender.states() == {"completed": 4}


def test_a_schedule_time_is_passed_to_a_provider_with_a_schedule(
    posting: Post, server: MastodonLike
):
    sender, _ = posting(server.answer)
    time = NOW + timedelta(days=2)
    sender.enroll(one_step(a_post(schedule_time=time)), 4)
    sender.run()
    assert server.statuses[0]["scheduled_at"] == time.isoformat()
    assert sender.states() == {"completed": 4}
    assert sender.data("social_posted")[0]["scheduled_at"] == time.isoformat()


def claimed(sender: Sender) -> None:
    """A post as a worker leaves it that was killed while handing it over."""
    sender.rows(
        "UPDATE campaign_broadcasts SET status = 'sending', due_at = NULL, attempts = 1, "
        "leased_until = %s, retry_until = %s RETURNING id",
        NOW + timedelta(seconds=LEASE_SECONDS),
        NOW + timedelta(hours=1),
    )


def test_a_post_of_a_killed_sender_is_repeated_while_the_provider_recognizes_it(
    posting: Post, server: MastodonLike
):
    sender, script = posting(in_turn(Reply(500), Reply(500)))
    sender.enroll(one_step(a_post()), 3)
    sender.run()
    claimed(sender)
    script.answer = server.answer
    sender.run(NOW + timedelta(seconds=LEASE_SECONDS - 1))
    assert sender.states() == {"waiting": 3}
    assert sender.run(NOW + timedelta(seconds=LEASE_SECONDS + 1)).recovered.posts == 1
    assert sender.states() == {"completed": 3}
    assert len(server.statuses) == 1


def test_after_that_it_is_assumed_sent(posting: Post, server: MastodonLike):
    sender, script = posting(in_turn(Reply(500), Reply(500)))
    sender.enroll(one_step(a_post()), 3)
    sender.run()
    claimed(sender)
    script.answer = server.answer
    before = len(script.requests)
    late = NOW + timedelta(hours=2)
    sender.run(late)
    assert sender.states() == {"completed": 3}
    assert len(script.requests) == before
    assert {event["certainty"] for event in sender.data("social_posted")} == {"unknown"}


def test_recorded_posts_are_recorded_once(database: Any):
    with database.transaction() as connection:
        campaign = factories.a_published_campaign(connection, one_step(a_post()))
        people = factories.contacts(connection, campaign.workspace_id, 50)
        factories.enrolled(connection, campaign, people)
    engine = Engine(database, {"social": RecorderChannel("social")}, MESSAGES)
    done = tick(engine, now=NOW, until_idle=True).delivered["social"]
    assert (done.sent, done.posts) == (50, 1)
    with database.transaction() as connection:
        recorded = connection.execute(
            "SELECT recipient, body, payload -> 'hashtags' FROM recorded_messages"
        ).fetchall()
    assert recorded == [("mastodon", "We are live: Welcome", ["launch"])]


def test_unsubscribed_contacts_exit_at_a_post(posting: Post, server: MastodonLike):
    sender, _ = posting(server.answer)
    sender.enroll(one_step(a_post()), 2)
    from drip_pipeline.engine.execution.advance import advance_batch

    advance_batch(sender.database, now=NOW, batch_size=10)
    sender.rows(
        "UPDATE campaign_enrollments SET status = 'unsubscribed' "
        "WHERE contact_email = 'Welcome1@example.com' RETURNING id"
    )
    sender.run()
    assert sender.states() == {"completed": 1, "exited/unsubscribed": 1}


REFUSAL = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
    CREATE {kind} ON {table} {deferred} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse();
"""
KINDS = {
    "at once": {"kind": "TRIGGER refuse BEFORE INSERT OR UPDATE", "deferred": ""},
    "at the commit": {
        "kind": "CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE",
        "deferred": "DEFERRABLE INITIALLY DEFERRED",
    },
}


def refuse(sender: Sender, kind: str, table: str, when: str) -> None:
    with sender.database.transaction() as connection:
        text = REFUSAL.format(table=table, when=when, **KINDS[kind])
        connection.execute(text.encode())


@pytest.mark.parametrize("kind", KINDS)
def test_a_post_whose_result_is_refused_is_held_and_the_other_one_is_settled(
    posting: Post, server: MastodonLike, kind: str
):
    sender, script = posting(server.answer, per_hour=36_000)
    one, _ = sender.enroll(one_step(a_post()), 2, name="One")
    sender.enroll(one_step(a_post()), 2, name="Two")
    is_first = f"new.campaign_id = '{one.campaign_id}'"
    refuse(sender, kind, "campaign_broadcasts", f"{is_first} AND new.status = 'sent'")
    sender.run()
    sender.run(NOW + timedelta(hours=5))
    assert len(script.requests) == 2
    assert sender.rows("SELECT status, error_code FROM campaign_broadcasts ORDER BY status") == [
        ("sent", None), ("unknown", "not_settled"),
    ]  # fmt: skip
    assert sender.states() == {"completed": 2, "waiting": 2}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_recorded", [True, False])
def test_one_state_that_cannot_pass_a_post_leaves_the_others(
    posting: Post, server: MastodonLike, sending: Start, kind: str, is_recorded: bool
):
    sender = sending(delivery="record") if is_recorded else posting(server.answer)[0]
    sender.enroll(one_step(a_post()), 9)
    people = [row[0] for row in sender.rows("SELECT contact_id FROM campaign_enrollments")]
    refuse(sender, kind, "campaign_events",
           f"new.contact_id = '{people[4]}' AND new.event_type = 'social_posted'")  # fmt: skip
    sender.run()
    assert sender.states() == {"completed": 8, "waiting": 1}
    assert sender.rows("SELECT contact_id FROM campaign_data_faults") == [(people[4],)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_post_that_cannot_be_recorded_fails_and_another_one_is_recorded(
    sending: Start, kind: str
):
    sender = sending(delivery="record")
    one, _ = sender.enroll(one_step(a_post()), 2, name="One")
    sender.enroll(one_step(a_post()), 2, name="Two")
    refuse(sender, kind, "recorded_messages", f"new.campaign_id = '{one.campaign_id}'")
    sender.run()
    assert sender.states() == {"completed": 2, "failed": 2}
    assert sender.rows("SELECT status, error_code FROM campaign_broadcasts ORDER BY status") == [
        ("failed", "not_recorded"), ("sent", None),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_post_that_cannot_be_recovered_leaves_the_other_one(
    posting: Post, server: MastodonLike, kind: str
):
    sender, _ = posting(server.answer, per_hour=36_000)
    one, _ = sender.enroll(one_step(a_post()), 2, name="One")
    sender.enroll(one_step(a_post()), 2, name="Two")
    sender.run()
    with sender.database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_broadcasts"
            " SET status = 'sending', leased_until = %s, settled_at = NULL",
            [NOW],
        )
    refuse(sender, kind, "campaign_broadcasts", f"new.campaign_id = '{one.campaign_id}'")
    assert recover(sender.database, now=NOW + timedelta(minutes=1)).posts == 1
    statuses = sender.rows("SELECT status FROM campaign_broadcasts ORDER BY status")
    assert ("sending",) in statuses
    assert statuses != [("sending",), ("sending",)]
