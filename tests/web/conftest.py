"""A page for each test, and one browser for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from afilsql import deploy
from tests.web.site import Client, Page, served


@pytest.fixture(scope="session")
def empty_outbox(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated file to copy."""
    path = tmp_path_factory.mktemp("web") / "outbox.db"
    deploy.migrate(f"sqlite:///{path.as_posix()}")
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path, empty_outbox: bytes) -> Path:
    """A folder with an empty outbox."""
    (tmp_path / "outbox.db").write_bytes(empty_outbox)
    return tmp_path


@pytest.fixture
def page(folder: Path) -> Iterator[Page]:
    with served(folder) as page:
        yield page


@pytest.fixture
def client(page: Page) -> Client:
    """Nobody yet."""
    return Client(page)


@pytest.fixture
def ann(page: Page) -> Client:
    """An operator, signed in."""
    client = Client(page)
    assert client.sign_in("ann").status_code == 303
    return client


@pytest.fixture
def rob(page: Page) -> Client:
    """A reader, signed in."""
    client = Client(page)
    assert client.sign_in("rob").status_code == 303
    return client
