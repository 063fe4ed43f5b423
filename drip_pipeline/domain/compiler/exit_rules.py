"""Read the exit rules of a campaign, and check them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from drip_pipeline.domain.definition.problems import Problems, from_validation, shorten
from drip_pipeline.domain.graph.exits import MAX_RULES, ExitRule


def read_exits(raw: Sequence[object] | None, problems: Problems) -> tuple[ExitRule, ...]:
    """Return the rules that can be read; the others become problems of the campaign."""
    rules: list[ExitRule] = []
    for number, entry in enumerate(raw or ()):
        where = f"exits[{number}]"
        if not isinstance(entry, dict):
            problems.add(
                None,
                "exit_invalid",
                f"{where} must be an object with id and when, not {shorten(entry)}",
            )
            continue
        try:
            rules.append(ExitRule.model_validate(entry))
        except ValidationError as error:
            problems += from_validation(error, node_id=None, where=where, model=ExitRule)
    if raw is not None and len(raw) > MAX_RULES:
        problems.add(None, "too_large", f"a campaign may have {MAX_RULES} exits, not {len(raw)}")
    _check_ids(rules, problems)
    return tuple(rules)


def _check_ids(rules: Iterable[ExitRule], problems: Problems) -> None:
    ids: set[str] = set()
    for rule in rules:
        if rule.id in ids:
            problems.add(None, "exit_duplicate", f"two exits have the id {rule.id}; ids are unique")
        ids.add(rule.id)
