"""The tables, as SQLAlchemy Core: what migrations/ builds and what the embedded outbox queries.

On SQL Server they live in the schema `afil`; SQLite has no schemas, so there the same tables carry
the prefix-less names. Times are UTC.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mssql

from afilsql.outbox.engine import SCHEMA as SCHEMA

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = sa.MetaData(schema=SCHEMA, naming_convention=NAMING)

#: AUTOINCREMENT in SQLite works for INTEGER only; everywhere else ids are bigint.
BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Time = sa.DateTime().with_variant(mssql.DATETIME2(3), "mssql")  # type: ignore[no-untyped-call]
Name = sa.String(128)  # an identifier of ours: account, worker, code
Text = sa.Unicode()  # nvarchar(max)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", BigId, sa.Identity(), primary_key=True),
    sa.Column("request_id", sa.Uuid, nullable=False),
    sa.Column("account", sa.Unicode(128), nullable=False),
    sa.Column("method", sa.String(20), nullable=False),
    sa.Column("platform", sa.String(20)),
    sa.Column("platformid", sa.Unicode(100)),
    sa.Column("destination", sa.Unicode(200)),
    sa.Column("message", Text),
    sa.Column("type", sa.String(20)),
    sa.Column("fileurl", sa.Unicode(2000)),
    sa.Column("thumburl", sa.Unicode(2000)),
    sa.Column("priority", sa.SmallInteger().with_variant(mssql.TINYINT, "mssql"), nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("due_at", Time, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("lease_id", sa.Uuid),
    sa.Column("lease_until", Time),
    sa.Column("dedup_key", sa.Unicode(200)),
    sa.Column("conversation", sa.Unicode(460), nullable=False),
    sa.Column("turn", sa.SmallInteger().with_variant(mssql.TINYINT, "mssql")),  # see below
    sa.Column("created_at", Time, nullable=False),
    sa.Column("created_by", sa.Unicode(128), nullable=False),
    sa.Column("completed_at", Time),
    sa.Column("error_code", sa.Unicode(100)),
    sa.Column("http_status", sa.Integer),
    sa.Column("notification", sa.Unicode(128)),
    sa.Column("taken_at", Time),  # the last try was leased
    sa.Column("unknown_since", Time),  # taken_at of the first try of which nobody can say whether it took effect
    sa.Column("check_at", Time),  # uncertain: when a worker reads the conversation back; NULL leaves it to a person
    sa.Column("subscription_id", BigId),  # a poll: asked by a subscription, and gone once it is finished
    sa.Column("messageid", sa.Unicode(100)),  # what the API calls it, once it was recognized in its conversation
    sa.Column("delivery_status", sa.Unicode(50)),  # the API's word on it there
    sa.Column("traceparent", sa.String(55)),  # W3C trace context of who asked
    sqlite_autoincrement=True,  # an id is never used again, as on SQL Server
)


# Order within a conversation, kept so that taking rows never scans the rows that wait:
#   turn 0     in line, not looked at yet
#   turn 1     its conversation's turn: queued and ready, sending, waiting for a retry, or uncertain and to be read back
#   turn 2     behind another row of its conversation
#   turn NULL  not in line: finished, left to a person, or a future send_at
# Requests enter with 0; only exchange moves rows on, and a conversation has at most one row of turn 1.
# A row that leaves the line sets the next one (lowest id of turn 2) back to 0.
# The indexes are filtered, so finished rows weigh nothing on those of waiting ones; what they include lets
# afil.queue_status count without reading the rows. Queued rows are sorted by account first: an account that is held,
# resting or slow is passed by without a look at its rows. The index of conversations is whole, to find what a
# conversation was sent before.
def _filtered(name: str, *columns: str, where: str, include: tuple[str, ...] = ()) -> sa.Index:
    condition = sa.text(where)
    keys = (outbox.c[c] for c in columns)
    return sa.Index(name, *keys, mssql_where=condition, sqlite_where=condition, mssql_include=include)


_filtered(
    "ix_outbox_queued",
    "account",
    "turn",
    "priority",
    "id",
    where="status = 'queued'",
    include=("method", "due_at"),
)
_filtered("ix_outbox_scheduled", "turn", "due_at", where="status = 'scheduled'")
_filtered("ix_outbox_sending", "lease_id", "lease_until", where="status = 'sending'")
_filtered("ix_outbox_poll", "subscription_id", "completed_at", where="subscription_id IS NOT NULL")
_filtered("ix_outbox_messageid", "conversation", "messageid", where="messageid IS NOT NULL")
_filtered("ix_outbox_check", "check_at", where="status = 'uncertain' AND check_at IS NOT NULL", include=("account",))
sa.Index("ix_outbox_conversation", outbox.c.conversation, outbox.c.turn, outbox.c.id)
_filtered(
    "ix_outbox_finished",
    "status",
    "completed_at",
    "id",
    where="completed_at IS NOT NULL",
    include=("account", "method"),
)
sa.Index("ix_outbox_created_by_created_at", outbox.c.created_by, outbox.c.created_at)
sa.Index(
    "uq_outbox_account_dedup_key",
    outbox.c.account,
    outbox.c.dedup_key,
    unique=True,
    mssql_where=sa.text("dedup_key IS NOT NULL"),
    sqlite_where=sa.text("dedup_key IS NOT NULL"),
)

# No foreign keys from here to outbox: only the procedures write, in one transaction; the check would cost a look-up a
# row on the busiest path, and Babelfish 4.3 cannot repeat a constraint's own query once the search path has changed.
response = sa.Table(
    "response",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=False),
    sa.Column("received_at", Time, nullable=False),
    sa.Column("body", Text, nullable=False),
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("duration_ms", sa.Integer, nullable=False),
    sa.Column("http_status", sa.Integer),
    sa.Column("error_code", sa.Unicode(100)),
    sa.Column("detail", sa.Unicode(400)),
    sa.Column("worker", sa.Unicode(128), nullable=False),
)

chat_channel = sa.Table(
    "chat_channel",
    metadata,
    sa.Column("account", sa.Unicode(128), primary_key=True),
    sa.Column("platform", sa.Unicode(20), primary_key=True),
    sa.Column("platformid", sa.Unicode(100), primary_key=True),
    sa.Column("name", sa.Unicode(400)),
    sa.Column("updated_at", Time, nullable=False),
)


def _message_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("message", Text),
        sa.Column("messageid", sa.Unicode(100)),
        sa.Column("sent", sa.Boolean),
        sa.Column("status", sa.Unicode(50)),
        sa.Column("datetime", sa.Unicode(50)),
        sa.Column("dated_at", Time),
        sa.Column("updated_at", Time, nullable=False),
    ]


chat = sa.Table(
    "chat",
    metadata,
    sa.Column("account", sa.Unicode(128), primary_key=True),
    sa.Column("platform", sa.Unicode(20), primary_key=True),
    sa.Column("platformid", sa.Unicode(100), primary_key=True),
    sa.Column("destination", sa.Unicode(200), primary_key=True),
    *_message_columns(),
    sa.Column("poll_at", Time),  # of a subscription: it changed, and its messages are asked for then
    sa.Column("is_backlog", sa.Boolean),  # was there when the subscription began
)
sa.Index(
    "ix_chat_poll",
    chat.c.poll_at,
    mssql_where=sa.text("poll_at IS NOT NULL"),
    sqlite_where=sa.text("poll_at IS NOT NULL"),
)

chat_message = sa.Table(
    "chat_message",
    metadata,
    sa.Column("id", BigId, sa.Identity(), primary_key=True),
    sa.Column("account", sa.Unicode(128), nullable=False),
    sa.Column("platform", sa.Unicode(20), nullable=False),
    sa.Column("platformid", sa.Unicode(100), nullable=False),
    sa.Column("destination", sa.Unicode(200)),
    *_message_columns(),
    sa.Column("seen_at", Time),  # first listed to us
    sa.Column("is_new", sa.Boolean),  # 1: came since; else it was there when we first looked
)
sa.Index(
    "ix_chat_message_conversation",
    *(chat_message.c[c] for c in ("platformid", "destination", "platform", "account", "id")),
)
sa.Index(
    "uq_chat_message_account_platform_platformid_messageid",
    *(chat_message.c[c] for c in ("account", "platform", "platformid", "messageid")),
    unique=True,
    mssql_where=sa.text("messageid IS NOT NULL"),
    sqlite_where=sa.text("messageid IS NOT NULL"),
)

error_code = sa.Table(
    "error_code",
    metadata,
    sa.Column("code", Name, primary_key=True),
    sa.Column("meaning", sa.Unicode(400), nullable=False),
    sa.Column("handling", sa.String(20), nullable=False),
)

account = sa.Table(
    "account",
    metadata,
    sa.Column("name", sa.Unicode(128), primary_key=True),
    sa.Column("held_at", Time),
    sa.Column("held_reason", sa.Unicode(400)),
    sa.Column("tripped_at", Time),  # the breaker opened: most calls failed
    sa.Column("trips", sa.Integer),  # in a row
    sa.Column("probe_at", Time),  # held or tripped: when one request is tried; NULL waits for a person
    sa.Column("probe_id", BigId),  # the request being tried
    sa.Column("rest_until", Time),  # too many requests: nothing is taken before
    sa.Column("rate", sa.Float),  # requests a second in force, NULL is no limit
    sa.Column("rate_found", sa.Float),  # … that the API bore when it last said too many, growing again
    sa.Column("tokens", sa.Float),  # requests that may go at once, as of tokens_at
    sa.Column("tokens_at", Time),
    sa.Column("poll_tokens", sa.Float),  # requests of subscriptions that may go at once, as of poll_tokens_at
    sa.Column("poll_tokens_at", Time),
    sa.Column("announced_at", Time),  # a worker has it in its settings
    sa.Column("platforms", sa.Unicode(100)),  # that it may use: names joined by commas; NULL is all
)

#: What is asked for again and again without anyone asking: a channel's chats, or one chat's messages.
subscription = sa.Table(
    "subscription",
    metadata,
    sa.Column("id", BigId, sa.Identity(), primary_key=True),
    sa.Column("account", sa.Unicode(128), nullable=False),
    sa.Column("platform", sa.Unicode(20), nullable=False),
    sa.Column("platformid", sa.Unicode(100), nullable=False),
    sa.Column("destination", sa.Unicode(200), nullable=False),  # '' is the whole channel
    sa.Column("every_seconds", sa.Integer, nullable=False),
    sa.Column("unread_only", sa.Boolean, nullable=False),
    sa.Column("due_at", Time, nullable=False),
    sa.Column("first_at", Time),  # the first time it was answered
    sa.Column("last_at", Time),  # … and the last
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),  # in a row
    sa.Column("error_code", sa.Unicode(100)),  # of the last failure
    sa.Column("created_at", Time, nullable=False),
    sa.Column("created_by", sa.Unicode(128), nullable=False),
    sa.UniqueConstraint("account", "platform", "platformid", "destination"),
    sqlite_autoincrement=True,
)

worker = sa.Table(
    "worker",
    metadata,
    sa.Column("name", sa.Unicode(128), primary_key=True),
    sa.Column("seen_at", Time, nullable=False),
)

setting = sa.Table(
    "setting",
    metadata,
    sa.Column("name", Name, primary_key=True),
    sa.Column("value", sa.Unicode(400), nullable=False),
    sa.Column("lowest", sa.Integer),
    sa.Column("highest", sa.Integer),
    sa.Column("meaning", sa.Unicode(400)),
)

#: A trigger on a user's table, as afil.create_notification was told; kept to be shown, checked and rebuilt.
notification = sa.Table(
    "notification",
    metadata,
    sa.Column("name", sa.Unicode(100), primary_key=True),
    sa.Column("table_schema", sa.Unicode(128), nullable=False),
    sa.Column("table_name", sa.Unicode(128), nullable=False),
    sa.Column("on_insert", sa.Boolean, nullable=False),
    sa.Column("on_update", sa.Boolean, nullable=False),
    sa.Column("on_delete", sa.Boolean, nullable=False),
    sa.Column("changed_columns", sa.Unicode),
    sa.Column("condition", sa.Unicode),
    sa.Column("account", sa.Unicode(128), nullable=False),
    sa.Column("platform", sa.Unicode(20), nullable=False),
    sa.Column("platformid", sa.Unicode(4000), nullable=False),
    sa.Column("destination", sa.Unicode(4000), nullable=False),
    sa.Column("message", Text),
    sa.Column("type", sa.Unicode(20)),
    sa.Column("fileurl", sa.Unicode(4000)),
    sa.Column("dedup", sa.Unicode(4000)),
    sa.Column("priority", sa.SmallInteger().with_variant(mssql.TINYINT, "mssql"), nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("created_by", sa.Unicode(128), nullable=False),
)

event_log = sa.Table(
    "event_log",
    metadata,
    sa.Column("id", BigId, sa.Identity(), primary_key=True),
    sa.Column("logged_at", Time, nullable=False),
    sa.Column("event", sa.String(50), nullable=False),
    sa.Column("detail", sa.Unicode(1000)),
)

#: What `afilsql migrate` last applied of sql/: reapplied when the file's checksum is another. afil.help shows the rest.
sql_object = sa.Table(
    "sql_object",
    metadata,
    sa.Column("name", sa.Unicode(200), primary_key=True),
    sa.Column("checksum", sa.String(64), nullable=False),
    sa.Column("applied_at", Time, nullable=False),
    *(sa.Column(name, Text) for name in ("object_name", "kind", "grants", "summary", "example", "header")),
)
