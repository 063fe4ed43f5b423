from __future__ import annotations

import pickle
import re
import stat
import threading
from pathlib import Path

import pytest

from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import (
    CHECKOUT,
    SETTINGS,
    AccountKey,
    Secret,
    Settings,
    environment_secret,
    environment_variables_unknown,
)

DOCUMENTED = {setting.name for setting in SETTINGS}
PACKAGES = ("drip_pipeline", "assets", "sensors")
SOURCES = [path for package in PACKAGES for path in CHECKOUT.glob(f"{package}/**/*.py")]


def test_an_empty_environment_gives_the_defaults():
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.delivery == "record"
    assert settings.home == CHECKOUT / ".drip"


def test_every_variable_named_in_the_source_is_documented():
    named = {
        name
        for path in SOURCES
        for name in re.findall(r"\bDRIP_[A-Z][A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    assert named <= DOCUMENTED


def test_every_setting_has_a_field_a_default_a_unit_and_a_consequence():
    assert {setting.field for setting in SETTINGS} == set(Settings.model_fields)
    for setting in SETTINGS:
        assert len(setting.consequence) > 20
        assert setting.default
        assert setting.unit


def test_nothing_but_settings_reads_the_environment():
    pattern = re.compile(r"os\.environ|os\.getenv|environ\.get|getenv\(")
    readers = {
        path.relative_to(CHECKOUT).as_posix()
        for path in SOURCES
        if pattern.search(path.read_text(encoding="utf-8"))
    }
    # The tools of the embedded server receive PATH and no setting; the processes that `drip up`
    # starts inherit the environment unchanged.
    assert readers <= {
        "drip_pipeline/settings/__init__.py",
        "drip_pipeline/settings/environment.py",
        "drip_pipeline/db/embedded/run_as.py",
        "drip_pipeline/cli/local/supervisor.py",
    }


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("DRIP_BATCH_SIZE", "many", "whole number"),
        ("DRIP_BATCH_SIZE", "0", "between 1 and"),
        ("DRIP_RETENTION", "log=30", "(log) must be 0 or at least 90"),
        ("DRIP_RETENTION", "runs=soon", "(runs) must be a whole number"),
        ("DRIP_DELIVERY", "maybe", "record, send"),
        ("DRIP_DATABASE_URL", "mysql://x:hunter2@h/d", "postgresql://"),
        ("DRIP_SMTP_URL", "http://x:hunter2@h", "smtp://"),
        ("DRIP_SMTP_URL", "smtp://x:hunter2@h:port", "is not a URL"),
        ("DRIP_PUBLIC_URL", "https://", "name a host"),
        ("DRIP_LOG_LEVEL", "loud", "debug"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_without_showing_secrets(name, value, complaint):
    with pytest.raises(SettingsError, match=re.escape(complaint)) as caught:
        Settings.from_env({name: value})
    assert caught.value.name == name
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["DRIP_DATABASE_URL", "DRIP_DAGSTER_DATABASE_URL"])
@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://u:hun%ter2@h/d", "encode % itself as %25"),
        ("postgresql://u:hunter2%@h/d", "encode % itself as %25"),
        ("postgresql://h/d?password=hun%zzter2", "encode % itself as %25"),
        ("postgresql://u:hun@ter2@h/d", "encode @ in the password as %40"),
        ("postgresql://u:hun/ter2@h/d", "encode / ? @ in the password"),
        ("postgresql://u:12/hunter2@h/d", "encode / ? @ in the password"),
        ("postgresql://u:12?hunter2@h/d", "encode / ? @ in the password"),
        ("postgresql://u:hun#ter2@h/d", "contains a #"),
        ("postgresql://u:hun ter2@h/d", "encode a blank as %20"),
        ("postgresql://u:hun\tter2@h/d", "encode a blank as %20"),
        ("postgresql://u:hunter2@h:port/d", "is not a URL"),
        ("postgresql://u:hunter2@[h/d", "is not a URL"),
        ("u:hunter2@h/d", "must begin with postgresql://"),
    ],
)
def test_a_database_url_that_libpq_would_misread_is_refused_without_its_password(
    name, url, complaint
):
    with pytest.raises(SettingsError, match=re.escape(complaint)) as caught:
        Settings.from_env({name: url})
    assert not any(part in str(caught.value) for part in ("hun", "ter2", ":12"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hun%25ter%402@h:5432/d",
        "postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write",
        "postgresql://u:p@[::1]:5432/d",
        "postgresql:///d?host=/run/postgresql&user=a@b",
        "postgresql://h/d?user=u&password=p@ss",
        "postgres://u@%2Frun%2Fpostgresql/d",
        "postgresql+psycopg2://h/d?options=-csearch_path%3Dapp",
    ],
)
def test_every_form_of_database_url_is_accepted(url):
    settings = Settings.from_env({"DRIP_DATABASE_URL": url})
    assert settings.database_url is not None
    assert settings.database_url.reveal() == url


