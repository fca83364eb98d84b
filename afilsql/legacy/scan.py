"""Look through sources for calls to web services, and say of each what it is and what takes its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from afilsql.api.methods import METHODS
from afilsql.legacy import answers, defects, rewrite
from afilsql.legacy.calls import Call, find_calls
from afilsql.legacy.calls import secrets as secrets_of
from afilsql.legacy.finding import Defect, listed
from afilsql.legacy.lexer import Kind, Token, significant, tokens
from afilsql.legacy.parser import parse
from afilsql.legacy.resolve import Resolver
from afilsql.legacy.rewrite import Replacement
from afilsql.legacy.secret import Secrets
from afilsql.legacy.source import Source
from afilsql.legacy.statements import Execution, Script, batches

_API = "afilnet.com"


class Verdict(StrEnum):
    """What a call is."""

    REPLACED = "replaced"
    OTHER_ADDRESS = "another-address"
    UNRESOLVED = "address-not-resolved"
    OTHER_CLASS = "not-chat"
    OTHER_METHOD = "method-not-resolved"
    DYNAMIC = "in-dynamic-sql"


@dataclass(frozen=True, slots=True)
class Found:
    """One call.

    Attributes:
        line: Where it starts.
        verdict: What it is.
        title: The same, in words.
        module: Procedure, function or trigger it stands in; empty in a script.
        defects: What is wrong with it; only for calls to the API.
        replacement: What takes its place; only for `Verdict.REPLACED`.
        notes: What a person should know.
    """

    line: int
    verdict: Verdict
    title: str
    module: str = ""
    defects: Sequence[Defect] = ()
    replacement: Replacement | None = None
    notes: Sequence[str] = ()
    host: str = ""
    method: str = ""
    account: str = ""


@dataclass(slots=True)
class Report:
    """What one source holds. `is_encrypted` is True for a module whose text cannot be read."""

    source: str
    calls: list[Found] = field(default_factory=list)
    switches: list[Defect] = field(default_factory=list)
    is_encrypted: bool = False

    @property
    def needs_work(self) -> bool:
        """True when something is there for a person to do."""
        return bool(self.switches) or any(
            c.verdict not in (Verdict.OTHER_ADDRESS, Verdict.OTHER_CLASS) for c in self.calls
        )


#: Where each procedure is run with the API's address, by its lower-case name.
Callers = Mapping[str, Sequence[str]]


def scan(sources: Iterable[Source]) -> list[Report]:
    """Look through sources, in their order."""
    read = [(source, _scripts(source)) for source in sources]
    callers = _callers(read)
    return [_report(source, scripts, callers) for source, scripts in read]


def _scripts(source: Source) -> list[Script]:
    """Return a source's batches; none where it cannot hold anything to find."""
    lowered = (source.text or "").lower()
    if not any(word in lowered for word in ("sp_oa", "ole automation", _API)):
        return []
    return [parse(batch) for batch in batches(significant(tokens(source.text or "")))]


def _callers(read: Iterable[tuple[Source, list[Script]]]) -> Callers:
    found: dict[str, list[str]] = {}
    for source, scripts in read:
        for script in scripts:
            resolver = Resolver(script)
            for event in script.events:
                if not isinstance(event, Execution) or not event.name or event.name.startswith("sp_oa"):
                    continue
                parts = [p for a in event.arguments for p in resolver.resolve(a.tokens, event.index, event.path)]
                if any(p.kind == "literal" and _API in p.text.lower() for p in parts):
                    found.setdefault(event.name, []).append(f"{source.name}:{event.line}")
    return found


def _report(source: Source, scripts: Sequence[Script], callers: Callers) -> Report:
    report = Report(source.name, is_encrypted=source.text is None)
    calls = [(script, find_calls(script)) for script in scripts]
    secrets = Secrets(source.text or "", secrets_of(c for _, inside in calls for c in inside))
    for script, inside in calls:
        taken = set(script.variables)
        report.calls += [_judge(call, secrets, taken, callers) for call in inside]
        report.calls += [_dynamic(script, token) for token in script.tokens if _is_dynamic(token)]
        report.switches += defects.switches(script)
    report.calls.sort(key=lambda c: c.line)
    return report


