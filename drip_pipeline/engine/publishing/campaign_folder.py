"""Load campaign files from a folder and its subfolders, with all problems of all files.

Files and folders with a leading dot in their name are ignored, and so are scenario files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.definition.problems import Problem
from drip_pipeline.domain.definition.text_formats import (
    MAX_TEXT_BYTES,
    UnreadableText,
    parse_text,
)
from drip_pipeline.domain.scenarios.scenario_file import is_scenario_file
from drip_pipeline.engine.publishing.template_folder import definition_of_file
from drip_pipeline.errors import DefinitionInvalid, FilesInvalid, ImportFileError
from drip_pipeline.settings import Settings

SUFFIXES: Final = (".yaml", ".yml", ".json")
_NAMES_PEOPLE: Final = re.compile(r"^\s*\W{0,2}people\W{0,2}\s*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A campaign file with its completed definition (None if unreadable) and its problems."""

    path: Path
    label: str
    definition: CampaignDefinition | None
    problems: Sequence[Problem] = field(default_factory=tuple)


def load_campaign_files(path: Path, settings: Settings | None = None) -> list[LoadedFile]:
    """Load the campaign files of a folder in the order of their names, or the one file `path`.

    Raises OSError when the path does not exist, ImportFileError when the folder has no campaign
    file. Problems inside a file are returned with it.
    """
    if not path.is_dir():
        return [_load(path, path.name, settings=settings)]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and not _holds_scenarios(file)
    )
    if not files:
        raise ImportFileError(str(path), f"has no campaign file ({', '.join(SUFFIXES)})")
    return _with_duplicates(
        [_load(file, file.relative_to(path).as_posix(), path, settings) for file in files]
    )


def refuse_invalid(problems: Mapping[str, Sequence[Problem]]) -> None:
    """Raise FilesInvalid with all problems (by label of the file), if there are any."""
    invalid = {label: tuple(of_file) for label, of_file in problems.items() if of_file}
    if invalid:
        raise FilesInvalid(invalid, len(problems))


def text_of_file(path: Path) -> str:
    """Return the text of a campaign or scenario file.

    Raises ImportFileError when it is not UTF-8 or too large, or OSError.
    """
    with path.open("rb") as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise ImportFileError(str(path), f"is larger than {MAX_TEXT_BYTES // 1_000_000} MB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ImportFileError(str(path), "is not UTF-8") from None


def _holds_scenarios(path: Path) -> bool:
    """Return whether a file holds scenarios; only what may be one is parsed."""
    try:
        text = text_of_file(path)
        return bool(_NAMES_PEOPLE.search(text)) and is_scenario_file(parse_text(text))
    except (ImportFileError, OSError, UnreadableText):
        return False


def _load(
    path: Path, label: str, root: Path | None = None, settings: Settings | None = None
) -> LoadedFile:
    try:
        definition = definition_of_file(path, path.read_text(encoding="utf-8-sig"), root, settings)
    except UnicodeDecodeError:
        return LoadedFile(path, label, None, [Problem(None, "file_unreadable", "is not UTF-8")])
    except DefinitionInvalid as error:
        problems = [Problem(p.node_id, p.code, p.message) for p in error.problems]
        return LoadedFile(path, label, None, problems)
    return LoadedFile(path, label, definition)


def _with_duplicates(files: Sequence[LoadedFile]) -> list[LoadedFile]:
    """Add a problem to the second of two files of one campaign: each would undo the other."""
    first: dict[tuple[str, str | None], str] = {}
    checked = []
    for file in files:
        if file.definition is not None and file.definition.name:
            key = (file.definition.name, file.definition.workspace)
            other = first.setdefault(key, file.label)
            if other != file.label:
                message = f"{other} is the campaign {file.definition.name!r} too; rename one"
                file = replace(file, problems=[Problem(None, "name_duplicate", message)])
        checked.append(file)
    return checked
