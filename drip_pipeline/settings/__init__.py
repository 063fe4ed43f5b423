"""The only reader of the environment. `SETTINGS` documents every variable once: default, unit,
consequence; `Settings` is the frozen result that the rest of the engine is handed. Secrets are
wrapped so that no log or repr can show them. Neither connections nor files of channels belong here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from drip_pipeline.errors import SettingsError
from drip_pipeline.settings.kinds import (
    DEFAULT_RETENTION,
    Retention,
    Setting,
    cron,
    folder,
    kept_key,
    one_of,
    plain_text,
    public_url,
    retention,
    secret,
    secret_url,
    whole_number,
    words,
)
from drip_pipeline.settings.kinds import Secret as Secret
from drip_pipeline.settings.receiver import RECEIVER_SETTINGS

PREFIX = "DRIP_"
CHECKOUT = Path(__file__).resolve().parents[2]
DAILY = "0 6 * * *"
LOCAL_URL = "http://localhost:8080"

Delivery = Literal["record", "send"]
Executor = Literal["in_process", "multiprocess", "celery", "k8s"]
CanvasEdits = Literal["report", "publish"]


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "DRIP_DATABASE_URL",
        "database_url",
        "the embedded server under DRIP_HOME",
        "URL",
        "Where everything is stored. Set it (postgresql://user:password@host:port/name) to use a "
        "server of your own; the embedded one is then neither started nor needed.",
        secret_url("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"),
        is_secret=True,
    ),
    Setting(
        "DRIP_DAGSTER_DATABASE_URL",
        "dagster_database_url",
        "the database `dagster` on the server of DRIP_DATABASE_URL",
        "URL",
        "Where Dagster keeps its runs and events. It must not be the engine's own database.",
        secret_url("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"),
        is_secret=True,
    ),
    Setting(
        "DRIP_HOME",
        "home",
        ".drip in the checkout",
        "folder",
        "Data of the embedded server, Dagster's files, recorded messages and the landing folder. "
        "Deleting it deletes them.",
        folder,
    ),
    Setting(
        "DRIP_LANDING",
        "landing",
        "landing in DRIP_HOME",
        "folder",
        "Files of events that are put here (NDJSON, gzipped or not, or Parquet) are loaded, each "
        "once. A sub-folder names the provider whose event ids they have, as in ses/monday.ndjson. "
        "Give a file that is still being written a name that ends in .part.",
        folder,
    ),
    Setting(
        "DRIP_POSTGRES_BIN",
        "postgres_bin",
        "the packaged binaries, then a server found on this machine",
        "folder",
        "Takes initdb, pg_ctl and postgres of the embedded server from this folder.",
        folder,
    ),
    Setting(
        "DRIP_BATCH_SIZE",
        "batch_size",
        "10000",
        "people",
        "How many due people one transaction advances. Smaller costs speed, larger holds row "
        "locks longer.",
        whole_number(1, 100_000),
    ),
    Setting(
        "DRIP_SHARDS",
        "shards",
        "1",
        "runs",
        "How many runs of the minute job may be at work side by side, each with its own part of "
        "the people. More than one pays where there are cores to spare; Dagster's "
        "max_concurrent_runs has to allow them.",
        whole_number(1, 64),
    ),
    Setting(
        "DRIP_DELIVERY",
        "delivery",
        "record",
        "record or send",
        "`record`: every message is rendered and recorded, nothing leaves. `send`: real providers "
        "get them.",
        one_of("record", "send"),
    ),
    Setting(
        "DRIP_SMTP_URL",
        "smtp_url",
        "none: email cannot be sent",
        "URL",
        "The mail relay, smtp://user:password@host:port (STARTTLS where offered) or smtps://. "
        "Used when DRIP_DELIVERY=send.",
        secret_url("smtp", "smtps"),
        is_secret=True,
    ),
    Setting(
        "DRIP_MAIL_FROM",
        "mail_from",
        "Drip <drip@example.com>",
        "address",
        "Sender of every email that names none itself.",
        plain_text,
    ),
    Setting(
        "DRIP_PUBLIC_URL",
        "public_url",
        "http://localhost:8080",
        "URL",
        "Base of the links for tracking and unsubscribing, where `drip receive` is reached. "
        "Recipients must be able to reach it.",
        public_url,
    ),
    Setting(
        "DRIP_SECRET_KEY",
        "secret_key",
        "made once and kept in DRIP_HOME/secret_key",
        "text",
        "Signs the links in messages. Changing it breaks the links in messages already sent; "
        "several machines that share a database must share it.",
        secret,
        is_secret=True,
    ),
    Setting(
        "DRIP_WEBHOOK_SECRET",
        "webhook_secret",
        "none: webhooks are not signed",
        "text",
        "Signs the calls of webhook steps whose workspace has no webhook channel of its own "
        "(Standard Webhooks: whsec_ and base64). Receivers check it.",
        secret,
        is_secret=True,
    ),
    Setting(
        "DRIP_WEBHOOK_ALLOW",
        "webhook_allow",
        "none: internal addresses and unusual ports are not called",
        "hosts, separated by commas",
        "Internal hosts that campaigns may call all the same: names, addresses or networks, with "
        "a port or for any (hooks.internal:8080, 10.1.0.0/16). Whoever may publish campaigns can "
        "then reach them.",
        words,
    ),
    Setting(
        "DRIP_REPORT_CRON",
        "report_cron",
        "0 6 * * *",
        "cron expression, UTC",
        "When the reports of A/B tests are written to DRIP_HOME/reports (and mailed, with "
        "DRIP_REPORT_TO). Read when Dagster loads the code.",
        cron,
    ),
    Setting(
        "DRIP_REPORT_TO",
        "report_to",
        "none: reports are not mailed",
        "addresses, separated by commas",
        "Who gets the overview of A/B tests by email whenever reports are written by schedule. "
        "Needs DRIP_DELIVERY=send and DRIP_SMTP_URL.",
        words,
    ),
    Setting(
        "DRIP_ALERT_TO",
        "alert_to",
        "none: alerts are not mailed",
        "addresses, separated by commas",
        "Who is told by email of what needs a person: failed runs, a stuck backlog, messages in "
        "doubt, open breakers, skewed tests, decisions. Needs DRIP_DELIVERY=send and "
        "DRIP_SMTP_URL.",
        words,
    ),
    Setting(
        "DRIP_ALERT_WEBHOOK",
        "alert_webhook",
        "none: alerts are not posted",
        "URL",
        'Where the same is posted as {"text": …}, as Slack, Mattermost and their likes take it. '
        "Needs DRIP_DELIVERY=send.",
        secret_url("http", "https"),
        is_secret=True,
    ),
    Setting(
        "DRIP_ALERT_BACKLOG_MINUTES",
        "alert_backlog_minutes",
        "15",
        "minutes",
        "How long due people and messages may wait before the backlog counts as stuck.",
        whole_number(1, 10_080),
    ),
    Setting(
        "DRIP_METRICS_TOKEN",
        "metrics_token",
        "none: /metrics is not served",
        "text",
        "Whoever reads the figures for Prometheus from /metrics of `drip receive` must send it: "
        "Authorization: Bearer, and this.",
        secret,
        is_secret=True,
    ),
    *RECEIVER_SETTINGS,
    Setting(
        "DRIP_METRICS_FOLDER",
        "metrics_folder",
        "metrics in DRIP_HOME",
        "folder",
        "Where daily figures are kept as Parquet files, a folder a day (day=2026-03-02), for other "
        "tools to read. Several machines that share a database should share it.",
        folder,
    ),
    Setting(
        "DRIP_EXECUTOR",
        "executor",
        "in_process",
        "in_process, multiprocess, celery or k8s",
        "Where a run's steps are executed: in the run's own process (least overhead), in processes "
        "beside it (DRIP_WORKERS at a time), or on the workers of dagster-celery or dagster-k8s, "
        "which must be installed. Read when Dagster loads the code.",
        one_of("in_process", "multiprocess", "celery", "k8s"),
    ),
    Setting(
        "DRIP_WORKERS",
        "workers",
        "2",
        "processes",
        "How many steps of a run are executed at a time where DRIP_EXECUTOR is multiprocess. A "
        "process costs some four seconds of CPU to start.",
        whole_number(1, 64),
    ),
    Setting(
        "DRIP_CANVAS_EDITS",
        "canvas_edits",
        "report",
        "report or publish",
        "What happens to an edit that another application (a visual builder) makes in the tables "
        "of a published campaign. report: it is checked and told, and waits for `drip campaign "
        "drafts C --publish`. publish: a valid one that has stood still for a look is published; "
        "people inside earlier versions finish theirs.",
        one_of("report", "publish"),
    ),
    Setting(
        "DRIP_RETENTION",
        "retention",
        "log=0, deliveries=400, traces=90, runs=7, failed_runs=30",
        "days by kind of data; 0 is for ever",
        "How long data is kept (docs/retention.md): the event log in whole months, archived to "
        "Parquet before it is dropped; settled messages of the outbox and keys of events; ledger "
        "and rejected lines; Dagster's runs. What is not named keeps its default.",
        retention,
    ),
    Setting(
        "DRIP_LOG_LEVEL",
        "log_level",
        "info",
        "debug, info, warning or error",
        "How much is logged to stderr.",
        one_of("debug", "info", "warning", "error"),
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, checked. Build it with `from_env`, or directly in tests."""

    home: Path = CHECKOUT / ".drip"
    landing: Path | None = None
    database_url: Secret | None = None
    dagster_database_url: Secret | None = None
    postgres_bin: Path | None = None
    batch_size: int = 10_000
    shards: int = 1
    delivery: Delivery = "record"
    canvas_edits: CanvasEdits = "report"
    smtp_url: Secret | None = None
    mail_from: str = "Drip <drip@example.com>"
    public_url: str = LOCAL_URL
    secret_key: Secret | None = None
    webhook_secret: Secret | None = None
    webhook_allow: tuple[str, ...] = ()
    report_cron: str = DAILY
    report_to: tuple[str, ...] = ()
    alert_to: tuple[str, ...] = ()
    alert_webhook: Secret | None = None
    alert_backlog_minutes: int = 15
    metrics_token: Secret | None = None
    tracking: tuple[str, ...] = ("opens", "clicks")
    sns_topics: tuple[str, ...] = ()
    sendgrid_keys: tuple[str, ...] = ()
    postmark_logins: tuple[Secret, ...] = ()
    mailgun_keys: tuple[Secret, ...] = ()
    twilio_tokens: tuple[Secret, ...] = ()
    events_secrets: tuple[Secret, ...] = ()
    trigger_secrets: tuple[Secret, ...] = ()
    trigger_tokens: tuple[Secret, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    metrics_folder: Path | None = None
    executor: Executor = "in_process"
    workers: int = 2
    retention: Retention = DEFAULT_RETENTION
    log_level: str = "info"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read `environ` (default: the process environment). An empty variable counts as unset.

        Raises SettingsError naming the variable at fault.
        """
        given = os.environ if environ is None else environ
        fields: dict[str, Any] = {}
        for setting in SETTINGS:
            value = given.get(setting.name, "").strip()
            if value:
                fields[setting.field] = setting.parse(setting.name, value)
        return cls(**fields)

    def landing_folder(self) -> Path:
        """DRIP_LANDING, else `landing` in DRIP_HOME."""
        return self.landing or self.home / "landing"

    def archive_folder(self) -> Path:
        """Where events go that are taken out of the database by age."""
        return self.home / "archive"

    def signing_key(self) -> Secret:
        """DRIP_SECRET_KEY, else a key made once and kept in DRIP_HOME with mode 0600."""
        if self.secret_key:
            return self.secret_key
        return Secret(kept_key(self.home / "secret_key"))

    def described(self, environ: Mapping[str, str] | None = None) -> list[dict[str, str]]:
        """The table that `drip doctor` prints: one row per setting, secrets masked."""
        given = os.environ if environ is None else environ
        rows = []
        for setting in SETTINGS:
            is_set = bool(given.get(setting.name, "").strip())
            value = getattr(self, setting.field) if is_set else None
            rows.append(
                {
                    "name": setting.name,
                    "value": "" if value is None else str(value),
                    "default": setting.default,
                    "unit": setting.unit,
                    "consequence": setting.consequence,
                }
            )
        return rows


def environment_variables_unknown(environ: Mapping[str, str] | None = None) -> list[str]:
    """Variables with our prefix that no setting reads: most likely misspelled."""
    given = os.environ if environ is None else environ
    known = {setting.name for setting in SETTINGS}
    return sorted(name for name in given if name.startswith(PREFIX) and name not in known)


def hand_to_libraries(variables: Mapping[str, str]) -> None:
    """Put variables into this process's environment, for libraries that take them from nowhere else
    (Dagster)."""
    os.environ.update(variables)


def environment_secret(name: str, environ: Mapping[str, str] | None = None) -> Secret:
    """The secret in the variable that a channel's configuration names. Raises SettingsError when it
    is not set.
    """
    value = (os.environ if environ is None else environ).get(name, "")
    if not value:
        raise SettingsError(
            name, "is not set, and a channel's configuration asks for it", hint=f"Set {name}."
        )
    return Secret(value)
