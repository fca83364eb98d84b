"""Secrets planted where they are used, to be looked for everywhere else."""

from __future__ import annotations

import base64
import html
import json
import os
from urllib.parse import quote, quote_plus


def spellings(secret: str) -> set[bytes]:
    """A secret in the encodings that it could be written in."""
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret)}
    texts |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    texts |= {json.dumps(html.escape(secret), ensure_ascii=ascii)[1:-1] for ascii in (True, False)}
    texts |= {t.lower() for t in texts if "%" in t} | {json.dumps(secret)[1:-1].replace("/", "\\/")}
    texts |= {secret.replace("}", "}}"), quote_plus(secret.replace("}", "}}"))}
    found = {t.encode() for t in texts} | {t.encode("utf-16-le") for t in texts} | {secret.encode("latin-1")}
    for before in range(3):  # wherever in a longer text it begins
        inner = base64.b64encode(b"\0" * before + secret.encode())
        found.add(inner[(before * 8 + 5) // 6 : (before + len(secret.encode())) * 8 // 6])
    return found


def answer(status: int, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    head = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    head += headers
    return "\r\n".join(head).encode("utf-8") + b"\r\n\r\n" + body


def frames_of(error: BaseException) -> str:
    """The variables of the frames of afilsql, this test's own left out."""
    found, tb = "", error.__traceback__
    while tb is not None:
        if f"{os.sep}afilsql{os.sep}" in tb.tb_frame.f_code.co_filename:
            found += repr(tb.tb_frame.f_locals)
        tb = tb.tb_next
    assert found
    return found
