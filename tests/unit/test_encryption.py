"""Connections to SQL Server: what the driver is told about encryption, seen on the wire, and what is warned of."""

from __future__ import annotations

import socket
import threading
from urllib.parse import quote_plus

import pytest
import sqlalchemy as sa

from afilsql.errors import ConfigError, DatabaseError
from afilsql.outbox.encryption import weaknesses
from afilsql.outbox.engine import create_engine, find_driver, translated
from tests.patience import PATIENCE

pyodbc = pytest.importorskip("pyodbc", reason="no unixODBC here", exc_type=ImportError)

CANARY = "C4n4ry-;{=}"
#: What a client says in its first packet: no encryption but of the login, or encryption of everything.
LOGIN_ONLY, ALL = 0, 1


def wish(text: str) -> int:
    """Let the driver connect to a server of ours; return the byte of its first packet that asks for encryption.

    Args:
        text: A database URL with {port} in it.
    """
    first: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                first.append(connection.recv(4096))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        engine = create_engine(text.replace("{port}", str(listener.getsockname()[1])))
        with pytest.raises(DatabaseError), translated(), engine.connect():
            pass
        thread.join(PATIENCE)
        engine.dispose()
    return encryption_of(first[0])


def encryption_of(prelogin: bytes) -> int:
    """The option ENCRYPTION (token 1) of a PRELOGIN message, MS-TDS 2.2.6.5."""
    assert prelogin[0] == 0x12, "the first packet is PRELOGIN"
    body = prelogin[8:]
    options = {body[n]: int.from_bytes(body[n + 1 : n + 3], "big") for n in range(0, body.index(0xFF), 5)}
    return body[options[1]]


def connection_string(more: str = "") -> str:
    password = "{" + CANARY.replace("}", "}}") + "}"
    driver = find_driver(pyodbc.drivers())
    text = f"DRIVER={{{driver}}};SERVER=127.0.0.1,{{port}};UID=sa;PWD={password};DATABASE=db;{more}"
    return "mssql+pyodbc:///?odbc_connect=" + quote_plus(text, safe="{}")


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("mssql+pyodbc://sa:pw@127.0.0.1:{port}/db", ALL),
        ("mssql+pyodbc://sa:pw@127.0.0.1:{port}/db?TrustServerCertificate=yes", ALL),
        ("mssql+pyodbc://sa:pw@127.0.0.1:{port}/db?Encrypt=no", LOGIN_ONLY),
        ("mssql+pyodbc://sa:pw@127.0.0.1:{port}/db?encrypt=no", LOGIN_ONLY),
        (connection_string(), ALL),
        (connection_string("APP={Encrypt=no};"), ALL),
        (connection_string("encrypt =no; Encrypt=no;"), ALL),
        (connection_string("encrypt=no;"), LOGIN_ONLY),
        (connection_string("Encrypt={no}"), LOGIN_ONLY),
    ],
)
def test_what_goes_to_sql_server_is_encrypted_unless_the_url_says_no(url: str, asked: int) -> None:
    assert wish(url) == asked


@pytest.mark.parametrize("driver", ["ODBC Driver 17 for SQL Server", "ODBC Driver 18 for SQL Server"])
def test_every_driver_is_told_to_encrypt_for_17_would_not_by_itself(driver: str) -> None:
    given = create_engine(f"mssql+pyodbc://sa:pw@db/d?driver={quote_plus(driver)}")
    assert given.url.query["Encrypt"] == "yes"


def remote(more: str) -> list[str]:
    by_url = weaknesses(f"mssql+pyodbc://sa:pw@db.example.com:1433/d?{more}")
    text = f"SERVER=tcp:db.example.com,1433;PWD=x;{more.replace('&', ';')}"
    assert weaknesses("mssql+pyodbc:///?odbc_connect=" + quote_plus(text)) == by_url
    return by_url


@pytest.mark.parametrize("value", ["no", "optional", "False"])
def test_an_unencrypted_connection_to_another_machine_is_warned_of(value: str) -> None:
    (said,) = remote(f"Encrypt={value}")
    assert f"Encrypt={value.lower()}" in said
    assert "db.example.com" in said


def test_a_certificate_taken_on_trust_from_another_machine_is_warned_of() -> None:
    (said,) = remote("TrustServerCertificate=yes")
    assert "pose as the server" in said
    assert remote("TrustServerCertificate=no") == remote("") == remote("Encrypt=yes&App=TrustServerCertificate") == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3", "[::1]"])
def test_nothing_is_warned_of_on_this_machine(host: str) -> None:
    assert weaknesses(f"mssql+pyodbc://sa:pw@{host}:1433/d?Encrypt=no&TrustServerCertificate=yes") == []


@pytest.mark.parametrize("server", [".", "(local)\\SQL", "tcp:127.0.0.1,1433", "localhost\\EXPRESS"])
def test_nothing_is_warned_of_a_connection_string_to_this_machine(server: str) -> None:
    assert weaknesses("mssql+pyodbc:///?odbc_connect=" + quote_plus(f"Server={server};Encrypt=no")) == []


def test_no_engine_shows_its_password() -> None:
    plain = sa.URL.create("mssql+pyodbc", "sa", CANARY, "127.0.0.1", 1, "d").render_as_string(hide_password=False)
    for url in (plain, connection_string().replace("{port}", "1"), f"mssql+pyodbc://h/d?PWD={quote_plus(CANARY)}"):
        engine = create_engine(url)
        assert CANARY not in repr(engine) + repr(engine.url) + engine.url.render_as_string(hide_password=False)
        assert quote_plus(CANARY) not in engine.url.render_as_string(hide_password=False)


@pytest.mark.parametrize("url", ["mssql+pyodbc://sa:{0}@h:{0}/d", "{0}", "postgresql://sa:{0}@h/d", "mssql+{0}://h/d"])
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_engine(url.format("C4n4ry"))
    assert "C4n4ry" not in str(caught.value) or url.startswith("mssql+{")
    assert weaknesses(url.format("C4n4ry")) == []
