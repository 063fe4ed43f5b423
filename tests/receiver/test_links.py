"""Links in messages: what they do, what they leave behind, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest

from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.domain.identity import id_of_test_message
from drip_pipeline.domain.templates.signed_tokens import Purpose, SignedLink, sign
from drip_pipeline.engine.events.drain_inbox import drain_inbox
from drip_pipeline.engine.runner.factory import message_settings
from drip_pipeline.engine.runner.tick import Engine, tick
from drip_pipeline.settings import Secret, Settings
from tests.engine.events.incoming import LATER, mailed, rows, value
from tests.engine.factories import NOW, Sent, a_published_campaign, contacts, enrolled
from tests.engine.graphs import end, graph, node, trigger
from tests.receiver.running import KEY, Receiver, a_receiver

PERSON = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"


@pytest.fixture
def receiver(database: Database) -> Iterator[Receiver]:
    with a_receiver(database) as running:
        yield running


@pytest.fixture
def sent(database: Database) -> Sent:
    _, (message,) = mailed(database)
    return message


def link(purpose: Purpose, sent: Sent, url: str | None = None) -> str:
    letter = {Purpose.OPEN: "o", Purpose.CLICK: "c", Purpose.UNSUBSCRIBE: "u"}[purpose]
    return f"/{letter}/{sign(KEY, purpose, SignedLink(sent.message_id, url))}"


def drained(database: Database) -> None:
    assert drain_inbox(database, now=LATER).rejected == 0


def inbox(database: Database) -> int:
    return int(value(database, "SELECT count(*) FROM event_inbox"))


def outcome(database: Database) -> tuple[object, ...]:
    ((opens, machine, clicks, machine_clicks),) = rows(
        database,
        "SELECT open_count, first_machine_opened_at IS NOT NULL, click_count, "
        "first_machine_clicked_at IS NOT NULL FROM campaign_message_outcomes",
    )
    return opens, machine, clicks, machine_clicks


def test_the_pixel_records_an_open_with_device_and_address(database, receiver, sent):
    answer = receiver.get(link(Purpose.OPEN, sent), user_agent=PERSON)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.body.startswith(b"GIF89a")
    assert "no-store" in answer.headers["cache-control"]
    drained(database)
    assert outcome(database) == (1, False, 0, False)
    assert rows(
        database,
        "SELECT device_type, host(ip_address), user_agent FROM campaign_events "
        "WHERE event_type = 'email_opened'",
    ) == [("mobile", "127.0.0.1", PERSON)]


def test_a_click_redirects_and_counts_once_however_often_it_is_drained(database, receiver, sent):
    url = "https://shop.example.com/sale?a=1&b=%C3%BC#top"
    answer = receiver.get(link(Purpose.CLICK, sent, url), user_agent=PERSON)
    assert (answer.status, answer.headers["location"]) == (302, url)
    drained(database)
    with database.transaction() as connection:
        connection.execute("UPDATE event_inbox SET status = 'pending', due_at = received_at, "
                           "settled_at = NULL")  # fmt: skip
    drained(database)
    assert outcome(database) == (0, False, 1, False)
    assert value(database, "SELECT event_data->>'url' FROM campaign_events "
                           "WHERE event_type = 'email_clicked'") == url  # fmt: skip


@pytest.mark.parametrize("url", ["HTTPS://EXAMPLE.com/a", "Http://example.com/"])
def test_a_link_in_capitals_redirects(database, receiver, sent, url):
    answer = receiver.get(link(Purpose.CLICK, sent, url), user_agent=PERSON)
    assert (answer.status, answer.headers["location"]) == (302, url)
    drained(database)
    assert outcome(database) == (0, False, 1, False)


@pytest.mark.parametrize(
    ("agent", "headers"),
    [
        ("Barracuda Sentinel (EE)", {}),
        (PERSON, {"sec-purpose": "prefetch;prerender"}),
        (PERSON, {"purpose": "prefetch"}),
        (PERSON, {"x-purpose": "preview"}),
        (PERSON, {"x-moz": "prefetch"}),
    ],
)
def test_scanners_and_prefetches_are_marked_as_machines(database, receiver, sent, agent, headers):
    named = {"user-agent": agent, **headers}
    answer = receiver.ask("GET", link(Purpose.CLICK, sent, "https://x.example.com/"), b"", named)
    assert answer.status == 302
    receiver.ask("GET", link(Purpose.OPEN, sent), b"", named)
    drained(database)
    assert outcome(database) == (0, True, 0, True)


def test_a_head_request_is_answered_and_records_no_event(database, receiver, sent):
    opened = receiver.ask("HEAD", link(Purpose.OPEN, sent))
    clicked = receiver.ask("HEAD", link(Purpose.CLICK, sent, "https://x.example.com/"))
    assert (opened.status, clicked.status, opened.body) == (200, 302, b"")
    assert inbox(database) == 0


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//evil.example.com", "data:text/html,x", "", "ftp://x/y"]
)
def test_links_redirect_only_to_web_pages(receiver, sent, url):
    answer = receiver.get(link(Purpose.CLICK, sent, url))
    assert answer.status == 400
    assert "location" not in answer.headers


def test_a_changed_token_or_a_token_of_another_purpose_is_refused(database, receiver, sent):
    good = link(Purpose.CLICK, sent, "https://shop.example.com/")
    forged = good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB")
    moved = "/c/" + link(Purpose.OPEN, sent).removeprefix("/o/")
    for path in (forged, moved, "/c/x", "/c/" + "A" * 9_000, "/c/%00%ff"):
        answer = receiver.get(path)
        assert (answer.status, "location" in answer.headers) == (400, False)
        assert "This link does not work" in answer.text
    assert receiver.get("/o/nonsense").status == 404
    assert inbox(database) == 0


def test_links_in_a_rendered_email_redirect_and_count(database, receiver):
    """All the way: a mail is sent, somebody opens it and follows a link, and it is counted."""
    html = '<p><a href="https://shop.example.com/?a=1&amp;b=2">Sale</a></p>{{ unsubscribe_url }}'
    config = EmailConfig(subject="Hi", body="Hi {{ unsubscribe_url }}", body_html=html)
    mail = node("mail", "email", config, default="end")
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, graph(trigger("mail"), mail, end()))
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 1))
    settings = Settings(
        secret_key=receiver.services.settings.secret_key, public_url="https://mail.example.com"
    )
    engine = Engine(database, {"email": RecorderChannel("email")}, message_settings(settings))
    tick(engine, now=NOW, until_idle=True)
    sent_html = value(database, "SELECT body_html FROM recorded_messages")
    click, unsubscribe, opened = re.findall(r"https://mail\.example\.com(/[cuo]/[\w-]+)", sent_html)
    assert "shop.example.com" not in sent_html
    assert receiver.get(click, user_agent=PERSON).headers["location"] == (
        "https://shop.example.com/?a=1&b=2"
    )
    assert receiver.get(opened, user_agent=PERSON).status == 200
    assert receiver.get(unsubscribe).status == 200
    drained(database)
    assert outcome(database) == (1, False, 1, False)


@pytest.mark.parametrize(
    ("settings", "tracks"),
    [
        ({}, (False, False)),
        ({"secret_key": Secret("x")}, (False, False)),
        ({"public_url": "https://m.example.com"}, (False, False)),
        ({"secret_key": Secret("x"), "public_url": "https://m.example.com"}, (True, True)),
        (
            {"secret_key": Secret("x"), "public_url": "https://m.example.com",
             "tracking": ("clicks",)},
            (False, True),
        ),
    ],
)  # fmt: skip
def test_emails_are_tracked_only_with_a_public_url_and_a_stable_key(tmp_path, settings, tracks):
    tracked = message_settings(Settings(home=tmp_path, **settings))
    assert (tracked.tracks_opens, tracked.tracks_clicks) == tracks


# --- unsubscribing --------------------------------------------------------------------------------


def suppressed(database: Database) -> list[tuple[object, ...]]:
    return rows(database, "SELECT address, channel, reason FROM campaign_suppressions")


def test_opening_the_unsubscribe_link_changes_nothing(database, receiver, sent):
    for method in ("GET", "HEAD"):
        assert receiver.ask(method, link(Purpose.UNSUBSCRIBE, sent)).status == 200
    page = receiver.get(link(Purpose.UNSUBSCRIBE, sent))
    assert '<form method="post"><button type="submit">Unsubscribe</button></form>' in page.text
    assert "Example Shop" in page.text
    assert suppressed(database) == []
    assert inbox(database) == 0


def test_one_click_unsubscribes_at_once_and_the_run_ends_with_the_drain(database, receiver, sent):
    with database.transaction() as connection:  # the mail was the last step; as if there were more
        connection.execute("UPDATE campaign_workflow_states SET workflow_status = 'waiting', "
                           "completed_at = NULL, exit_reason = NULL, current_node_id = 'mail', "
                           "next_execution_at = %s", [LATER])  # fmt: skip
    path = link(Purpose.UNSUBSCRIBE, sent)
    one_click = {"content-type": "application/x-www-form-urlencoded"}
    answer = receiver.post(path, b"List-Unsubscribe=One-Click", one_click)
    assert answer.status == 200
    assert suppressed(database) == [(sent.email, "email", "unsubscribed")]
    drained(database)
    assert rows(database, "SELECT workflow_status, exit_reason FROM campaign_workflow_states") == [
        ("exited", "unsubscribed")
    ]
    assert value(database, "SELECT unsubscribed_at FROM campaign_message_outcomes") == LATER


def test_unsubscribing_again_changes_nothing(database, receiver, sent):
    path = link(Purpose.UNSUBSCRIBE, sent)
    assert [receiver.post(path).status for _ in range(3)] == [200, 200, 200]
    assert "You are unsubscribed" in receiver.get(path).text
    drained(database)
    assert len(suppressed(database)) == 1
    assert value(database, "SELECT count(*) FROM campaign_events "
                           "WHERE event_type = 'email_unsubscribed'") == 1  # fmt: skip


def test_an_unknown_or_forged_unsubscribe_link_gets_a_friendly_page(database, receiver, sent):
    stranger = Sent(uuid4(), sent.enrollment_id, sent.contact_id, sent.email)
    path = link(Purpose.UNSUBSCRIBE, sent)
    for method in ("GET", "POST"):
        unknown = receiver.ask(method, link(Purpose.UNSUBSCRIBE, stranger))
        forged = receiver.ask(method, path[:-1] + ("A" if path[-1] != "A" else "B"))
        assert (unknown.status, forged.status) == (404, 400)
        assert "This link does not work" in unknown.text
        assert "This link does not work" in forged.text
    assert suppressed(database) == []


def test_pages_cannot_be_framed_cached_or_load_external_content(receiver, sent):
    headers = receiver.get(link(Purpose.UNSUBSCRIBE, sent)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert headers["referrer-policy"] == "no-referrer"  # the address is a secret
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_links_of_test_messages_work_and_change_nothing(database, receiver, sent):
    message = id_of_test_message(uuid4())
    before = rows(database, "SELECT * FROM campaign_message_outcomes")
    url = "https://acme.io/tea"
    for purpose, letter in zip(Purpose, "uoct", strict=True):
        target = url if purpose is Purpose.CLICK else None
        path = f"/{letter}/{sign(KEY, purpose, SignedLink(message, target))}"
        answer, posted = receiver.get(path), receiver.post(path, b"action=all")
        if purpose in (Purpose.UNSUBSCRIBE, Purpose.CONFIRM):
            assert (answer.status, posted.status) == (200, 200)
            assert "This was a test message" in answer.text
            assert "This was a test message" in posted.text
        elif purpose is Purpose.CLICK:
            assert (answer.status, answer.headers["location"]) == (302, url)
        else:
            assert answer.body.startswith(b"GIF89a")
    assert inbox(database) == 0
    assert rows(database, "SELECT * FROM campaign_message_outcomes") == before
    assert value(database, "SELECT count(*) FROM campaign_suppressions") == 0
    assert receiver.counted("unsubscribe") == {"test": 2}
