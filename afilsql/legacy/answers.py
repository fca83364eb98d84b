"""What else changes with a call: where the account's credentials go, how its answer is got, where it may stand."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from afilsql.api.methods import METHODS, ListKind
from afilsql.legacy.calls import Call
from afilsql.legacy.secret import MASK, Secrets

#: A name or an e-mail address. Anything else may hold what was meant for another parameter, a password even.
_ACCOUNT = re.compile(r"[\w.@+-]+")
#: Whether the request procedures take @wait_ms and return the answer as rows; a test compares it with their files.
WAITS = True
#: The view in which each kind of list arrives.
VIEWS: dict[ListKind, str] = {
    "channels": "afil.chat_channels",
    "chats": "afil.chats",
    "messages": "afil.chat_messages",
}


def account(call: Call, secrets: Secrets) -> tuple[str, str]:
    """Return the account's user, where it is written in the code, and a note on where it goes."""
    user = call.request.constant("user")
    shown = secrets.hide(unquote_plus(user)) if user else ""
    if _ACCOUNT.fullmatch(shown) and MASK not in shown:
        return shown, f"account: '{shown}' goes into the worker's AFILSQL_USER, its password into AFILSQL_PASSWORD."
    parameter = call.request.get("user")
    variable = next((p.text for p in parameter.parts if p.kind == "variable"), "") if parameter else ""
    which = f"{variable} chooses it at run time" if variable else "this code does not show which"
    return "", (
        f"account: {which}. One account goes into the worker's AFILSQL_USER and AFILSQL_PASSWORD; several are named "
        "in AFILSQL_ACCOUNTS, and the EXEC then says @account = N'…'."
    )


def answer(call: Call, method: str) -> list[str]:
    """Say how the answer is got from now on."""
    kind = METHODS[method].returns
    read = f" (until now read on line {call.reads[0].line})" if call.reads else ""
    if kind:
        wait = " Or add @wait_ms = 10000, outside a transaction, and the EXEC returns the rows itself." if WAITS else ""
        return [
            f"answer{read}: it comes when the worker has it, as rows: SELECT * FROM {VIEWS[kind]}. The text as it came "
            f"is in afil.responses, under the id that @id = @id OUTPUT gives.{wait}"
        ]
    if call.reads:
        return [
            f"answer{read}: the EXEC returns before the message leaves. Add @id = @id OUTPUT to it; later SELECT "
            "status, error_code FROM afil.all_items WHERE id = @id. The text as it came is in afil.responses."
        ]
    return []


def module(call: Call) -> list[str]:
    """Say what the place of the call asks for."""
    script = call.script
    if script.module_kind == "function":
        return [f"{script.module_name} is a function, which may not run a procedure: put the EXEC into its caller."]
    if script.module_kind == "trigger":
        rows = [e for e in script.events if getattr(e, "how", "") == "row" and "inserted" in getattr(e, "source", "")]
        note = "in the trigger the EXEC only writes a row, which commits or rolls back with the change."
        if rows:
            note += f" Line {rows[0].line} takes one row of inserted: a change of several rows sends one message."
        return [note]
    return []
