"""Parse one row of a file into a contact, or the reason of its rejection. Pure functions.

Texts are trimmed, and empty ones count as missing. Only the address can cost a row: any other cell
that cannot be read is set aside with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from drip_pipeline.db.contacts.contacts import RejectedCell, StagedContact
from drip_pipeline.db.contacts.suppressions import Suppression
from drip_pipeline.domain.addresses import Unusable, parse_email, parse_phone
from drip_pipeline.engine.contacts.cell_values import (
    CellInvalid,
    as_text,
    as_value,
    checked_json,
    is_storable,
    json_object,
    json_text,
    parts_of,
    score,
    shown,
    status,
    storable,
    tag_list,
    time,
    time_zone,
)
from drip_pipeline.engine.contacts.column_mapping import ColumnPlan
from drip_pipeline.engine.contacts.column_types import Kind, chosen_reader, detected_reader
from drip_pipeline.engine.contacts.consent import Said, read_consent, read_refusal, status_reason
from drip_pipeline.engine.contacts.contact_file import UnreadableCell
from drip_pipeline.engine.contacts.header_names import ConsentColumn

COUNTED_AS_REFUSAL: Final = "unreadable_counts_as_unsubscribed"
_STRONGEST_FIRST: Final = ("complained", "bounced", "unsubscribed")


class Rejected(Exception):
    """A rejected row; the argument is the reason code."""


class RowReader:
    """Parser of the rows of one file.

    `suppressions` are addresses of rejected rows that refuse messages.

    `set_aside` are the cells of accepted rows that could not be read, `refusals` the rows by column
    that say that the contact must not get messages.
    """

    def __init__(
        self,
        plan: ColumnPlan,
        kinds: Mapping[str, Kind],
        *,
        is_typed: bool,
        region: str | None = None,
    ) -> None:
        """`region` is the country of phone numbers without a country code."""
        self.set_aside: list[RejectedCell] = []
        self.refusals: dict[str, int] = {}
        self.suppressions: list[Suppression] = []
        self._plan = plan
        self._is_typed = is_typed
        self._region = region
        self._names = {index: name for name, index in (*plan.fields.items(), *plan.custom.items())}
        self._custom: list[tuple[str, int, Callable[[str], Any] | None]] = [
            (name, index, self._reader(name, kinds)) for name, index in plan.custom.items()
        ]
        order = plan.types.get("last_interaction", "").partition(":")[2]
        self._date_order = order or None
        fields = plan.fields
        self._email = fields.get("email")
        self._name = fields.get("name")
        self._name_parts = [
            plan.custom[part] for part in ("first_name", "last_name") if part in plan.custom
        ]
        self._company, self._phone = fields.get("company"), fields.get("phone")
        self._job_title = fields.get("job_title")
        self._score = fields.get("ai_score")
        self._status = fields.get("status")
        self._tags = fields.get("tags")
        self._last_interaction = fields.get("last_interaction")
        self._custom_fields = fields.get("custom_fields")
        self.consent_columns = {index: self._names[index] for index in plan.consents}
        self._bad: list[RejectedCell] = []
        self._line = 0

    def _reader(self, name: str, kinds: Mapping[str, Kind]) -> Callable[[str], Any] | None:
        if name == "timezone":
            return time_zone
        chosen = self._plan.types.get(name)
        return chosen_reader(chosen) if chosen else detected_reader(kinds.get(name, "text"))

    def read(self, line: int, row: int, cells: Sequence[Any]) -> StagedContact | str:
        """Parse a row, whose number `row` counts from 1. Returns the reason if it is rejected."""
        self._bad, self._line = [], line
        try:
            contact = self._read(line, row, cells)
        except Rejected as rejected:
            self._keep_refusal_of_number(cells)
            return str(rejected)
        self.set_aside += self._bad
        return contact

    def name_owner(self, address: str, first: int) -> None:
        """Note whose cells those from position `first` of `set_aside` are."""
        self.set_aside[first:] = [cell._replace(address=address) for cell in self.set_aside[first:]]

    def keep_refusals(self, cells: Sequence[str], width: int) -> None:
        """Suppress the address of a row with another number of cells than the header, if it refuses
        messages.

        Which cell is missing or was split is unknown. So cells are read as if counted from the left
        and from the right, and a no in either place counts.
        """
        left = [*cells, *[""] * (width - len(cells))][:width]
        right = [*[""] * (width - len(cells)), *cells][-width:]
        said: dict[Suppression, None] = {}
        for address in self._addresses_of_ragged(cells, left, right):
            for index, column in self._plan.consents.items():
                for text in (left[index], right[index]):
                    reason = _sure_refusal(column, text.strip())
                    if reason is not None:
                        channel = column.channel if reason == "unsubscribed" else "email"
                        said[Suppression(address, reason, channel, None)] = None
        self.suppressions += said

    def _addresses_of_ragged(
        self, cells: Sequence[str], left: Sequence[str], right: Sequence[str]
    ) -> list[str]:
        if self._email is None or not self._plan.consents:
            return []
        likely = _parsed_addresses((left[self._email], right[self._email]))
        return likely or _parsed_addresses(cells)

    def _keep_refusal_of_number(self, cells: Sequence[Any]) -> None:
        """Suppress the phone number of a row without a usable address that refuses SMS or all."""
        if self._phone is None or not self._plan.consents:
            return
        try:
            texts = self._texts(cells)
        except Rejected:
            return
        number = parse_phone(_at(texts, self._phone) or "", self._region)
        if isinstance(number, Unusable):
            return
        is_unsubscribed, _, refuses_sms = self._refused(cells, texts)
        if is_unsubscribed or refuses_sms:
            channel = None if is_unsubscribed else "sms"
            self.suppressions.append(Suppression(number, "unsubscribed", channel, None))

    def _read(self, line: int, row: int, cells: Sequence[Any]) -> StagedContact:
        texts = self._texts(cells)
        email = self._address(row, texts)
        name = _at(texts, self._name)
        if name is None and self._name_parts:
            name = parts_of(texts, self._name_parts)
        phone = self._cell(self._number, texts, self._phone)
        # A refusal holds for a number that cannot be read, too.
        refused_phone = phone or _at(texts, self._phone)
        is_unsubscribed, email_refusal, refuses_sms = self._refused(cells, texts)
        return StagedContact(
            line,
            email,
            name,
            _at(texts, self._company),
            phone,
            _at(texts, self._job_title),
            self._cell(score, texts, self._score),
            self._cell(status, texts, self._status),
            self._tag_list(cells, texts),
            self._fields(cells, texts),
            self._cell(lambda text: time(text, self._date_order), texts, self._last_interaction),
            is_unsubscribed,
            email_refusal,
            ([refused_phone] if refused_phone else []) if refuses_sms else None,
        )

    def _texts(self, cells: Sequence[Any]) -> list[str | None]:
        """Return the cells as texts; None for those that are empty or cannot be stored."""
        texts: list[str | None]
        if self._is_typed:
            texts = []
            for index, cell in enumerate(cells):
                try:
                    if isinstance(cell, UnreadableCell):
                        raise CellInvalid(cell.reason)
                    texts.append(as_text(cell))
                except CellInvalid as invalid:
                    self._unusable(index, invalid, cell)
                    texts.append(None)
        else:
            texts = [cell.strip() or None for cell in cells]
        joined = "".join(text for text in texts if text)
        if not joined.isascii() or "\0" in joined:
            for index, text in enumerate(texts):
                try:
                    storable(text or "")
                except CellInvalid as invalid:
                    self._unusable(index, invalid, text)
                    texts[index] = None
        return texts

    def _unusable(self, index: int, invalid: CellInvalid, cell: Any) -> None:
        if index == self._email:
            raise Rejected(str(invalid))
        if index in self._names:
            self._bad.append(self._rejected(index, str(invalid), cell))

    def _rejected(self, index: int, reason: str, cell: Any) -> RejectedCell:
        return RejectedCell(self._line, self._names.get(index, str(index + 1)), reason, shown(cell))

    def _cell(
        self, read: Callable[[str], Any], texts: Sequence[str | None], index: int | None
    ) -> Any:
        text = _at(texts, index)
        if text is None or index is None:
            return None
        try:
            return read(text)
        except CellInvalid as invalid:
            self._bad.append(self._rejected(index, str(invalid), text))
            return None

    def _address(self, row: int, texts: Sequence[str | None]) -> str:
        address = _at(texts, self._email)
        if address is None and self._plan.template is not None:
            address = self._plan.template.address(row, texts)
        if address is None:
            raise Rejected("no_email")
        email = parse_email(address)
        if isinstance(email, Unusable):
            raise Rejected(email.reason)
        return email

    def _number(self, text: str) -> str:
        number = parse_phone(text, self._region)
        if isinstance(number, Unusable):
            raise CellInvalid(number.reason)
        return number

    def _tag_list(self, cells: Sequence[Any], texts: Sequence[str | None]) -> list[str] | None:
        if self._tags is None:
            return None
        cell = cells[self._tags]
        try:
            return tag_list(cell, texts[self._tags])
        except CellInvalid as invalid:
            self._bad.append(self._rejected(self._tags, str(invalid), cell))
            return None

    # --- who must not get messages ----------------------------------------------------------------

    def _refused(
        self, cells: Sequence[Any], texts: Sequence[str | None]
    ) -> tuple[bool, str | None, bool]:
        """Return whether the contact refuses all messages, the reason to suppress the address for
        email, and whether it refuses SMS.
        """
        all_channels, sms = False, False
        email: set[str] = set()
        for index, column in self._plan.consents.items():
            reason = self._refusal(index, column, cells[index], texts[index])
            if reason is None:
                continue
            name = self._names[index]
            self.refusals[name] = self.refusals.get(name, 0) + 1
            if column.channel == "sms":
                sms = True
            elif column.channel == "email" or reason != "unsubscribed":
                email.add(reason)
            else:
                all_channels = True
        strongest = next((reason for reason in _STRONGEST_FIRST if reason in email), None)
        return all_channels, strongest, sms

    def _refusal(
        self, index: int, column: ConsentColumn, cell: Any, text: str | None
    ) -> str | None:
        """Return the reason if a cell says that the contact must not get messages."""
        if text is None:
            is_something = cell is not None and cell != "" and not _is_blank(cell)
            if column.reading == "status" or not is_something:
                return None
            said = "unreadable"
        elif column.reading == "status":
            return status_reason(text)
        else:
            said = _read(column, text)
        if said == "unreadable":
            if not any(bad.column_name == self._names[index] for bad in self._bad):
                self._bad.append(self._rejected(index, COUNTED_AS_REFUSAL, cell))
            return column.reason
        return _sure_refusal(column, text or "")

    # --- custom fields ----------------------------------------------------------------------------

    def _fields(self, cells: Sequence[Any], texts: Sequence[str | None]) -> str:
        """Return the custom fields as JSON."""
        fields: dict[str, Any] = {}
        if self._custom_fields is not None:
            index = self._custom_fields
            try:
                fields |= json_object(cells[index], texts[index])
            except CellInvalid as invalid:
                self._bad.append(self._rejected(index, str(invalid), cells[index]))
        for name, index, read_as in self._custom:
            try:
                if self._is_typed and read_as is None:
                    value = None if isinstance(cells[index], UnreadableCell) else cells[index]
                    value = as_value(value)
                else:
                    text = texts[index]
                    value = text if text is None or read_as is None else read_as(text)
            except CellInvalid as invalid:
                if not any(bad.column_name == name for bad in self._bad):
                    self._bad.append(self._rejected(index, str(invalid), cells[index]))
                continue
            except ValueError:
                reason = f"not_{self._plan.types.get(name, 'readable').partition(':')[0]}"
                self._bad.append(self._rejected(index, reason, cells[index]))
                continue
            if value is not None:
                fields[name] = value
        return self._json(fields)

    def _json(self, fields: dict[str, Any]) -> str:
        try:
            return json_text(fields)
        except CellInvalid:
            kept: dict[str, Any] = {}
            for name, value in fields.items():
                try:
                    checked_json(value)
                    json_text({name: value})
                except CellInvalid as invalid:
                    cell = RejectedCell(self._line, name, str(invalid), shown(value))
                    self._bad.append(cell)
                else:
                    kept[name] = value
            return json_text(kept)


def _read(column: ConsentColumn, text: str) -> Said:
    return read_refusal(text) if column.reading == "refusal" else read_consent(text)


def _sure_refusal(column: ConsentColumn, text: str) -> str | None:
    """Return the reason if a text says that the contact must not get messages."""
    if column.reading == "status":
        return status_reason(text)
    if _read(column, text) != "no":
        return None
    # A bounce is named in a column for refusals too.
    return status_reason(text) or column.reason


def _parsed_addresses(texts: Sequence[str]) -> list[str]:
    parsed = (parse_email(text.strip()) for text in texts if "@" in text and is_storable(text))
    return list(dict.fromkeys(email for email in parsed if not isinstance(email, Unusable)))


def _is_blank(cell: Any) -> bool:
    return (isinstance(cell, str) and not cell.strip()) or (
        isinstance(cell, list | dict) and not cell
    )


def _at(texts: Sequence[str | None], index: int | None) -> str | None:
    return None if index is None else texts[index]
