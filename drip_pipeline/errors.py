"""The exception hierarchy. Every error for users is a `DripError`: a sentence that names the object
at fault, and a hint that names the next step. Errors of libraries are translated at one place
(`db/connection.py` for the database). Only classes and their messages belong here.

All errors can be pickled, because Dagster passes errors between processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class DripError(Exception):
    """An error for users. `message` is one sentence; `hint` is the next step, or empty."""

    default_hint = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return self.message

    def items(self) -> tuple[str, ...]:
        """Return the single faults, for errors that report several at once."""
        return ()

    def details(self) -> dict[str, Any]:
        """Return what the machine-readable output adds to the message and the hint."""
        return {}

    def __reduce__(self) -> tuple[object, ...]:
        # Subclasses have other arguments than the message, so that the default (`cls(*args)`) would
        # fail when it is loaded.
        return (_revive, (type(self), self.args), dict(self.__dict__))


def _revive(cls: type[DripError], args: tuple[object, ...]) -> DripError:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


class SettingsError(DripError):
    """An environment variable is missing or invalid. `name` is the variable."""

    default_hint = "`drip doctor` lists every setting with its default and its effect."

    def __init__(self, name: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"{name} {problem}", hint=hint)
        self.name = name


# --- the database ---------------------------------------------------------------------------------


class DatabaseError(DripError):
    """A database error without a class of its own. `sqlstate` is PostgreSQL's five-letter code."""

    def __init__(
        self, message: str, *, sqlstate: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached, or the connection was lost."""

    default_hint = (
        "`drip db start` starts the embedded server; with DRIP_DATABASE_URL set, check that URL "
        "and that server."
    )


class SchemaMismatch(DatabaseError):
    """The database lacks a table, column or function that this version of the engine uses."""

    default_hint = "Run `drip db migrate`."


class ConstraintViolated(DatabaseError):
    """A row violates a constraint. `constraint` and `table` are its names; both may be None."""

    def __init__(
        self,
        message: str,
        *,
        constraint: str | None = None,
        table: str | None = None,
        sqlstate: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, hint=hint)
        self.constraint = constraint
        self.table = table


class DataRejected(DatabaseError):
    """PostgreSQL cannot store or convert a value (out of range, NUL byte, malformed …)."""


class Conflict(DatabaseError):
    """A conflict with another transaction (deadlock, serialization failure, lock not available);
    a retry may succeed.
    """

    default_hint = "Nothing was changed. Repeat the command."


class StatementCancelled(DatabaseError):
    """A statement or transaction exceeded a time limit or was canceled, and was rolled back."""

    default_hint = (
        "If nobody canceled it, a time limit of the database role did: `drip doctor` names those "
        "that are too short, with the statement that changes them."
    )


class PermissionMissing(DatabaseError):
    """The engine's database role lacks a privilege."""

    default_hint = (
        "Grant the privilege to the role in DRIP_DATABASE_URL, or connect as the tables' owner."
    )


class EmbeddedServerError(DripError):
    """The embedded PostgreSQL cannot be installed, started or stopped."""


class QueryNotFound(DripError):
    """sql/queries/ has no query of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no query named {name!r} in sql/queries/")
        self.name = name


class QueryFileInvalid(DripError):
    """A file of sql/queries/ violates the format (`-- name: x`, purpose, SQL), or two queries have
    the same name.
    """


class MigrationError(DripError):
    """The schema cannot be migrated. `version` is the failed migration's number, or None."""

    def __init__(
        self, message: str, *, version: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.version = version


class DatabaseUnsuitable(MigrationError):
    """The engine cannot run in this database: version, encoding, schema, foreign tables …"""


class MigrationEdited(MigrationError):
    """A migration file was changed after it had been applied."""

    default_hint = "Restore the applied file, and put the change into a new migration."


class MigrationFailed(MigrationError):
    """A migration's SQL failed and was rolled back; earlier migrations stay applied."""


class MigrationUnknown(MigrationError):
    """The database has a migration that this checkout lacks."""

    default_hint = "The database is newer than this code. Update the checkout."


class SchemaBeforeBaseline(MigrationError):
    """The database was created by migrations older than the baseline, which this version lacks."""

    default_hint = (
        "Nothing was released with that schema, so there is no upgrade path. Export what you need "
        "with the version that created it (`drip campaign export`, `drip metrics export`), point "
        "DRIP_DATABASE_URL at a new database (or DRIP_HOME at a new folder), and run "
        "`drip db migrate` there."
    )


# --- campaigns ------------------------------------------------------------------------------------


class ProblemLike(Protocol):
    """The attributes of a problem that `DefinitionInvalid` reads; `domain` defines the class."""

    @property
    def node_id(self) -> str | None: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...


class DefinitionInvalid(DripError):
    """A campaign definition has errors. `problems` lists all of them, with their nodes."""

    default_hint = "Correct the file and publish again; nothing was changed."

    def __init__(
        self, problems: Sequence[ProblemLike], *, name: str = "", hint: str | None = None
    ) -> None:
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        which = f"campaign {name!r}" if name else "the campaign definition"
        super().__init__(f"{which} has {count}", hint=hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return f"{self.message}: {'; '.join(self.items())}"

    def items(self) -> tuple[str, ...]:
        """Return one line per problem, with its node first."""
        return tuple(f"{p.node_id}: {p.message}" if p.node_id else p.message for p in self.problems)

    def details(self) -> dict[str, Any]:
        """Return the problems, one object each."""
        return {
            "problems": [
                {"node_id": p.node_id, "code": p.code, "message": p.message} for p in self.problems
            ]
        }


class EnrollmentsStranded(DripError):
    """Enrollments in an earlier version have no target node in the new version.

    `stranded` lists them by node: version, node_id, label, states (a number), reason.
    """

    default_hint = (
        "Map each node with `--map OLD=NEW`, or choose the policy pin or exit; nothing was changed."
    )

    def __init__(
        self, stranded: Sequence[dict[str, Any]], to_version: int, *, hint: str | None = None
    ) -> None:
        states = sum(group["states"] for group in stranded)
        super().__init__(
            f"{states:,} contacts have no target node in version {to_version}", hint=hint
        )
        self.stranded = tuple(stranded)

    def __str__(self) -> str:
        return f"{self.message}: {'; '.join(self.items())}"

    def items(self) -> tuple[str, ...]:
        """Return one line per node."""
        line = "{node_id} ({label}, version {version}): {states:,} contacts; {reason}"
        return tuple(line.format(**group) for group in self.stranded)

    def details(self) -> dict[str, Any]:
        """Return the stranded states, an object per node."""
        return {"stranded": list(self.stranded)}


class FilesInvalid(DripError):
    """Campaign files have errors. `problems` lists all of them by file."""

    default_hint = "Correct the files and repeat the command; nothing was changed."

    def __init__(
        self,
        problems: Mapping[str, Sequence[ProblemLike]],
        files: int,
        *,
        hint: str | None = None,
    ) -> None:
        count = sum(map(len, problems.values()))
        super().__init__(
            f"{len(problems)} of {files} campaign file{'' if files == 1 else 's'} cannot be"
            f" published, {count} problem{'' if count == 1 else 's'} in all",
            hint=hint,
        )
        self.problems = {file: tuple(listed) for file, listed in problems.items()}

    def __str__(self) -> str:
        return f"{self.message}: {'; '.join(self.items())}"

    def items(self) -> tuple[str, ...]:
        """Return one line per problem, with its file and node first."""
        return tuple(
            f"{file}: {p.node_id}: {p.message}" if p.node_id else f"{file}: {p.message}"
            for file, listed in self.problems.items()
            for p in listed
        )

    def details(self) -> dict[str, Any]:
        """Return the problems, one object each."""
        return {
            "problems": [
                {"file": file, "node_id": p.node_id, "code": p.code, "message": p.message}
                for file, listed in self.problems.items()
                for p in listed
            ]
        }


class TemplateError(DripError):
    """A template cannot be parsed or rendered."""


class TemplateBudgetExceeded(TemplateError):
    """Rendering a message takes more time or memory than one message may take."""


class EmptyMessage(DripError):
    """A message has no content for its recipient; `reason` is the reason for skipping it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the message is not sent: {reason}")
        self.reason = reason


class NotFound(DripError):
    """An object that the user named does not exist; `kind` and `name` identify it."""

    def __init__(self, kind: str, name: str, *, hint: str | None = None) -> None:
        super().__init__(f"no {kind} {name!r}", hint=hint)
        self.kind = kind
        self.name = name


class CampaignNotFound(NotFound):
    """No campaign has this id or exact name."""

    default_hint = "`drip campaign list` lists the campaigns."

    def __init__(self, name: str, *, hint: str | None = None) -> None:
        super().__init__("campaign", name, hint=hint)


class CampaignAmbiguous(DripError):
    """Several campaigns have this name."""

    default_hint = "Use the campaign's id; `drip campaign list` shows it."

    def __init__(self, name: str, count: int, *, hint: str | None = None) -> None:
        super().__init__(f"{count} campaigns are named {name!r}", hint=hint)
        self.name = name
        self.count = count


class VersionNotFound(NotFound):
    """A campaign has no such version."""

    def __init__(self, campaign: str, version: int, *, hint: str | None = None) -> None:
        super().__init__("version", f"{version} of campaign {campaign}", hint=hint)
        self.campaign = campaign
        self.version = version


class VersionOutdated(DripError):
    """Another version was published while a file based on an earlier one was being edited.

    `based_on` is the earlier version (0: none), `published` the version that is published now.
    """

    def __init__(
        self, name: str, based_on: int, published: int | None, *, hint: str | None = None
    ) -> None:
        base = f"version {based_on}" if based_on else "no published version"
        current = f"at version {published}" if published else "not published"
        default = (
            f"Nothing was changed. `drip campaign diff {name!r} {published} FILE` shows the"
            f" differences; merge them into the file and publish with --based-on {published}."
        )
        super().__init__(
            f"campaign {name!r} is now {current}, but the file is based on {base}",
            hint=(default if published else "Nothing was changed.") if hint is None else hint,
        )
        self.name = name
        self.based_on = based_on
        self.published = published


class UnpublishedEdit(DripError):
    """Publishing a file would overwrite an edit that another application made in the tables.

    `changes` summarizes in one line what was edited since version `base_version`.
    """

    def __init__(
        self, name: str, base_version: int, changes: str, *, hint: str | None = None
    ) -> None:
        default = (
            f"Nothing was changed. `drip campaign drafts {name!r}` shows the edit and, with "
            "--publish, publishes it; --overwrite-canvas overwrites it and keeps it in the history."
        )
        super().__init__(
            f"campaign {name!r} has unpublished changes since version {base_version} ({changes})",
            hint=default if hint is None else hint,
        )
        self.name = name
        self.base_version = base_version
        self.changes = changes


class NotAllowed(DripError):
    """The current state forbids the operation (publish an archived campaign, declare twice …)."""


# --- data and deliveries --------------------------------------------------------------------------


class ImportFileError(DripError):
    """A file of contacts, events or definitions cannot be read, at `path` and, if known, `line`."""

    def __init__(
        self, path: str, problem: str, *, line: int | None = None, hint: str | None = None
    ) -> None:
        where = f"{path}, line {line}" if line is not None else path
        super().__init__(f"{where}: {problem}", hint=hint)
        self.path = path
        self.line = line
        self.problem = problem


class DeliveryError(DripError):
    """A message cannot be sent because of the channel's configuration, not of its recipient."""


class ChannelUnavailable(DeliveryError):
    """A channel is unknown, disabled or not configured. `channel` is its name."""

    default_hint = "`drip doctor` checks each channel and its configuration."

    def __init__(self, channel: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"channel {channel!r} {problem}", hint=hint)
        self.channel = channel


class AddressForbidden(DeliveryError):
    """The engine may not call this URL (internal network, forbidden port or scheme)."""


class StatisticsInputError(DripError):
    """Counts for the statistics are contradictory (more opened than sent, negative …)."""
