"""The report of scenario tests as JUnit XML, which CI servers read."""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from drip_pipeline.engine.scenarios.run_scenarios import FileResult, ScenarioReport

_NOT_IN_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(report: ScenarioReport) -> str:
    """Return the report as XML: a suite for each file, a case for each person.

    A file that cannot be run is a case with an error.
    """
    failed, errors = report.count(passed=False), sum(bool(f.problems) for f in report.files)
    tests = report.count(passed=True) + failed + errors
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="scenarios" tests="{tests}" failures="{failed}" errors="{errors}">',
    ]
    for file in report.files:
        lines += _suite(file)
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _suite(file: FileResult) -> list[str]:
    failed = sum(not person.has_passed for person in file.results)
    errors = int(bool(file.problems))
    name, tests = _attribute(file.label), len(file.results) + errors
    lines = [
        f'  <testsuite name={name} tests="{tests}" failures="{failed}" errors="{errors}">',
    ]
    if file.problems:
        text = "\n".join(problem.text() for problem in file.problems)
        lines += [
            f'    <testcase classname={name} name="the file">',
            f"      <error message={_attribute(text.splitlines()[0])}>{_text(text)}</error>",
            "    </testcase>",
        ]
    for person in file.results:
        case = f"    <testcase classname={name} name={_attribute(person.name)}"
        if person.has_passed:
            lines.append(f"{case}/>")
            continue
        text = "\n".join(person.differences)
        message = _attribute(person.differences[0])
        lines += [
            f"{case}>",
            f"      <failure message={message}>{_text(text)}</failure>",
            "    </testcase>",
        ]
    return [*lines, "  </testsuite>"]


def _attribute(text: str) -> str:
    return quoteattr(_NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _text(text: str) -> str:
    return escape(_NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text))
