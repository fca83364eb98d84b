"""A CSV file of requests: each line becomes a Request or a reason why not.

Columns are named like the API's parameters, plus method, account, priority, send_at and dedup_key.
"""

from __future__ import annotations

import csv
import io
import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TextIO

from afilsql.api.methods import MAX_LENGTH
from afilsql.errors import InvalidParameter
from afilsql.outbox.records import Account, Request
from afilsql.outbox.validate import account_fault, validate

CONTROL_COLUMNS = ("method", "account", "priority", "send_at", "dedup_key")
COLUMNS = (*CONTROL_COLUMNS, *MAX_LENGTH)
DEFAULT_METHOD = "sendmessage"
#: Characters of one CSV field; above the longest message, which `validate` refuses with its own words.
_FIELD_LIMIT = 4_194_304
#: Characters of one line: a field at its limit with every quote doubled, and room for the others.
_LINE_LIMIT = 3 * _FIELD_LIMIT


@dataclass(frozen=True, slots=True)
class GoodLine:
    """A line that can be queued; `line` is its number in the file, counted from 1."""

    line: int
    request: Request


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot, and why."""

    line: int
    reason: str


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a file, or standard input for `-`, so that it can be read twice: what cannot be rewound is copied aside.

    Raises:
        InvalidParameter: It cannot be read.
    """
    try:
        with ExitStack() as stack:
            source: IO[bytes] = sys.stdin.buffer if str(path) == "-" else stack.enter_context(path.open("rb"))
            if str(path) == "-" or not path.is_file():
                copy = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(source, copy)
                copy.seek(0)
                source = copy
            yield stack.enter_context(io.TextIOWrapper(source, encoding="utf-8-sig", newline=""))
    except UnicodeDecodeError:
        raise InvalidParameter(f"{path} is not UTF-8: save it as 'CSV UTF-8'") from None
    except OSError as e:
        raise InvalidParameter(f"{path} cannot be read: {e.strerror}") from None


def lines_of(file: TextIO) -> Iterator[str]:
    """Return the lines from the start of the file on, keeping one at a time.

    Raises:
        InvalidParameter: A line is longer than any request can be.
    """
    file.seek(0)
    for number in itertools.count(1):
        line = file.readline(_LINE_LIMIT)
        if len(line) == _LINE_LIMIT:
            raise InvalidParameter(f"line {number} is longer than {_LINE_LIMIT} characters: is this a CSV file?")
        if not line:
            return
        yield line


def read_csv(
    lines: Iterable[str], *, known: Sequence[Account] = (), allow_private_urls: bool = False
) -> Iterator[GoodLine | BadLine]:
    """Read requests from the lines of a CSV file with a header; empty lines are skipped.

    Fields are separated by commas, or by semicolons where the header is.

    Args:
        lines: The file's lines.
        known: The accounts that there are; none lets every name pass.
        allow_private_urls: Let the URL of a file point to a private place.

    Raises:
        InvalidParameter: The header is missing or names a column that does not exist.
    """
    source = iter(lines)
    head = next(source, "").removeprefix("\ufeff")
    delimiter = ";" if head.count(";") > head.count(",") else ","
    columns = _columns(next(csv.reader([head], delimiter=delimiter), []))
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD_LIMIT))
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 2
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            yield BadLine(line, f"the quoting is wrong ({e}): close every quote; what follows it was not read")
            return
        if not any(v.strip() for v in values):
            continue
        if len(values) != len(columns):
            yield BadLine(line, f"it has {len(values)} fields and the header {len(columns)}: quote fields with commas")
            continue
        try:
            request = make_request(dict(zip(columns, values, strict=True)), allow_private_urls=allow_private_urls)
            why = account_fault(known, request.account, request.parameters.get("platform"))
            yield BadLine(line, why) if why else GoodLine(line, request)
        except InvalidParameter as e:
            yield BadLine(line, str(e))


def make_request(fields: Mapping[str, str | None], *, allow_private_urls: bool = False) -> Request:
    """Build a request from text fields named as COLUMNS; empty ones count as not given.

    Raises:
        InvalidParameter: A field cannot be used.
    """
    given = {k: v for k, v in fields.items() if v}
    method = given.pop("method", DEFAULT_METHOD).strip()
    account = given.pop("account", "default").strip()
    priority = given.pop("priority", "5").strip()
    send_at = given.pop("send_at", None)
    dedup_key = given.pop("dedup_key", None)
    if priority not in tuple("0123456789"):
        raise InvalidParameter(f"@priority '{priority[:20]}' is not a number from 0 (first) to 9 (last)")
    due = parse_time(send_at) if send_at else None
    request = Request(method, given, account, int(priority), due, dedup_key)
    return validate(request, allow_private_urls=allow_private_urls)


def parse_time(text: str) -> datetime:
    """Return an ISO 8601 time in UTC; one without zone is UTC already.

    Raises:
        InvalidParameter: It is not such a time.
    """
    try:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidParameter(
            f"@send_at '{text[:40]}' is not a time: write it as 2026-01-31T09:30:00, in UTC, or with +02:00 at the end"
        ) from None


def _columns(header: list[str]) -> list[str]:
    columns = [name.strip().lower() for name in header]
    if not any(columns):
        raise InvalidParameter(f"line 1 is empty: begin the file with a header of columns from {', '.join(COLUMNS)}")
    for name in columns:
        if name not in COLUMNS:
            raise InvalidParameter(f"line 1: there is no column '{name[:60]}'; use {', '.join(COLUMNS)}")
        if columns.count(name) > 1:
            raise InvalidParameter(f"line 1: the column '{name}' is there twice: remove one")
    return columns
