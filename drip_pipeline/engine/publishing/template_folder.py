"""Take the templates of the folder `templates/` beside a campaign file into its definition.

Only those that the campaign renders, so that a change of a template is a change of exactly the
campaigns that render it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from drip_pipeline.domain.compiler.api import CampaignDefinition, complete, load_definition
from drip_pipeline.domain.definition.problems import Problem
from drip_pipeline.domain.templates.shared_texts import (
    LAYOUT,
    NAME,
    is_complete_page,
    names_rendered,
)
from drip_pipeline.domain.templates.templates import MAX_TEMPLATE_CHARACTERS
from drip_pipeline.engine.publishing.attachments import fetcher, with_attachments
from drip_pipeline.settings import Settings

FOLDER: Final = "templates"
STANDARD_INPUT: Final = Path("-")
_FORM_OF: Final[Mapping[str, str]] = {".html": "html", ".txt": "text", ".liquid": "both"}
_MOST_BYTES: Final = 4 * MAX_TEMPLATE_CHARACTERS


def definition_of_file(
    path: Path, text: str, root: Path | None = None, settings: Settings | None = None
) -> CampaignDefinition:
    """Return the completed definition of a campaign file with the templates that it renders and,
    with `settings`, with what its attachments are now.

    They are read from the nearest folder `templates/`: beside the file, or above it up to `root`. A
    template in the file itself takes precedence. Raises DefinitionInvalid if the file is not an
    object; unreadable templates are reading problems.
    """
    definition = complete(load_definition(text))
    if settings is not None:
        beside = None if path == STANDARD_INPUT else path.resolve().parent
        definition = with_attachments(definition, beside, fetcher(settings))
    if path == STANDARD_INPUT:
        return definition
    folder = _folder(path.resolve().parent, None if root is None else root.resolve())
    if folder is None:
        return definition
    return with_templates(definition, folder)


def with_templates(definition: CampaignDefinition, folder: Path) -> CampaignDefinition:
    """Return a definition with the templates of a folder that it renders, directly or not."""
    files = _files(folder)
    own: dict[str, Any] = dict(definition.templates or {})
    problems: list[Problem] = []
    taken: dict[str, Any] = {}
    todo = [*_names(definition), *(n for text in own.values() for n in _names_of(text))]
    while todo:
        name = todo.pop()
        if name in taken or name not in files:
            continue
        forms = _read(name, files[name], problems)
        taken[name] = forms
        if name not in own:
            todo += _names_of(forms)
        elif own[name] != forms:
            problems.append(
                Problem(
                    None,
                    "template_shadowed",
                    f"templates.{name} of the file is used, not {FOLDER}/{name}, which differs",
                    "warning",
                )
            )
    templates = {**taken, **own}
    if not taken and not problems:
        return definition
    return definition.model_copy(
        update={
            "templates": dict(sorted(templates.items())),
            "reading_problems": (*definition.reading_problems, *problems),
        }
    )


def _folder(start: Path, root: Path | None) -> Path | None:
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
        if root is None or folder == root or root not in folder.parents:
            return None
    return None


def _files(folder: Path) -> dict[str, list[Path]]:
    """Return the files of a folder by the name of their template."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in _FORM_OF and NAME.fullmatch(path.stem) and path.is_file():
            files.setdefault(path.stem, []).append(path)
    return files


def _read(name: str, paths: list[Path], problems: list[Problem]) -> Any:
    """Return the template of some files as a campaign file has it."""
    forms: dict[str, str] = {}
    for path in paths:
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"is larger than {_MOST_BYTES // 1_000_000} MB")
            forms[_FORM_OF[path.suffix]] = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            reason = "is not UTF-8"
        except (OSError, ValueError) as error:
            reason = str(getattr(error, "strerror", None) or error)
        else:
            continue
        message = f"{FOLDER}/{path.name} {reason}"
        problems.append(Problem(None, "template_unreadable", message))
    both = forms.pop("both", None)
    if both is None:
        return forms or ""
    return both if not forms else {"html": both, "text": both} | forms


def _names(definition: CampaignDefinition) -> Iterator[str]:
    for step in definition.steps:
        yield from _names_of([step.channel_config, step.action_config])
        email = (step.channel_config or {}).get("email")
        if not isinstance(email, Mapping):
            continue
        layout = email.get("layout")
        if isinstance(layout, str):
            yield layout
        elif layout is None and any(not is_complete_page(html) for html in _htmls(email)):
            yield LAYOUT


def _htmls(email: Mapping[str, Any]) -> Iterator[str]:
    translations = email.get("translations")
    values = translations.values() if isinstance(translations, Mapping) else ()
    for texts in (email, *values):
        html = texts.get("body_html") if isinstance(texts, Mapping) else None
        if isinstance(html, str) and html.strip():
            yield html


def _names_of(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from names_rendered(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _names_of(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _names_of(item)
