"""CSV as programs and people write it: quotation marks, titles, separators, repeated headers."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.engine.contacts.csv_records import CsvRecords
from drip_pipeline.engine.contacts.import_contacts import ImportReport
from drip_pipeline.errors import ImportFileError
from tests.engine.contacts.import_files import (
    contacts,
    imported,
    rejected_cells,
    rejected_lines,
    written,
)

ROWS = [f"uq{n}@example.com,P{n},Bern" for n in range(2_000)]


def adds_up(report: ImportReport, path: Path) -> bool:
    counts = report.line_counts
    assert counts is not None
    parts = counts.before_rows + counts.blank + counts.inside_cells + counts.rows
    taken = report.inserted + report.updated + report.unchanged + sum(report.rejected.values())
    lines = len(path.read_text(encoding="utf-8").splitlines())
    return counts.lines == parts == lines and counts.rows == report.rows == taken


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ('uq10@example.com,"Bob the builder,Bern', 12),
        ('uq10@example.com,"Bob" the builder,Bern', 12),
        ('uq10@example.com,"Bob "the" builder",Bern', 12),
        ('"uq10@example.com,Bob,Bern', 12),
        ('uq10@example.com,Bob,"Bern', 12),
        ('uq10@example.com,"Bob""",x"y",""Bern', 12),
    ],
)
@pytest.mark.parametrize("later", ["uq11@example.com,P11,Bern", 'uq11@example.com,"P11",Bern'])
def test_a_stray_quotation_mark_stops_the_file_with_its_line(database, tmp_path, row, line, later):
    rows = [*ROWS[:10], row, later, *ROWS[12:]]
    path = written(tmp_path, "email,name,city\n" + "\n".join(rows) + "\n")
    with pytest.raises(ImportFileError, match=f"line {line}: ") as caught:
        imported(database, path)
    assert caught.value.line == line
    assert contacts(database) == []


def test_two_stray_quotation_marks_never_make_a_person_of_all_rows_between(database, tmp_path):
    rows = [*ROWS[:40]]
    rows[10] = 'uq10@example.com,"Bob the builder,Bern'
    rows[30] = 'uq30@example.com,P30",Bern'
    path = written(tmp_path, "email,name,city\n" + "\n".join(rows) + "\n")
    report = imported(database, path)
    assert rejected_lines(database) == [(12, "cell_contains_rows")]
    assert report.inserted == 19
    assert report.line_counts is not None
    assert report.line_counts.inside_cells == 20
    assert adds_up(report, path)


def test_quotation_marks_inside_a_cell_without_them_are_text(database, tmp_path):
    text = 'email,size\na@example.com,5" pipe\nb@example.com, "quoted, with spaces" \n'
    imported(database, written(tmp_path, text))
    assert contacts(database, "custom_fields ->> 'size'") == ['5" pipe', "quoted, with spaces"]


@pytest.mark.parametrize("quoted", [True, False])
def test_a_cell_beyond_the_limit_costs_its_row_only(database, tmp_path, quoted):
    long = "x" * 140_000
    inside = f'"{long}\nlist@example.com,inside\n{long}"' if quoted else long
    path = written(
        tmp_path, f"email,note\na@example.com,1\nb@example.com,{inside}\nc@example.com,3\n"
    )
    report = imported(database, path)
    assert contacts(database) == ["a@example.com", "c@example.com"]
    reason = "cell_contains_rows" if quoted else "cell_too_long"
    assert rejected_lines(database) == [(3, reason)]
    assert adds_up(report, path)


def test_a_line_without_end_is_a_named_error(database, tmp_path):
    path = written(tmp_path, "email,note\na@example.com," + "x" * 8_000_001 + "\n")
    with pytest.raises(ImportFileError, match="line 2: the line has more than"):
        imported(database, path)
    assert contacts(database) == []


