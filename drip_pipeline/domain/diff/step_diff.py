"""What changed inside one step: its name, texts, wait, branches, shares, action. Steps are given as
they stand in a completed file; whatever has no words of its own is told by its key, so that nothing
that differs goes unsaid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from drip_pipeline.domain.diff import describe as in_words
from drip_pipeline.domain.diff.changes import Change, ChangeKind
from drip_pipeline.domain.diff.text_diff import compare_texts

TEXTS: Final[Mapping[tuple[str, ...], str]] = {
    ("channel_config", "email", "subject"): "subject",
    ("channel_config", "email", "preheader"): "preheader",
    ("channel_config", "email", "body"): "text",
    ("channel_config", "email", "body_html"): "HTML text",
    ("channel_config", "sms", "body"): "text message",
    ("channel_config", "social", "content"): "post",
}
_KINDS: Final[Mapping[str, ChangeKind]] = {
    "trigger_config": "entry",
    "exit_config": "exit",
    "action_config": "action",
    "channel_config": "channel",
    "channel_id": "channel",
    "variant_percentage": "weight",
    "assignment": "weight",
    "variant_group": "weight",
    "parent_split_id": "weight",
}
_NAMES: Final[Mapping[str, str]] = {
    "channel_config.email.personalization_enabled": "variables are filled in",
    "channel_id": "channel",
    "exit_config.reason": "reason of the exit",
    "exit_config.status": "status at the exit",
    "trigger_config.at_least": "score that lets people in",
    "trigger_config.backfill": "people who match already enter too",
    "trigger_config.cron": "schedule",
    "trigger_config.event_type": "event that lets people in",
    "trigger_config.tag": "tag that lets people in",
    "trigger_config.timezone": "time zone of the schedule",
    "trigger_config.trigger": "how people get in",
    "variant_percentage": "share",
}


def step_changes(
    before: Mapping[str, Any], after: Mapping[str, Any], *, rewired: frozenset[str]
) -> Iterator[Change]:
    """The changes of one step, without its place in the flow. `rewired`: ways out whose target
    differs, which the flow tells.
    """
    name_before, name_after = before.get("step_name"), after.get("step_name")
    if name_before != name_after:
        yield _change("step_renamed", "step_name", name_before, name_after, "renamed")
    if before.get("node_type") != after.get("node_type"):
        sentence = f"is now a step of type {after.get('node_type')}, not {before.get('node_type')}"
        yield Change("type", sentence, key="node_type", before=dict(before), after=dict(after))
        return
    done = {"node_id", "step_name", "node_type"}
    for path, name in TEXTS.items():
        yield from text_change(_at(before, path), _at(after, path), name, ".".join(path))
    for key, named, words in (
        ("conditional_branches", "branch", _branch_changes),
        ("variants", "variant", _variant_changes),
    ):
        done.add(key)
        if before.get(key) != after.get(key):
            yield from entry_changes(before.get(key), after.get(key), named, key, words, rewired)
    done.add("wait_config")
    if before.get("wait_config") != after.get("wait_config"):
        yield _wait_change(before.get("wait_config"), after.get("wait_config"))
    for key in sorted((before.keys() | after.keys()) - done):
        yield from leaf_changes(before.get(key), after.get(key), key, _KINDS.get(key, "setting"))


def text_change(before: Any, after: Any, name: str, key: str) -> Iterator[Change]:
    """A text that changed, with its words."""
    if before == after or not _are_texts(before, after):
        return
    pieces = compare_texts(before or "", after or "")
    verb = "is new" if before is None else "is gone" if after is None else "changed"
    yield Change("text", f"{name} {verb}", key=key, before=before, after=after, pieces=pieces)


def leaf_changes(before: Any, after: Any, key: str, kind: ChangeKind) -> Iterator[Change]:
    """Whatever differs below a key, value by value."""
    if before == after or (tuple(key.split(".")) in TEXTS and _are_texts(before, after)):
        return
    old, new = before or {}, after or {}
    are_objects = isinstance(old, Mapping) and isinstance(new, Mapping)
    if are_objects and ((before and after) or _is_told(old) or _is_told(new)):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from leaf_changes(old.get(name), new.get(name), f"{key}.{name}", kind)
        return
    yield _change(kind, key, before, after, _NAMES.get(key) or _plain(key))


def _are_texts(*values: Any) -> bool:
    return all(isinstance(value, str | None) for value in values)


def _is_told(told: Mapping[str, Any]) -> bool:
    return any(value is not None for value in told.values())


def _plain(key: str) -> str:
    """`action_config.config.delta` → `delta`; the configuration's own name says nothing."""
    parts = [part for part in key.split(".") if not part.endswith("config")]
    return " ".join(parts or [key]).replace("_", " ")


