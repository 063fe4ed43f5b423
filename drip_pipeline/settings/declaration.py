"""How a setting is declared: with its default, unit and consequence."""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

from pydantic import Field


class SettingRow(TypedDict):
    """One setting as `drip doctor` shows it. `value` is empty when the variable is not set."""

    name: str
    value: str
    default: str
    unit: str
    consequence: str


class Setting(NamedTuple):
    """What is declared of one environment variable. `default` is the text for users."""

    name: str
    field: str
    default: str
    unit: str
    consequence: str


def setting(default: object, unit: str, consequence: str, *, default_text: str = "") -> Any:
    """Declare a setting. `default_text` describes a default that is computed or absent."""
    if not default_text:
        default_text = ", ".join(default) if isinstance(default, tuple) else str(default)
    return Field(
        default,
        description=consequence,
        json_schema_extra={"unit": unit, "default_text": default_text},
    )
