"""What is wrong with a call, each with a name that stays the same and a sentence that says what happens and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from afilsql.api.methods import METHODS
from afilsql.legacy.calls import Call, written_secret
from afilsql.legacy.finding import Defect, listed
from afilsql.legacy.lexer import Fault, Kind
from afilsql.legacy.lifecycle import lifecycle_defects
from afilsql.legacy.resolve import Part
from afilsql.legacy.statements import Execution, Script

#: Parameters whose values are people's text, and the length below which a variable for it is too short.
_ROOM = {"message": 4000, "fileurl": 2000, "thumburl": 2000, "destination": 15}
#: How long a computed value is taken to be, when nothing says it.
_COMPUTED = 100
_NAMES = frozenset({"class", "method", "user", "password", *(p for m in METHODS.values() for p in m.parameters)})
#: What a literal must not hold as it is. WinHttp encodes a space itself; + and %xx are encoding made by hand.
_HARMFUL = re.compile(r"[&#]|%(?![0-9A-Fa-f]{2})|[^\x00-\x7f]")


def defects(call: Call) -> list[Defect]:
    """Return what is wrong with a call to the API, worst first."""
    checks = (
        _broken(call),
        _password(call),
        _url_cut(call),
        _parameter_cut(call),
        _not_encoded(call),
        _not_unicode(call),
    )
    return [d for check in checks for d in check] + lifecycle_defects(call)


def switches(script: Script) -> list[Defect]:
    """Return where a batch switches OLE automation on."""
    found: list[Defect] = []
    for event in script.events:
        if isinstance(event, Execution) and event.name == "sp_configure" and len(event.arguments) == 2:
            option, value = (a.token for a in event.arguments)
            if option and value and option.value.lower().startswith("ole automation") and value.value == "1":
                found.append(
                    Defect(
                        "ole-automation-on",
                        event.line,
                        "switches 'Ole Automation Procedures' on for the whole instance: whoever may run sp_OACreate "
                        "then runs any COM object with the rights of the service account. The outbox does not need it; "
                        "set it back to 0 once nothing else uses it.",
                    )
                )
    return found


def _broken(call: Call) -> Iterator[Defect]:
    parts = [p for x in call.request.parameters for p in x.parts]
    lines = {p.line for p in (*call.request.address, *call.request.loose, *parts)}
    lines |= {x.line for x in call.request.parameters}
    for token in call.script.tokens:
        if token.fault and token.line in lines | set(range(call.lines[0], call.lines[1] + 1)):
            if token.fault is Fault.OPENING:
                name = token.value.strip("&=")
                yield Defect(
                    "does-not-parse",
                    token.line,
                    f"does not parse as intended: the quote before &{name}= is missing, so the text ends early and "
                    f"T-SQL reads & as bitwise AND with a column '{name}'; every quote after it opens where it should "
                    "close, so the batch fails or swallows the statements below. This report reads it with the quote.",
                )
            else:
                yield Defect(
                    "does-not-parse",
                    token.line,
                    "does not parse as intended: the quote that opens here is not closed on its line, so the "
                    "statements below become part of the text. This report reads it as if it were closed.",
                )
            return


def _password(call: Call) -> Iterator[Defect]:
    found = call.request.get("password")
    literal = next((p for p in found.parts if p.kind == "literal"), None) if found else None
    direct = written_secret(call)
    if literal or direct:
        yield Defect(
            "password-in-clear",
            literal.line if literal else direct.line if direct else call.line,
            "the account's password stands in the code, where everyone who may read the definition, a backup or a "
            "trace reads it. Take it out, and change it: it is known.",
        )
    if found and call.body is None:
        yield Defect(
            "password-in-url",
            found.line,
            "the password travels in the URL, which proxies, web servers and caches write into their logs.",
        )


def _url_cut(call: Call) -> Iterator[Defect]:
    for argument, what in ((call.url, "URL"), (call.body, "form")):
        typed = call.variable_type(argument)
        if argument is None or typed is None or not typed[1].is_text or typed[1].length is None:
            continue
        name, limit = typed[0], typed[1].length
        event = call.open if what == "URL" else call.send
        assert event, "the argument belongs to it"
        parts = call.resolver.resolve(argument.tokens, event.index, event.path, in_query=what == "form")
        if _most(call, parts) <= limit:
            continue
        fixed = sum(len(p.text) for p in parts if p.kind == "literal")
        line = call.script.variables[name.lower()].line
        text = f"{name} is {typed[1]} and SQL Server cuts what is longer without an error: {_room(call, parts, limit)}"
        if fixed > limit:
            text = (
                f"{name} is {typed[1]}, but with the values written here the {what} has at least {fixed} characters: "
                f"the last {fixed - limit}{_victims(parts, limit)} are cut without an error."
            )
        yield Defect("url-truncated", line, text)


def _most(call: Call, parts: Iterable[Part]) -> float:
    """Return how long a text can become by the types of what it is made of."""
    total = 0.0
    for part in parts:
        name = part.via or (part.text if part.kind == "variable" else "")
        type = call.script.type_of(name) if name else None
        if part.kind == "literal" and not (type and type.is_text):
            total += len(part.text)
        elif part.number or part.cut is not None:
            total += part.cut or 40
        elif part.kind == "raw":
            total += _COMPUTED
        elif type is None or (type.is_text and type.length is None):
            return float("inf")
        else:
            total += (type.length or 40) if type.is_text else 40
    return total


def _room(call: Call, parts: list[Part], limit: int) -> str:
    message = call.request.get("message")
    own = message.parts if message else []
    known = {id(p) for p in own}
    names = dict.fromkeys(p.text or p.number or "a computed value" for p in parts if p.kind != "literal")
    others = [p for p in names if not any(p == (o.text or o.number or "a computed value") for o in own)]
    fixed = sum(len(p.text) for p in parts if p.kind == "literal")
    inside = sum(len(p.text) for p in own if p.kind == "literal") if known else 0
    if message and not others:
        return (
            f"the rest takes {fixed - inside} characters, so {max(limit - fixed + inside, 0)} remain for the message."
        )
    together = " together" if len(names) > 1 else ""
    if others:
        return f"the fixed text takes {fixed}, so {limit - fixed} remain for {listed(list(names))}{together}."
    return f"with the values written here it has {fixed}, so {limit - fixed} remain for longer ones."


def _victims(parts: list[Part], limit: int) -> str:
    """Say which parameters a cut reaches."""
    text = "".join(p.text for p in parts if p.kind == "literal")
    rest = [piece.partition("=")[0] for piece in text[limit:].split("&")[1:] if "=" in piece]
    inside = text[:limit].rpartition("&")[2].partition("=")[0]
    names = [n for n in dict.fromkeys([inside, *rest]) if n.lower() in _NAMES]
    return f", in {listed(names)}," if names else ""


def _parameter_cut(call: Call) -> Iterator[Defect]:
    for name, room in _ROOM.items():
        parameter = call.request.get(name)
        for part in parameter.parts if parameter else ():
            variable = part.via or (part.text if part.kind == "variable" else "")
            declared = call.script.variables.get(variable.lower())
            length = declared.type.length if declared and declared.type.is_text else None
            if part.cut is not None and part.cut < room:
                yield Defect(
                    "parameter-truncated",
                    part.line,
                    f"the conversion on this line keeps at most {part.cut} characters of the {name} and drops the "
                    "rest without an error.",
                )
            elif declared and length is not None and part.kind == "literal" and len(part.text) > length:
                yield Defect(
                    "parameter-truncated",
                    part.line,
                    f"{variable} is {declared.type} and is given {len(part.text)} characters: the last "
                    f"{len(part.text) - length} are dropped without an error.",
                )
            elif len(parameter.parts if parameter else ()) > 1:
                continue  # one piece of a text: short pieces are common, and meant
            elif declared and length is not None and part.kind == "variable" and length < room:
                given = "a caller's" if declared.is_parameter else "a"
                yield Defect(
                    "parameter-truncated",
                    declared.line,
                    f"{variable} is {declared.type}: {given} longer {name} is cut at {length} characters without an "
                    "error. Declare it nvarchar(max).",
                )


def _not_encoded(call: Call) -> Iterator[Defect]:
    names: list[str] = []
    harmful: list[str] = []
    for parameter in call.request.parameters:
        if parameter.name.lower() in ("class", "method"):
            continue
        for part in parameter.parts:
            label = part.via or (part.text if part.kind == "variable" else "")
            type = call.script.type_of(label) if label else None
            if _is_encoded(part) or part.number or (type and type.is_numeric):
                continue
            if part.kind != "literal" or part.via:
                names.append(label or f"the expression for {_known(parameter.name)}")
            if part.kind == "literal" and _HARMFUL.search(part.text):
                harmful.append(_known(parameter.name))
    line = call.request.parameters[0].line if call.request.parameters else call.line
    if call.request.lost:
        harmful.append("the text behind an unencoded &")
    if not names and not harmful:
        return
    text = ""
    if names:
        text = (
            f"nothing percent-encodes {listed(list(dict.fromkeys(names)))}: & or # in a value ends it, + becomes a "
            "space, % and letters beyond ASCII arrive as something else."
        )
    if harmful:
        hit = listed(list(dict.fromkeys(harmful)))
        text += (" " if text else "") + f"Here it happens already, in {hit}."
    yield Defect("not-encoded", line, text)


def _is_encoded(part: Part) -> bool:
    """True when a function encodes it; a REPLACE takes care of one character only."""
    return any(not how.startswith("REPLACE(") for how, _ in part.encoders)


def _known(name: str) -> str:
    """Return a parameter's name if the API has it: any other may be a piece of a password with & in it."""
    return name if name.lower() in _NAMES else "a parameter the API does not have"


def _not_unicode(call: Call) -> Iterator[Defect]:
    message = call.request.get("message")
    if message is None or not message.parts:
        return
    through: dict[str, str] = {}
    for argument in (call.url, call.body):
        typed = call.variable_type(argument)
        if typed and typed[1].is_text and not typed[1].is_national:
            through[typed[0]] = str(typed[1])
    for part in message.parts:
        name = part.via or (part.text if part.kind == "variable" else "")
        type = call.script.type_of(name) if name else None
        if type and type.is_text and not type.is_national:
            through[name] = str(type)
    if through:
        names = listed([f"{name} ({type})" for name, type in through.items()])
        yield Defect(
            "not-unicode",
            message.line,
            f"the message passes through {names}: text that is not nvarchar holds only the characters of one code "
            "page, so an emoji, or a letter of another alphabet, becomes a question mark.",
        )
    elif any(
        t.kind is Kind.STRING and not t.is_national and not t.value.isascii() and t.line == p.line
        for p in message.parts
        if p.kind == "literal"
        for t in call.script.tokens
    ):
        yield Defect(
            "not-unicode",
            message.line,
            "a literal with letters beyond ASCII lacks its N, so it goes through the database's code page first.",
        )
