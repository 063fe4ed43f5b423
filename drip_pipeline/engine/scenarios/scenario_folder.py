"""Find and load scenario files with the campaigns that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from drip_pipeline.domain.compiler.api import (
    CampaignDefinition,
    compile_graph,
    complete,
    load_definition,
)
from drip_pipeline.domain.definition.problems import Problem
from drip_pipeline.domain.definition.text_formats import UnreadableText, parse_text
from drip_pipeline.domain.scenarios.scenario_checks import check_scenarios
from drip_pipeline.domain.scenarios.scenario_file import (
    ReadScenarios,
    ScenarioFile,
    ScenarioProblem,
    is_scenario_file,
    problem_at,
    read_scenarios,
)
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.publishing.campaign_folder import SUFFIXES, text_of_file
from drip_pipeline.engine.publishing.channel_validation import prepared_graph, unprepared_emails
from drip_pipeline.engine.publishing.template_folder import definition_of_file
from drip_pipeline.engine.scenarios.contact_values import ContactInvalid, contact_row
from drip_pipeline.errors import DefinitionInvalid, ImportFileError

WORKSPACE_ID = UUID(int=1)


@dataclass(frozen=True, slots=True)
class LoadedScenarios:
    """A scenario file with its campaign; `file` and `version` are None if it has problems."""

    path: Path
    label: str
    file: ScenarioFile | None
    version: PublishedVersion | None
    campaign_path: Path | None
    problems: Sequence[ScenarioProblem] = field(default_factory=tuple)


def load_scenarios(path: Path) -> list[LoadedScenarios]:
    """Load a scenario file, those of a campaign file, or all of a folder and its subfolders.

    Raises OSError when the path does not exist, ImportFileError when there is no scenario file.
    """
    campaigns: dict[Path, PublishedVersion | Sequence[Problem]] = {}
    if path.is_dir():
        listed = [(file, file.relative_to(path).as_posix()) for file in _files(path)]
        only = None
    else:
        text = text_of_file(path)
        if _is_scenarios(path, text):
            return [_load(path, path.name, text, campaigns)]
        listed = [(file, file.name) for file in _files(path.parent, is_deep=False) if file != path]
        only = path.resolve()
    loaded = []
    for file, label in listed:
        text = text_of_file(file)
        if _is_scenarios(file, text):
            one = _load(file, label, text, campaigns)
            if only is None or one.campaign_path == only:
                loaded.append(one)
    if not loaded:
        hint = "`drip campaign schema --scenarios` describes the format."
        raise ImportFileError(str(path), "has no scenario file", hint=hint)
    return loaded


def files_of(loaded: Sequence[LoadedScenarios]) -> list[Path]:
    """Return the scenario files and their campaigns, for a watch on changes."""
    campaigns = [each.campaign_path for each in loaded if each.campaign_path is not None]
    return sorted({*(each.path for each in loaded), *campaigns})


def _files(folder: Path, *, is_deep: bool = True) -> list[Path]:
    return sorted(
        file
        for file in (folder.rglob("*") if is_deep else folder.glob("*"))
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _is_scenarios(path: Path, text: str) -> bool:
    """Return whether a file holds scenarios; one that cannot be read does if its name says so."""
    try:
        return is_scenario_file(parse_text(text))
    except UnreadableText:
        return "scenario" in path.stem.lower() or path.stem.lower().endswith((".test", "_test"))


def _load(
    path: Path,
    label: str,
    text: str,
    campaigns: dict[Path, PublishedVersion | Sequence[Problem]],
) -> LoadedScenarios:
    read = read_scenarios(text)
    if read.file is None:
        return LoadedScenarios(path, label, None, None, None, read.problems)
    campaign_path = (path.parent / read.file.campaign).resolve()
    if campaign_path not in campaigns:
        campaigns[campaign_path] = _campaign(campaign_path)
    campaign = campaigns[campaign_path]
    if not isinstance(campaign, PublishedVersion):
        problems = [_of_campaign(read, problem) for problem in campaign]
        return LoadedScenarios(path, label, None, None, campaign_path, problems)
    listed = [*check_scenarios(read, campaign.graph), *_contact_problems(read)]
    file = None if listed else read.file
    return LoadedScenarios(path, label, file, campaign, campaign_path, listed)


def _contact_problems(read: ReadScenarios) -> list[ScenarioProblem]:
    assert read.file is not None
    listed = []
    for number, person in enumerate(read.file.persons):
        parts: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = [
            (("contact",), person.contact)
        ]
        parts += [(("changes", n, "fields"), c.fields) for n, c in enumerate(person.changes)]
        for path, fields in parts:
            try:
                contact_row(fields, created_at=read.file.start)
            except ContactInvalid as error:
                where = ("people", number, *path, error.field)
                content = parse_text(read.text)
                listed.append(problem_at(read.text, content, where, error.problem))
    return listed


def _of_campaign(read: ReadScenarios, problem: Problem) -> ScenarioProblem:
    assert read.file is not None
    node = f"{problem.node_id}: " if problem.node_id else ""
    return problem_at(
        read.text,
        {},
        ("campaign",),
        f"the campaign {read.file.campaign} cannot be run: {node}{problem.message}",
    )


def _campaign(path: Path) -> PublishedVersion | Sequence[Problem]:
    try:
        return campaign_of_definition(definition_of_file(path, text_of_file(path)))
    except (OSError, ImportFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return [Problem(None, "file_unreadable", f"{reason}; correct the key campaign")]
    except DefinitionInvalid as error:
        return [Problem(each.node_id, each.code, each.message) for each in error.problems]


def campaign_of_text(text: str) -> PublishedVersion:
    """Return a campaign file as a version that can be executed. Raises DefinitionInvalid."""
    return campaign_of_definition(complete(load_definition(text)))


def campaign_of_definition(definition: CampaignDefinition) -> PublishedVersion:
    """Return a completed definition as a version that can be executed. Raises DefinitionInvalid."""
    written = compile_graph(definition, {})
    problems = unprepared_emails(written)
    if problems:
        raise DefinitionInvalid(problems, name=definition.name)
    graph = prepared_graph(written)
    campaign_id = uuid5(NAMESPACE_URL, definition.name)
    return PublishedVersion(campaign_id, 1, definition.name, WORKSPACE_ID, graph)
