from __future__ import annotations

import pytest

from tests.domain.campaign_files import File, branching, email_step, linear, problems, step

MISSPELLED = "report.creatd"


def waiting() -> File:
    wait = {"type": "until_event", "event_type": MISSPELLED}
    return linear(
        {"node_id": "w", "node_type": "wait", "wait_config": wait},
        {"node_id": "m", **email_step()},
    )


def conditional() -> File:
    file = branching()
    branch = step(file, "rich")["conditional_branches"][0]
    branch["condition"] = {"type": "event", "event_type": MISSPELLED}
    return file


def triggered() -> File:
    trigger = {"trigger": "event", "event_type": MISSPELLED}
    return linear(
        {"node_id": "t", "node_type": "trigger", "trigger_config": trigger},
        {"node_id": "m", **email_step()},
    )


def with_goal() -> File:
    return linear() | {"goal_event": {"event_type": MISSPELLED}}


WARNING = (
    f'no event "{MISSPELLED}" has arrived in this workspace yet; did you mean "report.created"?'
)


@pytest.mark.parametrize("file", [waiting(), conditional(), triggered(), with_goal()])
def test_an_own_event_that_nobody_has_sent_yet_is_a_warning(file: File) -> None:
    (warning,) = problems(file, own_event_names=frozenset({"report.created"}))
    assert (warning.code, warning.severity) == ("event_type_unknown", "warning")
    assert warning.message == WARNING
    assert problems(file, own_event_names=frozenset({MISSPELLED})) == []
