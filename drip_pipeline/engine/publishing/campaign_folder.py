"""Campaigns as files: reading a file or a folder of them, all problems of all files at once.

A folder is read with its subfolders; names that begin with a dot are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from drip_pipeline.domain.compiler.api import CampaignDefinition, complete, load_definition
from drip_pipeline.domain.definition.problems import Problem
from drip_pipeline.errors import DefinitionInvalid, FilesInvalid, ImportFileError

SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class CampaignFile:
    """One file. `definition` is completed; None when there is nothing to read in it."""

    path: Path
    label: str
    definition: CampaignDefinition | None
    problems: Sequence[Problem] = field(default_factory=tuple)


def read_campaign_files(path: Path) -> list[CampaignFile]:
    """The campaign files of a folder, in the order of their names, or the one file that `path` is.

    Raises OSError when there is no such path, ImportFileError when the folder holds no campaign
    file. What is wrong inside a file is among its problems.
    """
    if not path.is_dir():
        return [_read(path, path.name)]
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise ImportFileError(str(path), f"holds no campaign file ({', '.join(SUFFIXES)})")
    return _with_doubles([_read(file, file.relative_to(path).as_posix()) for file in found])


def refuse_invalid(problems: Mapping[str, Sequence[Problem]]) -> None:
    """Raise FilesInvalid with all problems (label of the file → its problems), if there are any."""
    wrong = {label: tuple(found) for label, found in problems.items() if found}
    if wrong:
        raise FilesInvalid(wrong, len(problems))


def _read(path: Path, label: str) -> CampaignFile:
    try:
        definition = complete(load_definition(path.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError:
        return CampaignFile(path, label, None, [Problem(None, "file_unreadable", "is not UTF-8")])
    except DefinitionInvalid as error:
        problems = [Problem(p.node_id, p.code, p.message) for p in error.problems]
        return CampaignFile(path, label, None, problems)
    return CampaignFile(path, label, definition)


def _with_doubles(files: Sequence[CampaignFile]) -> list[CampaignFile]:
    """Two files that mean one campaign: the second would undo the first at every turn."""
    first: dict[tuple[str, str | None], str] = {}
    checked = []
    for file in files:
        if file.definition is not None and file.definition.name:
            key = (file.definition.name, file.definition.workspace)
            other = first.setdefault(key, file.label)
            if other != file.label:
                message = f"{other} is the campaign {file.definition.name!r} too; give one a name"
                problem = Problem(None, "name_duplicate", message)
                file = CampaignFile(file.path, file.label, file.definition, [problem])
        checked.append(file)
    return checked
