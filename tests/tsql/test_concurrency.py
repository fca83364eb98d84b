"""Many sessions at once: who waits for whom, who must not, and what is left when all of them are done.

Babelfish keeps versions of rows and ignores hints, so there these tests prove the procedures' own order of things; on
SQL Server they prove READPAST, row versioning on and off, lock escalation and deadlocks as well.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from afilsql import deploy
from afilsql.errors import DatabaseError
from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from afilsql.outbox.records import Claim, Result
from tests import engines
from tests.emptying import empty
from tests.patience import PATIENCE
from tests.tsql.conftest import DriverError

pytestmark = pytest.mark.tsql

STORM_SECONDS = 5
LEVELS = ["READ COMMITTED", "SNAPSHOT", "SERIALIZABLE"]


class Session:
    """One connection, in autocommit."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def run(self, sql: str, *values: object) -> list[Any]:
        """Execute and return the rows of the last result set."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            rows: list[Any] = []
            while True:
                if cursor.description:
                    rows = cursor.fetchall()
                if not cursor.nextset():
                    return rows

    def send(self, destination: str, text: str = "hi", **options: object) -> int:
        more = "".join(f", @{name} = ?" for name in options)
        sql = (
            "SET NOCOUNT ON; DECLARE @id bigint; EXEC afil.send_message @platform = N'whatsapp', @platformid = N'100', "
            f"@destination = ?, @message = ?, @id = @id OUTPUT{more}; SELECT @id;"
        )
        return int(self.run(sql, destination, text, *options.values())[0][0])

    def send_many(self, count: int, destination: Callable[[int], str], **options: object) -> list[int]:
        made = [
            {"platform": "whatsapp", "platformid": "100", "destination": destination(n), "message": "hi", **options}
            for n in range(count)
        ]
        return [r.id for r in self.run("EXEC afil.send_messages @messages = ?", json.dumps(made))]


@pytest.fixture(scope="module")
def babelfish(tsql_url: str) -> bool:
    engine = create_engine(tsql_url)
    with engine.connect() as connection:
        found = deploy.is_babelfish(connection)
    engine.dispose()
    return found


@pytest.fixture(scope="module", params=["locking", "row versioning"])
def url(request: pytest.FixtureRequest, tsql_server: str, tsql_url: str, babelfish: bool) -> Iterator[str]:
    """A database with READ_COMMITTED_SNAPSHOT off, and one with it on; both let callers use SNAPSHOT."""
    if babelfish:
        if request.param == "row versioning":
            pytest.skip(
                "Babelfish always keeps versions of rows: READ_COMMITTED_SNAPSHOT can only be set on SQL Server"
            )
        yield tsql_url
        return
    with engines.database(tsql_server) as made:
        deploy.migrate(made)
        engine = create_engine(made, autocommit=True)
        with engine.connect() as connection:
            versioning = "ON" if request.param == "row versioning" else "OFF"
            connection.exec_driver_sql("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON")
            connection.exec_driver_sql(
                f"ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT {versioning} WITH ROLLBACK IMMEDIATE"
            )
        engine.dispose()
        yield made


@pytest.fixture
def connect(url: str) -> Iterator[Callable[[], Session]]:
    """Open sessions of one's own, on a database whose tables are empty and whose quota is off."""
    engine = create_engine(url, autocommit=True)
    opened: list[Any] = []

    def session() -> Session:
        raw = engine.raw_connection()
        opened.append(raw)
        found = Session(raw.driver_connection)
        found.run(f"SET LOCK_TIMEOUT {PATIENCE * 1000:.0f}")  # who waits for longer gets an error (1222)
        return found

    first = session()
    empty(opened[0].cursor())
    first.run("UPDATE afil.setting SET value = N'0' WHERE name = 'quota_per_minute'")
    yield session
    for raw in opened:
        raw.invalidate()  # its open transaction, its isolation level
    engine.dispose()


def results(rows: list[Any], kind: str = "sent") -> str:
    """What a worker hands in for the rows of an exchange."""
    return json.dumps(
        [
            {"n": n, "id": r.id, "lease_id": str(r.lease_id), "attempt": r.attempts, "kind": kind, "duration_ms": 1}
            | {"started_at": "2026-01-31T10:11:12.000", "error_code": "X" if kind == "failed" else None}
            for n, r in enumerate(rows)
        ]
    )


