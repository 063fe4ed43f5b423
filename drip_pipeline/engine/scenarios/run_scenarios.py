"""Run scenario files, and collect the results with the coverage of each campaign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drip_pipeline.domain.scenarios.scenario_file import (
    ScenarioFile,
    ScenarioPerson,
    ScenarioProblem,
)
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.scenarios.compare import differences
from drip_pipeline.engine.scenarios.coverage import CoveredEdge, coverage
from drip_pipeline.engine.scenarios.scenario_folder import LoadedScenarios, load_scenarios
from drip_pipeline.engine.scenarios.walk import walk


@dataclass(frozen=True, slots=True)
class PersonResult:
    """The result of one scenario; `differences` are the lines on what differs, () if it passed."""

    name: str
    differences: Sequence[str] = ()

    @property
    def has_passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class FileResult:
    """The results of one file. A file with problems has no results."""

    label: str
    campaign: str | None
    results: Sequence[PersonResult] = ()
    problems: Sequence[ScenarioProblem] = ()

    @property
    def has_passed(self) -> bool:
        """Whether the file could be run and all of its scenarios passed."""
        return not self.problems and all(person.has_passed for person in self.results)


@dataclass(frozen=True, slots=True)
class CampaignCoverage:
    """The edges of one campaign, over all of its scenario files."""

    campaign: str
    edges: Sequence[CoveredEdge]

    @property
    def missed(self) -> list[CoveredEdge]:
        """The edges that no scenario walked."""
        return [edge for edge in self.edges if not edge.is_walked]


@dataclass(frozen=True, slots=True)
class ScenarioReport:
    """The results of all files, and the coverage of their campaigns."""

    files: Sequence[FileResult]
    coverage: Sequence[CampaignCoverage] = field(default_factory=tuple)

    @property
    def has_passed(self) -> bool:
        """Whether all files passed."""
        return all(file.has_passed for file in self.files)

    def count(self, *, passed: bool) -> int:
        """Return the number of scenarios that passed, or did not."""
        return sum(p.has_passed is passed for file in self.files for p in file.results)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "passed": self.count(passed=True),
            "failed": self.count(passed=False),
            "files": [
                {
                    "file": file.label,
                    "campaign": file.campaign,
                    "problems": [problem._asdict() for problem in file.problems],
                    "people": [
                        {
                            "name": person.name,
                            "passed": person.has_passed,
                            "differences": list(person.differences),
                        }
                        for person in file.results
                    ],
                }
                for file in self.files
            ],
            "coverage": [
                {
                    "campaign": each.campaign,
                    "edges": len(each.edges),
                    "walked": len(each.edges) - len(each.missed),
                    "missed": [
                        {"node": edge.node_id, "port": edge.port, "target": edge.target}
                        for edge in each.missed
                    ],
                }
                for each in self.coverage
            ],
        }


def run_scenarios(path: Path) -> ScenarioReport:
    """Run a scenario file, those of a campaign file, or all of a folder. Nothing is written.

    Raises OSError and ImportFileError like `load_scenarios`.
    """
    return run_loaded(load_scenarios(path))


def run_loaded(loaded: Sequence[LoadedScenarios]) -> ScenarioReport:
    """Run loaded scenario files."""
    walked: dict[Path, set[tuple[str, str]]] = {}
    versions: dict[Path, PublishedVersion] = {}
    results = []
    for each in loaded:
        if each.version is None or each.campaign_path is None:
            results.append(FileResult(each.label, None, problems=each.problems))
            continue
        versions[each.campaign_path] = each.version
        if each.file is None:
            name = each.version.campaign_name
            results.append(FileResult(each.label, name, problems=each.problems))
            continue
        edges = walked.setdefault(each.campaign_path, set())
        of_file = [_result(person, each.file, each.version, edges) for person in each.file.persons]
        results.append(FileResult(each.label, each.version.campaign_name, of_file))
    return ScenarioReport(
        results,
        [
            CampaignCoverage(versions[path].campaign_name, coverage(versions[path].graph, edges))
            for path, edges in walked.items()
        ],
    )


def _result(
    person: ScenarioPerson,
    file: ScenarioFile,
    version: PublishedVersion,
    edges: set[tuple[str, str]],
) -> PersonResult:
    walked = walk(file, person, version)
    edges |= walked.record.ports_left()
    return PersonResult(person.name, differences(version.graph, person.expect, walked))
