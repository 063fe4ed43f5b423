from __future__ import annotations

import inspect
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from drip_pipeline import errors

PROBLEMS = [
    SimpleNamespace(node_id="n1", code="subject_missing", message="has no subject"),
    SimpleNamespace(node_id=None, code="no_trigger", message="no trigger node"),
]
STRANDED = {
    "version": 1, "node_id": "n1", "label": "Hello", "states": 3, "reason": "the node is gone"
}  # fmt: skip

# Arguments of the classes with other arguments than a message.
ARGUMENTS: dict[type[errors.DripError], tuple[Any, ...]] = {
    errors.SettingsError: ("DRIP_X", "must be a number"),
    errors.QueryNotFound: ("nope",),
    errors.DefinitionInvalid: (PROBLEMS,),
    errors.NotFound: ("contact", "x"),
    errors.CampaignNotFound: ("Welcome",),
    errors.CampaignAmbiguous: ("Welcome", 2),
    errors.VersionNotFound: ("Welcome", 9),
    errors.ImportFileError: ("people.csv", "is empty"),
    errors.FilesInvalid: ({"welcome.json": PROBLEMS}, 3),
    errors.EnrollmentsStranded: ([STRANDED], 2),
    errors.VersionOutdated: ("Welcome", 1, 2),
    errors.UnpublishedEdit: ("Welcome", 1, "1 delay changed"),
    errors.ChannelUnavailable: ("sms", "has no account"),
}


def all_errors() -> list[type[errors.DripError]]:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in classes if issubclass(kind, errors.DripError)]


def new_error(kind: type[errors.DripError]) -> errors.DripError:
    return kind(*ARGUMENTS.get(kind, ("it broke",)))


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_can_be_pickled(kind):
    error = new_error(kind)
    error.add_note("seen on the way")
    loaded = pickle.loads(pickle.dumps(error))
    assert type(loaded) is kind
    assert str(loaded) == str(error)
    assert loaded.__dict__ == error.__dict__


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_says_in_its_docstring_when_it_is_raised(kind):
    assert kind.__doc__
    assert kind.__doc__ != errors.DripError.__doc__ or kind is errors.DripError


def test_an_invalid_definition_reports_all_problems_with_their_nodes():
    error = errors.DefinitionInvalid(PROBLEMS, name="Welcome")
    assert error.message == "campaign 'Welcome' has 2 problems"
    assert error.items() == ("n1: has no subject", "no trigger node")
    assert "n1: has no subject" in str(error)
    assert [problem["code"] for problem in error.details()["problems"]] == [
        "subject_missing",
        "no_trigger",
    ]


def test_a_hint_argument_replaces_the_default_hint():
    assert "drip db migrate" in errors.SchemaMismatch("no table").hint
    assert errors.SchemaMismatch("no table", hint="Look.").hint == "Look."


def test_a_file_error_names_the_line():
    assert str(errors.ImportFileError("a.csv", "no email", line=7)) == "a.csv, line 7: no email"
