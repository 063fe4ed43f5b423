from __future__ import annotations

import psycopg
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.db import urls
from drip_pipeline.errors import SettingsError

SPELLINGS = ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"]


@pytest.mark.parametrize("scheme", SPELLINGS)
def test_any_scheme_becomes_the_one_each_library_needs(scheme):
    given_url = f"{scheme}://u:p%40ss@db.example.com:6543/app?sslmode=require"
    rest = "u:p%40ss@db.example.com:6543/app?sslmode=require"
    assert urls.libpq_url(given_url) == f"postgresql://{rest}"
    assert urls.dagster_url(given_url) == f"postgresql+psycopg2://{rest}"


def test_sqlalchemy_uses_psycopg_2_for_dagster():
    assert sqlalchemy.make_url(urls.dagster_url("postgres://h/d")).get_driver_name() == "psycopg2"


def test_a_socket_folder_in_the_query_is_kept():
    url = urls.libpq_url("postgres:///app?host=/run/postgresql")
    assert url == "postgresql:///app?host=/run/postgresql"
    assert psycopg.conninfo.conninfo_to_dict(url)["host"] == "/run/postgresql"
    assert urls.with_database(url, "dagster") == "postgresql:///dagster?host=/run/postgresql"


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1))
def test_another_database_keeps_server_and_user_and_reads_back(name):
    url = urls.with_database("postgresql://u:p@h:5/app?x=1", name)
    parsed = psycopg.conninfo.conninfo_to_dict("postgresql://u:p@h:5/app")
    assert urls.database_name(url) == name
    assert url.startswith(f"postgresql://{parsed['user']}:p@{parsed['host']}:5/")
    assert url.endswith("?x=1")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hunter2@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?user=u&password=hunter2", "postgresql://h/d?user=u&password=***"),
        ("postgresql://h/d?sslpassword=hunter2&x=1", "postgresql://h/d?sslpassword=***&x=1"),
        ("postgresql://h/d?pass%77ord=hunter2", "postgresql://h/d?pass%77ord=***"),
        ("postgresql:///d?host=/run", "postgresql:///d?host=/run"),
    ],
)
def test_the_password_of_a_url_is_masked(url, shown):
    assert urls.without_password(url) == shown


@pytest.mark.parametrize("url", ["mysql://h/d", "h/d", "", "/var/run"])
def test_other_urls_than_postgresql_are_refused(url):
    with pytest.raises(SettingsError, match="DRIP_DATABASE_URL"):
        urls.libpq_url(url)
