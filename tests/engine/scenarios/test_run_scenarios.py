"""Scenario files: what passes, what is said about what does not, and named errors."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from drip_pipeline.engine.publishing.campaign_folder import load_campaign_files
from drip_pipeline.engine.scenarios.junit import junit_xml
from drip_pipeline.engine.scenarios.run_scenarios import ScenarioReport, run_scenarios
from drip_pipeline.errors import ImportFileError
from drip_pipeline.settings import CHECKOUT

EXAMPLES = CHECKOUT / "examples"
SCENARIOS = sorted(EXAMPLES.rglob("*scenarios.yaml"))
CAMPAIGN = """
name: Hello
steps:
  - {node_id: hello, node_type: email, step_name: Hello,
     channel_config: {email: {subject: "Hello {{ first_name }}", body: "{{ unsubscribe_url }}"}}}
  - {node_id: pause, node_type: wait, step_name: Pause,
     wait_config: {type: until_event, event_type: email_opened, max_wait: {value: 1, unit: days}}}
  - {node_id: thanks, node_type: email, step_name: Thanks,
     channel_config: {email: {subject: "Thanks, {{ first_name }}", body: "{{ unsubscribe_url }}"}}}
"""


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_the_scenarios_of_an_example_pass_and_walk_every_edge(path: Path) -> None:
    report = run_scenarios(path)
    (file,) = report.files
    assert [problem.text() for problem in file.problems] == []
    assert {each.name: each.differences for each in file.results if each.differences} == {}
    if not path.name.startswith("office_hours"):  # two files walk its edges together
        assert [edge.text() for each in report.coverage for edge in each.missed] == []


def test_every_example_has_scenarios() -> None:
    named = {path.name.split(".")[0] for path in SCENARIOS}
    campaigns = {path.stem for path in EXAMPLES.glob("*.yaml") if "scenarios" not in path.name}
    assert campaigns <= named


def run(folder: Path, scenarios: str, campaign: str = CAMPAIGN) -> ScenarioReport:
    """The report of a scenario file beside a campaign."""
    (folder / "hello.yaml").write_text(campaign, encoding="utf-8")
    path = folder / "hello.test.yaml"
    path.write_text(f"campaign: hello.yaml\n{scenarios}", encoding="utf-8")
    return run_scenarios(path)


def lines(folder: Path, person: str, campaign: str = CAMPAIGN) -> list[str]:
    """What differs for one person, whose scenario has these keys."""
    start = (
        "start: 2026-03-02T09:00:00Z\npeople:\n  - name: ann\n"
        "    contact: {email: a@b.example, name: Ann Lee}\n"
    )
    (file,) = run(folder, start + person, campaign).files
    assert not file.problems, [problem.text() for problem in file.problems]
    return list(file.results[0].differences)


SOMEBODY = "people:\n  - {name: a, expect: {node: hello}}"
OPENED = "    events: [{after: 2 hours, event_type: email_opened, of: hello}]\n"


def test_the_example_of_the_design_passes(tmp_path: Path) -> None:
    assert (
        lines(
            tmp_path,
            OPENED
            + """    expect:
      path: [trigger, hello, pause, thanks, exit]
      messages:
        - {node: hello, at: "2026-03-02T09:00"}
        - {node: thanks, within: [2 hours, 3 hours], subject: "Thanks, Ann"}
      status: completed
""",
        )
        == []
    )


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ("path: [trigger, hello, thanks]", "  expected: thanks"),
        ("path: [trigger, hello, thanks]", "  went to:  pause"),
        ("path: [trigger, hello, pause, exit]", "left by 'event'"),
        ("messages: [{node: hello}]", "message thanks was sent at 2026-03-02 11:00, and is not"),
        ("messages: [{node: thanks}]", "message 1: expected thanks, hello was sent"),
        ("messages: [{node: hello}, {node: thanks}, {node: hello}]", "hello was not sent"),
        (
            'messages: [{node: hello, at: "2026-03-02T09:01"}, {node: thanks}]',
            "expected at 2026-03-02 09:01, was sent at 2026-03-02 09:00",
        ),
        (
            "messages: [{node: hello}, {node: thanks, within: [3 hours, 1 day]}]",
            "expected 3 h to 1 d after entering, was sent 2 h after",
        ),
        ("messages: [{node: hello, subject: x}, {node: thanks}]", 'subject "x", it is "Hello Ann"'),
        ("messages: [{node: hello, contains: xyz}, {node: thanks}]", 'does not contain "xyz"'),
        ("status: waiting", "expected waiting, is completed"),
        ("{status: completed, reason: goal}", "reason: expected goal, is none"),
        ("node: hello", "node: expected hello, is exit"),
        ("tags: [vip]", "tags: expected ['vip'], are []"),
        ("fields: {name: Bob}", 'field name: expected "Bob", is "Ann Lee"'),
        ("skipped: [{node: hello}]", "skipped messages: expected hello, were none"),
    ],
)
def test_what_differs_is_said(tmp_path: Path, expect: str, said: str) -> None:
    text = f"    expect:\n      {expect}\n" if ":" in expect else expect
    assert said in "\n".join(lines(tmp_path, OPENED + text.replace("      {", "      {")))


def test_a_parted_path_names_the_values_of_the_condition(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        f"""campaign: {EXAMPLES / "winback.yaml"}
start: 2026-03-02T09:00:00Z
people:
  - name: lea
    contact: {{email: lea@example.com, score: 40, status: customer}}
    expect: {{path: [start, mark, we_miss_you, reaction, worth_it, offer]}}
