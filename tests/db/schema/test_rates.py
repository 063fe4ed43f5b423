from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Connection, Database
from tests.conftest import own_database
from tests.db.schema.schema_rows import NOW, a_campaign, a_workspace, enroll, people

Figure = Decimal | int | None
Rate = tuple[str, Figure, Figure, Figure, Figure, int]


@dataclass(frozen=True)
class Message:
    """What became of one message."""

    opened: bool = False
    clicked: bool = False
    replied: bool = False
    converted: bool = False
    opened_by_machine: bool = False


@dataclass(frozen=True)
class Person:
    """Somebody at a split and what they were sent there."""

    variant: str
    messages: tuple[Message, ...] = (Message(),)
    is_holdout: bool = False
    is_randomized: bool = True


@pytest.fixture(scope="module")
def migrated(server_url, template):
    with own_database(server_url, template) as database:
        yield database


def split(
    connection: Connection, persons: list[Person], *, is_tested: bool, node: str = "fork"
) -> UUID:
    """A campaign whose split assigned these people; its id."""
    workspace = a_workspace(connection)
    campaign = a_campaign(connection, workspace)
    add_split(connection, workspace, campaign, persons, is_tested=is_tested, node=node)
    return campaign


def add_split(
    connection: Connection,
    workspace: UUID,
    campaign: UUID,
    persons: list[Person],
    *,
    is_tested: bool,
    node: str = "fork",
    number: int = 1,
) -> None:
    contacts = people(connection, workspace, len(persons)) if persons else []
    enrollments = enroll(connection, campaign, contacts)
    test = uuid4() if is_tested else None
    if test is not None:
        names = {person.variant: person.is_holdout for person in persons}
        config = {"variants": [{"id": name, "holdout": held} for name, held in names.items()]}
        connection.execute(
            "INSERT INTO campaign_ab_tests (id, workspace_id, campaign_id, split_node_id, "
            "test_number, config, config_hash, campaign_versions, started_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, '', '{1}', %s)",
            [test, workspace, campaign, node, number, Jsonb(config), NOW],
        )
    for person, enrollment in zip(persons, enrollments, strict=True):
        converted = any(message.converted for message in person.messages)
        connection.execute(
            "INSERT INTO campaign_split_assignments (enrollment_id, split_node_id, workspace_id, "
            "campaign_id, campaign_version, ab_test_id, contact_id, variant_group, is_holdout, "
            "is_randomized, assigned_at, first_converted_at) SELECT id, %s, workspace_id, "
            "campaign_id, 1, %s, contact_id, %s, %s, %s, %s, %s FROM campaign_enrollments "
            "WHERE id = %s",
            [node, test, person.variant, person.is_holdout, person.is_randomized, NOW,
             NOW if converted else None, enrollment],
        )  # fmt: skip
        for message in person.messages:
            write(connection, enrollment, node, person.variant, message)


def write(
    connection: Connection, enrollment: UUID, node: str, variant: str, message: Message
) -> None:
    times = [
        NOW if flag else None
        for flag in (
            message.opened, message.clicked, message.replied, message.converted,
            message.opened_by_machine,
        )
    ]  # fmt: skip
    connection.execute(
        "INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, "
        "campaign_version, enrollment_id, contact_id, node_id, channel, split_node_id, "
        "variant_group, sent_at, first_opened_at, first_clicked_at, first_replied_at, "
        "first_converted_at, first_machine_opened_at) SELECT gen_random_uuid(), workspace_id, "
        "campaign_id, 1, id, contact_id, 'mail', 'email', %s, %s, %s, %s, %s, %s, %s, %s "
        "FROM campaign_enrollments WHERE id = %s",
        [node, variant, NOW, *times, enrollment],
    )


def rates(connection: Connection, campaign: UUID) -> list[Rate]:
    rows = connection.execute("SELECT * FROM calculate_ab_test_metrics(%s)", [campaign])
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


def expected(persons: list[Person]) -> list[Rate]:
    """The same from the people, in decimal arithmetic."""
    told = []
    counted = [person for person in persons if not person.is_holdout and person.is_randomized]
    for variant in sorted({person.variant for person in persons if not person.is_holdout}):
        sent = [p.messages for p in counted if p.variant == variant and p.messages]
        tallies = {
            name: Decimal(sum(any(getattr(m, name) for m in messages) for messages in sent))
            for name in ("opened", "clicked", "replied", "converted")
        }
        score = (
            Decimal("0.3") * tallies["opened"]
            + Decimal("0.4") * tallies["clicked"]
            + Decimal("0.3") * tallies["replied"]
        )
        figures = (tallies["opened"], tallies["clicked"], tallies["converted"], score)
        percents = [percent(figure, len(sent)) for figure in figures]
        told.append((variant, *percents, len(sent)))
    return told  # type: ignore[return-value]


