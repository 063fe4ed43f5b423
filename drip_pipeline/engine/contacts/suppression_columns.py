"""Read the columns of a suppression list by their meaning, in the exports of other tools.

SendGrid exports bounces, blocks and unsubscribes; Mailchimp unsubscribed and cleaned contacts;
Postmark, Mailgun, Brevo and SES their suppressions. Header names and texts are compared without
case, spaces and punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from drip_pipeline.engine.contacts.file_formats import ContactFile
from drip_pipeline.errors import ImportFileError

REASONS: Final = ("unsubscribed", "bounced", "complained", "manual")
CHANNELS: Final = ("email", "sms")
FIELDS: Final = ("address", "email", "phone", "reason", "channel", "campaign", "note")
"""What a column can be mapped to; `email` and `phone` are addresses, too."""

_FIELD_OF: Final[Mapping[str, str]] = {
    **dict.fromkeys(("address", "contact", "recipient", "destination"), "address"),
    **dict.fromkeys(
        (
            "email", "emailaddress", "emailaddresses", "emails", "mail", "mailaddress",
            "recipientemail", "contactemail", "subscriberemail", "useremail", "adresseemail",
            "correo", "emailid",
        ),
        "email",
    ),
    **dict.fromkeys(
        ("phone", "phonenumber", "mobile", "mobilephone", "sms", "smsphone", "msisdn", "telephone"),
        "phone",
    ),
    **dict.fromkeys(
        (
            "reason", "suppressionreason", "type", "bouncetype", "status", "state", "event",
            "unsubreason", "code", "error", "errormessage", "message", "description", "category",
            "suppressiontype", "blockreason",
        ),
        "reason",
    ),
    **dict.fromkeys(("channel", "medium"), "channel"),
    **dict.fromkeys(("campaign", "campaignid", "campaignname"), "campaign"),
    **dict.fromkeys(("note", "notes", "comment"), "note"),
}  # fmt: skip
# Columns that exist only in lists of one kind: their presence is the reason of every row.
_REASON_OF_COLUMN: Final[Mapping[str, str]] = {
    **dict.fromkeys(("unsubtime", "unsubcampaigntitle", "unsubreason", "unsubscribedat",
                     "unsubscribetime", "optouttime", "unsubscribeddate"), "unsubscribed"),
    **dict.fromkeys(("cleantime", "cleancampaigntitle", "cleanedat", "bouncedat", "bouncetype",
                     "bouncedate"), "bounced"),
    **dict.fromkeys(("complainttime", "complainedat", "complaintfeedbacktype"), "complained"),
}  # fmt: skip
# Words of the name of a file, for lists without a column that tells their kind.
_REASON_OF_FILE: Final = (
    (re.compile(r"unsub|opt.?out|abmeld|desinscri"), "unsubscribed"),
    (re.compile(r"complain|spam"), "complained"),
    (re.compile(r"bounce|cleaned|invalid"), "bounced"),
)
_REASON_OF_TEXT: Final = (
    # The whole text: a server that calls a message spam says nothing about its recipient.
    (
        re.compile(r"(?:spam|abuse|junk|spam_?\s?(?:complaint|report|notification)s?|compl\w+)"),
        "complained",
    ),
    (
        re.compile(
            r".*(?:unsub|opt(?:ed)?[\s_-]?out|no longer|abgemeldet|désinscri|desinscri).*|stop"
        ),
        "unsubscribed",
    ),
    (
        re.compile(
            # 5.7.x and 554 are refusals by policy: they say nothing about the address.
            r"5\.(?!7\.)\d{1,3}\.\d{1,3}\b.*|55[013]\b(?![ -]*5\.7\.).*"
            r"|(?!soft).*\bhard[\s_-]?bounce.*|bounced?|cleaned|invalid"
            r"|.*(?:does not exist|no such user|user unknown|unknown user|invalid (?:email|address)"
            r"|mailbox unavailable).*"
        ),
        "bounced",
    ),
    (re.compile(r"manual\w*|admin\w*|block(?:ed|listed)?|blacklisted"), "manual"),
)
_NOT_SUPPRESSED: Final = frozenset(
    {"subscribed", "active", "enabled", "opted in", "confirmed", "ok"}
)
# Columns with a yes or no for one channel each, as in Brevo's export of contacts.
_FLAG_CHANNEL: Final = {
    "emailblacklisted": "email",
    "emailblocklisted": "email",
    "smsblacklisted": "sms",
    "smsblocklisted": "sms",
}


def reason_of_text(text: str) -> str | None:
    """Return the reason that a text of another tool means, or None if it means none of them."""
    words = " ".join(text.lower().split()).strip("\"'")
    if words in REASONS:
        return words
    return next((reason for pattern, reason in _REASON_OF_TEXT if pattern.fullmatch(words)), None)


def is_not_suppressed(text: str) -> bool:
    """Return whether a status says that the address may be written to, as in a full export."""
    return text.strip().lower() in _NOT_SUPPRESSED


def plain(name: str) -> str:
    """Return a header name in lower case without spaces and punctuation."""
    return re.sub(r"[\W_]+", "", name.lower())


class SuppressionColumns:
    """The cell indices of a file by meaning."""

    def __init__(self, file: ContactFile, renames: Mapping[str, str]) -> None:
        """`renames` maps columns to FIELDS (to '': the column is skipped). Raises ImportFileError
        if no column has addresses, or a mapping names no column or no field.
        """
        self.fields: dict[str, list[int]] = {}
        self.flags: dict[int, str] = {}
        names = [plain(name) for name in file.columns]
        renamed = _renamed(file, renames, names)
        for index, name in enumerate(names):
            field = renamed.get(index, _FIELD_OF.get(name))
            if field:
                self.fields.setdefault(field, []).append(index)
            elif index not in renamed and name in _FLAG_CHANNEL:
                self.flags[index] = _FLAG_CHANNEL[name]
        if not any(self.addresses):
            raise ImportFileError(
                str(file.path),
                f"has no column with addresses (its columns: {', '.join(file.columns[:15])})",
                hint="Map it with --map COLUMN=email or COLUMN=phone.",
            )
        self.default_reason = next(
            (_REASON_OF_COLUMN[name] for name in names if name in _REASON_OF_COLUMN), None
        ) or _reason_of_file(file.path.name)

    @property
    def addresses(self) -> tuple[list[int], list[int]]:
        """The columns of email addresses (or of either kind), and those of phone numbers."""
        emails = self.fields.get("address", []) + self.fields.get("email", [])
        return emails, self.fields.get("phone", [])

    def flagged(self, cells: Sequence[str]) -> list[str] | None:
        """Return the channels that a row says no to, None without such columns. What is not a
        plain no counts as a yes.
        """
        if not self.flags:
            return None
        no = {"", "no", "n", "false", "0", "f"}
        return [channel for index, channel in self.flags.items() if cells[index].lower() not in no]


def _renamed(file: ContactFile, renames: Mapping[str, str], names: Sequence[str]) -> dict[int, str]:
    renamed: dict[int, str] = {}
    for column, field in renames.items():
        target = field.strip().lower()
        if target and target not in FIELDS:
            raise ImportFileError(
                str(file.path),
                f"{field!r} is not a field of a suppression list",
                hint=f"Fields: {', '.join(FIELDS)}.",
            )
        matches = [i for i, name in enumerate(file.columns) if name == column] or [
            i for i, name in enumerate(names) if name == plain(column)
        ]
        if not matches:
            raise ImportFileError(
                str(file.path),
                f"has no column {column!r} (its columns: {', '.join(file.columns[:15])})",
            )
        renamed[matches[0]] = target
    return renamed


def _reason_of_file(name: str) -> str | None:
    return next((r for pattern, r in _REASON_OF_FILE if pattern.search(name.lower())), None)