def _change(kind: ChangeKind, key: str, before: Any, after: Any, words: str) -> Change:
    if ".headers" in key:  # a header may carry a key of somebody's service
        before, after = _masked(before), _masked(after)
        if before == after:
            return Change(kind, f"{words}: changed", key=key, before=before, after=after)
    sentence = f"{words}: {in_words.value(before)} → {in_words.value(after)}"
    return Change(kind, sentence, key=key, before=before, after=after)


def _masked(told: Any) -> Any:
    if isinstance(told, Mapping):
        return {key: _masked(value) for key, value in told.items()}
    return None if told is None else "***"


def _wait_change(before: Any, after: Any) -> Change:
    old, new = in_words.wait(before), in_words.wait(after)
    sentence = f"wait {old} → {new}"
    if old == new:
        sentence = f"wait {old}: written differently, {before} → {after}"
    return Change("delay", sentence, key="wait_config", before=before, after=after)


# --- branches and variants ------------------------------------------------------------------------


def entry_changes(
    before: Any,
    after: Any,
    named: str,
    key: str,
    words: Any,
    rewired: frozenset[str],
) -> Iterator[Change]:
    """Entries of a list that have an id: which came, which went, and what changed in the others."""
    old, new = _by_id(before), _by_id(after)
    kind: ChangeKind = "branch" if named == "branch" else "weight"
    for name, entry in old.items():
        if name not in new:
            sentence = f"{named} “{name}” removed{_describes(entry, named)}"
            yield Change(kind, sentence, key=f"{key}.{name}", before=entry)
    for name, entry in new.items():
        if name not in old:
            sentence = f"new {named} “{name}”{_describes(entry, named)}"
            yield Change(kind, sentence, key=f"{key}.{name}", after=entry)
        elif old[name] != entry:
            for change in words(name, old[name], entry, name in rewired):
                yield replace(change, key=f"{key}.{name}.{change.key}")
    kept_before, kept_after = [n for n in old if n in new], [n for n in new if n in old]
    if kept_before != kept_after:
        sentence = f"{named} order: {', '.join(kept_before)} → {', '.join(kept_after)}"
        yield Change(kind, sentence, key=key, before=kept_before, after=kept_after)


def _by_id(entries: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else (), start=1):
        name = entry.get("id") if isinstance(entry, Mapping) else None
        name = str(name) if name is not None else f"number {number}"
        while name in found:
            name = f"{name} (again)"
        found[name] = entry
    return found


def _describes(entry: Any, named: str) -> str:
    if not isinstance(entry, Mapping):
        return ""
    if named == "branch":
        told = in_words.condition(entry.get("condition"))
        return f" ({'if ' if entry.get('condition') else ''}{told})"
    held_out = ", held out" if entry.get("holdout") else ""
    return f" ({in_words.percentage(entry.get('percentage'))}{held_out})"


def _branch_changes(name: str, before: Any, after: Any, is_rewired: bool) -> Iterator[Change]:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield _change("branch", "", before, after, f"branch “{name}”")
        return
    if before.get("condition") != after.get("condition"):
        old, new = (
            in_words.condition(before.get("condition")),
            in_words.condition(after.get("condition")),
        )
        sentence = f"branch “{name}”: if {old} → if {new}"
        if old == new:
            sentence = f"branch “{name}”: its condition is written differently"
        yield Change(
            "branch", sentence, key="condition",
            before=before.get("condition"), after=after.get("condition"),
        )  # fmt: skip
    yield from _others(name, "branch", "branch", before, after, is_rewired, {"condition"})


def _variant_changes(name: str, before: Any, after: Any, is_rewired: bool) -> Iterator[Change]:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield _change("weight", "", before, after, f"variant “{name}”")
        return
    yield from share_change(name, before.get("percentage"), after.get("percentage"))
    yield from _others(name, "variant", "weight", before, after, is_rewired, {"percentage"})


def share_change(name: str, before: Any, after: Any) -> Iterator[Change]:
    """A variant's share that changed."""
    if before != after:
        old, new = in_words.percentage(before), in_words.percentage(after)
        sentence = f"variant “{name}”: {old} → {new}"
        yield Change("weight", sentence, key="percentage", before=before, after=after)


def _others(
    name: str,
    named: str,
    kind: ChangeKind,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    is_rewired: bool,
    done: set[str],
) -> Iterator[Change]:
    for key in sorted((before.keys() | after.keys()) - done):
        if key == "target_node_id" and is_rewired:
            continue
        if before.get(key) != after.get(key):
            words = f"{named} “{name}”: {key.replace('_', ' ')}"
            yield _change(kind, key, before.get(key), after.get(key), words)


def _at(step: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = step
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