def test_blank_lines_cells_over_lines_and_titles_add_up_to_the_lines(database, tmp_path):
    text = (
        "\nExport of 12 March\n\nemail,note\na@example.com,\"one\ntwo\n\nthree\"\n\n"
        "b@example.com,x,\nbroken,y\n   \nb@example.com,z\n"
    )  # fmt: skip
    path = written(tmp_path, text)
    report = imported(database, path)
    assert adds_up(report, path)
    assert report.warnings == ("line 2 is taken for a title, and skipped",)
    assert (report.rows, report.inserted) == (4, 2)
    assert contacts(database, "custom_fields ->> 'note'") == ["one\ntwo\n\nthree", "z"]


@pytest.mark.parametrize(
    ("above", "delimiter"),
    [
        ("sep=;\n", ";"),
        ('"sep=;"\r\n', ";"),
        ("SEP=,\n", ","),
        ("sep=\t\n\n", "\t"),
        ("\n\n", ","),
        ("Contacts, exported today\n", ";"),
        ("Contacts\n;;;\n", ";"),
    ],
)
def test_lines_above_the_header_are_skipped(database, tmp_path, above, delimiter):
    text = f"{above}E\u002dMail;First Name;score note\nsep1@example.com;Ann;x\n"
    path = written(tmp_path, text if delimiter == ";" else text.replace(";", delimiter))
    report = imported(database, path)
    assert adds_up(report, path)
    assert contacts(database, "email, name, custom_fields") == [
        ("sep1@example.com", "Ann", {"first_name": "Ann", "score note": "x"})
    ]


def test_a_first_line_that_is_a_header_is_no_title(database, tmp_path):
    path = written(tmp_path, "customer,channel\n17,email\n")
    report = imported(database, path, email_template="c{row}@example.com")
    assert (report.rows, report.warnings) == (1, ())


def test_a_delimiter_inside_a_quoted_header_does_not_count(database, tmp_path):
    text = 'email;"notes, remarks, and, more"\na@example.com;x\n'
    imported(database, written(tmp_path, text))
    assert contacts(database, "custom_fields") == [{"notes, remarks, and, more": "x"}]


@pytest.mark.parametrize(
    ("renames", "fields"),
    [
        ({}, {"Notes": "a", "Notes_2": "b"}),
        ({"Notes": "first"}, {"first": "a", "Notes": "b"}),
        ({"Notes": ["first", "second"]}, {"first": "a", "second": "b"}),
        ({"Notes": ""}, {"Notes": "b"}),
        ({"Notes": ["", ""]}, {}),
    ],
)
def test_repeated_headers_are_numbered_or_mapped_one_by_one(database, tmp_path, renames, fields):
    path = written(tmp_path, "Email,Notes,Name,Notes\ndc1@example.com,a,Ann,b\n")
    report = imported(database, path, renames=renames)
    assert contacts(database, "name, custom_fields") == [("Ann", fields)]
    assert bool(report.warnings) == (not renames)


def test_two_columns_with_addresses_are_refused_until_one_is_mapped(database, tmp_path):
    path = written(tmp_path, "Email,Email\na@example.com,b@example.com\n")
    with pytest.raises(ImportFileError, match="'Email' occurs twice"):
        imported(database, path)
    imported(database, path, renames={"Email": ["", "email"]})
    assert contacts(database) == ["b@example.com"]


@pytest.mark.parametrize(
    "header",
    [
        "Email Address", "E\u002dMail", "e\u002dmail address", "EMAIL", "\u200bEmail", "Email:",
        "Adresse e\u002dmail", "Correo electrónico", "E\u002dMail-Adresse", " email ",
    ],
)  # fmt: skip
def test_headers_of_addresses_are_recognized(database, tmp_path, header):
    imported(database, written(tmp_path, f"{header},FIRSTNAME,LNAME\na@example.com,Ann,Lee\n"))
    assert contacts(database, "email, name, custom_fields") == [
        ("a@example.com", "Ann Lee", {"first_name": "Ann", "last_name": "Lee"})
    ]


def test_a_variant_beside_the_field_itself_is_a_custom_field(database, tmp_path):
    text = "E\u002dMail,email,Phone Number,Mobile\na@example.com,b@example.com,+491511234567,1\n"
    imported(database, written(tmp_path, text))
    assert contacts(database, "email, phone, custom_fields") == [
        ("b@example.com", "+491511234567", {"E\u002dMail": "a@example.com", "Mobile": 1})
    ]


