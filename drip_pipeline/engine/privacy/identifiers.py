"""Find what identifies persons in texts: payloads, rejected lines, files and logs.

Addresses, phone numbers and ids are keys in any spelling that providers and forms use. Names are
not looked for: other people have the same name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import unquote_plus
from uuid import UUID

from drip_pipeline.domain.addresses import canonical_email

ERASED: Final = "[erased]"
_EMAIL: Final = re.compile(r"""[^\s"'<>(),;:\\\[\]{}|=&?/]+@[^\s"'<>(),;:\\\[\]{}|=&?/]+""")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_WORD: Final = re.compile(r"""[^\s"'<>&=,{}\[\]();]+""")
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_ORDINARY: Final = re.compile(r"[\w.+-]+@[\w.-]+")
_NO_DIGIT: Final = re.compile(r"\D+")
_SHORTEST_NUMBER: Final = 7
_STORED: Final = ("addresses", "shared", "enrollments", "messages", "references")


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What identifies one person in texts.

    `addresses` are in the form in which they are compared; those in `shared` also belong to a
    contact of another workspace, and count only in what belongs to the person's own. `enrollments`
    and `messages` are ids, `references` the ids of messages at providers.
    """

    workspace_id: UUID
    contact_id: UUID | None = None
    addresses: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    enrollments: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @classmethod
    def of(cls, workspace_id: UUID, contact_id: UUID | None, stored: Mapping[str, Any]) -> Self:
        """Return the identifiers that `stored` wrote."""
        lists = {name: tuple(stored.get(name, ())) for name in _STORED}
        return cls(workspace_id, contact_id, **lists)

    def stored(self) -> dict[str, list[str]]:
        """Return the identifiers as they are stored until the erasure is complete."""
        return {name: list(getattr(self, name)) for name in _STORED}

    def ids(self) -> tuple[str, ...]:
        """Return all ids and references."""
        of_contact = (str(self.contact_id),) if self.contact_id else ()
        return (*of_contact, *self.enrollments, *self.messages, *self.references)


class Finder:
    """Finds the identifiers of several persons in texts, in one pass over each text."""

    def __init__(self, persons: Iterable[Identifiers]) -> None:
        self._owners: dict[str, set[UUID | None]] = {}
        self._numbers: dict[str, re.Pattern[str]] = {}
        self._unusual: list[str] = []
        for person in persons:
            for address in person.addresses:
                is_shared = address in person.shared
                self._add(address, person.workspace_id, is_shared=is_shared)
            for text in person.ids():
                self._add(text.lower(), person.workspace_id, is_shared=False)
        self._lengths = sorted({len(digits) for digits in self._numbers})

    def __bool__(self) -> bool:
        return bool(self._owners)

    def _add(self, text: str, workspace_id: UUID, *, is_shared: bool) -> None:
        if "@" in text:
            key = canonical_email(text)
            if not _ORDINARY.fullmatch(key):
                self._unusual.append(key)
        elif text[:1] == "+" or text.isdigit():
            key = _NO_DIGIT.sub("", text)
            if len(key) < _SHORTEST_NUMBER:
                return
            digits = r"[\s().\-/]{0,3}".join(key)
            self._numbers[key] = re.compile(rf"(?<!\d)(?:\+|00)?\(?{digits}(?!\d)")
        else:
            key = text
        owners = self._owners.setdefault(key, set())
        owners.add(workspace_id)
        if not is_shared:
            owners.add(None)

    def finds(self, text: str, workspace_id: UUID | None = None) -> bool:
        """Return whether the text names one of the persons.

        `workspace_id`: the workspace that the text belongs to; None if that is not stored.
        """
        return any(self._finds(form, workspace_id) for form in _forms(text))

    def _finds(self, text: str, workspace_id: UUID | None) -> bool:
        if "@" in text:
            for match in _EMAIL.finditer(text):
                if self._counts(canonical_email(match[0]), workspace_id):
                    return True
            lower = text.lower()
            if any(each in lower and self._counts(each, workspace_id) for each in self._unusual):
                return True
        if any(self._counts(word, workspace_id) for word in _words(text)):
            return True
        return any(self._counts(key, workspace_id) for key in self._numbers_in(text))

    def replaced(self, text: str, workspace_id: UUID | None = None, *, by: str = ERASED) -> str:
        """Return the text with `by` in place of each identifier. With an empty `by`, asterisks of
        the same number of characters."""

        def mask(match: re.Match[str], key: str) -> str:
            if not self._counts(key, workspace_id):
                return match[0]
            return by or "*" * len(match[0])

        text = _EMAIL.sub(lambda match: mask(match, canonical_email(match[0])), text)
        for address in self._unusual:
            pattern = re.compile(re.escape(address), re.IGNORECASE)
            text = pattern.sub(lambda match, key=address: mask(match, key), text)  # type: ignore[misc]
        text = _UUID.sub(lambda match: mask(match, match[0].lower()), text)
        for key in self._numbers_in(text):
            text = self._numbers[key].sub(lambda match, key=key: mask(match, key), text)  # type: ignore[misc]
        return _WORD.sub(lambda match: mask(match, match[0].lower()), text)

    def _counts(self, key: str, workspace_id: UUID | None) -> bool:
        owners = self._owners.get(key)
        return owners is not None and workspace_id in owners

    def _numbers_in(self, text: str) -> list[str]:
        if not self._lengths:
            return []
        digits = _NO_DIGIT.sub("", text)
        keys = {
            digits[start : start + length]
            for length in self._lengths
            for start in range(len(digits) - length + 1)
            if digits[start : start + length] in self._numbers
        }
        return [key for key in sorted(keys) if self._numbers[key].search(text)]


def _forms(text: str) -> list[str]:
    """Return the text as it is, as the value of a form, and with its escapes resolved."""
    forms = [text]
    if "%" in text:
        forms.append(unquote_plus(text))
    if "\\u" in text:
        forms.append(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text))
    return forms


def _words(text: str) -> Iterable[str]:
    for match in _UUID.finditer(text):
        yield match[0].lower()
    for match in _WORD.finditer(text):
        word = match[0].lower()
        yield word
        # SendGrid appends to the id of a message after a dot.
        yield word.partition(".")[0]
