"""The calls of a batch: each object that sp_OACreate makes, and what is done with it until sp_OADestroy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from afilsql.legacy.lexer import Kind, Token
from afilsql.legacy.request import Request, take_apart
from afilsql.legacy.resolve import Resolver
from afilsql.legacy.statements import Argument, Branch, Event, Execution, Jump, Path, Script, SqlType

_WEB_OBJECT = re.compile(r"winhttp|xmlhttp", re.I)
_URL, _BODY = 4, 3


@dataclass(slots=True)
class Call:
    """One request over the network: an Open on an object, and what belongs to it.

    Attributes:
        program: The object's class, such as WinHttp.WinHttpRequest.5.1; empty where the object comes from elsewhere.
        line: Where a person looks first: sp_OACreate, or Open for an object's later requests.
        create: The sp_OACreate.
        open: The Open; None when there is none.
        uses: Every other execution on the object up to the next Open.
        destroys: The object's sp_OADestroy, all of them.
        owns_object: False for an object's second Open and those after it.
    """

    script: Script
    resolver: Resolver
    program: str
    line: int
    create: Execution | None = None
    open: Execution | None = None
    uses: list[Execution] = field(default_factory=list)
    destroys: list[Execution] = field(default_factory=list)
    request: Request = field(default_factory=Request)
    verb: str = ""
    owns_object: bool = True

    @property
    def at(self) -> Execution:
        """The event that stands for the call: its Open, else its sp_OACreate."""
        found = self.open or self.create
        assert found, "a call has one or the other"
        return found

    @property
    def path(self) -> Path:
        return self.at.path

    @property
    def in_loop(self) -> bool:
        return any(b.kind == "while" for b in self.path)

    @property
    def lines(self) -> tuple[int, int]:
        """First and last line of what the replacement replaces; what stands outside the call's loop is `around`."""
        events = [e for e in (*self._own(), self.at, *self.uses) if e not in self.around]
        return min(e.line for e in events), max(e.line for e in events)

    @property
    def around(self) -> list[Execution]:
        """Return what makes and destroys the object outside the loop in which the request is sent, or in a CATCH."""
        return [
            e
            for e in self._own()
            if loops(e) != loops(self.at) or any(b.kind == "catch" and b not in self.path for b in e.path)
        ]

    @property
    def is_mixed(self) -> bool:
        """True when statements that are none of the call's stand between its first and last line."""
        first, last = self.lines
        own = [*self._own(), self.at, *self.uses]
        return any(first <= e.line <= last and not any(e.line == o.line for o in own) for e in self.script.events)

    def _own(self) -> list[Execution]:
        return [*([self.create] if self.create else []), *self.destroys] if self.owns_object else []

    @property
    def url(self) -> Argument | None:
        arguments = self.open.arguments if self.open else ()
        return arguments[_URL] if len(arguments) > _URL else None

    @property
    def send(self) -> Execution | None:
        return next((u for u in self.uses if member(u) == "send"), None)

    @property
    def body(self) -> Argument | None:
        arguments = self.send.arguments if self.send else ()
        return arguments[_BODY] if len(arguments) > _BODY and not is_null(arguments[_BODY]) else None

    @property
    def is_synchronous(self) -> bool:
        """True unless Open says otherwise; waitForResponse makes up for that."""
        arguments = self.open.arguments if self.open else ()
        flag = arguments[_URL + 1].token if len(arguments) > _URL + 1 else None
        asks = flag.value.lower() if flag else "false"
        return asks not in ("true", "1", "-1") or any(member(u) == "waitforresponse" for u in self.uses)

    @property
    def reads(self) -> list[Execution]:
        """Where the answer is read."""
        return [u for u in self.uses if member(u) in ("responsetext", "responsebody", "responsexml")]

    @property
    def reads_status(self) -> bool:
        return any(member(u) in ("status", "statustext") for u in self.uses)

    @property
    def transaction_line(self) -> int | None:
        """Line of the BEGIN TRANSACTION that is open around the call, None when there is none here."""
        opened: list[int] = []
        for event in self.script.events[: self.at.index]:
            if isinstance(event, Jump) and all(b in self.path for b in event.path):
                if event.kind == "begin":
                    opened.append(event.line)
                elif event.kind == "commit" and opened:
                    opened.pop()
                elif event.kind == "rollback":
                    opened.clear()
        return opened[-1] if opened else None

    def variable_type(self, argument: Argument | None) -> tuple[str, SqlType] | None:
        """Return an argument's variable with its type; None when it is none or not declared here."""
        token = argument.token if argument else None
        if token is None or token.kind is not Kind.VARIABLE:
            return None
        type = self.script.type_of(token.text)
        return (token.text, type) if type else None


