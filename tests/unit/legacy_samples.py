"""T-SQL that the tests of `afilsql legacy` read: the six published samples, and code as people write it around them."""

from __future__ import annotations

from pathlib import Path

from afilsql.legacy import Found, Report, Source, scan

FOLDER = Path(__file__).parents[1] / "data" / "legacy"
SAMPLES = ("getchatchannels", "sendmessage", "sendfile", "getchats", "getmessages", "getunreadmessages")
FIXTURES = tuple(sorted(p.stem for p in FOLDER.glob("*.sql")))
#: In every fixture that holds a password, other than the published samples, the password contains this.
PLANTED = "planted"


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def scanned(text: str) -> Report:
    return scan([Source("it", text)])[0]


def only_call(text: str) -> Found:
    """Scan a text that holds one call."""
    [call] = scanned(text).calls
    return call


def defects_of(call: Found) -> dict[str, str]:
    """Return a call's defects, name to sentence; the last of a name wins."""
    return {d.name: f"line {d.line}: {d.text}" for d in call.defects}


def sql_of(call: Found) -> str:
    assert call.replacement is not None, call.title
    return call.replacement.sql


def wrap(setup: str, url: str = "@url", verb: str = "GET") -> str:
    """Put a call around statements that build its URL."""
    return (
        f"DECLARE @win int;\n{setup}\n"
        "EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;\n"
        f"EXEC sp_OAMethod @win, 'Open', NULL, '{verb}', {url}, 'false';\n"
        "EXEC sp_OAMethod @win, 'Send';\nEXEC sp_OADestroy @win;\n"
    )
