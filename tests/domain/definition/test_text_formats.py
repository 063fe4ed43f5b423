from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter
from uuid import UUID

import pytest

from drip_pipeline.domain.definition.text_formats import UnreadableText, as_json, parse_text


def test_yaml_is_read_like_the_equivalent_json() -> None:
    text = "a: 1\nb: [1.5, 1e3, yes, true, 12:30, ~, 010]\nt: 2026-01-28T15:00:00Z\nd:\n"
    assert parse_text(text) == {
        "a": 1,
        "b": [1.5, 1000.0, "yes", True, "12:30", None, 10],
        "t": "2026-01-28T15:00:00Z",
        "d": None,
    }


def test_yaml_anchors_and_merges_work() -> None:
    text = "x: &x {a: 1}\ny: {<<: *x, b: 2}\nz: *x"
    assert parse_text(text) == {"x": {"a": 1}, "y": {"a": 1, "b": 2}, "z": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": }', "line 1, column 7"),
        ("a: [1\nb: 2", "line 2"),
        ("a: 1\na: 2", "duplicate key 'a'"),
        ('{"a": 1, "a": 2}', "duplicate key 'a'"),
        ("[" * 100_000, "nested too deep"),
        ("- " * 20_000, "nested too deep"),
        ("a: !!python/object:os.system x", "python/object"),
        ("? [a]\n: b", "unhashable"),
        ("a:\n  b: " + "1" * 5_000, "line 2: a number has 5,000 digits"),
        ('{"a": ' + "1" * 5_000 + "}", "a number has 5,000 digits"),
        ("a: {<<: 1}", "<< must name mappings"),
        ("a: &a {<<: *a, b: 1}", "nested too deep"),
    ],
)
def test_an_unreadable_text_is_reported_with_its_position(text: str, words: str) -> None:
    with pytest.raises(UnreadableText, match=r".") as error_info:
        parse_text(text)
    assert words in str(error_info.value)


def test_yaml_aliases_cannot_exceed_the_size_limit() -> None:
    layers = "".join(f"b{n}: &b{n} [{','.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 8))
    bomb = parse_text(f"b0: &b0 [{','.join('x' * 9)}]\n{layers}")
    with pytest.raises(UnreadableText, match="values"):
        as_json(bomb)
    with pytest.raises(UnreadableText, match="deeper"):
        as_json(parse_text("&a [*a]"))


def test_yaml_merges_cannot_exceed_the_size_limit() -> None:
    """Ten merges of ten merges of … take all memory while the text is parsed."""
    layers = "".join(
        f"b{n}: &b{n} {{<<: [{','.join([f'*b{n - 1}'] * 10)}], k{n}: 1}}\n" for n in range(1, 12)
    )
    started_at = perf_counter()
    with pytest.raises(UnreadableText, match="more than 100,000 values"):
        parse_text(f"b0: &b0 {{a: 1}}\n{layers}")
    assert perf_counter() - started_at < 10


def test_merged_keys_keep_yamls_order_of_precedence() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], c: 3}\nw: {a: 4, <<: *x}"
    assert parse_text(text)["z"] == {"a": 1, "b": 1, "c": 3}
    assert parse_text(text)["w"] == {"a": 4, "b": 1}


def test_values_of_a_database_become_plain_json() -> None:
    value = {
        "id": UUID(int=1),
        "at": datetime(2026, 1, 28, tzinfo=UTC),
        "target": Decimal("25.00"),
        "share": Decimal("33.33"),
        "n": 24.0,
        "pair": (1, 2),
    }
    assert as_json(value) == (
        {
            "id": "00000000-0000-0000-0000-000000000001",
            "at": "2026-01-28T00:00:00+00:00",
            "target": 25,
            "share": 33.33,
            "n": 24,
            "pair": [1, 2],
        },
        [],
    )


def test_values_that_the_database_cannot_store_are_removed_and_reported() -> None:
    cleaned, faults = as_json({"a": "x\x00y", "b": [float("nan")], "c": "\ud800", "d": 2**70})
    assert cleaned == {"a": "xy", "b": [None], "c": "", "d": None}
    assert [fault.split(" ")[0] for fault in faults] == ["a", "b[0]", "c", "d"]