def percent(count: Decimal, base: int) -> Decimal | None:
    if base == 0:
        return None
    return (100 * count / base).quantize(Decimal("0.01"), ROUND_HALF_UP)


MESSAGES = st.builds(
    Message, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()
)
PERSONS = st.lists(
    st.builds(
        Person,
        st.sampled_from(["variant_a", "variant_b", "variant_c"]),
        st.lists(MESSAGES, max_size=3).map(tuple),
        is_randomized=st.sampled_from([True, True, True, False]),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(persons=PERSONS)
def test_rates_of_a_tested_split_are_those_of_its_people(migrated: Database, persons):
    with migrated.transaction() as connection:
        campaign = split(connection, persons, is_tested=True)
        assert rates(connection, campaign) == expected(persons)
        connection.rollback()


@settings(max_examples=40)
@given(persons=PERSONS)
def test_a_split_without_a_test_is_counted_alike(migrated: Database, persons):
    with migrated.transaction() as connection:
        campaign = split(connection, persons, is_tested=False)
        everybody = {person.variant for person in persons if person.is_randomized}
        # Without a test nothing else says which variants there are.
        assert rates(connection, campaign) == [
            row for row in expected(persons) if row[0] in everybody
        ]
        connection.rollback()


BOTH = pytest.mark.parametrize("is_tested", [True, False], ids=["tested", "untested"])


@BOTH
def test_several_messages_and_several_opens_count_a_person_once(database, is_tested):
    persons = [Person("variant_a", (Message(opened=True), Message(opened=True), Message()))]
    persons += [Person("variant_a", (Message(), Message()))]
    with database.transaction() as connection:
        campaign = split(connection, persons, is_tested=is_tested)
        ((variant, opened, clicked, converted, score, sample),) = rates(connection, campaign)
    assert (variant, sample) == ("variant_a", 2)
    assert [opened, clicked, converted, score] == [50, 0, 0, 15]


@BOTH
def test_halves_are_rounded_up(database, is_tested):
    persons = [Person("variant_a", (Message(clicked=True),))] + [Person("variant_a")] * 799
    with database.transaction() as connection:
        campaign = split(connection, persons, is_tested=is_tested)
        ((_, _, clicked, _, score, sample),) = rates(connection, campaign)
    assert (clicked, score, sample) == (Decimal("0.13"), Decimal("0.05"), 800)


@BOTH
def test_a_variant_that_was_sent_nothing_has_no_rates(database, is_tested):
    persons = [Person("variant_a", ()), Person("variant_b")]
    with database.transaction() as connection:
        campaign = split(connection, persons, is_tested=is_tested)
        assert rates(connection, campaign) == [
            ("variant_a", None, None, None, None, 0),
            ("variant_b", 0, 0, 0, 0, 1),
        ]


@BOTH
def test_machines_do_not_open(database, is_tested):
    with database.transaction() as connection:
        campaign = split(
            connection,
            [Person("variant_a", (Message(opened_by_machine=True),))],
            is_tested=is_tested,
        )
        assert [row[1] for row in rates(connection, campaign)] == [0]


@BOTH
def test_a_holdout_is_no_variant_and_people_routed_to_the_winner_do_not_count(database, is_tested):
    persons = [
        Person("variant_a", (Message(opened=True),)),
        Person("variant_a", (Message(),), is_randomized=False),
        Person("held_out", (), is_holdout=True),
    ]
    with database.transaction() as connection:
        campaign = split(connection, persons, is_tested=is_tested)
        assert rates(connection, campaign) == [("variant_a", 100, 0, 0, 30, 1)]


def test_only_the_latest_test_of_a_split_is_told(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        for number, count in ((1, 5), (2, 3)):
            add_split(
                connection, workspace, campaign, [Person("variant_a")] * count, is_tested=True,
                number=number,
            )  # fmt: skip
        assert [row[5] for row in rates(connection, campaign)] == [3]


def test_several_splits_follow_each_other(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        for node, is_tested, count in (("z_last", True, 1), ("a_first", False, 2)):
            add_split(
                connection, workspace, campaign, [Person("variant_a")] * count,
                is_tested=is_tested, node=node,
            )  # fmt: skip
        assert [row[5] for row in rates(connection, campaign)] == [2, 1]


def test_a_campaign_without_splits_has_no_rates(database):
    with database.transaction() as connection:
        campaign = a_campaign(connection, a_workspace(connection))
        assert rates(connection, campaign) == []
        assert rates(connection, uuid4()) == []


def test_messages_of_an_older_design_count_without_assignments(database):
    with database.transaction() as connection:
        campaign = split(connection, [Person("variant_a"), Person("variant_b")], is_tested=False)
        connection.execute("DELETE FROM campaign_split_assignments")
        assert [(row[0], row[5]) for row in rates(connection, campaign)] == [
            ("variant_a", 1),
            ("variant_b", 1),
        ]
