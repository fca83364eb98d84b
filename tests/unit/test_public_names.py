"""What `afilsql` offers to programs: these names, typed, and imported when first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import afilsql
from tests.patience import PATIENCE

PUBLIC = {
    *("Account", "AfilnetClient", "Attempt", "Channel", "Chat", "Entry", "Item", "ItemDetail", "Message", "Outbox"),
    *("QueueStatus", "Reply", "Request", "Settings", "Subscription", "Worker"),
    *("load_settings", "open_outbox", "wait_for", "wait_for_async", "__version__"),
    *("AfilsqlError", "ApiError", "ConfigError", "CredentialsRefused", "DatabaseError", "DatabaseUnavailable"),
    *("DeliveryUnknown", "DriverMissing", "InvalidParameter", "LeaseLost", "NotSent", "QuotaExceeded", "Refused"),
    *("RequestNotFound", "SchemaOutOfDate"),
}
FILE = Path(str(afilsql.__file__))


def test_these_names_are_public_and_no_others() -> None:
    assert set(afilsql.__all__) == PUBLIC == set(dir(afilsql))
    assert list(afilsql.__all__) == sorted(PUBLIC)


def test_each_is_there_and_is_what_its_type_says() -> None:
    """What a type checker reads stands apart from what runs: the two name the same objects."""
    blocks = [n for n in ast.walk(ast.parse(FILE.read_text(encoding="utf-8"))) if isinstance(n, ast.If)]
    typed = {
        alias.name: node.module
        for block in blocks
        if ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed.keys() == PUBLIC - {"__version__"}
    for name, module in typed.items():
        assert getattr(afilsql, name) is getattr(sys.modules[str(module)], name), name


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert (FILE.parent / "py.typed").is_file()


def test_importing_it_loads_nothing_that_takes_long() -> None:
    heavy = ("sqlalchemy", "pydantic", "requests", "asyncio", "rich", "typer", "structlog", "starlette")
    code = f"import sys, afilsql; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.strip() == "[]"