def _judge(call: Call, secrets: Secrets, taken: set[str], callers: Callers) -> Found:
    request = call.request
    module = call.script.module_name
    program = secrets.hide(call.program) or "an object of a class not known here"
    host, method = request.host or "", (request.constant("method") or "").lower()
    if not host:
        return Found(
            call.line, Verdict.UNRESOLVED, f"{program}: address not resolved", module, notes=[_why(call, callers)]
        )
    if not request.is_afilnet:
        title = f"{program}: another address ({host}), left alone"
        return Found(call.line, Verdict.OTHER_ADDRESS, title, module, host=host)
    group = request.constant("class")
    if group is not None and group.lower() != "chat":
        title = f"class '{secrets.hide(group)}' of the Afilnet API, left alone"
        return Found(call.line, Verdict.OTHER_CLASS, title, module, host=host)
    found = defects.defects(call)
    if group is None or method not in METHODS:
        title, note = _unknown_method(call, group, method, secrets)
        return Found(call.line, Verdict.OTHER_METHOD, title, module, found, None, [note], host)
    title = f"{method} by {secrets.hide(call.verb)} through {program}" if call.verb else f"{method} through {program}"
    made = rewrite.rewrite(call, secrets, taken)
    account, note = answers.account(call, secrets)
    notes = [*made.notes, *answers.module(call), note, *answers.answer(call, method)]
    return Found(call.line, Verdict.REPLACED, title, module, found, made, notes, host, method, account)


def _why(call: Call, callers: Callers) -> str:
    """Say why an address is not known, and whether the request looks like one to the chat API."""
    unknown = next((p for p in call.request.address if p.kind != "literal"), None)
    if call.open is None:
        why = "no sp_OAMethod 'Open' on this object was found in the same batch"
    elif call.url is None:
        why = f"the Open on line {call.open.line} carries its address in another way than as its own argument"
    elif unknown is None:
        why = f"the address that Open gets on line {call.open.line} has no host in it"
    else:
        why = unknown.reason or f"line {unknown.line} computes it"
    names = [p.text.lower() for p in call.request.address if p.kind == "variable"]
    set_before = [a for n in names for a in call.script.assignments(n) if a.index < call.at.index]
    named = next((a for a in reversed(set_before) if _names_api(a.value)), None)
    if named:
        return f"{why}. The Afilnet API is named on line {named.line}: put an EXEC in each place that sets the address."
    run = callers.get(call.script.module_name.rpartition(".")[2].lower())
    if unknown is not None and run:
        return f"{why}, and it is run with the API's address on {listed(run)}: there the EXEC belongs, in its place."
    hint = ""
    if call.request.constant("class") == "chat" or (call.request.constant("method") or "").lower() in METHODS:
        hint = (
            " Its parameters look like the chat API's: if it goes there, write the address as a literal and look again."
        )
    return f"{why}: look where it goes.{hint}"


def _names_api(found: Iterable[Token]) -> bool:
    return any(_API in t.value.lower() for t in found if t.kind is Kind.STRING)


def _unknown_method(call: Call, group: str | None, method: str, secrets: Secrets) -> tuple[str, str]:
    if group is not None and method:
        shown = secrets.hide(method)
        return f"method '{shown}' of the Afilnet API", f"the chat API has {', '.join(METHODS)}, but not '{shown}'."
    parameter = call.request.get("class" if group is None else "method")
    part = next((p for p in parameter.parts if p.kind != "literal"), None) if parameter else None
    reason = (part.reason or "it is computed") if part else "the request names none that can be read here"
    return (
        "goes to the Afilnet API, method not resolved",
        f"which method it calls is not known here ({reason}): replace it by the procedure for the method, "
        f"{', '.join(rewrite.PROCEDURES.values())}.",
    )


def _is_dynamic(token: Token) -> bool:
    return token.kind is Kind.STRING and "sp_oacreate" in token.value.lower()


def _dynamic(script: Script, token: Token) -> Found:
    inside = "; the Afilnet API is named in it" if _names_api([token]) else ""
    return Found(
        token.line,
        Verdict.DYNAMIC,
        f"sp_OACreate inside a dynamic SQL string{inside}",
        script.module_name,
        notes=[
            "it is put together at run time, so nothing can be said of it here: look at it, and replace it by hand."
        ],
    )
