"""The four roles: somebody of each logs in, and may do what the headers of sql/ grant and nothing else.

Babelfish 4.3 checks the rights of whoever calls at everything a procedure or a function touches; ownership chains hold
through its views only (later versions have them everywhere). What such an engine can show of a granted procedure is
that it is entered: it is then refused at a table inside, never at its own name. On an engine with chains the same tests
ask for more: the example in the header runs to its end.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from afilsql.outbox.engine import create_engine
from afilsql.sqlfiles import KINDS, SqlObject, sql_objects
from tests.tsql.conftest import DriverError
from tests.tsql.rows import add
from tests.tsql.test_examples import ROW_12

pytestmark = pytest.mark.tsql

ROLES = ("afil_sender", "afil_reader", "afil_worker", "afil_operator")
NO_ROLE = "no_role"
OBJECTS = [o for o in sql_objects() if not o.requires_sqlserver]
FUNCTIONS = {o.name for o in OBJECTS if o.kind == "functions"}
DENIED = r"permission (was )?denied"


@pytest.fixture(scope="module")
def people(session: Any, tsql_url: str) -> Iterator[dict[str, Any]]:
    """A connection of somebody in each role, and of one in none; their logins are called after the roles."""
    tag, password = secrets.token_hex(4), "Aa1!" + secrets.token_hex(12)
    cursor = session.cursor()
    connections: dict[str, Any] = {}
    raws: list[Any] = []
    try:
        for role in (*ROLES, NO_ROLE):
            login = f"{role}_{tag}"
            cursor.execute(f"CREATE LOGIN {login} WITH PASSWORD = '{password}'")
            cursor.execute(f"CREATE USER {login} FOR LOGIN {login}")
            if role != NO_ROLE:
                cursor.execute(f"ALTER ROLE {role} ADD MEMBER {login}")
            url = sa.make_url(tsql_url).set(username=login, password=password)
            engine = create_engine(url.render_as_string(hide_password=False), autocommit=True)
            raw = engine.raw_connection()
            raws.append((engine, raw))
            connections[role] = raw.driver_connection
        yield connections
    finally:
        for engine, raw in raws:
            raw.close()
            engine.dispose()
        for role in (*ROLES, NO_ROLE):
            cursor.execute(f"DROP USER IF EXISTS {role}_{tag}")
            _drop_login(cursor, f"{role}_{tag}")


def _drop_login(cursor: Any, login: str) -> None:
    """Drop a login; its session, closed already, may be there for a moment longer."""
    give_up = time.monotonic() + 15
    while True:
        try:
            cursor.execute(f"IF SUSER_ID(N'{login}') IS NOT NULL DROP LOGIN {login}")
            return
        except DriverError as e:
            if "logged in" not in str(e) or time.monotonic() > give_up:
                raise
            time.sleep(0.1)


def attempt(connection: Any, sql: str) -> str | None:
    """Run T-SQL to its end; the error's text, or None."""
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        while cursor.nextset():
            pass
    except DriverError as e:
        return str(e)
    finally:
        connection.cursor().execute("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
    return None


@pytest.fixture(scope="module")
def chained(people: dict[str, Any], session: Any) -> Iterator[bool]:
    """Whether a procedure may touch its owner's table on behalf of whoever may call it."""
    cursor = session.cursor()
    cursor.execute("CREATE PROCEDURE afil.chain_probe AS SELECT COUNT(*) FROM afil.setting")
    cursor.execute("GRANT EXECUTE ON afil.chain_probe TO afil_sender")
    try:
        yield attempt(people["afil_sender"], "EXEC afil.chain_probe") is None
    finally:
        cursor.execute("DROP PROCEDURE afil.chain_probe")


def refused_at(error: str | None, obj: SqlObject) -> bool:
    """Whether the error says that this very object may not be used."""
    return error is not None and bool(
        re.search(rf"{DENIED} (for \w+ {obj.name}\b|on the object '{obj.name}')", error, re.IGNORECASE)
    )


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda o: f"{KINDS[o.kind].lower()} {o.name}")
@pytest.mark.parametrize("role", [*ROLES, NO_ROLE])
def test_a_role_may_use_what_the_header_grants_and_nothing_else(
    people: dict[str, Any], chained: bool, query: Any, role: str, obj: SqlObject
) -> None:
    if role not in obj.roles:
        assert refused_at(attempt(people[role], obj.example), obj)
        return
    query(ROW_12)
    error = attempt(people[role], obj.example)
    assert not refused_at(error, obj)
    if chained or (obj.kind == "views" and not obj.uses & FUNCTIONS):
        # Notifications need rights on the caller's own table besides.
        assert error is None or obj.name.endswith("_notification"), error