""",
        encoding="utf-8",
    )
    (file,) = run_scenarios(tmp_path / "s.yaml").files
    text = "\n".join(file.results[0].differences)
    assert "took the branch 'else'" in text
    assert "score >= 60: no; score is 40" in text
    assert "status in ['lead', 'customer']: yes" in text
    assert len(text.splitlines()) < 25


def test_an_event_that_cannot_happen_is_said(tmp_path: Path) -> None:
    person = """    events:
      - {after: 1 hour, event_type: email_clicked, of: thanks}
      - {at: 2026-03-01, event_type: email_opened}
    until: 1 hour
    expect: {status: waiting}
"""
    text = "\n".join(lines(tmp_path, person))
    assert "email_clicked did not happen: no message of thanks was sent" in text
    assert "email_opened did not happen: no email had been sent by 2026-03-01 00:00" in text


def test_a_message_that_cannot_be_rendered_fails_its_run(tmp_path: Path) -> None:
    broken = CAMPAIGN.replace("Hello {{ first_name }}", "{{ nothing }}")
    assert (
        lines(tmp_path, "    expect: {skipped: [{node: hello, reason: empty_subject}]}\n", broken)
        == []
    )


@pytest.mark.parametrize(
    ("scenarios", "line", "said"),
    [
        ("people: []", 2, "people: is empty"),
        ("peple: []", 2, 'unknown key peple; did you mean "people"?'),
        ("people:\n  - {name: a}", 3, "people[0] 'a': expect is missing"),
        ("people:\n  - {name: a, expect: {path: 3}}", 3, "expect.path: must be a list"),
        ("people:\n  - {name: a, expect: {}}", 3, "expects nothing"),
        (
            "people:\n  - name: a\n    events: [{event_type: x, of: y}]\n    expect: {node: x}",
            4,
            "people[0] 'a': events[0]: needs `after` or `at`",
        ),
        (
            "people:\n  - name: a\n    events: [{event_type: x, after: 1 moon}]\n    expect: {}",
            4,
            "events[0].after: is not a length of time such as",
        ),
        (
            "people:\n  - name: a\n    expect:\n      path: [trigger, helo]",
            5,
            "expect.path[1]: the campaign has no node 'helo'; did you mean \"hello\"?",
        ),
        (
            "people:\n  - name: a\n    contact:\n      score: 400\n    expect: {status: failed}",
            5,
            "contact.score: must be a whole number from 0 to 100",
        ),
        (
            "people:\n  - {name: a, variants: {pause: x}, expect: {status: failed}}",
            3,
            "node 'pause' is no split",
        ),
        (f"workspace: {{timezone: Nowhere}}\n{SOMEBODY}", 2, "timezone is not a time zone"),
        (f"{SOMEBODY}\n  - {{name: a, expect: {{node: hello}}}}", None, "two people are named"),
        ("people: [", 2, ""),
    ],
)  # fmt: skip
def test_a_wrong_file_has_named_errors(
    tmp_path: Path, scenarios: str, line: int | None, said: str
) -> None:
    (file,) = run(tmp_path, scenarios).files
    texts = [problem.text() for problem in file.problems]
    assert any(said in text for text in texts), texts
    if line is not None:
        assert any(f"line {line}" in text for text in texts), texts


def test_a_campaign_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    people = "people: [{name: a, expect: {status: failed}}]"
    (file,) = run(tmp_path, people, CAMPAIGN.replace("email_opened", "9!")).files
    assert "the campaign hello.yaml cannot be run: pause: " in file.problems[0].text()
    (tmp_path / "x.test.yaml").write_text(f"campaign: gone.yaml\n{people}", encoding="utf-8")
    (file,) = run_scenarios(tmp_path / "x.test.yaml").files
    assert "gone.yaml cannot be run: No such file" in file.problems[0].text()


def test_a_folder_runs_its_scenarios_and_plans_its_campaigns(tmp_path: Path) -> None:
    run(tmp_path, "people: [{name: a, expect: {status: failed}}]")
    (tmp_path / "broken.scenarios.yaml").write_text("campaign: [", encoding="utf-8")
    report = run_scenarios(tmp_path)
    assert [file.label for file in report.files] == ["broken.scenarios.yaml", "hello.test.yaml"]
    assert [file.has_passed for file in report.files] == [False, False]
    of_campaign = run_scenarios(tmp_path / "hello.yaml")
    assert [file.label for file in of_campaign.files] == ["hello.test.yaml"]
    (tmp_path / "broken.scenarios.yaml").unlink()
    assert [file.label for file in load_campaign_files(tmp_path)] == ["hello.yaml"]
    (tmp_path / "hello.test.yaml").unlink()
    with pytest.raises(ImportFileError, match="has no scenario file"):
        run_scenarios(tmp_path)


def test_edges_that_no_scenario_walked_are_listed(tmp_path: Path) -> None:
    report = run(
        tmp_path, "people: [{name: a, contact: {email: a@b.example}, expect: {status: completed}}]"
    )
    (of_campaign,) = report.coverage
    # The linear canvas leads both outgoing edges of a wait to the next step.
    assert [edge.text() for edge in of_campaign.missed] == ["pause [event] → thanks"]


def test_junit_has_a_case_for_each_person_and_each_broken_file(tmp_path: Path) -> None:
    run(
        tmp_path,
        "people:\n  - {name: good, expect: {node: exit}}\n"
        '  - {name: "bad <&\\u0001>", expect: {node: hello}}',
    )
    (tmp_path / "wrong.test.yaml").write_text("campaign: x\npeople: 7", encoding="utf-8")
    root = ElementTree.fromstring(junit_xml(run_scenarios(tmp_path)))
    assert dict(root.attrib) == {
        "name": "scenarios", "tests": "3", "failures": "1", "errors": "1",
    }  # fmt: skip
    cases = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert cases == {"good": [], "bad <&\ufffd>": ["failure"], "the file": ["error"]}


def test_caps_of_the_workspace_and_exit_rules_are_in_force(tmp_path: Path) -> None:
    exits = "exits: [{id: vip, when: {type: tag, operator: contains, value: vip}}]\n"
    report = run(
        tmp_path,
        """start: 2026-03-02T09:00:00Z
