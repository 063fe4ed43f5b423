from __future__ import annotations

import pytest

from tests.domain.campaign_files import (
    File,
    branches,
    branching,
    changed,
    email_step,
    linear,
    problems,
    wait,
)

MISSPELLED = "report.creatd"
FILES = {
    "wait": wait({"type": "until_event", "event_type": MISSPELLED}),
    "condition": changed(
        branching(),
        lambda f: branches(f)[0].update(condition={"type": "event", "event_type": MISSPELLED}),
    ),
    "goal": changed(linear(), lambda f: f.update(goal_event={"event_type": MISSPELLED})),
    "trigger": linear(
        {
            "node_id": "t",
            "node_type": "trigger",
            "trigger_config": {"trigger": "event", "event_type": MISSPELLED},
        },
        {"node_id": "m", **email_step()},
    ),
}
WARNING = (
    f'no event "{MISSPELLED}" has arrived in this workspace yet; did you mean "report.created"?'
)


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_an_own_event_that_nobody_has_sent_yet_is_a_warning(file: File) -> None:
    (warning,) = problems(file, own_event_names=frozenset({"report.created"}))
    assert (warning.code, warning.severity) == ("event_type_unknown", "warning")
    assert warning.message == WARNING
    assert problems(file, own_event_names=frozenset({MISSPELLED})) == []