EXCHANGE = "EXEC afil.exchange @worker = N'w', @take = ?, @results = ?"


@pytest.mark.parametrize("level", LEVELS)
def test_an_open_enqueue_is_neither_waited_for_nor_taken(
    connect: Callable[[], Session], babelfish: bool, level: str
) -> None:
    if babelfish and level == "SERIALIZABLE":
        pytest.skip("Babelfish takes SERIALIZABLE only when its server is set up for PostgreSQL's kind of it")
    caller, worker = connect(), connect()
    before = worker.send("same conversation")
    caller.run(f"SET TRANSACTION ISOLATION LEVEL {level}")
    caller.run("BEGIN TRANSACTION")
    held = [caller.send("same conversation"), caller.send("its own", dedup_key="a")]
    held += caller.send_many(3, lambda n: f"many {n}")
    after = worker.send("other")

    taken = worker.run(EXCHANGE, 500, None)
    assert sorted(r.id for r in taken) == [before, after]
    assert worker.run(EXCHANGE, 500, results(taken[:1])) == []
    worker.run(EXCHANGE, 0, results(taken[1:], "failed"))
    # nor do operators wait for it
    worker.run("EXEC afil.cancel @account = N'default'")
    worker.run("EXEC afil.requeue @error_code = N'X'")
    worker.run("EXEC afil.purge @status = 'sent', @older_than_days = 0")
    worker.run("EXEC afil.pause")
    worker.run("EXEC afil.resume")
    again = worker.run(EXCHANGE, 500, None)
    assert {r.id for r in again}.isdisjoint(held)

    caller.run("COMMIT TRANSACTION")
    taken = worker.run(EXCHANGE, 500, results(again))
    assert sorted(r.id for r in taken) == sorted(held)
    worker.run(EXCHANGE, 0, results(taken))
    assert worker.run("SELECT COUNT(*) FROM afil.all_items WHERE status = 'sent'")[0][0] == 6

    # what is rolled back was never there, and its key is free
    caller.run("BEGIN TRANSACTION")
    caller.send("1", dedup_key="b")
    caller.send_many(2, str)
    caller.run("ROLLBACK TRANSACTION")
    kept = caller.send("1", dedup_key="b")
    assert caller.send("1", dedup_key="b") == kept
    assert [r.id for r in worker.run(EXCHANGE, 500, None)] == [kept]


