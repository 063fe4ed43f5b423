"""Contact imports: conversion of cells, rejected lines, and repetitions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import perf_counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drip_pipeline.engine.contacts import import_contacts as module
from drip_pipeline.errors import ImportFileError, NotAllowed
from tests.engine.contacts.import_files import contacts as stored
from tests.engine.contacts.import_files import imported as taken
from tests.engine.contacts.import_files import rejected_cells, suppressed
from tests.engine.contacts.import_files import rejected_lines as set_aside
from tests.engine.contacts.import_files import written as csv
from tests.engine.factories import NOW, a_workspace


def test_columns_are_mapped_by_name_and_others_become_custom_fields(database, tmp_path):
    path = csv(
        tmp_path,
        "Email,name,Company Name,phone,job_title,lead_score,status,tags,last_interaction,"
        "plan,timezone\n"
        'Ann@Example.com,Ann Lee,Acme,+15550100,CTO,70,LEAD,"vip, trial",2026-02-01T10:00:00+01:00,'
        "pro,Europe/Paris\n",
    )
    report = taken(database, path)
    assert (report.rows, report.inserted) == (1, 1)
    columns = "email, name, company, phone, job_title, ai_score, status, tags, last_interaction"
    assert stored(database, f"{columns}, custom_fields") == [
        (
            "ann@example.com", "Ann Lee", "Acme", "+15550100", "CTO", 70, "lead", ["vip", "trial"],
            datetime(2026, 2, 1, 9, tzinfo=UTC), {"plan": "pro", "timezone": "Europe/Paris"},
        )
    ]  # fmt: skip


def test_a_column_of_numbers_is_numbers_and_a_column_of_codes_stays_text(database, tmp_path):
    path = csv(
        tmp_path,
        "email,visits,spend,is_new,code,mixed,empty\n"
        "a@example.com,3,1.5,true,007,12,\n"
        "b@example.com,,-2,false,12,A3,\n",
    )
    report = taken(database, path)
    assert stored(database, "custom_fields") == [
        {"visits": 3, "spend": 1.5, "is_new": True, "code": "007", "mixed": "12"},
        {"spend": -2, "is_new": False, "code": "12", "mixed": "A3"},
    ]
    assert report.custom_fields["visits"] == "integer"
    assert report.custom_fields["code"] == "text"


def test_parquet_keeps_its_types_and_missing_values_are_absent(database, tmp_path):
    table = pa.table(
        {
            "email": ["a@example.com", "b@example.com", None],
            "ai_score": pa.array([10.0, float("nan"), 3.0]),
            "phone": pa.array([4915112345678, None, 1]),
            "tags": pa.array([["x", "y"], None, []], pa.list_(pa.string())),
            "visits": pa.array([3, None, 1], pa.int64()),
            "spend": pa.array([1.5, float("nan"), 1.0]),
            "amount": pa.array([Decimal("1.50"), None, None]),
            "since": pa.array([datetime(2026, 1, 2, tzinfo=UTC), None, None]),
            "is_new": pa.array([True, False, None]),
            "unsubscribed": pa.array([False, True, None]),
        }
    )
    pq.write_table(table, tmp_path / "people.parquet")
    with database.transaction() as connection:
        connection.execute("INSERT INTO workspaces (name, default_region) VALUES ('One', 'DE')")
    report = taken(database, tmp_path / "people.parquet")
    assert dict(report.rejected) == {"no_email": 1}
    assert set_aside(database) == [(3, "no_email")]
    assert stored(database, "ai_score, phone, tags") == [
        (10, "+4915112345678", ["x", "y"]),
        (0, None, []),
    ]
    first, second = stored(database, "custom_fields")
    assert first["visits"] == 3
    assert first["spend"] == 1.5
    assert first["since"].startswith("2026-01-02T00:00:00")
    assert first["amount"] == 1.5
    assert second == {"is_new": False}
    assert report.unsubscribed == 1


def test_rejected_lines_and_cells_do_not_stop_the_import(database, tmp_path):
    path = csv(
        tmp_path,
        "email,ai_score,status,last_interaction,unsubscribed\n"
        "a@example.com,5,lead,,\n"
        ",5,lead,,\n"
        "no-address,5,lead,,\n"
        "b@example.com,101,lead,,\n"
        "c@example.com,many,lead,,\n"
        "d@example.com,5,owner,,\n"
        "e@example.com,5,lead,yesterday,\n"
        "f@example.com,5,lead,,perhaps\n"
        "g@example.com,5\n"
        "\n"
        "h@example.com,5,lead,2026-01-01,no,,\n"
        "a@example.com,6,lead,,\n",
    )
    report = taken(database, path)
    assert stored(database, "email, ai_score, status") == [
        ("a@example.com", 6, "lead"),
        ("b@example.com", 0, "lead"),
        ("c@example.com", 0, "lead"),
        ("d@example.com", 5, "prospect"),
        ("e@example.com", 5, "lead"),
        ("f@example.com", 5, "lead"),
        ("h@example.com", 5, "lead"),
    ]
    assert set_aside(database) == [
        (2, "repeated_email"),
        (3, "no_email"),
        (4, "invalid_email"),
        (10, "wrong_number_of_cells"),
    ]
    assert rejected_cells(database) == [
        (5, "ai_score", "invalid_ai_score", "101"),
        (6, "ai_score", "invalid_ai_score", "many"),
        (7, "status", "invalid_status", "owner"),
        (8, "last_interaction", "invalid_last_interaction", "yesterday"),
        (9, "unsubscribed", "unreadable_counts_as_unsubscribed", "perhaps"),
    ]
    assert suppressed(database) == [("f@example.com", None, "unsubscribed")]
    assert report.rows == 11
    assert report.rows == report.inserted + sum(report.rejected.values())


def test_bytes_that_are_not_utf8_cost_only_their_cell(database, tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes(
        "email,name\na@example.com,Zoë\n".encode()
        + b"b@example.com,Zo\xeb\nc@example.com,Zo\x00\nd\xeb@example.com,Zoe\n"
    )
    taken(database, path)
    assert stored(database, "email, name") == [
        ("a@example.com", "Zoë"),
        ("b@example.com", None),
        ("c@example.com", None),
    ]
    assert set_aside(database) == [(5, "not_utf8")]
    assert rejected_cells(database) == [
        (3, "name", "not_utf8", "Zo\\udceb"),
        (4, "name", "not_utf8", "Zo\\0"),
    ]


def test_values_that_the_database_cannot_store_cost_only_their_cell(database, tmp_path):
    table = pa.table(
        {
            "email": [f"p{n}@example.com" for n in range(6)],
            "tags": [["x"], ["a\0b"], None, None, None, None],
            "notes": [[["y"]], None, [["a\0b"]], None, None, None],
            "size": pa.array([Decimal(1), None, None, Decimal(10) ** 30, None, None]),
            "custom_fields": ['{"a": "\\\\u0000"}', None, None, None, '{"a": "\\u0000"}', "[1]"],
        }
    )
    pq.write_table(table, tmp_path / "people.parquet")
    taken(database, tmp_path / "people.parquet")
    assert stored(database, "email, custom_fields") == [
        ("p0@example.com", {"notes": [["y"]], "size": 1, "a": "\\u0000"}),
        *((f"p{n}@example.com", {}) for n in range(1, 6)),
    ]
    assert set_aside(database) == []
    assert [cell[:3] for cell in rejected_cells(database)] == [
        (2, "tags", "not_utf8"),
        (3, "notes", "not_utf8"),
        (4, "size", "invalid_value"),
        (5, "custom_fields", "not_utf8"),
        (6, "custom_fields", "invalid_custom_fields"),
    ]


def test_cells_over_several_lines_have_the_number_of_their_first_line(database, tmp_path):
    text = 'email,note\na@example.com,"one\ntwo"\nbad,x\nb@example.com,y\n'
    taken(database, csv(tmp_path, text))
    assert stored(database) == ["a@example.com", "b@example.com"]
    assert set_aside(database) == [(4, "invalid_email")]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_and_a_byte_order_mark_are_accepted(database, tmp_path, delimiter):
    text = "\ufeffemail,name\na@example.com,Ann\n".replace(",", delimiter)
    assert taken(database, csv(tmp_path, text)).inserted == 1
    assert stored(database, "name") == ["Ann"]


def test_a_repeated_import_changes_nothing_and_a_changed_cell_updates(database, tmp_path):
    text = "email,name,tags,plan\na@example.com,Ann,x,pro\nb@example.com,Bob,,free\n"
    path = csv(tmp_path, text)
    taken(database, path)
    again = taken(database, path, now=NOW + timedelta(days=1))
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, 2)
    assert stored(database, "updated_at") == [NOW, NOW]
    path.write_text(text.replace("Bob", "Bert"), encoding="utf-8")
    changed = taken(database, path, now=NOW + timedelta(days=1))
    assert (changed.updated, changed.unchanged) == (1, 1)
    assert stored(database, "name") == ["Ann", "Bert"]


def test_empty_cells_change_nothing(database, tmp_path):
    taken(
        database,
        csv(tmp_path, "email,name,ai_score,tags,plan\na@example.com,Ann,70,x,pro\n"),
    )
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET tags = '{x,given}', status = 'customer'")
    taken(
        database,
        csv(tmp_path, 'email,name,tags,city\na@example.com,,"y,x",Rome\n', "more.csv"),
    )
    assert stored(database, "name, ai_score, status, tags, custom_fields") == [
        ("Ann", 70, "customer", ["x", "given", "y"], {"plan": "pro", "city": "Rome"})
    ]


def test_an_address_in_another_spelling_is_the_same_contact(database, tmp_path):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        connection.execute(
            "INSERT INTO contacts (workspace_id, email, name) VALUES (%s, 'Ann@Example.com', 'A')",
            [workspace],
        )
    report = taken(database, csv(tmp_path, "email,name\nann@example.com,Ann\n"))
    assert (report.inserted, report.updated) == (0, 1)
    assert stored(database, "email, name") == [("Ann@Example.com", "Ann")]


def test_the_last_line_of_an_address_counts_across_chunks(database, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_LINES", 2)
    rows = "".join(f"p{n % 3}@example.com,{n}\n" for n in range(9))
    report = taken(database, csv(tmp_path, "email,visits\n" + rows))
    assert stored(database, "email, custom_fields") == [
        (f"p{n}@example.com", {"visits": n + 6}) for n in range(3)
    ]
    assert (report.rows, report.inserted, report.rejected) == (9, 3, {"repeated_email": 6})


def test_a_rejected_line_does_not_hide_an_earlier_valid_one(database, tmp_path):
    taken(database, csv(tmp_path, "email,ai_score\na@example.com,5\na@example.com,5,x\n"))
    assert stored(database, "email, ai_score") == [("a@example.com", 5)]


def test_a_corrected_file_deletes_earlier_rejected_lines(database, tmp_path):
    taken(database, csv(tmp_path, "email\nbroken\n"))
    assert set_aside(database) == [(2, "invalid_email")]
    taken(database, csv(tmp_path, "email\nmended@example.com\n"))
    assert set_aside(database) == []


def test_unsubscribed_contacts_are_suppressed_on_all_channels_once(database, tmp_path):
    path = csv(
        tmp_path,
        "email,unsubscribed\na@example.com,yes\nb@example.com,0\nc@example.com,TRUE\n"
        "d@example.com,\n",
    )
    assert taken(database, path).unsubscribed == 2
    assert taken(database, path).unsubscribed == 0
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT address, channel, campaign_id, reason FROM campaign_suppressions ORDER BY 1"
        ).fetchall()
    assert rows == [
        ("a@example.com", None, None, "unsubscribed"),
        ("c@example.com", None, None, "unsubscribed"),
    ]


def test_a_file_without_addresses_is_refused_with_a_hint(database, tmp_path):
    path = csv(tmp_path, "mail,segment\na@example.com,x\n")
    with pytest.raises(
        ImportFileError, match=r"has no column `email` \(its columns: mail"
    ) as caught:
        taken(database, path)
    assert "--map COLUMN=email" in caught.value.hint
    assert taken(database, path, renames={"Mail": "email"}).inserted == 1


def test_addresses_can_be_generated_from_the_row_number_or_a_column(database, tmp_path):
    path = csv(tmp_path, "Customer ID,segment\nC7,x\n,y\nC9,z\n")
    taken(database, path, email_template="customer{row}@example.com")
    assert stored(database, "email, custom_fields ->> 'segment'") == [
        ("customer1@example.com", "x"),
        ("customer2@example.com", "y"),
        ("customer3@example.com", "z"),
    ]
    report = taken(database, path, email_template="{customer_id}@example.org")
    assert (report.inserted, report.rejected) == (2, {"no_email": 1})


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("{nothing}@example.com", "names {nothing}"),
        ("customer@example.com", "gives no addresses"),
        ("customer{row}", "gives no addresses"),
    ],
)
def test_a_template_that_gives_no_addresses_is_refused(database, tmp_path, pattern, complaint):
    with pytest.raises(ImportFileError, match=complaint):
        taken(database, csv(tmp_path, "segment\nx\n"), email_template=pattern)


def test_columns_can_be_renamed_and_skipped(database, tmp_path):
    path = csv(tmp_path, "email,Kunde,secret\na@example.com,Ann,1\n")
    taken(database, path, renames={"Kunde": "name", "secret": ""})
    assert stored(database, "name, custom_fields") == [("Ann", {})]


def test_first_and_last_name_make_a_name_and_stay_fields(database, tmp_path):
    taken(database, csv(tmp_path, "email,First Name,last_name\na@example.com,Ann,Lee\n"))
    assert stored(database, "name, custom_fields") == [
        ("Ann Lee", {"first_name": "Ann", "last_name": "Lee"})
    ]


def test_a_column_that_templates_cannot_access_by_name_is_a_warning(database, tmp_path):
    report = taken(database, csv(tmp_path, "email,id,\na@example.com,7,x\n"))
    assert stored(database, "custom_fields") == [{"id": 7}]
    assert "custom_fields.id" in report.warnings[0]
    assert "has no name" in report.warnings[1]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it is empty"),
        ("email,email\na,b\n", "occurs twice"),
        ("email,company,company_name\n", "are both company"),
    ],
)
def test_an_invalid_file_is_refused_as_a_whole(database, tmp_path, text, complaint):
    with pytest.raises(ImportFileError, match=complaint):
        taken(database, csv(tmp_path, text))


def test_a_broken_parquet_file_and_utf16_are_named(database, tmp_path):
    (tmp_path / "people.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ImportFileError, match="not a readable Parquet file"):
        taken(database, tmp_path / "people.parquet")
    (tmp_path / "people.csv").write_text("email\na@example.com\n", encoding="utf-16")
    with pytest.raises(ImportFileError, match="UTF-16"):
        taken(database, tmp_path / "people.csv")


def test_the_workspace_is_created_chosen_or_required(database, tmp_path):
    path = csv(tmp_path, "email\na@example.com\n")
    first = taken(database, path)
    assert taken(database, path).workspace_id == first.workspace_id
    second = taken(database, path, workspace="Second")
    assert second.workspace_id != first.workspace_id
    with pytest.raises(NotAllowed, match="several workspaces exist: 'Second', 'default'") as caught:
        taken(database, path)
    assert "--workspace" in caught.value.hint


def test_sixty_four_thousand_rows_of_twelve_columns_take_less_than_a_minute(database, tmp_path):
    header = "email,name,company,segment,zip,visits,spend,is_new,channel,region,since,plan\n"
    rows = "".join(
        f"p{n}@example.com,Person {n},Company {n % 99},s{n % 3},0{n % 9999},{n % 7},{n / 8},true,"
        f"web,north,2026-01-01,pro\n"
        for n in range(64_000)
    )
    path = csv(tmp_path, header + rows)
    begun = perf_counter()
    assert taken(database, path).inserted == 64_000
    assert perf_counter() - begun < 60


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=st.lists(
        st.tuples(
            st.one_of(st.integers(0, 5).map(lambda n: f"p{n}@example.com"), cells),
            cells,
            st.one_of(st.integers(-5, 120).map(str), cells),
        ),
        max_size=15,
    )
)
def test_every_row_becomes_a_contact_or_is_rejected(database, tmp_path, rows):
    import csv as csv_module

    path = tmp_path / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv_module.writer(file, quoting=csv_module.QUOTE_ALL)
        writer.writerows([("email", "name", "ai_score"), *rows])
    report = taken(database, path, workspace="any")
    assert report.rows == len(rows)
    accepted = report.inserted + report.updated + report.unchanged
    assert accepted + sum(report.rejected.values()) == len(rows)
    assert len(set_aside(database)) == sum(report.rejected.values())
    again = taken(database, path, workspace="any")
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, accepted)
