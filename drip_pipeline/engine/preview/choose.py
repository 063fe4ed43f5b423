"""Choose the people of a preview: every branch of the texts, the emptiest and longest values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from drip_pipeline.domain.templates.traced_templates import TracedTemplate
from drip_pipeline.engine.preview.recipients import Person

MOST_PEOPLE: Final = 10
_LANGUAGE: Final = -1


class SeenTexts(NamedTuple):
    """The translation that a person gets of a message (None: its own texts), and the variables."""

    language: str | None
    variables: Mapping[str, object]


Contexts = Mapping[str, SeenTexts]
"""What a person gets, by node."""
Feature = tuple[int, int | str]
"""A branch: the positions of its text and of the branch in it; or -1 and a language."""


@dataclass(frozen=True, slots=True)
class TracedText:
    """A text of a node as it is written, with the traced template of it."""

    node_id: str
    where: str
    template: TracedTemplate
    language: str | None = None


@dataclass(frozen=True, slots=True)
class BranchNote:
    """A branch of a text, and whether any of the people sees it."""

    node_id: str
    text: str
    line: int
    branch: str
    is_seen: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen people, and all branches of the texts."""

    recipients: tuple[Person, ...]
    branches: tuple[BranchNote, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    """What one person shows: features (branches, language), how much is empty, how much is long."""

    person: Person
    features: frozenset[Feature]
    empty: int
    length: int
    values: tuple[tuple[str, str], ...]


def choose(
    candidates: Sequence[Person],
    texts: Sequence[TracedText],
    contexts_of: Callable[[Person], Contexts],
    most: int = MOST_PEOPLE,
) -> Choice:
    """Return up to `most` of the candidates; those in front are preferred.

    `contexts_of(person)` returns the variables of a person's texts by node.
    """
    looks = [_look(person, texts, contexts_of(person)) for person in candidates]
    chosen: dict[int, list[str]] = {}
    if looks and any(text.template.paths for text in texts):
        emptiest = max(range(len(looks)), key=lambda n: (looks[n].empty, -n))
        chosen.setdefault(emptiest, []).append("the emptiest values")
        longest = max(range(len(looks)), key=lambda n: (looks[n].length, -n))
        chosen.setdefault(longest, []).append("the longest values")
    seen = {feature for n in chosen for feature in looks[n].features}
    while len(chosen) < most:
        gains = [len(look.features - seen) for look in looks]
        best = max(range(len(looks)), key=lambda n: (gains[n], -n), default=None)
        if best is None or not gains[best]:
            break
        chosen[best] = [_name(f, texts) for f in sorted(looks[best].features - seen, key=str)]
        seen |= looks[best].features
    _fill(chosen, looks, most)
    notes = [
        BranchNote(text.node_id, text.where, branch.line, branch.label, (n, branch.id) in seen)
        for n, text in enumerate(texts)
        for branch in text.template.branches
    ]
    return Choice(
        tuple(looks[n].person.shows(*why) for n, why in sorted(chosen.items())), tuple(notes)
    )


def _fill(chosen: dict[int, list[str]], looks: Sequence[_Look], most: int) -> None:
    """Add people whose values differ from those chosen; contacts before made-up people."""
    shown = {looks[n].values for n in chosen}
    for n, look in enumerate(looks):
        if len(chosen) >= most:
            return
        if n not in chosen and look.values not in shown:
            shown.add(look.values)
            chosen[n] = [] if look.person.why else ["other values"]


def _look(person: Person, texts: Sequence[TracedText], contexts: Contexts) -> _Look:
    features: set[Feature] = set()
    empty = length = 0
    values: dict[str, str] = {}
    for n, text in enumerate(texts):
        seen = contexts.get(text.node_id)
        if seen is None or seen.language != text.language:
            continue
        context = seen.variables
        trace = text.template.trace(context)
        features |= {(n, branch) for branch in trace.branches}
        for path in text.template.paths:
            value = _text_at(context, path)
            values[path] = value
            empty += not value
            length += len(value)
    languages = {seen.language for seen in contexts.values() if seen.language is not None}
    features |= {(_LANGUAGE, language) for language in languages}
    values["language"] = ",".join(sorted(languages))
    return _Look(person, frozenset(features), empty, length, tuple(sorted(values.items())))


def _text_at(context: Mapping[str, object], path: str) -> str:
    value: object = context
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None or value == [] else str(value)


def _name(feature: Feature, texts: Sequence[TracedText]) -> str:
    place, branch_id = feature
    if not isinstance(branch_id, int):
        return f"language {branch_id}"
    text = texts[place]
    branch = text.template.branches[branch_id]
    return f"{text.node_id} {text.where} line {branch.line}: {branch.label}"