def test_secrets_do_not_show_in_any_form():
    settings = Settings.from_env(
        {"DRIP_DATABASE_URL": "postgresql://u:hunter2@h/d", "DRIP_SECRET_KEY": "hunter2"}
    )
    described = str(settings.described({"DRIP_SECRET_KEY": "hunter2", "DRIP_DATABASE_URL": "x"}))
    for text in (repr(settings), str(settings), f"{settings.secret_key}", described):
        assert "hunter2" not in text
    assert settings.secret_key is not None
    assert settings.secret_key.reveal() == "hunter2"
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_concurrent_readers_create_one_signing_key(tmp_path):
    settings = Settings(home=tmp_path / "home")
    keys: list[Secret] = []
    threads = [
        threading.Thread(target=lambda: keys.append(settings.signing_key())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 1
    assert len(keys[0].reveal()) >= 48
    stored = tmp_path / "home" / "secret_key"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert [path.name for path in stored.parent.iterdir()] == ["secret_key"]


def test_a_configured_secret_key_takes_precedence_over_the_stored_one(tmp_path):
    settings = Settings(home=tmp_path, secret_key=Secret("given"))
    assert settings.signing_key() == Secret("given")
    assert list(tmp_path.iterdir()) == []


def test_misspelled_variables_are_found():
    environ = {"DRIP_BATCHSIZE": "5", "DRIP_HOME": "x", "HOME": "y"}
    assert environment_variables_unknown(environ) == ["DRIP_BATCHSIZE"]


def test_a_missing_channel_secret_is_named_in_the_error():
    assert environment_secret("SMS_TOKEN", {"SMS_TOKEN": "t"}).reveal() == "t"
    with pytest.raises(SettingsError, match="SMS_TOKEN is not set"):
        environment_secret("SMS_TOKEN", {})


def test_the_constructor_ignores_the_environment_and_checks_its_arguments(monkeypatch):
    monkeypatch.setenv("DRIP_SHARDS", "3")
    assert Settings().shards == 1
    assert Settings.from_env().shards == 3
    with pytest.raises(ValueError, match="shard"):
        Settings.model_validate({"shard": 3})


def test_only_the_documented_spelling_of_a_variable_is_read():
    assert Settings.from_env({"drip_shards": "3", "Drip_Shards": "3"}).shards == 1


def test_home_is_made_absolute():
    assert Settings.from_env({"DRIP_HOME": "here"}).home == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("entry", "workspace", "key"),
    [
        ("MFkwEwYHKoZI==", None, "MFkwEwYHKoZI=="),
        ("Acme=MFkwEwYHKoZI==", "Acme", "MFkwEwYHKoZI=="),
        ("whsec_MDEyMw=", None, "whsec_MDEyMw="),
        ("Acme=whsec_MDEyMw=", "Acme", "whsec_MDEyMw="),
        ("user:pass=word", None, "user:pass=word"),
        ("Acme=user:pass=word", "Acme", "user:pass=word"),
        ("arn:aws:sns:eu-central-1:1:t", None, "arn:aws:sns:eu-central-1:1:t"),
        ("Acme=arn:aws:sns:eu-central-1:1:t", "Acme", "arn:aws:sns:eu-central-1:1:t"),
        ("=odd", None, "=odd"),
        ("plain", None, "plain"),
    ],
)
def test_a_key_may_name_its_workspace(entry: str, workspace: str | None, key: str) -> None:
    for form in (entry, Secret(entry)):
        account = AccountKey.of(form)
        assert (account.workspace, account.key.reveal()) == (workspace, key)
        assert key not in repr(account) or (workspace is not None and key in workspace)
