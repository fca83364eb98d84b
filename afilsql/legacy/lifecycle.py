"""What is wrong with how a call runs: its answer, its failures, the time it takes, the object it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

from afilsql.legacy.calls import Call, loops
from afilsql.legacy.finding import Defect
from afilsql.legacy.statements import Jump


def lifecycle_defects(call: Call) -> list[Defect]:
    """Return what is wrong with how a call runs."""
    return [*_answer(call), *_status(call), *_retry(call), *_blocking(call), *_destroyed(call)]


def _answer(call: Call) -> Iterator[Defect]:
    for read in call.reads:
        argument = read.arguments[2] if len(read.arguments) > 2 else None
        typed = call.variable_type(argument)
        if argument is None or not argument.is_output or typed is None or not typed[1].is_text:
            continue
        name, type = typed
        loss = "" if type.is_national else ", and characters outside the code page become question marks"
        room = "is max, but sp_OAGetProperty hands back at most 8,000 bytes in a variable"
        if type.length is not None:
            room = f"takes at most {type.length:,} characters"
        yield Defect("answer-cut", read.line, f"the answer goes into {name} ({type}), which {room}{loss}.")


def _status(call: Call) -> Iterator[Defect]:
    if call.open and not call.reads_status:
        yield Defect(
            "status-unread",
            call.send.line if call.send else call.line,
            "the HTTP status is never read: an answer such as 429, 500 or 503 looks like success to this code.",
        )


def _retry(call: Call) -> Iterator[Defect]:
    around = loops(call.at)
    waits = any(
        isinstance(e, Jump) and e.kind == "waitfor" and any(b in around for b in e.path) for e in call.script.events
    )
    labels = {e.target: e.index for e in call.script.events if isinstance(e, Jump) and e.kind == "label"}
    jumps_back = any(
        isinstance(e, Jump)
        and e.kind == "goto"
        and e.index > call.at.index
        and labels.get(e.target, e.index) < call.at.index
        for e in call.script.events
    )
    counted = any(
        word in t.text.lower() for b in around for t in b.condition for word in ("retry", "retries", "attempt", "tries")
    )
    if not (waits or jumps_back or counted):
        yield Defect(
            "no-retry",
            call.send.line if call.send else call.line,
            "nothing tries again: when the network or the API is away for a second, this request is lost.",
        )


def _blocking(call: Call) -> Iterator[Defect]:
    if not call.is_synchronous or call.open is None:
        return
    text = "the session stands still until the network has answered or timed out"
    script = call.script
    opened = call.transaction_line
    if script.module_kind == "trigger":
        text += (
            f"; in the trigger {script.module_name} that is the session of everyone who changes the table, with the "
            "locks held, and an error here undoes their change"
        )
    if opened is not None:
        text += (
            f"; the transaction begun on line {opened} keeps its locks all that time, and a rollback unsends nothing"
        )
    yield Defect("session-blocked", call.send.line if call.send else call.line, text + ".")


def _destroyed(call: Call) -> Iterator[Defect]:
    create = call.create
    if create is None or not call.owns_object:
        return
    if not call.destroys:
        yield Defect(
            "not-destroyed",
            create.line,
            "no sp_OADestroy follows: the object stays in the server's memory until the caller's whole batch ends.",
        )
        return
    inside = loops(create)
    if inside and not any(inside[-1] in d.path for d in call.destroys):
        yield Defect(
            "not-destroyed",
            create.line,
            f"the loop on line {inside[-1].line} makes an object each time round, and only the last one is destroyed.",
        )
        return
    last = max(d.index for d in call.destroys)
    for event in call.script.events[call.at.index : last]:  # before Open there may be no object yet
        if isinstance(event, Jump) and event.kind in ("return", "throw"):
            done = any(d.index < event.index and all(b in event.path for b in d.path) for d in call.destroys)
            if not done:
                yield Defect(
                    "not-destroyed",
                    event.line,
                    f"this {event.kind.upper()} leaves without sp_OADestroy: the object stays in the server's memory "
                    "until the caller's whole batch ends.",
                )
                return