def test_two_sessions_with_one_key_write_one_request(connect: Callable[[], Session], babelfish: bool) -> None:
    if babelfish:
        pytest.skip("Babelfish ignores UPDLOCK and HOLDLOCK, by which the second session waits for the first")
    sessions = [connect() for _ in range(4)]
    found: list[int] = []

    def send(session: Session) -> None:
        for key in range(50):
            found.append(session.send("1", dedup_key=str(key)))

    threads = [threading.Thread(target=send, args=(s,), daemon=True) for s in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == 4 * 50
    assert len(set(found)) == 50


def test_an_exchange_and_the_operators_batches_escalate_no_locks(
    connect: Callable[[], Session], babelfish: bool
) -> None:
    if babelfish:
        pytest.skip("lock escalation is SQL Server's: Babelfish has neither it nor its counters")
    session = connect()
    for part in range(4):
        session.send_many(500, lambda n, part=part: f"{part}-{n}")  # type: ignore[misc]
    before = escalations(session)
    taken = session.run(EXCHANGE, 500, None)
    assert len(taken) == 500
    taken = session.run(EXCHANGE, 500, results(taken))
    assert len(session.run(EXCHANGE, 500, results(taken, "failed"))) == 500
    assert session.run("EXEC afil.cancel @account = N'default'")[0][0] == 500
    assert session.run("EXEC afil.requeue @error_code = N'X'")[0][0] == 500
    assert session.run("EXEC afil.purge @status = 'sent', @older_than_days = 0")[0][0] == 500
    assert session.run("EXEC afil.purge @status = 'cancelled', @older_than_days = 0")[0][0] == 500
    assert escalations(session) == before


def escalations(session: Session) -> int:
    """How often locks of the schema's tables became table locks, since the tables were first used."""
    return int(
        session.run(
            "SELECT COALESCE(SUM(s.index_lock_promotion_count), 0) "
            "FROM sys.dm_db_index_operational_stats(DB_ID(), NULL, NULL, NULL) AS s "
            "INNER JOIN sys.tables AS t ON t.object_id = s.object_id WHERE t.schema_id = SCHEMA_ID(N'afil');"
        )[0][0]
    )


class Storm:
    """What the threads of the storm share."""

    def __init__(self, babelfish: bool) -> None:
        self.babelfish = babelfish
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self.enqueued: list[int] = []
        self.purged = 0
        self.in_flight: dict[str, int] = {}
        self.twice: list[str] = []

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Count it when it succeeds; another session's ten seconds (51010) are the only error it may end with."""
        try:
            yield
        except (DriverError, DatabaseError) as e:
            if not re.search(r"51010|has held the queue for ten seconds", str(e)):
                self.errors.append(f"{what}: {e}")
        else:
            self.done[what] += 1

    def took(self, claims: list[Claim]) -> None:
        with self.lock:
            for claim in claims:
                conversation = f"{claim.account} {claim.parameters['destination']}"
                if conversation in self.in_flight:
                    self.twice.append(f"{conversation}: {self.in_flight[conversation]} and {claim.id}")
                self.in_flight[conversation] = claim.id

    def let_go(self, claims: list[Claim]) -> None:
        with self.lock:
            for claim in claims:
                self.in_flight.pop(f"{claim.account} {claim.parameters['destination']}", None)


def enqueue(storm: Storm, session: Session, dice: random.Random) -> None:
    def options() -> dict[str, object]:
        return {"account": dice.choice(["default", "second"]), "priority": dice.randrange(10)}

    def where() -> str:
        return str(dice.randrange(40))

    while not storm.over.is_set():
        match dice.randrange(3):
            case 0:
                with storm.doing("send_message"):
                    # Babelfish ignores the hint by which the second with a key waits for the first
                    key = {} if storm.babelfish else {"dedup_key": str(dice.randrange(50))}
                    storm.enqueued.append(session.send(where(), **options(), **key))
            case 1:
                with storm.doing("send_messages"):
                    found = session.send_many(dice.randrange(1, 8), lambda _: where(), **options())
                    storm.enqueued.extend(found)
            case 2:
                with storm.doing("in a transaction"):
                    session.run("BEGIN TRANSACTION")
                    try:
                        found = [session.send(where(), **options()) for _ in range(2)]
                        time.sleep(dice.random() / 50)
                    except DriverError:
                        session.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
                        raise
                    if dice.random() < 0.3:
                        session.run("ROLLBACK TRANSACTION")
                    else:
                        session.run("COMMIT TRANSACTION")
                        storm.enqueued.extend(found)
        time.sleep(dice.random() / 10)


def work(storm: Storm, url: str, name: str, dice: random.Random) -> None:
    kinds = ["sent"] * 6 + ["retry", "failed", "uncertain", "release"]
    claims: list[Claim] = []
    with open_outbox(url) as outbox:
        while (claims or not storm.over.is_set()) and not storm.errors:
            handed = [
                Result(c.id, c.lease_id, c.attempt, dice.choice(kinds), datetime.now(UTC), body="{}", retry_in=0.05)  # type: ignore[arg-type]
                for c in claims
            ]
            storm.let_go(claims)
            with storm.doing("exchange"):
                take = 0 if storm.over.is_set() else dice.randrange(1, 20)
                answer = outbox.exchange(name, results=handed, take=take)
                claims = list(answer.claims)
                if answer.lost:
                    storm.errors.append(f"lost leases of {answer.lost}")
            storm.took(claims)
            time.sleep(dice.random() / 50)


def operate(storm: Storm, session: Session, dice: random.Random, what: list[str]) -> None:
    def ids() -> str:
        return json.dumps(dice.choices(storm.enqueued, k=30) if storm.enqueued else [])

    while not storm.over.is_set():
        doing = dice.choice(what)
        with storm.doing(doing):
            match doing:
                case "requeue":
                    session.run("EXEC afil.requeue @ids = ?", ids())
                case "cancel":
                    session.run("EXEC afil.cancel @ids = ?", ids())
                case "cancel account":
                    session.run("EXEC afil.cancel @account = N'second'")
                case "purge":
                    status = dice.choice(["sent", "sent", "failed", "cancelled"])
                    storm.purged += session.run("EXEC afil.purge @status = ?, @older_than_days = 0", status)[0][0]
                case "pause":
                    session.run("EXEC afil.pause")
                    time.sleep(0.05)
                    session.run("EXEC afil.resume")
                case "pause account":
                    session.run("EXEC afil.pause @account = N'second'")
                    time.sleep(0.05)
                    session.run("EXEC afil.resume @account = N'second'")
        time.sleep(dice.random() / 20)


def watch(storm: Storm, session: Session) -> None:
    if not storm.babelfish:  # one moment's view; Babelfish's statements have it always
        session.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
    while not storm.over.is_set():
        with storm.doing("watch"):
            found = session.run(
                "SELECT conversation, COUNT(*) AS n FROM afil.outbox WHERE status = 'sending' "
                "GROUP BY conversation HAVING COUNT(*) > 1"
            )
            storm.twice += [f"{r.conversation}: {r.n} sending" for r in found]
        time.sleep(0.03)


#: Rows whose columns contradict each other.
CROOKED = """
SELECT id, status, turn FROM afil.outbox WHERE NOT (
    (status = 'queued' AND turn IN (0, 1, 2, 3) AND lease_id IS NULL AND completed_at IS NULL)
    OR (status = 'sending' AND turn = 1 AND lease_id IS NOT NULL AND lease_until IS NOT NULL AND completed_at IS NULL)
    OR (status = 'scheduled' AND COALESCE(turn, 1) = 1 AND lease_id IS NULL AND completed_at IS NULL)
    OR (status IN ('sent', 'failed', 'uncertain', 'cancelled')
        AND turn IS NULL AND lease_id IS NULL AND completed_at IS NOT NULL)
)
"""


@pytest.mark.parametrize("seed", [1])
def test_a_storm_of_every_procedure_deadlocks_nothing_and_loses_nothing(
    url: str, connect: Callable[[], Session], babelfish: bool, seed: int
) -> None:
    storm = Storm(babelfish)

    def dice(n: int) -> random.Random:
        return random.Random(f"{seed}-{n}")

    jobs: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (enqueue, (storm, connect(), dice(1))),
        (enqueue, (storm, connect(), dice(2))),
        (work, (storm, url, "one", dice(3))),
        (work, (storm, url, "two", dice(4))),
        (operate, (storm, connect(), dice(5), ["requeue", "cancel", "cancel account"])),
        (operate, (storm, connect(), dice(6), ["purge", "requeue", "pause", "pause account"])),
        (watch, (storm, connect())),
    ]

    def run(job: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            job(*arguments)
        except Exception as e:
            storm.errors.append(f"{job.__name__}: {e!r}")

    kinds = ("send_message", "send_messages", "exchange", "requeue", "cancel", "purge", "pause", "pause account")
    threads = [threading.Thread(target=run, args=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    while (passed := time.monotonic() - began) < STORM_SECONDS or (
        passed < PATIENCE and not all(storm.done[what] for what in kinds)
    ):
        time.sleep(0.1)
    storm.over.set()
    for thread in threads:
        thread.join(PATIENCE)

    assert storm.errors == []
    assert storm.twice == []
    assert not any(t.is_alive() for t in threads)
    for what in kinds:
        assert storm.done[what], f"{what} never succeeded: {storm.done}"

    session = connect()
    assert session.run(CROOKED) == []
    assert (
        session.run("SELECT conversation FROM afil.outbox WHERE turn = 1 GROUP BY conversation HAVING COUNT(*) > 1")
        == []
    )
    assert session.run("SELECT COUNT(*) FROM afil.outbox")[0][0] + storm.purged == len(set(storm.enqueued))

    # and nobody is left behind: what still waits is delivered
    session.run("EXEC afil.resume")
    session.run("EXEC afil.release_account @account = N'second'")
    give_up = time.monotonic() + PATIENCE
    taken: list[Any] = []
    while time.monotonic() < give_up:
        taken = session.run(EXCHANGE, 500, results(taken))
        waiting = session.run("SELECT COUNT(*) FROM afil.outbox WHERE status IN ('queued', 'scheduled', 'sending')")
        if not waiting[0][0]:
            break
    assert waiting[0][0] == 0
