"""Templates beside campaign files: part of the version that uses them, seen by plan and diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.preview.preview import PreviewRequest, preview
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.plan import apply, plan
from drip_pipeline.errors import DefinitionInvalid
from tests.engine.factories import MESSAGES, NOW
from tests.engine.publishing.message_files import (
    UNSUBSCRIBE,
    campaign,
    options,
    people,
    published,
    recorded,
)

LAYOUT = (
    "<html><head><style>.b{color:#123}</style></head><body>"
    "<h1 class=b>Acme</h1>{{ content }}{% render 'footer' %}</body></html>"
)
MAIL: dict[str, Any] = {
    "subject": "Hello",
    "body_html": "<p class=b>Tea for {{ first_name }}</p>"
    "{% render 'button', url: 'https://a.io' %}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two campaign files and their templates: Tea renders footer and button, Pot only footer."""
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "layout.html").write_text(LAYOUT, encoding="utf-8")
    (templates / "footer.html").write_text(f"<p>Acme, Ulm. {UNSUBSCRIBE}</p>", encoding="utf-8")
    (templates / "footer.txt").write_text("Acme, Ulm. {{ unsubscribe_url }}", encoding="utf-8")
    (templates / "button.html").write_text('<a href="{{ url }}">Buy</a>', encoding="utf-8")
    (templates / "unused.liquid").write_text("never", encoding="utf-8")
    write(tmp_path, "tea", campaign(MAIL))
    pot = campaign({"subject": "Pot", "body": "Pots. {% render 'footer' %}"})
    write(tmp_path, "pot", {**pot, "name": "Pot"})
    return tmp_path


def write(folder: Path, name: str, file: dict[str, Any]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(file), encoding="utf-8")


def actions(database: Database, folder: Path) -> dict[str, str]:
    return {file.name: file.action for file in plan(database, folder, options()).files}


def published_folder(database: Database, folder: Path) -> None:
    applied = apply(database, plan(database, folder, options()), options())
    assert not applied.failed, [error.items() for error in applied.failed.values()]


def problems(database: Database, folder: Path, name: str) -> list[str]:
    (file,) = (f for f in plan(database, folder, options()).files if f.label == f"{name}.json")
    return [problem.message for problem in file.problems]


def test_messages_have_partials_and_layout_with_their_styles(database: Database, folder: Path):
    people(database, {"email": "ann@acme.io", "name": "Ann"})
    published_folder(database, folder)
    _, text, html = recorded(database)["ann@acme.io"]
    assert '<p class="b" style="color: #123;">Tea for Ann</p>' in html
    assert '<h1 class="b" style="color: #123;">Acme</h1>' in html
    assert html.count("/u/") == 1  # the footer has the link, so that none is added
    assert ">Buy</a>" in html
    assert "Acme, Ulm." in text
    assert "Tea for Ann" in text


def test_a_changed_partial_changes_the_campaigns_that_render_it(database: Database, folder: Path):
    published_folder(database, folder)
    assert actions(database, folder) == {"Tea": "unchanged", "Pot": "unchanged"}
    (folder / "templates" / "unused.liquid").write_text("changed", encoding="utf-8")
    assert actions(database, folder) == {"Tea": "unchanged", "Pot": "unchanged"}
    (folder / "templates" / "button.html").write_text("<b>{{ url }}</b>", encoding="utf-8")
    assert actions(database, folder) == {"Tea": "new_version", "Pot": "unchanged"}
    (folder / "templates" / "footer.txt").write_text("New {{ unsubscribe_url }}", encoding="utf-8")
    planned = plan(database, folder, options())
    assert {f.name: f.action for f in planned.files} == {
        "Tea": "new_version", "Pot": "new_version"
    }  # fmt: skip
    changes = [change for f in planned.files for change in f.diff.changes]
    assert any("templates" in change.key for change in changes if change.key)
    published_folder(database, folder)
    assert actions(database, folder) == {"Tea": "unchanged", "Pot": "unchanged"}


def test_an_export_is_complete_and_publishing_it_changes_nothing(
    database: Database, folder: Path, tmp_path_factory: pytest.TempPathFactory
):
    published_folder(database, folder)
    exported = export_file(database, "Tea").file
    assert set(exported["templates"]) == {"layout", "footer", "button"}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere, "tea", exported)
    assert actions(database, elsewhere) == {"Tea": "unchanged"}
    assert published(database, exported).status == "unchanged"


