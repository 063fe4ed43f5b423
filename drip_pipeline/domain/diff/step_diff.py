"""Compare one step of two definitions: name, texts, wait, branches, variants, action.

Steps are JSON objects of completed files. A difference without a description of its own is reported
by its key, so that no difference is omitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from drip_pipeline.domain.diff import describe
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
    "channel_config.email.from": "sender",
    "channel_config.email.personalization_enabled": "personalization",
    "channel_config.email.reply_to": "address for replies",
    "channel_id": "channel",
    "exit_config.reason": "exit reason",
    "exit_config.status": "exit status",
    "trigger_config.at_least": "entry score",
    "trigger_config.backfill": "enroll contacts that match already",
    "trigger_config.cron": "schedule",
    "trigger_config.event_type": "entry event",
    "trigger_config.tag": "entry tag",
    "trigger_config.timezone": "time zone of the schedule",
    "trigger_config.trigger": "entry trigger",
    "variant_percentage": "weight",
}


def step_changes(
    before: Mapping[str, object], after: Mapping[str, object], *, rewired: frozenset[str]
) -> Iterator[Change]:
    """Yield the changes of one step, without its position in the flow.

    `rewired`: ports with another target, which flow_diff.py reports.
    """
    name_before, name_after = before.get("step_name"), after.get("step_name")
    if name_before != name_after:
        yield _change("step_renamed", "step_name", name_before, name_after, "renamed")
    if before.get("node_type") != after.get("node_type"):
        sentence = f"is now a step of type {after.get('node_type')}, not {before.get('node_type')}"
        yield Change("type", sentence, key="node_type", before=dict(before), after=dict(after))
        return
    compared = {"node_id", "step_name", "node_type"}
    for path, name in TEXTS.items():
        yield from text_change(_at(before, path), _at(after, path), name, ".".join(path))
    for key, noun, changes_of in (
        ("conditional_branches", "branch", _branch_changes),
        ("variants", "variant", _variant_changes),
    ):
        compared.add(key)
        if before.get(key) != after.get(key):
            yield from entry_changes(
                before.get(key), after.get(key), noun, key, changes_of, rewired
            )
    compared.add("send_window")
    yield from window_change(before.get("send_window"), after.get("send_window"))
    compared.add("wait_config")
    if before.get("wait_config") != after.get("wait_config"):
        yield _wait_change(before.get("wait_config"), after.get("wait_config"))
    for key in sorted((before.keys() | after.keys()) - compared):
        yield from leaf_changes(before.get(key), after.get(key), key, _KINDS.get(key, "setting"))


def text_change(before: object, after: object, name: str, key: str) -> Iterator[Change]:
    """Yield the change of a text, with its pieces."""
    if not isinstance(before, str | None) or not isinstance(after, str | None) or before == after:
        return
    pieces = compare_texts(before or "", after or "")
    change = "added" if before is None else "removed" if after is None else "changed"
    yield Change("text", f"{name} {change}", key=key, before=before, after=after, pieces=pieces)


def leaf_changes(before: object, after: object, key: str, kind: ChangeKind) -> Iterator[Change]:
    """Yield all differences below a key, value by value."""
    if before == after or (tuple(key.split(".")) in TEXTS and _are_texts(before, after)):
        return
    old, new = before or {}, after or {}
    if (
        isinstance(old, Mapping)
        and isinstance(new, Mapping)
        and ((before and after) or _has_values(old) or _has_values(new))
    ):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from leaf_changes(old.get(name), new.get(name), f"{key}.{name}", kind)
        return
    yield _change(kind, key, before, after, _NAMES.get(key) or _key_name(key))


def _are_texts(*values: object) -> bool:
    return all(isinstance(value, str | None) for value in values)


def _has_values(entry: Mapping[str, object]) -> bool:
    return any(value is not None for value in entry.values())


def _key_name(key: str) -> str:
    """Return the key without names of configurations: `action_config.config.delta` → `delta`."""
    parts = [part for part in key.split(".") if not part.endswith("config")]
    return " ".join(parts or [key]).replace("_", " ")


def _change(kind: ChangeKind, key: str, before: object, after: object, name: str) -> Change:
    if ".headers" in key:  # a header may contain a secret
        before, after = _masked(before), _masked(after)
        if before == after:
            return Change(kind, f"{name}: changed", key=key, before=before, after=after)
    sentence = f"{name}: {describe.value(before)} → {describe.value(after)}"
    return Change(kind, sentence, key=key, before=before, after=after)


def _masked(raw: object) -> object:
    if isinstance(raw, Mapping):
        return {key: _masked(value) for key, value in raw.items()}
    return None if raw is None else "***"


def _wait_change(before: object, after: object) -> Change:
    old, new = describe.wait(before), describe.wait(after)
    sentence = f"wait {old} → {new}"
    if old == new:
        sentence = f"wait {old}: written differently, {before} → {after}"
    return Change("delay", sentence, key="wait_config", before=before, after=after)


def window_change(before: object, after: object) -> Iterator[Change]:
    """Yield the change of a send window."""
    if before == after:
        return
    old, new = (
        describe.local_range(raw) if isinstance(raw, Mapping) else "any time"
        for raw in (before, after)
    )
    sentence = f"send window: {old} → {new}"
    if old == new:
        sentence = f"send window: {old}: written differently, {before} → {after}"
    yield Change("setting", sentence, key="send_window", before=before, after=after)


# --- branches and variants ------------------------------------------------------------------------


def entry_changes(
    before: object,
    after: object,
    noun: str,
    key: str,
    changes_of: Callable[[str, object, object, bool], Iterator[Change]],
    rewired: frozenset[str],
) -> Iterator[Change]:
    """Yield the entries (with ids) that were added or removed, and the changes of the others.

    `noun` is `branch` or `variant`; `changes_of` compares one entry (id, before, after, rewired).
    """
    old, new = _by_id(before), _by_id(after)
    kind: ChangeKind = "branch" if noun == "branch" else "weight"
    for name, entry in old.items():
        if name not in new:
            sentence = f"{noun} “{name}” removed{_description(entry, noun)}"
            yield Change(kind, sentence, key=f"{key}.{name}", before=entry)
    for name, entry in new.items():
        if name not in old:
            sentence = f"new {noun} “{name}”{_description(entry, noun)}"
            yield Change(kind, sentence, key=f"{key}.{name}", after=entry)
        elif old[name] != entry:
            for change in changes_of(name, old[name], entry, name in rewired):
                yield replace(change, key=f"{key}.{name}.{change.key}")
    kept_before, kept_after = [n for n in old if n in new], [n for n in new if n in old]
    if kept_before != kept_after:
        sentence = f"{noun} order: {', '.join(kept_before)} → {', '.join(kept_after)}"
        yield Change(kind, sentence, key=key, before=kept_before, after=kept_after)


def _by_id(entries: object) -> dict[str, object]:
    by_id: dict[str, object] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else (), start=1):
        name = entry.get("id") if isinstance(entry, Mapping) else None
        name = str(name) if name is not None else f"number {number}"
        while name in by_id:
            name = f"{name} (again)"
        by_id[name] = entry
    return by_id


def _description(entry: object, noun: str) -> str:
    if not isinstance(entry, Mapping):
        return ""
    if noun == "branch":
        condition = describe.condition(entry.get("condition"))
        return f" ({'if ' if entry.get('condition') else ''}{condition})"
    held_out = ", held out" if entry.get("holdout") else ""
    return f" ({describe.percentage(entry.get('percentage'))}{held_out})"


def _branch_changes(name: str, before: object, after: object, is_rewired: bool) -> Iterator[Change]:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield _change("branch", "", before, after, f"branch “{name}”")
        return
    if before.get("condition") != after.get("condition"):
        old, new = (
            describe.condition(before.get("condition")),
            describe.condition(after.get("condition")),
        )
        sentence = f"branch “{name}”: if {old} → if {new}"
        if old == new:
            sentence = f"branch “{name}”: its condition is written differently"
        yield Change(
            "branch", sentence, key="condition",
            before=before.get("condition"), after=after.get("condition"),
        )  # fmt: skip
    yield from _others(name, "branch", "branch", before, after, is_rewired, {"condition"})


def _variant_changes(
    name: str, before: object, after: object, is_rewired: bool
) -> Iterator[Change]:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield _change("weight", "", before, after, f"variant “{name}”")
        return
    yield from weight_change(name, before.get("percentage"), after.get("percentage"))
    yield from _others(name, "variant", "weight", before, after, is_rewired, {"percentage"})


def weight_change(name: str, before: object, after: object) -> Iterator[Change]:
    """Yield the change of a variant's weight."""
    if before != after:
        old, new = describe.percentage(before), describe.percentage(after)
        sentence = f"variant “{name}”: {old} → {new}"
        yield Change("weight", sentence, key="percentage", before=before, after=after)


def _others(
    name: str,
    noun: str,
    kind: ChangeKind,
    before: Mapping[str, object],
    after: Mapping[str, object],
    is_rewired: bool,
    compared: set[str],
) -> Iterator[Change]:
    for key in sorted((before.keys() | after.keys()) - compared):
        if key == "target_node_id" and is_rewired:
            continue
        if before.get(key) != after.get(key):
            label = f"{noun} “{name}”: {key.replace('_', ' ')}"
            yield _change(kind, key, before.get(key), after.get(key), label)


def _at(step: Mapping[str, object], path: Sequence[str]) -> object:
    value: object = step
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
