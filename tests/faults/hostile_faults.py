"""The faults of the hostile API: what the server does, and what a worker is to make of it under `hold`.

A request that is carried out is so when it arrives, before its fault shows.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

from tests.faults.hostile import Fault, Line, http, success

TEN_GB = 10 * 1024**3
HTML = b"<!doctype html><title>Oops</title><p>Something went wrong."
BODIES = {"html": (HTML, "text/html"), "json": (b'{"message": "no"}', "application/json"), "empty": (b"", "text/plain")}
BROKEN, NOT_JSON, TOO_LARGE = "CONNECTION_BROKEN", "NOT_JSON", "ANSWER_TOO_LARGE"
GZIP = "Content-Encoding: gzip"

#: One gzip member of about a kilobyte that becomes a megabyte; members may follow each other without end.
_MEMBER = gzip.compress(bytes(1 << 20), 9)

OK_LINE = b"HTTP/1.1 200 OK\r\n"
_OK = success()
_ANSWER = http(200, _OK)
_HALF = _ANSWER[: len(_ANSWER) - len(_OK) // 2]


def _says(*pieces: bytes, pause: float = 0.0) -> Callable[[Line], object]:
    return lambda line: line.say(*pieces, pause=pause)


def _says_and_closes(data: bytes) -> Callable[[Line], object]:
    return lambda line: (line.say(data), line.close())


def _says_and_resets(data: bytes) -> Callable[[Line], object]:
    # The pause lets the answer arrive: a reset overtakes what is still under way.
    return lambda line: (line.say(data, b"", pause=0.02), line.reset())


def _pours(piece: bytes, *headers: str, total: int = TEN_GB, status: int = 200) -> Callable[[Line], object]:
    head = "\r\n".join([f"HTTP/1.1 {status} OK", "Content-Type: application/json", *headers]) + "\r\n\r\n"
    return lambda line: line.pour(head.encode(), piece, total)


def _uncertain(act: Callable[[Line], object], code: str, **more: bool) -> Fault:
    return Fault(act, "uncertain", code, **{"carried": True} | more)


def _connections() -> dict[str, Fault]:
    return {
        "never-read": _uncertain(Line.hang, "TIMEOUT", carried=False, reads=False),
        "hang": _uncertain(Line.hang, "TIMEOUT", carried=False),
        "hang-done": _uncertain(Line.hang, "TIMEOUT"),
        "late-done": _uncertain(lambda line: line.say(b"", _ANSWER, pause=1.0), "TIMEOUT"),
        "drip-head-done": _uncertain(lambda line: line.drip(OK_LINE + b"X-Slow: ", b"."), "TIMEOUT"),
        "drip-body-done": _uncertain(lambda line: line.drip(http(200, b"", length=9999), b" "), "TIMEOUT"),
        "reset-before": _uncertain(Line.reset, BROKEN, carried=False, reads=False),
        "reset-after": _uncertain(Line.reset, BROKEN, carried=False),
        "reset-after-done": _uncertain(Line.reset, BROKEN),
        "reset-head-done": _uncertain(_says_and_resets(_ANSWER[:30]), BROKEN),
        "reset-body-done": _uncertain(_says_and_resets(_HALF), BROKEN),
        "close-after": _uncertain(Line.close, BROKEN, carried=False),
        "close-after-done": _uncertain(Line.close, BROKEN),
        "close-body-done": _uncertain(_says_and_closes(_HALF), BROKEN),
        "length-long": _uncertain(_says_and_closes(http(200, _OK, length=9999)), BROKEN),
        "length-short": _uncertain(_says(http(200, _OK, length=9)), NOT_JSON),
        "length-negative": Fault(_says_and_closes(http(200, _OK, length=-7)), "sent", None, carried=True),
        "length-twice": _uncertain(_says(http(200, _OK, "Content-Length: 3")), BROKEN),
        "http-09": _uncertain(_says_and_closes(b"{} garbage\r\n" * 9), BROKEN),
        "http-7": _uncertain(_says_and_closes(_ANSWER.replace(b"/1.1", b"/7.0", 1)), BROKEN),
        "bad-chunks": _uncertain(_says(OK_LINE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), BROKEN),
        "endless-headers": _uncertain(lambda line: line.pour(OK_LINE, b"X-More: more\r\n" * 999, TEN_GB), BROKEN),
        "endless-line": _uncertain(lambda line: line.pour(OK_LINE + b"X: ", b"." * 65536, TEN_GB), BROKEN),
        "endless-1xx": _uncertain(lambda line: line.pour(b"", b"HTTP/1.1 102 Wait\r\n\r\n" * 99, TEN_GB), BROKEN),
        "endless-100": _uncertain(lambda line: line.pour(b"", b"HTTP/1.1 100 Go\r\n\r\n" * 99, TEN_GB), BROKEN),
        "continue-storm": Fault(_says(b"HTTP/1.1 100 Go\r\n\r\n" * 99, _ANSWER), "sent", None, carried=True),
        "early-hints": Fault(
            _says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", _ANSWER, pause=0.1), "sent", None, carried=True
        ),
        "two-answers": Fault(_says(_ANSWER + http(500, HTML)), "sent", None, carried=True),
        "two-answers-apart": Fault(_says(_ANSWER, http(500, HTML)), "sent", None, carried=True),
        "answer-and-a-half": Fault(_says(_ANSWER + b"HTTP/1.1 404 No"), "sent", None, carried=True),
        "closed-after-answer": Fault(_says_and_closes(_ANSWER), "sent", None, carried=True),
        "reset-after-answer": Fault(_says_and_resets(_ANSWER), "sent", None, carried=True),
    }


def _bodies() -> dict[str, Fault]:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    latin = '{"status":"SUCCESS","result":{"note":"año"}}'
    with_bom = b"\xef\xbb\xbf" + _OK
    faults = {
        "big-length": _uncertain(_pours(b" " * 65536, f"Content-Length: {TEN_GB}"), TOO_LARGE),
        "big-chunked": _uncertain(_pours(chunk, "Transfer-Encoding: chunked"), TOO_LARGE),
        "big-line": _uncertain(_pours(b"f" * 65536, "Transfer-Encoding: chunked"), BROKEN),
        "big-until-close": _uncertain(_pours(b"[" * 65536), TOO_LARGE),
        "gzip-bomb": _uncertain(_pours(_MEMBER, GZIP, total=10_000 * len(_MEMBER)), TOO_LARGE),
        "gzip-bomb-500": _uncertain(_pours(_MEMBER, GZIP, total=10_000 * len(_MEMBER), status=500), TOO_LARGE),
        "deflate-bomb": _uncertain(
            _says(http(200, zlib.compress(bytes(200 << 20), 9), "Content-Encoding: deflate")), TOO_LARGE
        ),
        "gzip": Fault(_says(http(200, gzip.compress(_OK), GZIP)), "sent", None, carried=True),
        "deflate": Fault(_says(http(200, zlib.compress(_OK), "Content-Encoding: deflate")), "sent", None, carried=True),
        "gzip-broken": _uncertain(_says(http(200, gzip.compress(_OK)[:-12] + b"x" * 12, GZIP)), f"{NOT_JSON} {BROKEN}"),
        "gzip-cut": _uncertain(_says(http(200, gzip.compress(_OK * 99)[:20], GZIP)), NOT_JSON),
        "gzip-not": _uncertain(_says(http(200, _OK, GZIP)), BROKEN),
        "encoding-unknown": Fault(_says(http(200, _OK, "Content-Encoding: rot13")), "sent", None, carried=True),
        "html": _uncertain(_says(http(200, HTML, kind="text/html")), NOT_JSON),
        "empty": _uncertain(_says(http(200, b"")), NOT_JSON),
        "latin-1": _uncertain(_says(http(200, latin.encode("latin-1"))), NOT_JSON),
        "utf-16": _uncertain(_says(http(200, latin.encode("utf-16"))), NOT_JSON),
        "bom": Fault(_says(http(200, with_bom)), "sent", None, carried=True),
        "json-cut": _uncertain(_says(http(200, _OK[:-3])), NOT_JSON),
        "json-deep": _uncertain(_says(http(200, b"[" * 500_000)), NOT_JSON),
        "json-number": _uncertain(_says(http(200, b"9" * 500_000)), NOT_JSON),
        "refused-404": Fault(
            _says(http(404, b'{"status":"error","error":"CHANNEL_NOT_FOUND"}')), "failed", "CHANNEL_NOT_FOUND"
        ),
    }
    for name, junk in (("br", b"\x1b\x03\x00\x80junk"), ("zstd", b"\x28\xb5\x2f\xfdjunk")):
        # Garbled either way: read as it stands, or undone where a library for it is installed.
        faults[name] = _uncertain(_says(http(200, junk, f"Content-Encoding: {name}")), f"{NOT_JSON} {BROKEN}")
    shapes = (
        None,
        True,
        7,
        "ok",
        [],
        [{"status": "SUCCESS"}],
        {},
        {"status": "ok"},
        {"status": ["SUCCESS"]},
        {"status": "ERROR"},
    )
    for number, shape in enumerate(shapes):
        faults[f"shape-{number}"] = _uncertain(_says(http(200, json.dumps(shape).encode())), "BAD_SHAPE")
    return faults


def _statuses() -> dict[str, Fault]:
    faults = {
        "204": _uncertain(_says(b"HTTP/1.1 204 No Content\r\n\r\n"), NOT_JSON),
        "206": Fault(_says(http(206, _OK, "Content-Range: bytes 0-31/32")), "sent", None, carried=True),
    }
    for kind, (body, media) in BODIES.items():
        answered = lambda status, body=body, media=media: _says(http(status, body, kind=media))  # noqa: E731
        for status in (400, 404, 405, 409, 410, 413, 421, 425, 431, 451):
            faults[f"{status}-{kind}"] = Fault(answered(status), "failed", f"HTTP_{status}")
        for status in (401, 403):
            faults[f"{status}-{kind}"] = Fault(answered(status), "hold", f"HTTP_{status}")
        for status in (429, 503):
            faults[f"{status}-{kind}"] = Fault(answered(status), "retry", f"HTTP_{status}")
        for status in (408, 500, 502, 504, 507, 520, 599, 999):
            faults[f"{status}-{kind}"] = _uncertain(answered(status), f"HTTP_{status}", carried=kind != "json")
    early = lambda line: (line.say(http(413, HTML, "Connection: close")), line.hang(0.2))  # noqa: E731
    faults["413-early"] = Fault(early, "failed", "HTTP_413", reads=False)
    faults["503-broken"] = Fault(_says_and_closes(http(503, HTML, length=9999)), "retry", "HTTP_503")
    return faults


def _redirects() -> dict[str, Fault]:
    def to(status: int, where: str = "", body: bytes = HTML) -> Callable[[Line], object]:
        return lambda line: line.say(http(status, body, f"Location: {where or line.server.elsewhere}"))

    faults: dict[str, Fault] = {}
    for status in (301, 302, 303, 307, 308):
        # 301, 307 and 308 ask for the same request elsewhere; 302 and 303 are also how a page says "done, see there".
        ambiguous = status in (302, 303)
        outcome = "uncertain" if ambiguous else "retry"
        targets = {"elsewhere": "", "loop": "/api/http/", "broken": "http://[", "file": "file:///etc/passwd"}
        for name, where in targets.items():
            faults[f"{status}-{name}"] = Fault(to(status, where), outcome, "REDIRECTED", carried=ambiguous)
        bomb = _pours(b" " * 65536, "Location: /x", f"Content-Length: {TEN_GB}", status=status)
        faults[f"{status}-bomb"] = Fault(bomb, outcome, "REDIRECTED", carried=ambiguous)
    return faults


def _hints() -> dict[str, Fault]:
    def later(seconds: float, hours: float = 0.0) -> str:
        zone = timezone(timedelta(hours=hours)) if hours else UTC
        return format_datetime(datetime.now(zone) + timedelta(seconds=seconds), usegmt=not hours)

    hints: dict[str, tuple[Callable[[], str], float]] = {
        "seconds": (lambda: "70", 70.0),
        "fraction": (lambda: "60.5", 60.5),
        "date": (lambda: later(600), 598.0),
        "zone": (lambda: later(600, 5.5), 598.0),
        "past": (lambda: later(-600), 0.0),
        "huge": (lambda: "1000000000000", 3600.0),
        "huger": (lambda: "9" * 5000, 3600.0),
        "negative": (lambda: "-5", 0.0),
        "text": (lambda: "soon", 0.0),
        "empty": (lambda: "", 0.0),
    }
    faults: dict[str, Fault] = {}
    for name, (value, wait) in hints.items():
        for status in (429, 503):
            act = lambda line, v=value, s=status: line.say(http(s, HTML, f"Retry-After: {v()}"))  # noqa: E731
            faults[f"{status}-after-{name}"] = Fault(act, "retry", f"HTTP_{status}", wait=wait)
    return faults


FAULTS = _connections() | _bodies() | _statuses() | _redirects() | _hints()

#: After these the server breaks, or spoils, a connection that looked fit to be used again. Whatever request comes
#: along it in that moment is lost in doubt, and nothing in HTTP/1.1 can tell which case it is.
RACES = ("closed-after-answer", "reset-after-answer", "two-answers-apart")