def test_the_preview_of_a_file_shows_its_templates(folder: Path):
    path = folder / "tea.json"
    request = PreviewRequest(file=path.read_text(encoding="utf-8"), path=path)
    shown = preview(None, request, settings=MESSAGES, channels={}, now=NOW)
    assert "Acme, Ulm." in (shown.recipients[0].messages[0].html or "")


def test_a_mail_can_be_without_layout_or_have_another(database: Database, folder: Path):
    (folder / "templates" / "bare.html").write_text("<main>{{ content }}</main>", encoding="utf-8")
    people(database, {"email": "ann@acme.io", "name": "Ann"})
    body = f"<p>x</p>{UNSUBSCRIBE}"
    html = {
        "none": {**MAIL, "body_html": body, "layout": False},
        "bare": {**MAIL, "body_html": body, "layout": "bare"},
        "page": {**MAIL, "body_html": f"<!doctype html><html><body>{body}</body></html>"},
    }
    for name, mail in html.items():
        write(folder, name, {**campaign(mail), "name": name})
    published_folder(database, folder)
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT c.name, v.compiled_graph FROM campaign_versions v"
            " JOIN drip_campaigns c ON c.id = v.campaign_id"
        ).fetchall()
    sent = {
        name: node["config"]["body_html"]
        for name, graph in rows
        for node in graph["nodes"]
        if node["node_id"] == "mail"
    }
    assert sent["none"] == body
    assert sent["bare"] == f"<main>{body}</main>"
    assert "Acme" not in sent["page"]
    assert "Acme" in sent["Tea"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("button.html", "<a>{{ url </a>", "templates.button (html): line 1"),
        ("button.html", "{% render 'buton' %}", "did you mean 'button'?"),
        ("button.html", "{% render 'button' %}", "render each other without end: button → button"),
        ("button.html", "{{ firstname }}", "body_html: unknown variable firstname"),
        ("layout.html", "<p>no place</p>", "templates.layout has no {{ content }}"),
        ("layout.html", "{{ content }}{{ content }}", "exactly once"),
        ("button.html", "\xff", "templates/button.html is not UTF-8"),
    ],
)
def test_faulty_templates_are_refused_by_name(
    database: Database, folder: Path, file: str, content: str, message: str
):
    (folder / "templates" / file).write_bytes(content.encode("latin-1"))
    found = problems(database, folder, "tea")
    assert any(message in text for text in found), found
    assert problems(database, folder, "pot") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"body_html": "{% render 'nothing' %}"}, "there is no template 'nothing'"),
        ({"body": "{% render 'button' %}"}, "template 'button' has no text form"),
        ({"layout": "none"}, "layout: there is no template 'none'"),
        ({"layout": True}, "layout"),
        ({"subject": "{% render 'button' %}"}, "subject: line 1: template 'button' has no text"),
    ],
)
def test_faulty_uses_of_templates_are_refused_by_name(
    database: Database, folder: Path, changes: dict[str, Any], message: str
):
    write(folder, "tea", campaign({**MAIL, **changes}))
    found = problems(database, folder, "tea")
    assert any(message in text for text in found), found


def test_a_template_of_the_file_takes_precedence_and_is_said(database: Database, folder: Path):
    own = {**campaign(MAIL), "templates": {"button": {"html": "<i>own</i>"}}}
    write(folder, "tea", own)
    (tea,) = (f for f in plan(database, folder, options()).files if f.name == "Tea")
    assert [w.code for w in tea.warnings if w.code == "template_shadowed"] == ["template_shadowed"]
    with pytest.raises(DefinitionInvalid, match=r"templates\.x must be a text"):
        published(database, {**campaign(MAIL), "templates": {"x": 7}})
    with pytest.raises(DefinitionInvalid, match="is not a name"):
        published(database, {**campaign(MAIL), "templates": {"../x": "y"}})


def test_translations_and_sms_render_partials(database: Database, folder: Path):
    people(database, {"email": "de@acme.io", "name": "Ann", "language": "de"})
    mail = {
        "subject": "Hello",
        "body": "Tea {% render 'footer' %}",
        "translations": {"de": {"subject": "Hallo", "body": "Tee {% render 'footer' %}"}},
    }
    write(folder, "tea", campaign(mail))
    published_folder(database, folder)
    subject, text, _ = recorded(database)["de@acme.io"]
    assert (subject, text.partition("https")[0]) == ("Hallo", "Tee Acme, Ulm. ")