@pytest.mark.parametrize("role", [*ROLES, NO_ROLE])
def test_no_role_reaches_a_table_past_the_procedures(people: dict[str, Any], query: Any, role: str) -> None:
    columns = {
        r[0]: r[1]
        for r in query(
            "SELECT t.name, MAX(c.name) FROM sys.tables AS t JOIN sys.columns AS c ON c.object_id = t.object_id "
            "WHERE t.schema_id = SCHEMA_ID(N'afil') AND c.is_identity = 0 GROUP BY t.name"
        )
    }
    assert {"outbox", "response", "setting", "notification", "sql_object"} <= columns.keys()
    for table, column in columns.items():
        for sql in (
            f"SELECT COUNT(*) FROM afil.{table}",
            f"INSERT INTO afil.{table} ([{column}]) SELECT NULL WHERE 1 = 0",
            f"UPDATE afil.{table} SET [{column}] = [{column}] WHERE 1 = 0",
            f"DELETE FROM afil.{table} WHERE 1 = 0",
        ):
            error = attempt(people[role], sql)
            assert error is not None and re.search(DENIED, error), sql


@pytest.mark.parametrize("role", [*ROLES, NO_ROLE])
def test_no_role_changes_the_schema_its_rights_or_itself(people: dict[str, Any], query: Any, role: str) -> None:
    def state() -> list[tuple[object, ...]]:
        objects = query("SELECT name, type FROM sys.objects WHERE schema_id = SCHEMA_ID(N'afil') ORDER BY name")
        members = query("SELECT role_principal_id, member_principal_id FROM sys.database_role_members ORDER BY 1, 2")
        return [tuple(r) for r in (*objects, *members)]

    before = state()
    login = people[role].cursor().execute("SELECT SUSER_SNAME()").fetchone()[0]
    for sql in (
        "CREATE TABLE afil.mine (id int)",
        "CREATE PROCEDURE afil.mine AS SELECT 1",
        "DROP VIEW afil.my_items",
        "DROP PROCEDURE afil.send_message",
        f"ALTER ROLE afil_operator ADD MEMBER {login}",
    ):
        assert attempt(people[role], sql) is not None, sql
    attempt(people[role], f"GRANT SELECT ON afil.outbox TO {login}")  # Babelfish only warns of granting nothing
    assert re.search(DENIED, attempt(people[role], "SELECT COUNT(*) FROM afil.outbox") or "")
    assert state() == before


def test_a_sender_sees_their_own_items_and_no_others(people: dict[str, Any], query: Any) -> None:
    connection = people["afil_sender"]
    login = connection.cursor().execute("SELECT SUSER_SNAME()").fetchone()[0]
    mine = add(query, created_by=login)
    add(query, created_by="somebody else")
    query("EXEC afil.get_chat_channels")
    rows = connection.cursor().execute("SELECT id, created_by FROM afil.my_items").fetchall()
    assert [tuple(r) for r in rows] == [(mine, login)]
    assert len(people["afil_reader"].cursor().execute("SELECT id FROM afil.all_items").fetchall()) == 3


def test_a_request_bears_the_name_of_the_sender_who_called(people: dict[str, Any], chained: bool, query: Any) -> None:
    if not chained:
        pytest.skip("Babelfish has no ownership chains in procedures")
    connection = people["afil_sender"]
    assert attempt(connection, "EXEC afil.get_chat_channels") is None
    login = connection.cursor().execute("SELECT SUSER_SNAME()").fetchone()[0]
    assert [r[0] for r in query("SELECT created_by FROM afil.all_items")] == [login]


#: What the headers of sql/ give the worker, told here once more so that neither list can grow alone.
OF_THE_WORKER = {"exchange", "receive", "release", "apply_retention", "announce", "help"}


def test_the_worker_is_refused_every_object_of_the_schema_but_its_own(people: dict[str, Any], query: Any) -> None:
    examples = {o.name: o.example for o in OBJECTS}
    assert {o.name for o in OBJECTS if "afil_worker" in o.roles} == OF_THE_WORKER
    found = query(
        "SELECT name, RTRIM(type) AS type FROM sys.objects "
        "WHERE schema_id = SCHEMA_ID(N'afil') AND RTRIM(type) IN ('U', 'V', 'P', 'IF', 'TF', 'FN', 'SN')"
    )
    found = [o for o in found if o.name != "chain_probe"]  # of the fixture `chained`
    names = {o.name for o in found}
    assert examples.keys() <= names, "the server lists what sql/ holds"
    assert {o.name for o in found if o.type not in ("U", "V")} <= examples.keys(), "nothing is there that sql/ lacks"
    for name, kind in found:
        if name in OF_THE_WORKER:
            continue
        sql = f"SELECT TOP (1) * FROM afil.[{name}]" if kind in ("U", "V") else examples[name]
        error = attempt(people["afil_worker"], sql) or ""
        denied = rf"{DENIED} (for \w+ {name}\b|on the object '{name}')"
        assert re.search(denied, error, re.IGNORECASE), f"{kind} {name}: {error or 'it may be used'}"


def test_the_worker_does_its_whole_work_with_its_role_alone(
    people: dict[str, Any], chained: bool, query: Any, tsql_url: str
) -> None:
    if not chained:
        pytest.skip("Babelfish has no ownership chains in procedures")
    query("EXEC afil.get_chat_channels")
    connection = people["afil_worker"]
    for obj in (o for o in OBJECTS if o.name in OF_THE_WORKER):
        assert attempt(connection, obj.example) is None, obj.name
