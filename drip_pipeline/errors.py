"""The one tree of errors. Every error a user may see is a `DripError`: one sentence that names the
thing at fault, and a hint that says what to do about it. Foreign errors are translated into this
tree at one border (`db/connection.py` for the database). Here belong classes and their wording;
neither logic nor recovery.

All of them survive pickling, since Dagster carries errors between processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class DripError(Exception):
    """Something went wrong that the user can be told in one sentence. `hint` says what to do; it
    may be empty.
    """

    default_hint = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return self.message

    def items(self) -> tuple[str, ...]:
        """Single points below the sentence, for errors that report several faults at once."""
        return ()

    def details(self) -> dict[str, Any]:
        """What the machine-readable output adds to the sentence and the hint."""
        return {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take other arguments than the message, so the default (`cls(*args)`) would fail
        # on load.
        return (_revive, (type(self), self.args), dict(self.__dict__))


def _revive(cls: type[DripError], args: tuple[Any, ...]) -> DripError:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


class SettingsError(DripError):
    """A setting from the environment is missing or makes no sense. `name` is the variable."""

    default_hint = "`drip doctor` lists every setting with its default and what it does."

    def __init__(self, name: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"{name} {problem}", hint=hint)
        self.name = name


# --- the database ---------------------------------------------------------------------------------


class DatabaseError(DripError):
    """The database answered with an error that has no class of its own. `sqlstate` is PostgreSQL's
    five-letter code.
    """

    def __init__(
        self, message: str, *, sqlstate: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate


class DatabaseUnavailable(DatabaseError):
    """No connection to the database, or it broke."""

    default_hint = (
        "`drip db start` starts the embedded server; with DRIP_DATABASE_URL set, check that URL "
        "and that server."
    )


class SchemaMismatch(DatabaseError):
    """The database lacks a table, column or function that this version of the engine uses."""

    default_hint = "Run `drip db migrate`."


class ConstraintViolated(DatabaseError):
    """A row breaks a rule of the schema. `constraint` and `table` name it; both may be None."""

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
    """Another transaction was in the way (deadlock, serialization failure, lock not available);
    repeating may succeed.
    """

    default_hint = "Nothing was changed. Repeat the command."


class StatementCancelled(DatabaseError):
    """A statement ran into a time limit or was canceled; its transaction was rolled back."""


class PermissionMissing(DatabaseError):
    """The database role of the engine may not do this."""

    default_hint = (
        "Grant the role in DRIP_DATABASE_URL the right, or connect as the owner of the tables."
    )


class EmbeddedServerError(DripError):
    """The embedded PostgreSQL cannot be installed, started or stopped."""


class QueryNotFound(DripError):
    """A named query that sql/queries/ does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no query named {name!r} in sql/queries/")
        self.name = name


class QueryFileInvalid(DripError):
    """A file of sql/queries/ breaks the form `-- name: x`, purpose, SQL; or two queries share a
    name.
    """


