from __future__ import annotations

import itertools

import pytest

from drip_pipeline.experiments import PriorDecision, Reason, State
from drip_pipeline.experiments.states import StateInputs, next_state

# Each rule in the documented order, as the facts that make it match.
RULES = [
    (
        {"decided": PriorDecision(State.DECIDED_WINNER, Reason.DECLARED_BY_HAND, "a")},
        (State.DECIDED_WINNER, Reason.DECLARED_BY_HAND),
    ),
    ({"fault": Reason.OPENED_EXCEEDS_SENT}, (State.INVALID, Reason.OPENED_EXCEEDS_SENT)),
    ({"srm_blocks": True}, (State.SRM_BLOCKED, Reason.SAMPLE_RATIO_MISMATCH)),
    ({"shortfall": Reason.SAMPLE_TOO_SMALL}, (State.COLLECTING, Reason.SAMPLE_TOO_SMALL)),
    (
        {"leader_beats_all": True, "guardrail": Reason.BOUNCES_WORSE, "auto_select_winner": False},
        (State.GUARDRAIL_BLOCKED, Reason.BOUNCES_WORSE),
    ),
    (
        {"leader_beats_all": True, "auto_select_winner": False},
        (State.SIGNIFICANT, Reason.AWAITING_PERSON),
    ),
    ({"leader_beats_all": True}, (State.DECIDED_WINNER, Reason.LEADER_BEATS_ALL)),
    ({"equivalent": True}, (State.DECIDED_NO_WINNER, Reason.EQUIVALENT)),
    ({"exhausted": True}, (State.DECIDED_NO_WINNER, Reason.INCONCLUSIVE)),
    ({}, (State.COLLECTING, Reason.NOT_SIGNIFICANT)),
]


@pytest.mark.parametrize(("facts", "expected"), RULES, ids=[str(e[1]) for _, e in RULES])
def test_each_rule_gives_its_state_and_reason(facts, expected):
    assert next_state(StateInputs(**facts)) == expected


@pytest.mark.parametrize(("earlier", "later"), list(itertools.combinations(range(len(RULES)), 2)))
def test_the_earlier_rule_wins_when_both_match(earlier, later):
    merged = {**RULES[later][0], **RULES[earlier][0]}
    assert next_state(StateInputs(**merged)) == RULES[earlier][1]


def test_a_guardrail_alone_blocks_nothing():
    facts = StateInputs(guardrail=Reason.UNSUBSCRIBES_WORSE, waiting_for=Reason.LEADERS_TIED)
    assert next_state(facts) == (State.COLLECTING, Reason.LEADERS_TIED)


def test_only_decisions_are_terminal():
    assert {s for s in State if s.is_terminal} == {State.DECIDED_WINNER, State.DECIDED_NO_WINNER}
    with pytest.raises(ValueError, match="is not a decision"):
        PriorDecision(State.COLLECTING, Reason.NOT_SIGNIFICANT)