def test_a_mailchimp_export_is_read_as_it_is(database, tmp_path):
    text = (
        '"Email Address","First Name","Last Name","Phone Number",MEMBER_RATING,TIMEZONE,LEID,'
        "EUID,NOTES,TAGS\n"
        'mc1@example.com,Marc,Cole,,2,America/Los_Angeles,90498395,810826c56e,,"""VIP"",""Blog"""\n'
        "mc2@example.com,Mia,Dorn,,3,,90498396,1234567890,"
        '"Likes ""pie""\nsecond line","""VIP"""\n'
    )
    path = written(tmp_path, text)
    report = imported(database, path)
    assert contacts(database, "name, tags") == [
        ("Marc Cole", ["VIP", "Blog"]),
        ("Mia Dorn", ["VIP"]),
    ]
    assert contacts(database, "custom_fields ->> 'NOTES'")[1] == 'Likes "pie"\nsecond line'
    assert adds_up(report, path)


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ('"vip, trial"', ["vip", "trial"]),
        ("vip;trial", ["vip", "trial"]),
        ("vip | trial", ["vip", "trial"]),
        ('"""a, b"",""c"""', ["a, b", "c"]),
        ('"[""a"", ""b, c""]"', ["a", "b, c"]),
        ("vip;;vip; ", ["vip"]),
        ('"""vip"""', ["vip"]),
        ('"""a;b"";""c"""', ["a;b", "c"]),
    ],
)
def test_tags_are_separated_as_tools_write_them(database, tmp_path, cell, tags):
    imported(database, written(tmp_path, f"email,tags\na@example.com,{cell}\n"))
    assert contacts(database, "tags") == [tags]


def test_a_gzip_file_is_unpacked_and_a_cut_one_is_named(database, tmp_path):
    packed = gzip.compress(("email,name\n" + "\n".join(ROWS).replace(",Bern", "")).encode())
    path = tmp_path / "people.csv.gz"
    path.write_bytes(packed)
    report = imported(database, path)
    assert (report.inserted, report.source) == (2_000, "people.csv.gz")
    for damaged in (packed[: len(packed) // 2], packed[:200] + b"\0\0\0" + packed[203:]):
        path.write_bytes(damaged)
        with pytest.raises(ImportFileError, match="gzip data is damaged"):
            imported(database, path, workspace="Second")
    assert len(contacts(database)) == 2_000


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"PK\x03\x04....", "ZIP archive or an Excel"),
        (gzip.compress(b"PAR1....", mtime=0), "Parquet inside gzip"),
        (b"\n\n  \n", "it is empty"),
        (b'email,"name\na@example.com,Ann\n', "line 1: "),
        (b"em\0ail,email\nx,a@example.com\n", "NUL"),
    ],
)
def test_other_files_are_named(database, tmp_path, content, complaint):
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match=complaint):
        imported(database, path)


def test_standard_input_and_pipes_are_read(database, tmp_path, monkeypatch):
    text = b"email,name\na@example.com,Ann\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(text))))
    report = imported(database, Path("-"))
    assert (report.inserted, report.source) == (1, "stdin")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=(text.replace(b"Ann", b"Bob"),))
    writer.start()
    assert imported(database, pipe).updated == 1
    writer.join()


