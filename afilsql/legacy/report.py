"""A scan's result as text for people and as plain values for programs."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from afilsql.legacy.finding import listed
from afilsql.legacy.scan import Found, Report, Verdict

_NAME_WIDTH = 20


def as_text(reports: Sequence[Report], *, width: int = 100) -> str:
    """Return what to print; sentences are wrapped to the width, T-SQL never."""
    lines: list[str] = []
    for report in reports:
        if report.calls or report.switches or report.is_encrypted:
            lines += [*_source(report, width), ""]
    accounts = accounts_of(reports)
    if len(accounts) > 1:
        names = listed([f"'{a}'" for a in accounts])
        text = (
            f"These sources use {len(accounts)} accounts, {names}: name each in AFILSQL_ACCOUNTS, and give each EXEC "
            "its account's name as @account = N'…'."
        )
        lines += [*textwrap.wrap(text, width), ""]
    return "\n".join([*lines, summary(reports)])


def accounts_of(reports: Sequence[Report]) -> list[str]:
    """Return the users written in the code, each once."""
    return sorted({c.account for r in reports for c in r.calls if c.account})


def as_values(reports: Sequence[Report]) -> dict[str, Any]:
    """Return everything as plain values."""
    return {
        "calls": [_call(report, call) for report in reports for call in report.calls],
        "switches": [
            {"source": r.source, "line": s.line, "name": s.name, "text": s.text} for r in reports for s in r.switches
        ],
        "accounts": accounts_of(reports),
        "encrypted": [r.source for r in reports if r.is_encrypted],
        "summary": {**_counts(reports), "text": summary(reports)},
    }


def summary(reports: Sequence[Report]) -> str:
    """Return the last line: what was read and found."""
    counts = _counts(reports)
    if not any(r.calls or r.switches or r.is_encrypted for r in reports):
        return f"{_number(counts['sources'], 'source')} read, no call by sp_OACreate found."
    said = [
        f"{_number(counts['sources'], 'source')} read",
        _number(counts[Verdict.REPLACED], "call") + " with a replacement",
    ]
    words = {
        Verdict.OTHER_METHOD: "to the Afilnet API without one",
        Verdict.OTHER_CLASS: "to another class of the Afilnet API",
        Verdict.UNRESOLVED: "with an address not resolved",
        Verdict.DYNAMIC: "in dynamic SQL",
        Verdict.OTHER_ADDRESS: "to another address",
    }
    said += [f"{counts[v]} {text}" for v, text in words.items() if counts[v]]
    said.append(_number(counts["defects"], "defect"))
    if counts["fill_in"]:
        said.append(f"{counts['fill_in']} left to fill in")
    if counts["encrypted"]:
        said.append(f"{counts['encrypted']} encrypted and not read")
    return ", ".join(said) + "."


def _counts(reports: Sequence[Report]) -> dict[str, int]:
    calls = [c for r in reports for c in r.calls]
    verdicts = Counter(c.verdict for c in calls)
    return {
        "sources": len(reports),
        **{v.value: verdicts[v] for v in Verdict},
        "defects": sum(len(c.defects) for c in calls) + sum(len(r.switches) for r in reports),
        "fill_in": sum(len(c.replacement.fill_in) for c in calls if c.replacement),
        "encrypted": sum(r.is_encrypted for r in reports),
    }


def _source(report: Report, width: int) -> Iterator[str]:
    yield report.source
    yield "=" * min(len(report.source), width)
    if report.is_encrypted:
        yield from _wrapped(
            "This module is encrypted (WITH ENCRYPTION) and cannot be read: look at the script it was made from.",
            width,
        )
    for switch in report.switches:
        yield ""
        yield f"{report.source}:{switch.line}  OLE automation is switched on"
        yield from _wrapped(f"{switch.name:<{_NAME_WIDTH}}line {switch.line}: {switch.text}", width, _NAME_WIDTH)
    for call in report.calls:
        yield ""
        yield f"{report.source}:{call.line}  {call.title}" + (f", in {call.module}" if call.module else "")
        for defect in call.defects:
            text = f"{defect.name:<{_NAME_WIDTH}}line {defect.line}: {defect.text}"
            yield from _wrapped(text, width, _NAME_WIDTH)
        if call.replacement:
            yield ""
            yield call.replacement.sql
            yield ""
        for note in call.notes:
            yield from _wrapped(f"- {note}", width, 2)


def _wrapped(text: str, width: int, hanging: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent="  ",
        subsequent_indent="  " + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _call(report: Report, call: Found) -> dict[str, Any]:
    made = call.replacement
    return {
        "source": report.source,
        "line": call.line,
        "module": call.module or None,
        "verdict": call.verdict.value,
        "title": call.title,
        "host": call.host or None,
        "method": call.method or None,
        "account": call.account or None,
        "defects": [{"name": d.name, "line": d.line, "text": d.text} for d in call.defects],
        "procedure": made.procedure if made else None,
        "parameters": dict(made.values) if made else None,
        "fill_in": list(made.fill_in) if made else [],
        "replacement": made.sql if made else None,
        "notes": list(call.notes),
    }


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