class MigrationError(DripError):
    """The schema cannot be brought up to date. `version` is the migration's number, None when none
    is to blame.
    """

    def __init__(
        self, message: str, *, version: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.version = version


class MigrationEdited(MigrationError):
    """An applied migration file no longer has the content that was applied."""

    default_hint = "Restore the file as it was applied, and put the change into a new migration."


class MigrationFailed(MigrationError):
    """A migration's SQL failed; its transaction was rolled back, earlier ones stay applied."""


class MigrationUnknown(MigrationError):
    """The database has a migration that this checkout does not."""

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
    """What `DefinitionInvalid` needs of a problem; `domain` owns the class."""

    @property
    def node_id(self) -> str | None: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...


class DefinitionInvalid(DripError):
    """A campaign definition has problems; `problems` holds all of them, each with its node where
    there is one.
    """

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
        """One line per problem, its node first."""
        return tuple(f"{p.node_id}: {p.message}" if p.node_id else p.message for p in self.problems)

    def details(self) -> dict[str, Any]:
        """The problems, one object each."""
        return {
            "problems": [
                {"node_id": p.node_id, "code": p.code, "message": p.message} for p in self.problems
            ]
        }


class EnrollmentsStranded(DripError):
    """States inside an earlier version have no target node in the new one. `stranded` lists them by
    node: version, node_id, label, states, reason.
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
        """One line per node."""
        line = "{node_id} ({label}, version {version}): {states:,} contacts; {reason}"
        return tuple(line.format(**group) for group in self.stranded)

    def details(self) -> dict[str, Any]:
        """Return the stranded states, an object per node."""
        return {"stranded": list(self.stranded)}


class FilesInvalid(DripError):
    """Campaign files have problems; `problems` holds all of them by file."""

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
        self.problems = {file: tuple(found) for file, found in problems.items()}

    def __str__(self) -> str:
        return f"{self.message}: {'; '.join(self.items())}"

    def items(self) -> tuple[str, ...]:
        """One line per problem, its file first, then its node."""
        return tuple(
            f"{file}: {p.node_id}: {p.message}" if p.node_id else f"{file}: {p.message}"
            for file, found in self.problems.items()
            for p in found
        )

    def details(self) -> dict[str, Any]:
        """The problems, one object each."""
        return {
            "problems": [
                {"file": file, "node_id": p.node_id, "code": p.code, "message": p.message}
                for file, found in self.problems.items()
                for p in found
            ]
        }


class TemplateError(DripError):
    """A template cannot be parsed or rendered."""


class NotFound(DripError):
    """Something named by the user does not exist. `kind` and `name` say what."""

    def __init__(self, kind: str, name: str, *, hint: str | None = None) -> None:
        super().__init__(f"no {kind} {name!r}", hint=hint)
        self.kind = kind
        self.name = name


class CampaignNotFound(NotFound):
    """No campaign has this id or exact name."""

    default_hint = "`drip campaign list` shows what there is."

    def __init__(self, name: str, *, hint: str | None = None) -> None:
        super().__init__("campaign", name, hint=hint)


class CampaignAmbiguous(DripError):
    """Several campaigns carry this name."""

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
    """Somebody published while a file that was made from an earlier version was being edited.
    `based_on` is that version (0: there was none), `published` the one that is published now.
    """

    def __init__(
        self, name: str, based_on: int, published: int | None, *, hint: str | None = None
    ) -> None:
        made_from = f"version {based_on}" if based_on else "nothing that was published"
        now = f"version {published}" if published else "not published"
        default = (
            f"Nothing was changed. `drip campaign diff {name!r} {published} FILE` shows what is"
            f" different; take over what is missing and publish with --based-on {published}."
        )
        super().__init__(
            f"campaign {name!r} is {now} by now, and the file was made from {made_from}",
            hint=(default if published else "Nothing was changed.") if hint is None else hint,
        )
        self.name = name
        self.based_on = based_on
        self.published = published


class UnpublishedEdit(DripError):
    """Another application has edited a campaign in its tables, and publishing a file would write
    over that. `changes` says in one line what was edited since version `base_version`.
    """

    def __init__(
        self, name: str, base_version: int, changes: str, *, hint: str | None = None
    ) -> None:
        default = (
            f"Nothing was changed. `drip campaign drafts {name!r}` shows the edit, with --publish "
            "it is published; --overwrite-canvas writes over it and keeps it in the history."
        )
        super().__init__(
            f"campaign {name!r} was edited since version {base_version} was published, and that is "
            f"not published ({changes})",
            hint=default if hint is None else hint,
        )
        self.name = name
        self.base_version = base_version
        self.changes = changes


class NotAllowed(DripError):
    """The rules of the engine forbid this in the present state (publish an archived campaign,
    declare twice …).
    """


# --- data and deliveries --------------------------------------------------------------------------


class ImportFileError(DripError):
    """A file of contacts, events or definitions cannot be read. `path` and, where known, `line` say
    where.
    """

    def __init__(
        self, path: str, problem: str, *, line: int | None = None, hint: str | None = None
    ) -> None:
        where = f"{path}, line {line}" if line is not None else path
        super().__init__(f"{where}: {problem}", hint=hint)
        self.path = path
        self.line = line
        self.problem = problem


class DeliveryError(DripError):
    """A message cannot be handed to a channel for a reason that concerns the set-up, not one
    recipient.
    """


class ChannelUnavailable(DeliveryError):
    """A channel is unknown, switched off or not configured. `channel` names it."""

    default_hint = "`drip doctor` shows each channel and what it lacks."

    def __init__(self, channel: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"channel {channel!r} {problem}", hint=hint)
        self.channel = channel


class AddressForbidden(DeliveryError):
    """A URL leads to an address that the engine may not call (internal network, forbidden port or
    scheme).
    """


class StatisticsInputError(DripError):
    """Counts given to the statistics contradict themselves (more opened than sent, negative, …)."""
