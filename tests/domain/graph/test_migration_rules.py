"""What becomes of somebody who moves to another version: the rules, one situation at a time."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.domain.graph.migration_rules import (
    MessageEffect,
    MoveAction,
    Situation,
    moves_of,
    target_of,
)
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
    (match,) = (move for move in moves_of(1, "x", before, after) if move.situation is situation)
    return match.action, match.message


@pytest.mark.parametrize(
    ("situation", "before", "after", "action", "message"),
    [
        (Situation.TO_ENTER, MAIL, ELSEWHERE, MoveAction.KEEP, MessageEffect.NONE),
        (Situation.WAITING, REST, REST, MoveAction.KEEP, MessageEffect.NONE),
        (Situation.WAITING, REST, SHORTER, MoveAction.WAIT, MessageEffect.NONE),
        (Situation.WAITING, REST, UNTIL, MoveAction.WAIT, MessageEffect.NONE),
        (Situation.WAITING, UNTIL, SHORTER, MoveAction.WAIT, MessageEffect.NONE),
        (Situation.WAITING, REST, MAIL, MoveAction.ENTER, MessageEffect.NONE),
        (Situation.LEAVING, REST, SHORTER, MoveAction.KEEP, MessageEffect.NONE),
        (Situation.LEAVING, UNTIL, SHORTER, MoveAction.WAIT, MessageEffect.NONE),
        (Situation.LEAVING, MAIL, REWRITTEN, MoveAction.KEEP, MessageEffect.NONE),
        (Situation.LEAVING, MAIL, TEXT, MoveAction.KEEP, MessageEffect.NONE),
        (Situation.LEAVING, MAIL, ELSEWHERE, MoveAction.ENTER, MessageEffect.NONE),
        (Situation.LEAVING, None, MAIL, MoveAction.ENTER, MessageEffect.NONE),
        (Situation.MESSAGE_PENDING, MAIL, REWRITTEN, MoveAction.KEEP, MessageEffect.RENEWED),
        (Situation.MESSAGE_PENDING, MAIL, RENAMED, MoveAction.KEEP, MessageEffect.RENEWED),
        (Situation.MESSAGE_PENDING, MAIL, TEXT, MoveAction.ENTER, MessageEffect.WITHDRAWN),
        (Situation.MESSAGE_PENDING, MAIL, ELSEWHERE, MoveAction.ENTER, MessageEffect.WITHDRAWN),
        (Situation.MESSAGE_PENDING, MAIL, REST, MoveAction.ENTER, MessageEffect.WITHDRAWN),
        (Situation.MESSAGE_PENDING, POST, POST, MoveAction.KEEP, MessageEffect.UNTOUCHED),
        (Situation.MESSAGE_OUT, MAIL, REWRITTEN, MoveAction.KEEP, MessageEffect.UNTOUCHED),
        (Situation.MESSAGE_OUT, MAIL, TEXT, MoveAction.KEEP, MessageEffect.UNTOUCHED),
        (Situation.MESSAGE_OUT, MAIL, ELSEWHERE, MoveAction.ENTER_AFTER, MessageEffect.UNTOUCHED),
        (Situation.MESSAGE_OUT, MAIL, REST, MoveAction.ENTER_AFTER, MessageEffect.UNTOUCHED),
        (Situation.MESSAGE_FAILED, MAIL, REWRITTEN, MoveAction.KEEP, MessageEffect.RENEWED),
        (Situation.MESSAGE_FAILED, MAIL, REST, MoveAction.ENTER, MessageEffect.NONE),
        (Situation.MESSAGE_BEFORE, REST, MAIL, MoveAction.KEEP, MessageEffect.UNTOUCHED),
    ],
)  # fmt: skip
def test_the_action_depends_on_the_situation_and_both_nodes(
    situation, before, after, action, message
):
    assert rule(situation, before, after) == (action, message)


@pytest.mark.parametrize("before", [MAIL, REST, UNTIL, POST, None])
@pytest.mark.parametrize("after", [MAIL, REST, UNTIL, POST, TEXT, end()])
def test_every_move_has_a_description_and_leaves_messages_that_may_be_sent(before, after):
    for move in moves_of(1, "x", before, after):
        assert move.describe()
        if move.situation in (Situation.MESSAGE_OUT, Situation.MESSAGE_BEFORE):
            assert move.message is MessageEffect.UNTOUCHED


def test_the_target_is_the_mapped_node_or_else_the_node_of_the_same_id():
    new = graph(trigger("mail"), MAIL, REST)
    assert target_of("mail", new, {}) is MAIL
    assert target_of("mail", new, {"mail": "rest"}) is REST
    assert target_of("gone", new, {"gone": "rest"}) is REST
    assert target_of("gone", new, {}) is None