def test_dates_in_other_forms_are_set_aside_unless_types_names_them(database, tmp_path):
    text = (
        "email,last_interaction\n"
        "ld1@example.com,12.03.2024 09:14\nld2@example.com,3/12/2024 2:30 PM\n"
        "ld3@example.com,2024-03-12 09:14\nld4@example.com,2024-03-12T09:14:00.000Z\n"
        "ld5@example.com,1710234840\nld6@example.com,1710012000123\n"
        "ld7@example.com,9999-12-31T23:59:59-14:00\nld8@example.com,0001-01-01T00:00:00+14:00\n"
        "ld9@example.com,20240312\n"
    )
    path = written(tmp_path, text)
    report = imported(database, path)
    assert report.inserted == 9
    read = "extract(year FROM last_interaction)::int"
    assert contacts(database, read) == [None, None, 2024, 2024, None, None, None, None, 2024]
    assert [cell[:3] for cell in rejected_cells(database)] == [
        (line, "last_interaction", "invalid_last_interaction") for line in (2, 3, 6, 7, 8, 9)
    ]
    imported(database, path, types={"last_interaction": "date:dmy"})
    assert contacts(database, "last_interaction::text")[0] == "2024-03-12 09:14:00+00"
    imported(database, path, types={"last_interaction": "date:mdy"})
    assert contacts(database, "last_interaction::text")[1] == "2024-03-12 14:30:00+00"


def test_text_stays_text_unless_it_prints_back_the_same(database, tmp_path):
    text = (
        "email,price,sku,zip,since,coupon,long,half,minus,flag,FLAG,zero,born,dot,phone2\n"
        "pr1@example.com,9.00,1e5,10115,2024,0012,12345678901234567,0.5,-3,true,TRUE,-0,"
        "2024-01-02,1.10,+4915112345\n"
        "pr2@example.com,12.50,12E3,10117,2023,0013,1,2,4,false,FALSE,1,2024-01-03,2,1\n"
    )
    path = written(tmp_path, text)
    report = imported(database, path)
    assert contacts(database, "custom_fields")[0] == {
        "price": "9.00", "sku": "1e5", "zip": 10115, "since": 2024, "coupon": "0012",
        "long": "12345678901234567", "half": 0.5, "minus": -3, "flag": True, "FLAG": "TRUE",
        "zero": "-0", "born": "2024-01-02", "dot": "1.10", "phone2": "+4915112345",
    }  # fmt: skip
    kinds = dict(report.custom_fields)
    assert (kinds["half"], kinds["zip"], kinds["flag"], kinds["born"], kinds["price"]) == (
        "number", "integer", "boolean", "date", "text",
    )  # fmt: skip


def test_types_decide_otherwise(database, tmp_path):
    text = (
        "email,price,zip,flag,since\na@example.com,9.00,10115,TRUE,12.03.2024\n"
        "b@example.com,free,010,2,2024-03-12\n"
    )
    types = {"Price": "number", "zip": "text", "flag": "boolean", "since": "date:dmy"}
    report = imported(database, written(tmp_path, text), types=types)
    assert contacts(database, "custom_fields") == [
        {"price": 9.0, "zip": "10115", "flag": True, "since": "2024-03-12"},
        {"zip": "010", "since": "2024-03-12"},
    ]
    assert report.set_aside == {"price: not_number": 1, "flag: not_boolean": 1}
    with pytest.raises(ImportFileError, match="no custom column 'nothing'"):
        imported(database, written(tmp_path, text), types={"nothing": "text"})


@settings(max_examples=200)
@given(
    rows=st.lists(
        st.lists(st.text(max_size=8) | st.sampled_from(['"', '""', "\n", ",", " "]), min_size=2,
                 max_size=3),
        min_size=1, max_size=6,
    ),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)  # fmt: skip
def test_what_a_csv_writer_writes_is_read_back(rows, quoting):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting).writerows(rows)
    text.seek(0)
    records = CsvRecords(Path("x.csv"), text, ",")
    read = [cells for _, cells in records]
    assert [[cell.strip(" ") for cell in row] for row in read] == [
        [cell.strip(" ") for cell in row] for row in rows
    ]


@settings(max_examples=300)
@given(text=st.text(st.sampled_from('ab",;\n\r @.\0'), max_size=60))
def test_any_text_is_read_or_refused_by_name_and_every_line_is_counted(text):
    file = io.StringIO(text, newline="")
    records = CsvRecords(Path("x.csv"), file, ",")
    try:
        rows = sum(1 for _ in records)
    except ImportFileError:
        return
    assert records.line == rows + records.blank + records.inside_cells
