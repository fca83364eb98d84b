"""afil.create_notification: the trigger it writes, what it refuses, and what can never break."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from afilsql.outbox.engine import create_engine
from tests.tsql.conftest import DriverError, Notifications

pytestmark = pytest.mark.tsql

ROWS = "INSERT INTO dbo.purchase (id, phone, state, total) VALUES "


# ---- what it writes ------------------------------------------------------------------------------------------------


def test_an_inserted_row_becomes_a_queued_message_with_every_parameter(notifications: Notifications) -> None:
    notifications.create(
        message="Order {id} of {ordered_at:dd/MM/yyyy HH:mm}: {total:#,##0.00} for {[odd {name}: x]} {{ok}}",
        account="shop", priority=2, dedup="order-{id}", platformid="1{id}",
    )  # fmt: skip
    notifications.query(
        "INSERT INTO dbo.purchase (id, phone, total, ordered_at, [odd {name}: x]) "
        "VALUES (7, N'34600000000', 1234.5, '2026-03-09 07:08:09', N'D''Arc 😀')"
    )
    row = notifications.outbox()[0]
    assert row.message == "Order 7 of 09/03/2026 07:08: 1,234.50 for D'Arc 😀 {ok}"
    assert (row.method, row.account, row.platform, row.platformid, row.destination, row.type, row.fileurl) == (
        "sendmessage", "shop", "whatsapp", "17", "34600000000", None, None,
    )  # fmt: skip
    assert (row.status, row.turn, row.priority, row.attempts, row.dedup_key, row.notification, row.error_code) == (
        "queued", 0, 2, 0, "order-7", "t", None,
    )  # fmt: skip
    assert row.conversation == "\x1f".join(("shop", "whatsapp", "17", "34600000000"))
    assert row.created_by == notifications.query("SELECT SUSER_SNAME()")[0][0]


def test_a_columns_name_alone_is_that_column_but_in_the_message(notifications: Notifications) -> None:
    notifications.create(
        platformid="Total", destination="phone", dedup="id", type="image", fileurl="odd {name}: x", message="state"
    )
    notifications.query(
        "INSERT INTO dbo.purchase (id, phone, total, [odd {name}: x]) VALUES (7, '346', 5, N'http://x.example'), "
        "(8, 'phone', 5, N'http://y.example')"
    )
    rows = notifications.query(
        "SELECT platformid, destination, dedup_key, fileurl, message FROM afil.outbox ORDER BY id"
    )
    assert [tuple(r) for r in rows] == [
        ("5.00", "346", "7", "http://x.example", "state"), ("5.00", "phone", "8", "http://y.example", "state"),
    ]  # fmt: skip


def test_a_conversation_is_the_one_that_send_message_writes(notifications: Notifications) -> None:
    notifications.create()
    notifications.query(ROWS + "(1, '346', NULL, NULL)")
    notifications.query(
        "EXEC afil.send_message @platform = 'whatsapp', @platformid = '100', @destination = '346', @message = N'x'"
    )
    assert len({r.conversation for r in notifications.outbox()}) == 1


def test_a_file_is_sent_with_its_url_and_a_wrong_url_is_a_failed_row(notifications: Notifications) -> None:
    notifications.create(type="document", fileurl="{note}", message="Invoice {id}")
    notifications.query(
        "INSERT INTO dbo.purchase (id, phone, note) VALUES (1, '346', 'https://x.example/1.pdf'), "
        "(2, '346', 'ftp://x'), "
        "(3, '346', NULL), (4, '346', N'http://' + REPLICATE(CAST(N'x' AS nvarchar(max)), 2000))"
    )
    assert [(r.method, r.type, r.message, r.status, r.error_code) for r in notifications.outbox()] == [
        ("sendfile", "document", "Invoice 1", "queued", None),
        ("sendfile", "document", "Invoice 2", "failed", "INCORRECT_FILEURL"),
        ("sendfile", "document", "Invoice 3", "failed", "INCORRECT_FILEURL"),
        ("sendfile", "document", "Invoice 4", "failed", "INCORRECT_FILEURL"),
    ]
    assert notifications.outbox()[0].fileurl == "https://x.example/1.pdf"


@pytest.mark.parametrize(
    "on", ["insert", "update", "delete", "insert, update", "UPDATE,delete", "insert,update,delete"]
)
def test_it_fires_on_the_statements_of_on_and_on_no_other(notifications: Notifications, on: str) -> None:
    notifications.create(on=on, message="{id} {state}")
    notifications.query(ROWS + "(1, '346', 'new', 1)")
    notifications.query("UPDATE dbo.purchase SET state = 'sent' WHERE id = 1")
    notifications.query("DELETE FROM dbo.purchase")
    texts = {"insert": "1 new", "update": "1 sent", "delete": "1 sent"}
    assert notifications.messages() == [texts[o.strip().lower()] for o in on.split(",")]


def test_columns_let_an_update_fire_only_when_one_of_them_changed(notifications: Notifications) -> None:
    notifications.create(on="insert, update, delete", columns="state, total", message="{old.state}>{state} {total}")
    run = notifications.query
    run(ROWS + "(1, '346', 'new', 1), (2, '346', NULL, 1)")
    run("UPDATE dbo.purchase SET phone = '347', state = state")
    run("UPDATE dbo.purchase SET total = 2 WHERE id = 1")
    run("UPDATE dbo.purchase SET state = 'sent'")
    run("UPDATE dbo.purchase SET state = NULL WHERE id = 2")
    run("DELETE FROM dbo.purchase")
    assert notifications.messages() == [
        ">new 1.00", "> 1.00", "new>new 2.00", "new>sent 2.00", ">sent 1.00", "sent> 1.00", "sent>sent 2.00", "> 1.00",
    ]  # fmt: skip


def test_when_chooses_rows_by_new_and_old(notifications: Notifications) -> None:
    notifications.create(
        on="update",
        when="new.state = 'sent' AND (old.state <> 'sent' OR old.state IS NULL) AND total > 1",
        message="{id}",
    )
    notifications.query(ROWS + "(1, '346', 'new', 1), (2, '346', 'new', 2), (3, '346', 'sent', 3), (4, '346', NULL, 4)")
    notifications.query("UPDATE dbo.purchase SET state = 'sent'")
    assert notifications.messages() == ["2", "4"]


def test_nulls_are_empty_texts_and_a_row_without_destination_is_failed(notifications: Notifications) -> None:
    notifications.create(message="{state}{total}{ordered_at}{note}{paid}")
    notifications.query(
        "INSERT INTO dbo.purchase (id, phone, state) VALUES (1, NULL, 'x'), (2, '  ', 'x'), (3, '346', NULL)"
    )
    notifications.query(
        "INSERT INTO dbo.purchase (id, phone, state) VALUES (4, REPLICATE(N'3', 201), 'x'), (5, '346', 'x')"
    )
    assert [(r.status, r.error_code, r.message) for r in notifications.outbox()] == [
        ("failed", "MISSING_DESTINATION", "x"),
        ("failed", "MISSING_DESTINATION", "x"),
        ("failed", "MISSING_MESSAGE", ""),
        ("failed", "DESTINATION_TOO_LONG", "x"),
        ("queued", None, "x"),
    ]
    assert all((r.completed_at is None) == (r.status == "queued") for r in notifications.outbox())


def test_a_dedup_key_is_written_once_within_a_statement_and_across_statements(notifications: Notifications) -> None:
    notifications.create(on="insert", dedup="{state}", message="{id}")
    notifications.query(
        ROWS + "(2, '346', 'a', 1), (1, '346', 'a', 1), (3, '346', 'b', 1), (4, '346', NULL, 1), (5, '346', NULL, 1)"
    )
    notifications.query(ROWS + "(6, '346', 'b', 1), (7, '346', 'c', 1)")
    assert [(r.message, r.dedup_key) for r in notifications.outbox()] == [
        ("1", "a"), ("3", "b"), ("4", None), ("5", None), ("7", "c"),
    ]  # fmt: skip


def test_ids_follow_the_primary_key(notifications: Notifications) -> None:
    notifications.create(message="{id}")
    notifications.query(ROWS + ", ".join(f"({n * 37 % 101}, '346', NULL, NULL)" for n in range(1, 101)))
    assert notifications.messages() == [str(n) for n in range(1, 101)]


def test_an_update_of_the_primary_key_has_no_row_before_it(notifications: Notifications) -> None:
    notifications.create(on="update", columns="state", message="{old.id}>{id}")
    notifications.query(ROWS + "(1, '346', 'a', 1), (2, '346', 'a', 1)")
    notifications.query("UPDATE dbo.purchase SET id = id + 10")
    assert notifications.messages() == [">11", ">12"]


def test_columns_of_different_collations_are_joined(notifications: Notifications) -> None:
    notifications.query("DROP TABLE dbo.purchase")
    notifications.query(
        "CREATE TABLE dbo.purchase (id int PRIMARY KEY, phone nvarchar(20) COLLATE Latin1_General_CS_AS, "
        "state varchar(9) COLLATE Latin1_General_CI_AI, note nchar(9) COLLATE Latin1_General_BIN2)"
    )
    notifications.create(
        on="insert, update", columns="note", when="phone LIKE 'A%' AND state = 'x'", message="{phone}{state}{note}!",
        destination="{phone}{state}", dedup="{note}{state}",
    )  # fmt: skip
    notifications.query("INSERT INTO dbo.purchase VALUES (1, 'A', 'x', N'é'), (2, 'a', 'x', N'é'), (3, 'A', 'x', N'É')")
    assert [(r.message, r.destination, r.dedup_key) for r in notifications.outbox()][:1] == [("Axé!", "Ax", "éx")]
    assert notifications.failures() == []


def test_a_table_without_primary_key_takes_what_needs_no_row_before(notifications: Notifications) -> None:
    notifications.query("DROP TABLE dbo.purchase")
    notifications.query("CREATE TABLE dbo.purchase (id int, phone nvarchar(20), state varchar(9))")
    for bad in ({"columns": "state"}, {"message": "{old.state}"}, {"when": "old.state = 'a'"}):
        with pytest.raises(DriverError, match=r"the table has no primary key.*51001"):
            notifications.create(on="update", **bad)
    notifications.create(on="insert, update, delete", message="{id} {state}")
    notifications.query("INSERT INTO dbo.purchase VALUES (1, '346', 'a'), (1, '346', 'a')")
    notifications.query("UPDATE dbo.purchase SET state = 'b'")
    notifications.query("DELETE FROM dbo.purchase")
    assert notifications.messages() == ["1 a", "1 a", "1 b", "1 b", "1 b", "1 b"]


def test_a_key_of_two_columns_pairs_rows_by_both(notifications: Notifications) -> None:
    notifications.query("DROP TABLE dbo.purchase")
    notifications.query("CREATE TABLE dbo.purchase (id int, line int, phone nvarchar(20), PRIMARY KEY (line, id))")
    notifications.create(on="update", columns="phone", message="{id}.{line} {old.phone}>{phone}")
    notifications.query("INSERT INTO dbo.purchase VALUES (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c')")
    notifications.query("UPDATE dbo.purchase SET phone = phone + 'x' WHERE NOT (id = 2)")
    assert notifications.messages() == ["1.1 a>ax", "1.2 b>bx"]


@pytest.mark.parametrize("rows", [1_000, 20_000])
def test_a_statement_of_many_rows_is_one_set_operation(notifications: Notifications, rows: int) -> None:
    notifications.create(on="insert, update", columns="state", message="{id} {state}")
    digits = "(VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9))"
    notifications.query(
        f"INSERT INTO dbo.purchase (id, phone, state) SELECT TOP ({rows}) n, '346', 'new' FROM (SELECT "
        f"a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d FROM {digits} a (d), {digits} b (d), {digits} c (d), "
        f"{digits} e (d), (VALUES (0), (1)) f (d)) AS numbers (n) ORDER BY n"
    )
    notifications.query("UPDATE dbo.purchase SET state = 'sent' WHERE id < 10 OR id % 2 = 0")
    total, moments = notifications.query("SELECT COUNT(*), COUNT(DISTINCT created_at) FROM afil.outbox")[0]
    assert total == rows + rows // 2 + 5
    assert moments == 2


def test_a_statement_without_rows_writes_nothing(notifications: Notifications) -> None:
    notifications.create(on="insert, update, delete")
    notifications.query("UPDATE dbo.purchase SET state = 'x'")
    notifications.query("DELETE FROM dbo.purchase WHERE id = 0")
    notifications.query("INSERT INTO dbo.purchase (id) SELECT 1 WHERE 1 = 0")
    assert notifications.outbox() == [] and notifications.failures() == []


def test_two_notifications_on_one_table_both_fire(notifications: Notifications) -> None:
    notifications.create(name="a", message="a{id}")
    notifications.create(name="b", message="b{id}", when="state = 'x'")
    notifications.query(ROWS + "(1, '346', 'x', 1), (2, '346', 'y', 1)")
    assert sorted(notifications.messages()) == ["a1", "a2", "b1"]


# ---- whoever writes to the table -----------------------------------------------------------------------------------


def test_a_message_goes_with_the_rollback_of_its_row(notifications: Notifications) -> None:
    notifications.create()
    notifications.query("BEGIN TRANSACTION; " + ROWS + "(1, '346', 'x', 1); ROLLBACK TRANSACTION;")
    assert notifications.outbox() == []


def test_whoever_writes_to_the_table_needs_no_right_on_afil(
    notifications: Notifications, writer: tuple[str, Any]
) -> None:
    notifications.create()
    name, cursor = writer
    cursor.execute("INSERT INTO dbo.purchase (id, phone) VALUES (1, '346')")
    assert [(r.status, r.created_by) for r in notifications.outbox()] == [("queued", name)]
    with pytest.raises(DriverError):
        cursor.execute("SELECT COUNT(*) FROM afil.outbox")


def test_output_rowcount_and_scope_identity_stay_the_statements_own(notifications: Notifications) -> None:
    notifications.query("DROP TABLE dbo.purchase")
    notifications.query("CREATE TABLE dbo.purchase (id int IDENTITY(500, 1) PRIMARY KEY, phone nvarchar(20))")
    notifications.create(message="{id}")
    row = notifications.query(
        "SET NOCOUNT ON; DECLARE @got TABLE (id int); DECLARE @rows int; "
        "INSERT INTO dbo.purchase (phone) OUTPUT inserted.id INTO @got VALUES ('346'), ('347'); "
        "SET @rows = @@ROWCOUNT; "
        "SELECT @rows AS affected, CAST(SCOPE_IDENTITY() AS int) AS last, (SELECT MIN(id) FROM @got) AS first"
    )[0]
    assert (row.affected, row.last, row.first) == (2, 501, 500)
    assert notifications.messages() == ["500", "501"]


def test_orm_inserts_and_updates_keep_working(notifications: Notifications, tsql_url: str) -> None:
    notifications.query("DROP TABLE dbo.purchase")
    notifications.query("CREATE TABLE dbo.purchase (id int IDENTITY(500, 1) PRIMARY KEY, phone nvarchar(20))")
    notifications.create(on="insert, update", message="{id} {phone}")

    class Base(DeclarativeBase):
        pass

    class Purchase(Base):
        __tablename__ = "purchase"
        # As SQLAlchemy asks for a table with triggers: SQL Server refuses a bare OUTPUT there (error 334).
        __table_args__ = {"schema": "dbo", "implicit_returning": False}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        phone: Mapped[str]

    engine = create_engine(tsql_url)
    with Session(engine) as orm:
        one, two = Purchase(phone="346"), Purchase(phone="347")
        orm.add_all([one, two])
        orm.flush()
        assert (one.id, two.id) == (500, 501)
        two.phone = "348"
        orm.commit()
    engine.dispose()
    assert notifications.messages() == ["500 346", "501 347", "501 348"]


def test_a_bare_output_is_the_engines_to_allow(notifications: Notifications, babelfish: bool) -> None:
    notifications.create(message="{id}")
    sql = "INSERT INTO dbo.purchase (id, phone) OUTPUT inserted.id VALUES (1, '346')"
    if babelfish:
        assert notifications.query(sql)[0][0] == 1
        assert notifications.messages() == ["1"]
    else:
        with pytest.raises(DriverError, match="334"):  # for any table with a trigger
            notifications.query(sql)


def test_merge_fires_for_each_of_its_actions(notifications: Notifications, babelfish: bool) -> None:
    if babelfish:
        pytest.skip("Babelfish has no MERGE; on SQL Server this test runs")
    notifications.query(ROWS + "(1, '346', 'a', 1), (2, '346', 'a', 1)")
    notifications.create(on="insert, update, delete", columns="state", message="{id} {old.state}>{state}")
    notifications.query(
        "MERGE dbo.purchase AS t USING (VALUES (1, 'b'), (3, 'c')) AS s (id, state) ON t.id = s.id "
        "WHEN MATCHED THEN UPDATE SET state = s.state "
        "WHEN NOT MATCHED THEN INSERT (id, phone, state) VALUES (s.id, '346', s.state) "
        "WHEN NOT MATCHED BY SOURCE THEN DELETE;"
    )
    assert sorted(notifications.messages()) == ["1 a>b", "2 a>a", "3 >c"]


def test_nested_triggers_fire_in_turn(notifications: Notifications) -> None:
    notifications.query("DROP TABLE IF EXISTS dbo.basket")
    notifications.query("CREATE TABLE dbo.basket (id int PRIMARY KEY)")
    try:
        notifications.query(
            "CREATE TRIGGER dbo.basket_paid ON dbo.basket AFTER INSERT AS BEGIN SET NOCOUNT ON; "
            "INSERT INTO dbo.purchase (id, phone, state) SELECT id, '346', 'nested' FROM inserted; END"
        )
        notifications.create(on="insert", message="{id} {state}")
        notifications.query("INSERT INTO dbo.basket (id) VALUES (1), (2)")
        assert notifications.messages() == ["1 nested", "2 nested"]
    finally:
        notifications.query("DROP TABLE dbo.basket")


def test_a_trigger_that_writes_to_its_own_table_does_not_disturb(notifications: Notifications) -> None:
    notifications.create(on="insert, update", columns="state", message="{id} {old.state}>{state}")
    notifications.query(
        "CREATE TRIGGER dbo.purchase_checked ON dbo.purchase AFTER INSERT AS BEGIN SET NOCOUNT ON; UPDATE p "
        "SET state = 'checked' FROM dbo.purchase AS p WHERE p.id IN (SELECT id FROM inserted) AND p.state = 'new'; END"
    )
    notifications.query(ROWS + "(1, '346', 'new', 1)")
    assert sorted(notifications.messages()) == ["1 >new", "1 new>checked"]


def test_the_quota_fails_the_rows_beyond_it_and_not_the_statement(notifications: Notifications) -> None:
    notifications.create(message="{id}")
    notifications.query("UPDATE afil.setting SET value = '3' WHERE name = 'quota_per_minute'")
    notifications.query(ROWS + "(1, '346', 'x', 1), (2, '346', 'x', 1)")
    notifications.query(ROWS + "(3, '346', 'x', 1), (4, '346', 'x', 1), (5, NULL, 'x', 1)")
    assert [(r.message, r.error_code) for r in notifications.outbox()] == [
        ("1", None), ("2", None), ("3", None), ("4", "OVER_QUOTA"), ("5", "OVER_QUOTA"),
    ]  # fmt: skip
    assert len(notifications.query("SELECT 1 FROM dbo.purchase")) == 5


@pytest.mark.parametrize(
    "option", ["ANSI_WARNINGS OFF", "ANSI_PADDING OFF", "ARITHABORT OFF", "CONCAT_NULL_YIELDS_NULL OFF",
               "ANSI_NULLS OFF", "XACT_ABORT ON", "QUOTED_IDENTIFIER OFF", "NUMERIC_ROUNDABORT ON", "DATEFORMAT dmy"],
)  # fmt: skip
def test_set_options_of_an_old_client_break_nothing(notifications: Notifications, babelfish: bool, option: str) -> None:
    name, value = option.split()
    restore = {"OFF": "ON", "ON": "OFF", "dmy": "mdy"}[value]
    notifications.create(
        on="insert", when="ordered_at > '2026-03-20' AND state <> 'x'", message="{total:0.0} {note}", dedup="{id}"
    )
    try:
        notifications.query(f"SET {option}")
    except DriverError as e:
        pytest.skip(f"the engine has no SET {option}: {e}")
    try:
        notifications.query(
            "INSERT INTO dbo.purchase (id, phone, state, total, ordered_at) VALUES (1, '346', 'y', 2, '20260321')"
        )
    finally:
        notifications.query(f"SET {name} {restore}")
    assert notifications.failures() == []
    assert notifications.messages() == ["2.0 "]


CHECKED = "BEGIN TRANSACTION; {}; SELECT XACT_STATE() AS state; COMMIT TRANSACTION;"


@pytest.mark.parametrize("xact_abort", ["ON", "OFF"])
@pytest.mark.parametrize("cause", ["a constraint", "no setting"])
def test_an_error_inside_the_trigger_leaves_the_callers_transaction_alone(
    notifications: Notifications, babelfish: bool, cause: str, xact_abort: str
) -> None:
    if babelfish:
        pytest.skip("on Babelfish an error inside any trigger, even a caught one, dooms the transaction (3930)")
    run = notifications.query
    notifications.create()
    tries = run("SELECT value FROM afil.setting WHERE name = 'max_attempts'")[0][0]
    if cause == "a constraint":
        run("ALTER TABLE afil.outbox ADD CONSTRAINT ck_test_none CHECK (priority > 99)")
    else:
        run("UPDATE afil.setting SET name = 'max_attempts_away' WHERE name = 'max_attempts'")
    try:
        run(f"SET XACT_ABORT {xact_abort}")
        for id in (1, 2):  # the second within the minute
            state = run(CHECKED.format(ROWS + f"({id}, '346', 'x', 1)"))[0][0]
            assert state == 1
    finally:
        run("SET XACT_ABORT OFF")
        if cause == "a constraint":
            run("ALTER TABLE afil.outbox DROP CONSTRAINT ck_test_none")
        else:
            run("UPDATE afil.setting SET name = 'max_attempts' WHERE name = 'max_attempts_away'")
    assert run("SELECT value FROM afil.setting WHERE name = 'max_attempts'")[0][0] == tries
    assert [r.id for r in run("SELECT id FROM dbo.purchase ORDER BY id")] == [1, 2]
    assert notifications.outbox() == []
    failures = notifications.failures()
    assert len({*failures}) == len(failures) >= 1 and all(f.startswith("t: ") for f in failures)
    run(ROWS + "(3, '346', 'x', 1)")
    assert notifications.messages() == ["Purchase 3"]


# ---- what it refuses, before anything is made ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ({"name": None}, "@name must be 1 to 100 letters, digits and underscores"),
        ({"name": "a b"}, "@name must be"),
        ({"name": "x" * 101}, "@name must be"),
        ({"table": None}, "@table '' is not a table"),
        ({"table": "dbo.nope"}, "@table 'dbo.nope' is not a table of this database"),
        ({"table": "afil.outbox"}, "@table is one of afilsql's own"),
        ({"on": None}, "@on '' is not one of insert, update, delete"),
        ({"on": "insert, upsert"}, "@on 'upsert' is not one of"),
        ({"on": "insert,"}, "@on '' is not one of"),
        ({"on": "update", "columns": "state, nope"}, "@columns: 'nope' is not a column of the table"),
        ({"on": "update", "columns": ""}, "@columns: '' is not a column"),
        ({"columns": "state"}, "@columns says which columns an update must change, and @on has no update"),
        ({"columns": "x" * 3901}, "@columns is too long"),
        ({"when": "nope = 1"}, "@when: 'nope' is not a column"),
        ({"when": "x" * 3901}, "@when is too long"),
        ({"when": " "}, "@when ends too early"),
        ({"message": "{nope}"}, "@message: 'nope' is not a column of the table; its columns are id, phone"),
        ({"message": "{old.state}"}, "old. is the row before an update, and @on has no update"),
        ({"message": None}, "@message is missing"),
        ({"message": "x" * 100_001}, "@message is too long"),
        ({"platform": None}, "@platform is missing"),
        ({"platform": "sms"}, "@platform 'sms' is not one of webchat, whatsapp, telegram, operator"),
        ({"platformid": None}, "@platformid is missing"),
        ({"platformid": "{nope}"}, "@platformid: 'nope' is not a column"),
        ({"destination": " "}, "@destination is missing"),
        ({"destination": "{nope}"}, "@destination: 'nope' is not a column"),
        ({"destination": "x" * 3901}, "@destination, @fileurl and @dedup may have 3900 characters"),
        ({"dedup": "{nope}"}, "@dedup: 'nope' is not a column"),
        ({"fileurl": "{note}"}, "@type is missing"),
        ({"type": "image"}, "@fileurl is missing"),
        ({"type": "movie", "fileurl": "{note}"}, "@type 'movie' is not one of image"),
        ({"type": "image", "fileurl": "{nope}"}, "@fileurl: 'nope' is not a column"),
        ({"account": ""}, "@account must be the name of an account"),
        ({"account": "x" * 129}, "@account must be the name of an account"),
        ({"priority": 10}, "@priority 10 is not between 0"),
    ],
    ids=lambda v: " ".join(f"{k} {str(x)[:20]}" for k, x in v.items()) if isinstance(v, dict) else "",
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name_and_nothing_is_made(
    notifications: Notifications, bad: dict[str, object], fault: str
) -> None:
    with pytest.raises(DriverError) as refused:
        notifications.create(**bad)
    assert fault in str(refused.value) and "51001" in str(refused.value)
    assert notifications.query("SELECT 1 FROM afil.notification") == []
    assert notifications.query("SELECT 1 FROM sys.triggers WHERE parent_id = OBJECT_ID(N'dbo.purchase')") == []


def test_a_name_is_given_once(notifications: Notifications) -> None:
    notifications.create()
    with pytest.raises(DriverError, match=r"the notification 't' exists already.*51003"):
        notifications.create(message="other")
    assert notifications.query("SELECT message FROM afil.notification")[0][0] == "Purchase {id}"


def test_a_trigger_that_the_engine_refuses_leaves_no_definition(notifications: Notifications) -> None:
    notifications.query("CREATE TRIGGER dbo.afil_t ON dbo.purchase AFTER DELETE AS BEGIN SET NOCOUNT ON; END")
    with pytest.raises(DriverError, match=r"the engine refuses the trigger of 't': .*51006|already exists"):
        notifications.create()
    assert notifications.query("SELECT 1 FROM afil.notification") == []


def test_print_only_shows_the_trigger_and_makes_nothing(notifications: Notifications) -> None:
    shown = notifications.create(print_only=1)
    assert shown.startswith("CREATE TRIGGER [dbo].[afil_t] ON [dbo].[purchase]")
    assert notifications.query("SELECT 1 FROM afil.notification") == []
    assert notifications.query("SELECT 1 FROM sys.triggers WHERE name = N'afil_t'") == []
    assert notifications.create() == shown


# ---- injection: refused, or plain text -----------------------------------------------------------------------------

ATTACKS = [
    "'; DROP TABLE dbo.canary; --",
    "''; DROP TABLE dbo.canary; --",
    "]; DROP TABLE dbo.canary; --",
    "*/ DROP TABLE dbo.canary; /*",
    "x' + (SELECT TOP (1) name FROM dbo.canary) + '",
    "\r\nGO\r\nDROP TABLE dbo.canary;\r\nGO\r\n",
    "＇; DROP TABLE dbo.canary; --",
    "'\u0301; DROP TABLE dbo.canary; --",
    "@now @quoted_name %s %1 $(x) $1 \\' \\",
]


@pytest.fixture
def canary(notifications: Notifications) -> Any:
    """A table that every attack tries to drop."""
    notifications.query("DROP TABLE IF EXISTS dbo.canary; CREATE TABLE dbo.canary (name nvarchar(20))")
    notifications.query("INSERT INTO dbo.canary VALUES (N'secret')")
    yield notifications
    assert notifications.query("SELECT name FROM dbo.canary")[0][0] == "secret"
    notifications.query("DROP TABLE dbo.canary")


@pytest.mark.parametrize("parameter", ["name", "table", "on", "columns", "when", "platform", "type"])
def test_an_attack_through_a_name_or_a_condition_is_refused(canary: Notifications, parameter: str) -> None:
    given: dict[str, object] = {"on": "insert, update", "fileurl": "http://x.example" if parameter == "type" else None}
    good = {"name": "t", "table": "dbo.purchase", "on": "insert", "columns": "state", "when": "state = 'x'",
            "platform": "whatsapp", "type": "image"}[parameter]  # fmt: skip
    for attack in ATTACKS:
        for value in (attack, good + attack, f"[{attack}]", f'"{attack}"'):
            with pytest.raises(DriverError, match="51001"):
                canary.create(**(given | {parameter: value}))
    assert canary.query("SELECT 1 FROM afil.notification") == []


def test_odd_names_of_schemas_tables_and_columns_are_quoted(canary: Notifications, babelfish: bool) -> None:
    run = canary.query
    quote = "" if babelfish else "'"  # which Babelfish's QUOTENAME doubles
    column = f"x{quote} + {quote}y"
    table = f"[odd schema].[it{quote}s; DROP TABLE dbo.canary; --]"
    run(f"DROP TABLE IF EXISTS {table}")
    run("IF SCHEMA_ID(N'odd schema') IS NULL EXEC (N'CREATE SCHEMA [odd schema]')")
    run(f"CREATE TABLE {table} ([a; b] int PRIMARY KEY, [{column}] nvarchar(20), [c -- d] nvarchar(20))")
    try:
        canary.create(
            table=table, on="insert, update, delete", columns=f"c -- d, {column}", destination=column,
            when="[c -- d] <> 'z' AND old.[a; b] IS NULL", message=f"{{[a; b]}} {{[c -- d]}} {{old.[{column}]}}",
        )  # fmt: skip
        run(f"INSERT INTO {table} VALUES (1, N'346', N'c'), (2, N'346', N'z')")
        assert [(r.destination, r.message) for r in canary.outbox()] == [("346", "1 c ")]
        assert canary.state() == ("ok", None)
        run("EXEC afil.refresh_notification @name = N't'")
        run(f"INSERT INTO {table} VALUES (3, N'346', N'c')")
        run("EXEC afil.drop_notification @name = N't'")
        run(f"INSERT INTO {table} VALUES (4, N'346', N'c')")
        assert canary.messages() == ["1 c ", "3 c "]
    finally:
        run(f"DROP TABLE {table}")
        run("DROP SCHEMA [odd schema]")


MARKERS = (
    "{{source}} {{message expression}} %s inserted deleted new.[id] old.[state] new.[note] N'afil: no such column' "
    "r.fault m.place @left @now @mark"
)


@pytest.mark.parametrize("parameter", ["platformid", "destination", "message", "fileurl", "dedup", "account"])
def test_an_attack_through_a_text_stays_text(canary: Notifications, parameter: str) -> None:
    column = "dedup_key" if parameter == "dedup" else parameter
    for n, attack in enumerate(["\r\n".join(ATTACKS)[:90], *ATTACKS[:3], ATTACKS[6], ATTACKS[7], MARKERS[:99]]):
        # Numbered, for a collation may hold two of the keys for the same.
        value = {"fileurl": "https://x.example/", "dedup": f"{n} "}.get(parameter, "") + attack
        expected = value if parameter == "account" else value.replace("{{", "{").replace("}}", "}")
        canary.create(**({"destination": "346", "on": "insert", "message": "x", "type": "image", "fileurl": "http://x.example"}
                         | {parameter: value}))  # fmt: skip
        canary.query(f"INSERT INTO dbo.purchase (id) VALUES ({n})")
        canary.query("EXEC afil.drop_notification @name = N't'")
        assert canary.failures() == []
        row = canary.outbox()[-1]
        assert (row.status, getattr(row, column)) == ("queued", expected)


def test_the_values_of_a_row_are_never_read_as_templates_or_t_sql(canary: Notifications) -> None:
    canary.create(destination="{phone}", message="{note}", dedup="{id} {note}")
    canary.query("INSERT INTO dbo.purchase (id, phone, note) VALUES (-1, '@mark', N'@mark'), (-2, 'id', N'{id}')")
    assert [(r.message, r.destination) for r in canary.outbox()] == [("{id}", "id"), ("@mark", "@mark")]
    for n, attack in enumerate([*ATTACKS, "{id} {{ {old.id}", MARKERS]):
        canary.query("INSERT INTO dbo.purchase (id, phone, note) VALUES (?, ?, ?)", n, attack[:200], attack)
        row = canary.outbox()[-1]
        assert (row.message, row.destination, row.dedup_key) == (attack, attack[:200], f"{n} {attack}")
