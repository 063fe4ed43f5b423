"""An error never prints a password, whatever the URL contains and however the connection fails."""

from __future__ import annotations

import traceback
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
from click.testing import CliRunner

from drip_pipeline.channels.http.address_guard import AddressGuard
from drip_pipeline.channels.http.client import HttpClient, HttpRequest
from drip_pipeline.cli import main
from drip_pipeline.db.connection import Database
from drip_pipeline.db.dagster.storage import existing_storage_url, storage_url
from drip_pipeline.errors import DripError
from drip_pipeline.settings import SETTINGS, Secret, Settings

CANARY = "kanarienvogel"
PASSWORDS = [
    CANARY, f"{CANARY}%zz", f"%{CANARY}", f"{CANARY}@x", f"@{CANARY}", f"{CANARY} ", f"a{CANARY}/b",
    f"{CANARY}#1", f"1#{CANARY}", f"1/{CANARY}", f"1?{CANARY}", f"[{CANARY}", f"{CANARY}]",
    f"{CANARY}:9", f"ü{CANARY}", f"{CANARY}\\", f"{CANARY}'",
]  # fmt: skip
SHAPES = [
    "postgresql://u:{password}@127.0.0.1:1/d",
    "postgresql://u:{password}@no-such-host.invalid/d",
    "postgresql://127.0.0.1:1/d?user=u&password={password}",
    "postgresql://127.0.0.1:1/d?sslmode=verify-full&sslrootcert=/none&password={password}",
    "postgresql://u:{password}@127.0.0.1:1/d?no_such_parameter=1",
]


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize("password", [*PASSWORDS, *map(quote, PASSWORDS)])
@pytest.mark.parametrize("shape", SHAPES)
def test_connecting_does_not_tell(shape, password):
    url = shape.format(password=password)
    # Past the settings, which refuse most of these.
    with pytest.raises(DripError) as caught, Database(url) as database, database.transaction():
        pass
    assert CANARY not in told(caught.value)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_database_does_not_tell(shape):
    assert CANARY not in repr(Database(shape.format(password=CANARY)))


def with_login(url: str, login: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))


def test_a_server_that_refuses_the_password_does_not_tell(server_url):
    url = with_login(server_url, f"nobody:{CANARY}")
    with Database(url) as database, pytest.raises(DripError) as caught, database.transaction():
        pass
    assert CANARY not in told(caught.value)
    settings = Settings(dagster_database_url=Secret(url))
    with pytest.raises(DripError) as caught:
        storage_url(settings, server_url)
    assert CANARY not in told(caught.value)
    assert existing_storage_url(settings, server_url) is None


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize(
    ("arguments", "password"),
    [
        *((["run"], password) for password in PASSWORDS),
        *(
            (arguments, password)
            for arguments in (["db", "status"], ["doctor"], ["db", "migrate"])
            for password in PASSWORDS[:4]
        ),
    ],
)
def test_no_command_tells(monkeypatch, tmp_path, shape, password, arguments):
    monkeypatch.setenv("DRIP_HOME", str(tmp_path))
    monkeypatch.setenv("DRIP_DATABASE_URL", shape.format(password=password))
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert CANARY not in done.output
    assert done.exception is None or CANARY not in told(done.exception)


SECRET_SETTINGS = [
    setting.name
    for setting in SETTINGS
    if "Secret" in str(Settings.model_fields[setting.field].annotation)
]


@pytest.mark.parametrize("name", SECRET_SETTINGS)
@pytest.mark.parametrize(
    "value",
    [
        CANARY, f"mysql://u:{CANARY}@h/d", f"https://u:{CANARY}@h:port/", f"smtp://u:{CANARY}@h:x",
        f"smtp://u:{CANARY}#@h", f"//{CANARY}", f"http://[{CANARY}/", f"{CANARY}, {CANARY}\n2",
        f"postgresql://u:{CANARY}%@h/d",
    ],
)  # fmt: skip
def test_no_setting_tells(name, value, monkeypatch, tmp_path):
    texts = []
    try:
        settings = Settings.from_env({name: value})
        texts += [repr(settings), str(settings.described({name: value}))]
    except DripError as error:
        texts.append(told(error))
    assert CANARY not in str(texts)
    monkeypatch.setenv("DRIP_HOME", str(tmp_path))
    monkeypatch.setenv(name, value)
    assert CANARY not in CliRunner().invoke(main, ["doctor"]).output


def test_the_secret_settings_are_listed():
    assert {"DRIP_DATABASE_URL", "DRIP_SMTP_URL", "DRIP_ALERT_WEBHOOK", "DRIP_SECRET_KEY"} <= set(
        SECRET_SETTINGS
    )


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/services/{CANARY}",
        f"http://no-such-host.invalid/{CANARY}?token={CANARY}",
        f"http://u:{CANARY}@127.0.0.1:1/",
        f"https://127.0.0.1:1/{CANARY}",
    ],
)
def test_a_webhook_that_cannot_be_reached_does_not_tell(url):
    client = HttpClient(AddressGuard(("127.0.0.1:1", "no-such-host.invalid:80")))
    request = HttpRequest(method="POST", url=url, headers={}, body=b"", timeout_seconds=1)
    try:
        (answer,) = client.call([request])
    finally:
        client.close()
    assert answer.failure
    assert CANARY not in repr(answer)
