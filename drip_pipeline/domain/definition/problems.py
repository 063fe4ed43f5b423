"""Problems of a definition as values, and the conversion of pydantic's errors into problems."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ValidationError

Severity = Literal["error", "warning"]

# Codes of pydantic's error types; all other built-in types are `config_invalid`, and custom errors
# (PydanticCustomError) have their own code.
_CODES: Final = {"missing": "config_missing", "extra_forbidden": "config_unknown_key"}
_OWN_CODES: Final = frozenset(
    {
        "body_missing",
        "branch_duplicate",
        "event_type_invalid",
        "config_missing",
        "exit_reason",
        "field_protected",
        "field_value",
        "goal_event_key",
        "matcher_count",
        "matcher_match",
        "matcher_of",
        "matcher_url",
        "matcher_where",
        "not_a_number",
        "score_config",
        "subject_lines",
        "subject_missing",
        "tag_contradiction",
        "tag_empty",
        "time_of_day",
        "trigger_cron",
        "variable_bounds",
        "trigger_foreign_key",
        "trigger_incomplete",
        "variant_duplicate",
        "wait_condition",
        "wait_events",
        "wait_field",
        "wait_limit_twice",
        "wait_months",
        "wait_offset",
        "wait_too_long",
        "webhook_header",
        "webhook_url",
        "webhook_url_template",
        "weekday",
        "zone_unknown",
    }
)
# Messages for users instead of pydantic's messages for programmers.
_PLAIN_WORDS: Final = {
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_too_short": "must not be empty",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a definition. `code` is stable and meant for programs, `message` for users.

    `node_id` is None for a problem of the whole campaign. An error prevents publishing, a warning
    does not.
    """

    node_id: str | None
    code: str
    message: str
    severity: Severity = "error"

    def to_dict(self) -> dict[str, str | None]:
        """Return the problem as JSON."""
        return {
            "node_id": self.node_id,
            "code": self.code,
            "message": self.message,
            "severity": self.severity,
        }


class Problems(list[Problem]):
    """The problems that reading and validation collect."""

    def add(
        self, node_id: str | None, code: str, message: str, severity: Severity = "error"
    ) -> None:
        """Append one problem."""
        self.append(Problem(node_id, code, message, severity))


def errors_in(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that prevent publishing."""
    return [problem for problem in problems if problem.severity == "error"]


def without_repeats(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return each problem once, in order of first appearance."""
    return tuple(dict.fromkeys(problems))


def did_you_mean(name: object, existing: Iterable[str]) -> str:
    """Return `; did you mean "x"?` if an existing name is similar to `name`, otherwise ""."""
    near = difflib.get_close_matches(str(name).strip().lower(), sorted(existing), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def shorten(value: object, limit: int = 80) -> str:
    """Return `value` for a message, at most `limit` characters."""
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def from_validation(
    error: ValidationError, *, node_id: str | None, where: str, model: type[BaseModel]
) -> Problems:
    """Return pydantic's errors in the part of the definition at the path `where` as problems."""
    problems = Problems()
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        path = _path(where, item["loc"])
        if item["type"] == "extra_forbidden":
            key = item["loc"][-1]
            hint = did_you_mean(key, model.model_fields) if len(item["loc"]) == 1 else ""
            message = f"unknown key {path}{hint}"
        elif item["type"] == "missing":
            message = f"{path} is missing"
        else:
            words = _PLAIN_WORDS.get(item["type"]) or _lower_first(
                item["msg"].removeprefix("Value error, ").removeprefix("Input ")
            )
            message = f"{path}: {words}" if path else words
        code = _CODES.get(item["type"]) or (
            item["type"] if item["type"] in _OWN_CODES else "config_invalid"
        )
        problems.add(node_id, code, message)
    return problems


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _path(where: str, loc: Sequence[int | str]) -> str:
    parts = [where]
    for part in loc:
        if isinstance(part, int):
            parts[-1] += f"[{part}]"
        elif not part.startswith(("function-", "tuple[", "literal[")):
            parts.append(part)
    return ".".join(part for part in parts if part)
