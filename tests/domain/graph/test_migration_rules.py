"""What becomes of somebody who moves to another version: the rules, one situation at a time."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.domain.graph.migration_rules import Message, Situation, Step, moves_of, target_of
from drip_pipeline.domain.graph.nodes import EmailConfig, SmsAction, SocialAction
from tests.engine.graphs import email, end, graph, node, trigger, wait_for, wait_hours

MAIL = email("mail")
RENAMED = email("letter")
REWRITTEN = node("mail", "email", EmailConfig(subject="Another", body="text"))
ELSEWHERE = node("other", "email", EmailConfig(subject="Another", body="text"))
TEXT = node("mail", "action", SmsAction(body="Hello"))
POST = node("post", "action", SocialAction(platform="mastodon", content="Hello", post_type="post"))
REST = wait_hours("rest", 24)
SHORTER = wait_hours("rest", 8)
UNTIL = wait_for("rest", "purchase")


def rule(situation: Situation, before: GraphNode | None, after: GraphNode) -> Any:
    (found,) = (move for move in moves_of(1, "x", before, after) if move.situation is situation)
    return found.step, found.message


@pytest.mark.parametrize(
    ("situation", "before", "after", "step", "message"),
    [
        (Situation.TO_ENTER, MAIL, ELSEWHERE, Step.KEEP, Message.NONE),
        (Situation.WAITING, REST, REST, Step.KEEP, Message.NONE),
        (Situation.WAITING, REST, SHORTER, Step.WAIT, Message.NONE),
        (Situation.WAITING, REST, UNTIL, Step.WAIT, Message.NONE),
        (Situation.WAITING, UNTIL, SHORTER, Step.WAIT, Message.NONE),
        (Situation.WAITING, REST, MAIL, Step.ENTER, Message.NONE),
        (Situation.LEAVING, REST, SHORTER, Step.KEEP, Message.NONE),
        (Situation.LEAVING, UNTIL, SHORTER, Step.WAIT, Message.NONE),
        (Situation.LEAVING, MAIL, REWRITTEN, Step.KEEP, Message.NONE),
        (Situation.LEAVING, MAIL, TEXT, Step.KEEP, Message.NONE),
        (Situation.LEAVING, MAIL, ELSEWHERE, Step.ENTER, Message.NONE),
        (Situation.LEAVING, None, MAIL, Step.ENTER, Message.NONE),
        (Situation.MESSAGE_PENDING, MAIL, REWRITTEN, Step.KEEP, Message.RENEWED),
        (Situation.MESSAGE_PENDING, MAIL, RENAMED, Step.KEEP, Message.RENEWED),
        (Situation.MESSAGE_PENDING, MAIL, TEXT, Step.ENTER, Message.WITHDRAWN),
        (Situation.MESSAGE_PENDING, MAIL, ELSEWHERE, Step.ENTER, Message.WITHDRAWN),
        (Situation.MESSAGE_PENDING, MAIL, REST, Step.ENTER, Message.WITHDRAWN),
        (Situation.MESSAGE_PENDING, POST, POST, Step.KEEP, Message.UNTOUCHED),
        (Situation.MESSAGE_OUT, MAIL, REWRITTEN, Step.KEEP, Message.UNTOUCHED),
        (Situation.MESSAGE_OUT, MAIL, TEXT, Step.KEEP, Message.UNTOUCHED),
        (Situation.MESSAGE_OUT, MAIL, ELSEWHERE, Step.ENTER_AFTER, Message.UNTOUCHED),
        (Situation.MESSAGE_OUT, MAIL, REST, Step.ENTER_AFTER, Message.UNTOUCHED),
        (Situation.MESSAGE_FAILED, MAIL, REWRITTEN, Step.KEEP, Message.RENEWED),
        (Situation.MESSAGE_FAILED, MAIL, REST, Step.ENTER, Message.NONE),
        (Situation.MESSAGE_BEFORE, REST, MAIL, Step.KEEP, Message.UNTOUCHED),
    ],
)  # fmt: skip
def test_what_becomes_of_somebody(situation, before, after, step, message):
    assert rule(situation, before, after) == (step, message)


@pytest.mark.parametrize("before", [MAIL, REST, UNTIL, POST, None])
@pytest.mark.parametrize("after", [MAIL, REST, UNTIL, POST, TEXT, end()])
def test_every_move_has_words_and_no_message_that_may_be_out_is_touched(before, after):
    for move in moves_of(1, "x", before, after):
        assert move.told()
        if move.situation in (Situation.MESSAGE_OUT, Situation.MESSAGE_BEFORE):
            assert move.message is Message.UNTOUCHED


def test_people_go_where_the_map_says_else_to_the_node_of_the_same_id():
    new = graph(trigger("mail"), MAIL, REST)
    assert target_of("mail", new, {}) is MAIL
    assert target_of("mail", new, {"mail": "rest"}) is REST
    assert target_of("gone", new, {"gone": "rest"}) is REST
    assert target_of("gone", new, {}) is None
