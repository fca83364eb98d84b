"""From a SOAP envelope to the JSON the API would have answered. Pure.

What an operation returns is a structure {status, result {list}, error}, or text that is JSON; names in any case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree

from afilsql.api import xmltext
from afilsql.api.methods import ERROR_CODES, METHODS

#: The envelope's namespace in SOAP 1.1 and 1.2.
VERSIONS = ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")

#: Fault codes, of both versions, that say the request was not carried out as it was wrong.
_CALLERS = ("client", "sender", "versionmismatch", "mustunderstand", "dataencodingunknown")

_ROW_FIELDS = {"platformid", "platform", "name", "message", "messageid"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A SOAP fault.

    Attributes:
        code: One of the API's codes where the fault holds one, else SOAP_ and the fault's code, as in SOAP_CLIENT.
        text: What it says.
        is_refusal: The request was not carried out; False leaves that open.
        is_known: `code` is one of the API's.
    """

    code: str
    text: str
    is_refusal: bool
    is_known: bool = False


def is_envelope(root: etree._Element) -> bool:
    """Return whether a document is a SOAP envelope with a body."""
    space = etree.QName(root).namespace
    body = root.find(f"{{{space}}}Body")
    return space in VERSIONS and xmltext.name(root) == "Envelope" and body is not None and len(body) > 0


def fault_in(root: etree._Element) -> Fault | None:
    """Return the fault an envelope holds, None when it holds none."""
    space = etree.QName(root).namespace
    fault = root.find(f"{{{space}}}Body/{{{space}}}Fault")
    if fault is None:
        return None
    if space == VERSIONS[0]:
        codes, text = [_text(fault.find("faultcode"))], _text(fault.find("faultstring"))
    else:
        codes = [_text(value) for value in fault.iterfind(f"{{{space}}}Code//{{{space}}}Value")]
        text = _text(fault.find(f"{{{space}}}Reason/{{{space}}}Text"))
    said = [code.rpartition(":")[2] for code in codes if code]
    known = next((word for word in (*reversed(said), text) if word in ERROR_CODES), None)
    if known is not None:
        return Fault(known, text, is_refusal=True, is_known=True)
    first = said[0] if said else ""
    code = "SOAP_" + (re.sub(r"[^A-Z0-9]+", "_", first.upper())[:50].strip("_") or "FAULT")
    return Fault(code, text, first.partition(".")[0].lower() in _CALLERS)


def as_json(method: str, returned: Any) -> bytes | None:
    """Return the JSON that says what an operation returned; None when it is not an answer of the API's.

    Args:
        method: The method that was called.
        returned: Dicts, lists and values; lxml's elements where the WSDL does not say what they are.
    """
    value = _plain(returned)
    while isinstance(value, dict) and len(value) == 1 and "status" not in value:
        value = next(iter(value.values()))
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, dict) or "status" not in value:
        return None
    if METHODS[method].returns is not None:
        value["result"] = _with_list(value.get("result"))
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _with_list(result: Any) -> Any:
    """Return a result whose list is one: XML has no way to say that one element is a list of one."""
    result = _parsed(result) if isinstance(result, str) else result
    if not isinstance(result, dict) or "list" not in result:
        return result
    items = result["list"]
    if isinstance(items, str):
        items = _parsed(items)
    if isinstance(items, dict) and len(items) == 1 and not items.keys() & _ROW_FIELDS:
        items = next(iter(items.values()))  # <list><item>…</item><item>…</item></list>
    if isinstance(items, dict):
        items = [items]
    return {**result, "list": items or []}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, names in small letters."""
    if isinstance(value, Mapping):
        return {str(name).lower(): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(each, etree._Element) for each in value):
            return _grouped(value)
        return [_plain(each) for each in value]
    if isinstance(value, etree._Element):
        return _grouped(list(value)) if len(value) else _text(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _grouped(elements: list[etree._Element]) -> dict[str, Any]:
    """Return elements by name, those of one name as a list."""
    found: dict[str, list[Any]] = {}
    for element in elements:
        found.setdefault(xmltext.name(element).lower(), []).append(_plain(element))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _parsed(text: str) -> Any:
    """Return what a text says as JSON; the text itself when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip() and text


def _text(element: etree._Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""
