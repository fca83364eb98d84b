"""The EXEC that takes a call's place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from afilsql.api.methods import ALLOWED, METHODS, Method
from afilsql.legacy.calls import Call
from afilsql.legacy.finding import listed
from afilsql.legacy.lexer import Kind
from afilsql.legacy.request import Parameter
from afilsql.legacy.resolve import Part
from afilsql.legacy.secret import MASK, Secrets
from afilsql.legacy.statements import sql_of

PROCEDURES = {
    "sendmessage": "afil.send_message",
    "sendfile": "afil.send_file",
    "getchatchannels": "afil.get_chat_channels",
    "getchats": "afil.get_chats",
    "getmessages": "afil.get_messages",
    "getunreadmessages": "afil.get_unread_messages",
}
_TEXTS = ("message", "fileurl", "thumburl")
_NOT_OURS = ("class", "method", "user", "password")
_WHOLLY_ENCODED = re.compile(r"https?%3a", re.I)


@dataclass(slots=True)
class Replacement:
    """What to write in a call's place.

    Attributes:
        procedure: The procedure of afilsql.
        sql: T-SQL to copy.
        values: Each parameter's expression.
        fill_in: Names of parameters that a person must fill in.
        notes: What a person should know when putting it in.
    """

    procedure: str
    sql: str = ""
    values: dict[str, str] = field(default_factory=dict)
    fill_in: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rewrite(call: Call, secrets: Secrets, taken: set[str]) -> Replacement:
    """Return the replacement of a call whose method is known.

    Args:
        call: A call to the API.
        secrets: What must not be printed.
        taken: Lower-case names of the batch's variables; new ones are added.
    """
    method = METHODS[(call.request.constant("method") or "").lower()]
    return _Rewriter(call, method, secrets, taken).run()


class _Rewriter:
    def __init__(self, call: Call, method: Method, secrets: Secrets, taken: set[str]) -> None:
        self.call = call
        self.method = method
        self.secrets = secrets
        self.taken = taken
        self.made = Replacement(PROCEDURES[method.name])
        self.variables: list[tuple[str, str]] = []

    def run(self) -> Replacement:
        self.loosen_tail()
        lines = [line for name in self.method.parameters if (line := self.argument(name))]
        before = ""
        for parameter in self.call.request.parameters:
            if parameter.name.lower() not in (*_NOT_OURS, *self.method.parameters):
                # Behind a password with & in it the "name" would be a piece of the password.
                name = "behind the password" if before == "password" else f"'{self.secrets.hide(parameter.name)}'"
                cut = f"; it may be the rest of the {before}, which an unencoded & ended" if before in _TEXTS else ""
                self.note(f"{self.method.name} knows no parameter {name} (line {parameter.line}): left out{cut}.")
            before = parameter.name.lower()
        for part in self.call.request.loose:
            self.note(
                f"line {part.line} adds something to the request that cannot be taken apart here"
                f"{self.naming(part)}: look whether it holds a parameter."
            )
        arguments = ",\n".join(f"    @{name} = {value}{mark}" for name, value, mark in lines)
        # The comma belongs before the comment, which would otherwise hide it from a reader.
        arguments = re.sub(r"( /\*(?:(?!\*/).)*\*/),\n", r",\1\n", arguments)
        execute = f"EXEC {self.made.procedure}" + (f"\n{arguments};" if lines else ";")
        self.made.sql = self.framed(execute)
        names = {"sp_oacreate": "sp_OACreate", "sp_oadestroy": "sp_OADestroy"}
        around = [f"{names[e.name]} on line {e.line}" for e in self.call.around]
        if around:
            self.note(f"outside these lines {listed(around)} can go too.")
        return self.made

    def loosen_tail(self) -> None:
        """Where required parameters are missing, take a variable behind the last value for what may hold them."""
        request = self.call.request
        last = request.parameters[-1] if request.parameters else None
        missing = [n for n in self.method.required if request.get(n) is None]
        if missing and last and len(last.parts) > 1 and last.parts[-1].kind != "literal":
            request.loose.append(last.parts.pop())

    def framed(self, execute: str) -> str:
        """Put the variables' declarations around: before the loop where there is one."""
        first, last = self.call.lines
        place = f"in place of lines {first} to {last}" if last > first else f"in place of line {first}"
        if self.call.is_mixed:
            place += "; look which of the other statements there stay"
        if not self.call.in_loop:
            declared = "".join(f"DECLARE {name} nvarchar(max) = {sql};\n" for name, sql in self.variables)
            return f"/* {place} */\n{declared}{execute}"
        if not self.variables:
            return f"/* in the loop, {place} */\n{execute}"
        before = "".join(f"DECLARE {name} nvarchar(max);\n" for name, _ in self.variables)
        inside = "".join(f"SET {name} = {sql};\n" for name, sql in self.variables)
        return f"/* once, before the loop */\n{before}/* in the loop, {place} */\n{inside}{execute}"

    def argument(self, name: str) -> tuple[str, str, str] | None:
        """Return name, value and comment of one parameter; None for an optional one that is not used."""
        parameter = self.call.request.get(name)
        if parameter is None or not parameter.parts:
            if name not in self.method.required:
                return None
            why = f"line {parameter.line} gives it no value" if parameter else self.absent()
            return self.unknown(name, why)
        rows = [p for p in parameter.parts if p.from_row]
        if rows:
            sql = self.safe_comment(sql_of(self.secrets.hide_tokens(rows[0].tokens)))
            return self.unknown(name, f"line {rows[0].line} reads {sql} from a row; SELECT it into a variable first")
        self.notes_on(name, parameter)
        value = self.value(name, parameter)
        self.made.values[name] = value
        if len(parameter.parts) == 1 and parameter.parts[0].number:
            self.made.values[name] = parameter.parts[0].number
        mark = ""
        if MASK in value:
            self.made.fill_in.append(name)
            mark = " /* FILL IN: a part that equals a password is hidden here */"
        return name, self.direct(name, parameter, value), mark + self.conditional(parameter)

    def unknown(self, name: str, why: str) -> tuple[str, str, str]:
        self.made.fill_in.append(name)
        self.made.values[name] = "NULL"
        return name, "NULL", f" /* FILL IN: {why} */"

    def absent(self) -> str:
        loose = self.call.request.loose
        if loose:
            what = loose[0].text or "an expression"
            return f"it may be in {what}, which line {loose[0].line} adds to the request"
        return "the old request does not give it"

    def direct(self, name: str, parameter: Parameter, value: str) -> str:
        """EXEC takes a literal or a variable: anything else goes through a variable of its own."""
        only = parameter.parts[0] if len(parameter.parts) == 1 else None
        if only is not None and (only.kind == "variable" or only.number):
            return only.number or value  # a number needs no CAST there
        if all(p.kind == "literal" for p in parameter.parts):
            return value
        variable = f"@afil_{name}"
        number = 2
        while variable in self.taken:
            variable = f"@afil_{name}{number}"
            number += 1
        self.taken.add(variable)
        self.variables.append((variable, value))
        return variable

    def value(self, name: str, parameter: Parameter) -> str:
        pieces: list[str] = []
        text = ""
        spaced = any(" " in p.text for p in parameter.parts if p.kind == "literal")
        for part in (*parameter.parts, None):
            if part is not None and part.kind == "literal":
                text += self.decoded(name, part, keeps_plus=spaced)
                continue
            if text or (part is None and not pieces):
                pieces.append(self.literal(name, text, alone=part is None and not pieces))
                text = ""
            if part is not None:
                sql = part.text if part.kind == "variable" else sql_of(self.secrets.hide_tokens(part.tokens))
                pieces.append(sql)
        if len(pieces) > 1 and any(p.null_safe for p in parameter.parts):
            return f"CONCAT({', '.join(pieces)})"
        return " + ".join(pieces)

    def literal(self, name: str, text: str, *, alone: bool) -> str:
        hidden = self.secrets.hide(text)
        quoted = "'" + hidden.replace("'", "''") + "'"
        return quoted if alone and name not in _TEXTS and hidden.isascii() else f"N{quoted}"

    def decoded(self, name: str, part: Part, *, keeps_plus: bool) -> str:
        """Return a literal without the percent-encoding that somebody gave it by hand."""
        text = part.text
        if part.encoders or (name in ("fileurl", "thumburl") and not _WHOLLY_ENCODED.match(text)):
            return text
        plus = "+" in text and name != "destination" and not keeps_plus
        plain = text.replace("+", " ") if plus else text
        try:
            plain = unquote(plain, errors="strict")
        except UnicodeDecodeError:
            self.note(f"line {part.line}: the %-codes in the {name} are not UTF-8 and were left as they are.")
        if plain != text:
            stood = ["'+' stood for a space"] * plus + ["%-codes stood for characters"] * ("%" in text)
            self.note(
                f"the {name} on line {part.line} was encoded by hand ({', '.join(stood)}): printed decoded, for the "
                "worker encodes by itself."
            )
        elif "+" in text and name == "message":
            self.note(
                f"the '+' in the message on line {part.line} arrived as a space until now; it will arrive as '+'."
            )
        return plain

    def notes_on(self, name: str, parameter: Parameter) -> None:
        encoders = dict.fromkeys(e for p in parameter.parts for e in p.encoders)
        if encoders:
            what = listed([f"{how} on line {line}" for how, line in encoders])
            self.note(
                f"{what} {'encodes' if len(encoders) == 1 else 'encode'} the {name}: take that away, for the worker "
                "encodes by itself, and the recipient would see the codes."
            )
        for part in parameter.parts:
            if part.kind == "variable":
                later = [a for a in self.call.script.assignments(part.text) if part.at < a.index < self.call.at.index]
                if later and not part.encoders:
                    self.note(
                        f"{part.text} was read on line {part.line} and changes on line {later[0].line}, before the "
                        f"request leaves: keep its earlier value for @{name}."
                    )
        text = self.call.request.constant(parameter.name.lower())
        if name in ALLOWED and text is not None and text.lower() not in ALLOWED[name]:
            shown = self.secrets.hide(text)
            self.note(f"@{name} '{shown}' will be refused: it is one of {', '.join(ALLOWED[name])}.")
        if name == "message" and any(p.kind == "variable" and not p.encoders for p in parameter.parts):
            self.note("whoever fills the message must not encode it ('+' for a space, %20): the worker does.")

    def conditional(self, parameter: Parameter) -> str:
        """Mark a parameter that was added in an IF, unless the IF only asked whether it is NULL."""
        branch = parameter.condition
        if branch is None:
            return ""
        words = [t.text.lower() for t in branch.condition]
        variable = parameter.parts[0].text.lower() if parameter.parts else ""
        if words == [variable, "is", "not", "null"] and parameter.name.lower() not in self.method.required:
            return ""
        return f" /* only when the IF on line {branch.line} holds, else NULL */"

    def naming(self, part: Part) -> str:
        if part.kind == "variable":
            return f" ({part.reason or part.text})"
        sql = sql_of(self.secrets.hide_tokens(part.tokens))
        return f" ({sql})" if sql and part.tokens and part.tokens[0].kind is not Kind.COMMENT else ""

    def safe_comment(self, text: str) -> str:
        return text.replace("*/", "* /").replace("/*", "/ *").replace("\n", " ")

    def note(self, text: str) -> None:
        if text not in self.made.notes:
            self.made.notes.append(text)
