"""Commands read standard input and name what they cannot read or write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from drip_pipeline.cli import main
from tests.cli.conftest import answered


@pytest.fixture
def piped(drip, database):
    """Return a function that runs `drip` with a text on standard input."""

    def call(text: str | bytes, *arguments: str):
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=text)

    return call


@pytest.fixture
def campaign(piped):
    exported = Path("examples/onboarding.yaml").read_text(encoding="utf-8")
    assert answered(piped(exported, "campaign", "publish", "-", "--json"))["version"] == 1
    return "Onboarding"


@pytest.fixture
def name(drip, campaign):
    return answered(drip("campaign", "list", "--json"))[0]["name"]


def test_contacts_and_addresses_are_read_from_standard_input(piped, name):
    result = answered(
        piped(
            "email,name\na@example.com,Ann\nb@example.com,Bob\n",
            "contacts",
            "import",
            "-",
            "--json",
        )
    )
    assert (result["inserted"], result["source"]) == (2, "stdin")
    enrolled = answered(piped("a@example.com\n", "enroll", name, "--emails", "-", "--json"))
    assert enrolled["enrolled"] == 1
    table = "sep=;\nEmail Address;x\nb@example.com;1\nc@example.com\n"
    enrolled = answered(piped(table, "enroll", name, "--emails", "-", "--json"))
    assert (enrolled["enrolled"], enrolled["refused"]) == (1, {"wrong_number_of_cells": 1})


def test_a_list_of_which_nobody_is_enrolled_fails(piped, name):
    result = piped("nobody@example.com\n", "enroll", name, "--emails", "-")
    assert result.exit_code == 1
    assert "refused: 1 not found" in result.stdout
    assert piped("\n# none\n", "enroll", name, "--emails", "-").exit_code in (0, 1)


def test_a_list_with_a_stray_quotation_mark_enrolls_nobody(piped, name):
    answered(piped("email\na@example.com\n", "contacts", "import", "-", "--json"))
    result = piped(
        'name,email\nx,a@example.com\n"y,b@example.com\n', "enroll", name, "--emails", "-"
    )
    assert result.exit_code == 1
    assert "stdin, line 3" in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff\xfe\x00", "stdin: is not UTF-8"),
        (b"a: [", "line"),
        (b"name: x\nsteps: " + b"1" * 5_000, "5,000 digits"),
        (b"PK\x03\x04", "ZIP archive"),
        (b"\x1f\x8b\x08\x00junk", "gzip data is damaged"),
    ],
)
def test_a_campaign_that_cannot_be_read_is_a_named_error(piped, text, words):
    result = piped(text, "campaign", "publish", "-")
    assert result.exit_code == 1
    assert words in result.stderr


@pytest.mark.parametrize("text", ["{" * 100_000, '{"a": ' + "1" * 5_000 + "}", "x" * 10, ""])
def test_a_file_of_the_wrong_kind_is_a_named_error(drip, piped, name, tmp_path, text):
    path = tmp_path / "file.json"
    path.write_text(text, encoding="utf-8")
    for arguments in (
        ("campaign", "apply", "examples", "--plan", path),
        ("campaign", "publish", "examples/onboarding.yaml", "--map-file", path),
        ("ab", "evaluate", path),
        ("campaign", "publish", path),
        ("enroll", name, "--where", text or "x"),
    ):
        result = drip(*arguments)
        assert result.exit_code in (1, 2), arguments
        assert isinstance(result.exception, SystemExit), arguments


def test_out_names_a_disk_without_space_and_keeps_the_existing_file(
    drip, name, tmp_path, monkeypatch
):
    out = tmp_path / "out.json"
    page = tmp_path / "page.html"
    for path in (out, page):
        path.write_text("existing", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for arguments in (
        ("campaign", "export", name, "--out", out),
        ("campaign", "plan", "examples", "--out", out),
        ("campaign", "funnel", name, "--out", page),
        ("campaign", "diff", name, "1", "1", "--out", out),
    ):
        result = drip(*arguments)
        assert result.exit_code == 1
        assert f"{arguments[-1]}: No space left on device" in result.stderr
        assert out.read_text(encoding="utf-8") == "existing"
    files = sorted(file.name for file in tmp_path.iterdir() if file.is_file())
    assert files == ["out.json", "page.html"]
    result = drip("campaign", "export", name, "--out", "/dev/full")
    assert "/dev/full: No space left" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("campaign", "list"), ("campaign", "list", "--json"), ("--help",), ("contacts", "--help"),
     ("campaign", "show", "Nothing", "--json"), ("workspace", "list")],
)  # fmt: skip
def test_an_output_without_space_is_a_named_error(drip, name, database, arguments):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "drip_pipeline.cli", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=os.environ,
        )  # fmt: skip
    assert done.returncode == 1
    assert "the output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_reader_that_ends_early_is_no_error_message(drip, name):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "drip_pipeline.cli", "campaign", "schema"],
        stdout=writing, stderr=subprocess.PIPE, text=True, check=False, env=os.environ,
    )  # fmt: skip
    os.close(writing)
    assert done.stderr == ""
