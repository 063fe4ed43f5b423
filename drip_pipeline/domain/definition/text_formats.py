"""Parse JSON and YAML to plain JSON values, and clean up parsed values.

Nothing here depends on the content. The caller opens files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import yaml

JsonObject = dict[str, Any]
"""A JSON object with values of any JSON type."""

MAX_DEPTH: Final = 60
MAX_VALUES: Final = 500_000
MAX_YAML_VALUES: Final = 100_000
"""Of a YAML text, which is parsed a hundred times more slowly than JSON."""
MAX_TEXT_BYTES: Final = 20_000_000
MAX_DIGITS: Final = 1_000


class UnreadableText(ValueError):
    """The text is neither JSON nor YAML, or too large. The message says where."""


class _Loader(yaml.SafeLoader):
    """YAML with JSON's types: no dates, no `yes`/`on` booleans, no 12:30 as a number of base 60.

    Its nodes, and those that merge keys copy, have a budget: ten merges of ten merges of … are a
    few hundred bytes and all of the memory.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._budget = MAX_YAML_VALUES

    def _spend(self, nodes: int, line: int) -> None:
        self._budget -= nodes
        if self._budget < 0:
            raise UnreadableText(
                f"line {line + 1}: the file contains more than {MAX_YAML_VALUES:,} values, which"
                " only a JSON file can"
            )

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        node = super().compose_node(parent, index)
        if node is not None:
            self._spend(1, node.start_mark.line)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Replace merge keys by the pairs of the mappings they name, within the budget."""
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        own: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in node.value:
            if key.tag != _MERGE:
                own.append((key, value))
                continue
            sources = value.value[::-1] if isinstance(value, yaml.SequenceNode) else [value]
            for source in sources:
                if not isinstance(source, yaml.MappingNode):
                    raise yaml.constructor.ConstructorError(
                        None, None, "<< must name mappings", value.start_mark
                    )
                self.flatten_mapping(source)
                self._spend(len(source.value), value.start_mark.line)
                merged += source.value
        if merged:
            # A later pair replaces an earlier one of the same key: what is written here counts.
            node.value = merged + own


_MERGE: Final = "tag:yaml.org,2002:merge"
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?)$",
        list("-+.0123456789"),
    ),
    ("merge", r"^(?:<<)$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    try:
        return _whole_number(str(loader.construct_scalar(node)))  # `010` is ten, not eight
    except UnreadableText as unreadable:
        raise UnreadableText(f"line {node.start_mark.line + 1}: {unreadable}") from None


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        if isinstance(key_node, yaml.ScalarNode):
            if key_node.value in seen:
                raise UnreadableText(
                    f"duplicate key {key_node.value!r} in one object"
                    f" (line {key_node.start_mark.line + 1})"
                )
            seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_SAFE: Final = yaml.SafeLoader.yaml_constructors
_Loader.yaml_constructors = {
    tag: _SAFE[tag]
    for tag in (None, *(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "seq", "str")))
}
_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse_text(text: str) -> Any:
    """Parse a JSON or YAML text. Raises UnreadableText with the line and the fault."""
    if len(text) > MAX_TEXT_BYTES:
        raise UnreadableText(f"the file is larger than {MAX_TEXT_BYTES // 1_000_000} MB")
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.loads(text, object_pairs_hook=_unique_keys, parse_int=_whole_number)
        except json.JSONDecodeError as error:
            # No second attempt as YAML, although its flow style also begins with a brace: YAML
            # accepts `{"value": }`.
            raise UnreadableText(
                f"line {error.lineno}, column {error.colno}: {error.msg}"
            ) from None
        except RecursionError:
            raise UnreadableText("the file is nested too deep") from None
    return _parse_yaml(text)


def line_at(text: str, path: Sequence[str | int]) -> int | None:
    """Return the line of the value at a path of keys and positions, or of its nearest parent.

    None if the text is not YAML or JSON.
    """
    node = _composed(text)
    if node is None:
        return None
    line: int = node.start_mark.line
    for part in path:
        child = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value == str(part):
                    child, line = value, key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and part in range(len(node.value)):
            child = node.value[int(part)]
            line = child.start_mark.line
        if child is None:
            break
        node = child
    return line + 1


@lru_cache(maxsize=1)
def _composed(text: str) -> yaml.Node | None:
    """Return the nodes of a text, which know their lines; kept for the next fault of a file."""
    try:
        node: yaml.Node | None = yaml.compose(text.removeprefix("\ufeff"), Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        return None
    return node


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise UnreadableText(f"a number has {len(digits):,} digits")
    return int(digits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> JsonObject:
    unique: JsonObject = {}
    for key, value in pairs:
        if key in unique:
            raise UnreadableText(f"duplicate key {key!r} in one object")
        unique[key] = value
    return unique


def _parse_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UnreadableText(f"{where}{what}") from None
    except RecursionError:
        raise UnreadableText("the file is nested too deep") from None
    except (ValueError, TypeError) as error:
        raise UnreadableText(str(error)) from None


def as_json(value: object) -> tuple[Any, list[str]]:
    """Return a deep copy of `value` in plain JSON types, and the faults that were removed from it.

    Dates, UUIDs, decimals and enums (of database rows) become text and numbers without a fault.
    Values that PostgreSQL's jsonb cannot store (NUL, lone surrogates, NaN) are removed and reported
    with their path. Raises UnreadableText if the value is nested too deep, or too large through
    YAML's aliases.
    """
    faults: list[str] = []
    budget = [MAX_VALUES]
    return _plain(value, "", 0, faults, budget), faults


def _plain(value: object, path: str, depth: int, faults: list[str], budget: list[int]) -> Any:
    budget[0] -= 1
    if depth > MAX_DEPTH:
        raise UnreadableText(f"{path[:80]} … is nested deeper than {MAX_DEPTH} levels")
    if budget[0] < 0:
        raise UnreadableText(f"the file contains more than {MAX_VALUES:,} values")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value.value if isinstance(value, Enum) else value, path, faults)
    if isinstance(value, int | float | Decimal):
        return _number(value, path, faults)
    if isinstance(value, Mapping):
        copy: JsonObject = {}
        for key, item in value.items():
            name = _text(key if isinstance(key, str) else json.dumps(key, default=str), path, [])
            copy[name] = _plain(item, f"{path}.{name}" if path else name, depth + 1, faults, budget)
        return copy
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [
            _plain(item, f"{path}[{index}]", depth + 1, faults, budget)
            for index, item in enumerate(items)
        ]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    faults.append(f"{path} is a {type(value).__name__}, which a campaign file cannot contain")
    return None


def _text(value: str, path: str, faults: list[str]) -> str:
    cleaned = value.replace("\x00", "")
    try:
        cleaned.encode("utf-8")
    except UnicodeEncodeError:
        cleaned = cleaned.encode("utf-8", "ignore").decode("utf-8")
    if cleaned != value:
        faults.append(f"{path} contains a character that the database cannot store")
    return cleaned


def _number(value: int | float | Decimal, path: str, faults: list[str]) -> int | float | None:
    if isinstance(value, int):
        if abs(value) >= 2**63:
            faults.append(f"{path} is too large a number")
            return None
        return int(value)
    number = float(value)
    if not math.isfinite(number):
        faults.append(f"{path} is not a finite number")
        return None
    # 24 and 24.0 are one number; the shorter form is canonical.
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
