"""The only reader of the environment: `Settings` declares every variable once, with its type,
default, unit and consequence. `drip doctor` and the tests of the documentation read the same
declarations through `SETTINGS`. Connections and files of channels do not belong here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from drip_pipeline.errors import SettingsError
from drip_pipeline.settings.declaration import Setting as Setting
from drip_pipeline.settings.declaration import SettingRow as SettingRow
from drip_pipeline.settings.declaration import setting as _setting
from drip_pipeline.settings.environment import environment_secret as environment_secret
from drip_pipeline.settings.environment import hand_to_libraries as hand_to_libraries
from drip_pipeline.settings.kinds import AccountKey as AccountKey
from drip_pipeline.settings.kinds import (
    BaseUrl,
    Cron,
    Folder,
    Retention,
    RetentionDays,
    Secrets,
    SecretText,
    Words,
    one_of,
    postgres_url,
    secret_url,
    stored_key,
    whole_number,
)
from drip_pipeline.settings.kinds import Secret as Secret

PREFIX: Final = "DRIP_"
CHECKOUT: Final = Path(__file__).resolve().parents[2]
DAILY: Final = "0 6 * * *"
LOCAL_URL: Final = "http://localhost:8080"

Delivery = Literal["record", "send"]
Pooler = Literal["auto", "session", "transaction"]
Executor = Literal["in_process", "multiprocess", "celery", "k8s"]
CanvasEdits = Literal["report", "publish"]
LogLevel = Literal["debug", "info", "warning", "error"]

PostgresUrl = Annotated[Secret, postgres_url()]


class Settings(BaseSettings):
    """The settings of one process. `from_env` reads the environment; the constructor does not."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        enable_decoding=False,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    database_url: PostgresUrl | None = _setting(
        None,
        "URL",
        "The engine's database. Set it (postgresql://user:password@host:port/name) to use a server "
        "of your own; the embedded server is then neither started nor needed.",
        default_text="the embedded server under DRIP_HOME",
    )
    database_pooler: Annotated[Pooler, one_of(Pooler)] = _setting(
        "auto",
        "auto, session or transaction",
        "How the server of DRIP_DATABASE_URL shares its sessions. `transaction`: behind PgBouncer, "
        "Supavisor or another pooler in transaction mode; no prepared statements are used. "
        "`session`: directly, or behind a pooler in session mode. `auto`: a pooler is noticed, and "
        "treated as one in transaction mode.",
    )
    read_database_url: PostgresUrl | None = _setting(
        None,
        "URL",
        "A standby of DRIP_DATABASE_URL, from which reports, metrics and results are read. A "
        "standby that is too far behind is refused, not read.",
        default_text="none: everything is read from DRIP_DATABASE_URL",
    )
    read_max_lag: Annotated[int, whole_number(0, 604_800)] = _setting(
        300,
        "seconds",
        "How far behind the primary DRIP_READ_DATABASE_URL may be. 0: any lag is accepted.",
    )
    dagster_database_url: PostgresUrl | None = _setting(
        None,
        "URL",
        "The database of Dagster's runs and events. It must not be the engine's own database.",
        default_text="the database `dagster` on the server of DRIP_DATABASE_URL",
    )
    home: Folder = _setting(
        CHECKOUT / ".drip",
        "folder",
        "Data of the embedded server, Dagster's files, recorded messages and the landing folder. "
        "Deleting the folder deletes them.",
        default_text=".drip in the checkout",
    )
    landing: Folder | None = _setting(
        None,
        "folder",
        "Event files in this folder (NDJSON, gzipped or not, or Parquet) are loaded, each once. A "
        "subfolder names the provider that assigned the event ids, as in ses/monday.ndjson. Give "
        "a file that is still being written a name that ends in .part.",
        default_text="landing in DRIP_HOME",
    )
    postgres_bin: Folder | None = _setting(
        None,
        "folder",
        "The folder with initdb, pg_ctl and postgres for the embedded server.",
        default_text="the packaged binaries, then a server found on this machine",
    )
    batch_size: Annotated[int, whole_number(1, 100_000)] = _setting(
        10_000,
        "states",
        "How many due workflow states one transaction advances. A smaller number is slower, a "
        "larger one holds row locks longer.",
    )
    shards: Annotated[int, whole_number(1, 64)] = _setting(
        1,
        "runs",
        "How many runs of the minute job may be active at the same time, each with its own part "
        "of the enrollments. More than one is faster where cores are free; Dagster's "
        "max_concurrent_runs must allow them.",
    )
    delivery: Annotated[Delivery, one_of(Delivery)] = _setting(
        "record",
        "record or send",
        "`record`: every message is rendered and recorded, and nothing is sent. `send`: messages "
        "are sent through the configured providers.",
    )
    smtp_url: Annotated[Secret, secret_url("smtp", "smtps")] | None = _setting(
        None,
        "URL",
        "The mail relay, smtp://user:password@host:port (STARTTLS where offered) or smtps://. "
        "Used when DRIP_DELIVERY=send.",
        default_text="none: email cannot be sent",
    )
    mail_from: str = _setting(
        "Drip <drip@example.com>", "address", "The sender of every email without one of its own."
    )
    public_url: BaseUrl = _setting(
        LOCAL_URL,
        "URL",
        "Base of the tracking and unsubscribe links: the public URL of `drip receive`. Recipients "
        "must be able to reach it.",
    )
    secret_key: SecretText | None = _setting(
        None,
        "text",
        "Signs the links in messages. Changing it breaks the links in messages already sent; "
        "machines that share a database must share the key.",
        default_text="created once and stored in DRIP_HOME/secret_key",
    )
    former_secret_keys: Secrets = _setting(
        (),
        "texts, separated by commas",
        "Former values of DRIP_SECRET_KEY. Erased addresses that were suppressed are recognized by "
        "hashes with these keys (docs/privacy.md).",
        default_text="none: after a change of the key, earlier erased addresses are not recognized",
    )
    webhook_secret: SecretText | None = _setting(
        None,
        "text",
        "Signs the calls of webhook steps in workspaces without a webhook channel of their own "
        "(Standard Webhooks: whsec_ and base64). Receivers verify the signature.",
        default_text="none: webhooks are not signed",
    )
    webhook_allow: Words = _setting(
        (),
        "hosts, separated by commas",
        "Internal hosts that campaigns may call although they are internal: names, addresses or "
        "networks, with a port or for any port (hooks.internal:8080, 10.1.0.0/16). Everybody with "
        "the right to publish campaigns can then reach them.",
        default_text="none: internal addresses and unusual ports are not called",
    )
    report_cron: Cron = _setting(
        DAILY,
        "cron expression, UTC",
        "When the reports of A/B tests are written to DRIP_HOME/reports (and mailed, with "
        "DRIP_REPORT_TO). Read when Dagster loads the code.",
    )
    report_to: Words = _setting(
        (),
        "addresses, separated by commas",
        "Recipients of the A/B test overview, which is mailed when reports are written on "
        "schedule. Needs DRIP_DELIVERY=send and DRIP_SMTP_URL.",
        default_text="none: reports are not mailed",
    )
    alert_to: Words = _setting(
        (),
        "addresses, separated by commas",
        "Recipients of alert emails: failed runs, a stuck backlog, messages with an unknown "
        "delivery status, open circuit breakers, skewed tests, pending decisions. Needs "
        "DRIP_DELIVERY=send and DRIP_SMTP_URL.",
        default_text="none: alerts are not mailed",
    )
    alert_webhook: Annotated[Secret, secret_url("http", "https")] | None = _setting(
        None,
        "URL",
        'The URL to which alerts are posted as {"text": …}, the format of Slack and Mattermost. '
        "Needs DRIP_DELIVERY=send.",
        default_text="none: alerts are not posted",
    )
    alert_backlog_minutes: Annotated[int, whole_number(1, 10_080)] = _setting(
        15,
        "minutes",
        "How long due states and messages may wait before the backlog counts as stuck.",
    )
    dagster_url: BaseUrl | None = _setting(
        None,
        "URL",
        "The address of Dagster's pages, for links in alerts: https://dagster.example.com.",
        default_text="none: alerts name the run without a link",
    )
    metrics_token: SecretText | None = _setting(
        None,
        "text",
        "The bearer token for the Prometheus metrics at /metrics of `drip receive`.",
        default_text="none: /metrics is not served",
    )
    tracking: Words = _setting(
        ("opens", "clicks"),
        "opens, clicks or none",
        "Which engagement events of HTML emails are tracked by links of the engine; only where "
        "DRIP_PUBLIC_URL and DRIP_SECRET_KEY are set. Choose none where the provider tracks them.",
    )
    sns_topics: Words = _setting(
        (),
        "ARNs (or WORKSPACE=ARN), separated by commas",
        "The SNS topics through which Amazon SES reports to /events/ses. Subscriptions to these "
        "topics are confirmed, others are not.",
        default_text="none: events of Amazon SES are refused",
    )
    sendgrid_keys: Words = _setting(
        (),
        "public keys in base64 (or WORKSPACE=key), separated by commas",
        "Verification keys of the signed event webhook that reports to /events/sendgrid.",
        default_text="none: events of SendGrid are refused",
    )
    postmark_logins: Secrets = _setting(
        (),
        "user:password (or WORKSPACE=user:password), separated by commas",
        "The logins of Postmark's webhooks to /events/postmark. Put one into the webhook's URL, "
        "as in https://user:password@mail.example.com/events/postmark.",
        default_text="none: events of Postmark are refused",
    )
    mailgun_keys: Secrets = _setting(
        (),
        "texts (or WORKSPACE=text), separated by commas",
        "Signing keys of the webhooks that report to /events/mailgun.",
        default_text="none: events of Mailgun are refused",
    )
    twilio_tokens: Secrets = _setting(
        (),
        "texts (or WORKSPACE=text), separated by commas",
        "Auth tokens of the accounts that report to /events/twilio. Their signatures are verified "
        "against the URL under DRIP_PUBLIC_URL.",
        default_text="none: status reports and replies from Twilio are refused",
    )
    events_secrets: Secrets = _setting(
        (),
        "texts (or WORKSPACE=text), separated by commas",
        "Secrets (Standard Webhooks: whsec_ and base64) of shops and applications that send their "
        "own events to /events/generic.",
        default_text="none: events at /events/generic are refused",
    )
    trigger_secrets: Secrets = _setting(
        (),
        "texts (or WORKSPACE=text), separated by commas",
        "Secrets (Standard Webhooks: whsec_ and base64) of applications that enroll contacts by "
        "signed calls.",
        default_text="none: signed calls of /trigger are refused",
    )
    trigger_tokens: Secrets = _setting(
        (),
        "texts (or WORKSPACE=text), separated by commas",
        "Bearer tokens of applications that enroll contacts and cannot sign their calls.",
        default_text="none: calls of /trigger with a token are refused",
    )
    soft_bounces: Annotated[int, whole_number(0, 1_000)] = _setting(
        5,
        "bounces",
        "After how many soft bounces (a full mailbox, a timeout) within DRIP_SOFT_BOUNCE_DAYS, "
        "without a delivery between them, an address is suppressed. 0: never.",
    )
    soft_bounce_days: Annotated[int, whole_number(1, 365)] = _setting(
        14,
        "days",
        "The time span in which DRIP_SOFT_BOUNCES counts.",
    )
    trusted_proxies: Words = _setting(
        (),
        "addresses or networks, separated by commas",
        "Reverse proxies in front of `drip receive` with a trusted X-Forwarded-For. Without it all "
        "clients behind a proxy count as one client.",
        default_text="none: the connecting address is the client",
    )
    metrics_folder: Folder | None = _setting(
        None,
        "folder",
        "Daily metrics as Parquet files for other tools, one folder a day (day=2026-03-02). "
        "Machines that share a database should share the folder.",
        default_text="metrics in DRIP_HOME",
    )
    executor: Annotated[Executor, one_of(Executor)] = _setting(
        "in_process",
        "in_process, multiprocess, celery or k8s",
        "Where a run's steps are executed: in the run's own process (least overhead), in several "
        "processes (DRIP_WORKERS at a time), or on the workers of dagster-celery or dagster-k8s, "
        "which must be installed. Read when Dagster loads the code.",
    )
    workers: Annotated[int, whole_number(1, 64)] = _setting(
        2,
        "processes",
        "How many steps of a run are executed at a time with DRIP_EXECUTOR=multiprocess. Starting "
        "a process takes about four seconds of CPU.",
    )
    canvas_edits: Annotated[CanvasEdits, one_of(CanvasEdits)] = _setting(
        "report",
        "report or publish",
        "What happens to an edit that another application (a visual builder) makes in the tables "
        "of a published campaign. report: it is validated and reported, and waits for `drip "
        "campaign drafts C --publish`. publish: a valid edit that has not changed since the last "
        "check is published; enrollments in earlier versions finish those versions.",
    )
    retention: RetentionDays = _setting(
        Retention(),
        "days by kind of data; 0 is for ever",
        "How long data is kept (docs/retention.md): the event log in whole months, archived to "
        "Parquet before it is dropped; settled messages of the outbox and keys of events; the "
        "batch log and rejected lines; Dagster's runs; contacts without activity. Kinds that "
        "are not named keep their default.",
    )
    actor: str = _setting(
        "",
        "text",
        "Who gives the commands of this environment, for the audit trail (`drip audit`). `drip "
        "--as NAME` and the tag drip/actor of a Dagster run override it.",
        default_text="the login name",
    )
    log_level: Annotated[LogLevel, one_of(LogLevel)] = _setting(
        "info", "debug, info, warning or error", "The lowest level that is logged to stderr."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Limit the constructor to its arguments; `from_env` passes it the environment."""
        return (init_settings,)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read `environ` (default: the process environment). An empty variable counts as unset.

        Raises SettingsError that names the first invalid variable.
        """
        variables = os.environ if environ is None else environ
        source = EnvSettingsSource(cls)
        # The library looks names up in lower case; only the documented spelling is read.
        source.env_vars = {
            setting.name.lower(): text
            for setting in SETTINGS
            if (text := variables.get(setting.name, "").strip())
        }
        try:
            return cls(**source())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = f"{PREFIX}{str(first['loc'][0]).upper()}"
            problem = first.get("ctx", {}).get("error", first["msg"])
            raise SettingsError(name, str(problem)) from None

    def landing_folder(self) -> Path:
        """Return DRIP_LANDING, by default `landing` in DRIP_HOME."""
        return self.landing or self.home / "landing"

    def archive_folder(self) -> Path:
        """Return the folder for events that retention takes out of the database."""
        return self.home / "archive"

    def signing_key(self) -> Secret:
        """Return DRIP_SECRET_KEY, by default a key created once in DRIP_HOME with mode 0600."""
        if self.secret_key:
            return self.secret_key
        return Secret(stored_key(self.home / "secret_key"))

    def described(self, environ: Mapping[str, str] | None = None) -> list[SettingRow]:
        """Return the table of `drip doctor`: one row per setting, secrets masked."""
        variables = os.environ if environ is None else environ
        rows: list[SettingRow] = []
        for setting in SETTINGS:
            is_set = bool(variables.get(setting.name, "").strip())
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


def _declared(name: str, field: FieldInfo) -> Setting:
    texts = field.json_schema_extra
    assert isinstance(texts, dict)
    return Setting(
        f"{PREFIX}{name.upper()}",
        name,
        str(texts["default_text"]),
        str(texts["unit"]),
        field.description or "",
    )


SETTINGS: Final = tuple(_declared(name, field) for name, field in Settings.model_fields.items())
"""Every setting in the order in which `drip doctor` lists them."""


def environment_variables_unknown(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the variables with the prefix DRIP_ that are no setting; most are misspelled."""
    variables = os.environ if environ is None else environ
    names = {setting.name for setting in SETTINGS}
    return sorted(name for name in variables if name.startswith(PREFIX) and name not in names)
