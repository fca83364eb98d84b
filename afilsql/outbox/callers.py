"""A transaction of the caller's own, in which requests are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import sqlalchemy as sa

from afilsql.errors import InvalidParameter

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, scoped_session

    CallersConnection: TypeAlias = sa.Connection | Session | scoped_session[Session]


def connection_of(given: CallersConnection, backend: str) -> sa.Connection:
    """Return the connection of a caller's transaction.

    Args:
        given: A connection, or a session, of which it is the connection.
        backend: The kind of database it must be of: "sqlite" or "mssql".

    Raises:
        InvalidParameter: It is neither, or of another kind of database.
    """
    connection = given if isinstance(given, sa.Connection) else _of_session(given)
    if connection.dialect.name != backend:
        raise InvalidParameter(
            f"connection is one to a {connection.dialect.name} database and this outbox is in {backend}: give one to "
            "the database of the outbox, for only there can both commit together"
        )
    return connection


def _of_session(given: object) -> sa.Connection:
    from sqlalchemy.orm import Session, scoped_session

    if isinstance(given, Session | scoped_session):
        return given.connection()
    what = type(given)
    hint = "give one of these"
    if what.__module__.startswith("sqlalchemy.ext.asyncio"):
        hint = "write `await it.run_sync(lambda c: outbox.enqueue(request, connection=c))`"
    raise InvalidParameter(f"connection is of type {what.__name__}, not a SQLAlchemy Connection or Session: {hint}")