workspace: {caps: [{name: daily, max: 1, per: {value: 2, unit: days}, on_cap: skip}]}
people:
  - name: capped
    contact: {email: a@b.example}
    expect:
      messages: [{node: hello}]
      skipped: [{node: thanks, reason: "cap:daily"}]
  - name: refused
    contact: {email: a@b.example, tags: [vip]}
    expect: {status: refused, reason: vip, path: [], messages: []}
""",
        exits + CAMPAIGN,
    )
    (file,) = report.files
    assert [problem.text() for problem in file.problems] == []
    assert [each.differences for each in file.results] == [[], []]


def test_translations_are_those_of_the_contact(tmp_path: Path) -> None:
    translated = CAMPAIGN.replace(
        'body: "{{ unsubscribe_url }}"}}}\n  - {node_id: pause',
        'body: "{{ unsubscribe_url }}", translations: {de: {subject: Hallo, body: Hallo}}}}}\n'
        "  - {node_id: pause",
    )
    person = """    until: 1 hour
    expect: {messages: [{node: hello, subject: Hello Ann}]}
  - name: cid
    contact: {email: c@b.example, language: de-AT}
    until: 1 hour
    expect: {messages: [{node: hello, subject: Hallo}]}
"""
    assert lines(tmp_path, person, translated) == []
    (file,) = run_scenarios(tmp_path / "hello.test.yaml").files
    assert [each.differences for each in file.results] == [[], []]


def test_waits_follow_changes_of_the_contact(tmp_path: Path) -> None:
    campaign = CAMPAIGN.replace(
        "{type: until_event, event_type: email_opened, max_wait: {value: 1, unit: days}}",
        "{type: until_date, field: trial_ends_at, offset: {value: -1, unit: days}}",
    )
    assert "until_date" in campaign
    report = run(
        tmp_path,
        """start: 2026-03-02T09:00:00Z
people:
  - name: moved
    contact: {email: a@b.example, trial_ends_at: 2026-03-20}
    changes: [{after: 2 days, fields: {trial_ends_at: 2026-03-10}}]
    expect:
      messages: [{node: hello}, {node: thanks, at: "2026-03-09T00:00"}]
      fields: {trial_ends_at: "2026-03-10"}
  - name: wrong
    contact: {email: a@b.example}
    changes: [{after: 2 days, fields: {score: 200}}]
    expect: {status: completed}
""",
        campaign,
    )
    (file,) = report.files
    (problem,) = file.problems
    assert "people[1] 'wrong': changes[0].fields.score: must be a whole number" in problem.text()
    path = tmp_path / "hello.test.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("  - name: wrong")], encoding="utf-8")
    (file,) = run_scenarios(path).files
    assert [each.differences for each in file.results] == [[]]