def find_calls(script: Script) -> list[Call]:
    """Return a batch's calls in source order."""
    resolver = Resolver(script)
    objects: dict[str, list[Call]] = {}
    found: list[Call] = []
    for event in script.events:
        if not isinstance(event, Execution) or not event.name.startswith("sp_oa") or not event.arguments:
            continue
        if event.name == "sp_oacreate":
            program = _text(resolver, event, 0)
            call = Call(script, resolver, program, event.line, event)
            objects[_object(event, 1)] = [call]
            found.append(call)
            continue
        name = _object(event, 0)
        if event.name == "sp_oamethod" and re.match(r"open\b(?![.\w])", member(event)):
            calls = objects.setdefault(name, [])
            if calls and calls[-1].open is None:
                calls[-1].open = event
            else:
                first = calls[0] if calls else None
                call = Call(script, resolver, first.program if first else "", event.line)
                call.create, call.open, call.owns_object = (first.create if first else None), event, not first
                calls.append(call)
                found.append(call)
        elif event.name == "sp_oadestroy":
            for call in objects.get(name, []):
                call.destroys.append(event)
        elif name in objects and event.name != "sp_oastop":
            objects[name][-1].uses.append(event)
    web = [c for c in found if _WEB_OBJECT.search(c.program) or (c.open and (c.send or not c.program))]
    for call in web:
        _read_request(call)
    return web


def member(event: Execution) -> str:
    """Return the method or property an execution names, in lower case."""
    token = event.arguments[1].token if len(event.arguments) > 1 else None
    return token.value.lower() if token and token.kind in (Kind.STRING, Kind.NAME, Kind.QUOTED) else ""


def loops(event: Event) -> list[Branch]:
    """Return the loops an event is in."""
    return [b for b in event.path if b.kind == "while"]


def is_null(argument: Argument) -> bool:
    return argument.token is not None and argument.token.word in ("null", "default")


def secrets(calls: Iterable[Call]) -> set[str]:
    """Return every literal that serves as a password, as written; none of them may be printed."""
    found: set[str] = set()
    for call in calls:
        for parameter in call.request.parameters:
            if parameter.name.lower() in ("password", "pass", "pwd"):
                found |= {p.text for p in parameter.parts if p.kind == "literal"}
        for event in (call.open, *call.uses):
            if event is not None:
                for argument in event.arguments[_secret_from(event) :]:
                    parts = call.resolver.resolve(argument.tokens, event.index, event.path, in_query=True)
                    found |= {p.text for p in parts if p.kind == "literal"} | {t.value for t in argument.tokens}
    return found


def written_secret(call: Call) -> Execution | None:
    """Return the Open, header or SetCredentials that holds a password as a literal."""
    for event in (call.open, *call.uses):
        if event is not None:
            for argument in event.arguments[_secret_from(event) :][:1]:
                parts = call.resolver.resolve(argument.tokens, event.index, event.path, in_query=True)
                if any(p.kind == "literal" and p.text.strip().lower() not in ("", "basic", "bearer") for p in parts):
                    return event
    return None


def _secret_from(event: Execution) -> int:
    """Return the first argument of an execution that is a secret."""
    match member(event):
        case "open":
            return _URL + 3
        case "setcredentials":
            return 4
        case "setrequestheader" if len(event.arguments) > 4:
            header = event.arguments[3].token
            return 4 if header is None or "authorization" in header.value.lower() else len(event.arguments)
        case _:
            return len(event.arguments)


def _object(event: Execution, position: int) -> str:
    token: Token | None = event.arguments[position].token if len(event.arguments) > position else None
    return token.text.lower() if token else ""


def _text(resolver: Resolver, event: Execution, position: int) -> str:
    """Return an argument's text where it is certain; a bare word is text in an EXEC."""
    argument = event.arguments[position]
    if argument.token and argument.token.kind in (Kind.NAME, Kind.QUOTED):
        return argument.token.value
    return resolver.constant(argument.tokens, event.index, event.path) or ""


def _read_request(call: Call) -> None:
    if call.open is None:
        return
    arguments = call.open.arguments
    if len(arguments) > _URL - 1:
        call.verb = _text(call.resolver, call.open, _URL - 1).upper()
    if call.url:
        take_apart(call.resolver.resolve(call.url.tokens, call.open.index, call.path), call.request)
    if call.body and call.send:
        parts = call.resolver.resolve(call.body.tokens, call.send.index, call.send.path, in_query=True)
        take_apart(parts, call.request, in_query=True)
