"""What metrics say of the queue's depth and of accounts; on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from afilsql.outbox.records import Limit
from afilsql.watching.depth import Depth, DepthReader
from tests.contract.conftest import Engine


@pytest.fixture
def read(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Callable[[], Depth]]:
    """Read the depth of the engine's database anew."""
    sqlite = request.node.callspec.params["engine"] == "sqlite"
    path = request.getfixturevalue("tmp_path") / "outbox.db"
    reader = DepthReader(f"sqlite:///{path.as_posix()}" if sqlite else request.getfixturevalue("tsql_url"))
    yield reader.read
    reader.close()


def items(depth: Depth) -> dict[tuple[str, str], int]:
    return {(w.account, w.state): w.items for w in depth.waiting}


def test_an_empty_queue_has_no_depth(read: Callable[[], Depth]) -> None:
    assert read() == Depth((), ())


def test_each_account_is_told_by_state(engine: Engine, read: Callable[[], Depth]) -> None:
    for n in range(3):
        engine.send(str(n), account="shop")
    engine.send("9", account="news", send_at=engine.now().replace(year=engine.now().year + 1))
    (claim,) = engine.take(1)
    assert items(read()) == {("shop", "queued"): 2, ("shop", "sending"): 1, ("news", "scheduled"): 1}
    engine.hand_in(claim, "uncertain", unknown=True, look_in=600.0)
    assert items(read())["shop", "reading_back"] == 1
    (other,) = engine.take(1)
    engine.hand_in(other, "uncertain", unknown=True)
    assert items(read()) == {
        ("shop", "queued"): 1,
        ("shop", "reading_back"): 1,
        ("shop", "uncertain"): 1,
        ("news", "scheduled"): 1,
    }


def test_what_is_finished_is_not_told(engine: Engine, read: Callable[[], Depth]) -> None:
    for kind in ("sent", "failed"):
        engine.send(kind)
        (claim,) = engine.take()
        engine.hand_in(claim, kind)
    assert read().waiting == ()


def test_the_age_is_that_of_the_oldest_that_is_due(engine: Engine, read: Callable[[], Depth]) -> None:
    engine.send("1")
    engine.later(2.2)
    engine.send("2")
    (queued,) = read().waiting
    assert queued.oldest_seconds is not None
    # SQL Server counts boundaries of seconds; where the clock is the test's, the reader's own has not moved.
    assert 0 <= queued.oldest_seconds < 60


def test_accounts_are_open_held_tripped_or_resting(engine: Engine, read: Callable[[], Depth]) -> None:
    for account in ("a", "b", "c"):
        engine.send("1", account=account)
    engine.outbox.hold_account("a", "by hand")
    engine.outbox.exchange("w", limits=[Limit("b", tripped=True)])
    (claim,) = [c for c in engine.take() if c.account == "c"]
    engine.hand_in(claim, "retry", error_code="HTTP_429", http_status=429, retry_in=500.0)
    states = dict(read().accounts)
    assert (states["a"], states["b"], states["c"]) == ("held", "breaker_open", "resting")
    engine.outbox.release_account("a")
    assert dict(read().accounts)["a"] == "open"
