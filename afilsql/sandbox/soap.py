"""The simulated API over SOAP 1.1: its WSDL, calls read from envelopes, answers written as envelopes.

Document/literal: an operation's element holds class, method, user, password and the method's parameters; an answer's
holds {status, result {list {item …}}, error}. What no operation can answer is a fault. Needs the extra `soap`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from html import escape
from typing import Any

from lxml import etree
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from afilsql.api import xmltext
from afilsql.api.methods import METHODS, ListKind, Method
from afilsql.api.reply import Channel, Chat, Message

NAMESPACE = "urn:afilsql:sandbox"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"

_ROWS: Mapping[ListKind, type] = {"channels": Channel, "chats": Chat, "messages": Message}


async def respond(request: Request, call: Callable[[Mapping[str, str]], Response]) -> Response:
    """Answer a request.

    Args:
        request: For the WSDL, or a call.
        call: Carries out a call and returns the answer the JSON API gives.
    """
    if request.method != "POST":
        if "wsdl" not in request.query_params:
            return PlainTextResponse("POST an envelope; the WSDL is at ?wsdl", 405, {"Allow": "POST"})
        return _xml(wsdl(str(request.url.replace(query=""))))
    try:
        operation, parameters = read(await request.body())
    except ValueError as wrong:
        return _xml(fault("Client", f"the body cannot be read: {wrong}"), 500)
    if operation not in METHODS or parameters.get("method", operation) not in ("", operation):
        return _xml(fault("Client", "INCORRECT_METHOD"), 500)
    said = call(parameters)
    if said.status_code == 500:
        return _xml(fault("Server", bytes(said.body).decode()), 500)
    if said.status_code != 200 or not said.body or said.media_type != "application/json":
        return said
    return _xml(answer(operation, json.loads(bytes(said.body))))


def _xml(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="text/xml")


def wsdl(address: str) -> bytes:
    """Return the WSDL of a sandbox at this address."""
    each = METHODS.values()
    return f"""<?xml version="1.0" encoding="utf-8"?>
<definitions name="sandbox" targetNamespace="{NAMESPACE}" xmlns:tns="{NAMESPACE}"
    xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xsd="http://www.w3.org/2001/XMLSchema">
<types>
<xsd:schema targetNamespace="{NAMESPACE}" elementFormDefault="qualified">
{"".join(map(_elements, each))}</xsd:schema>
</types>
{"".join(map(_messages, each))}<portType name="chat">
{"".join(map(_port, each))}</portType>
<binding name="chat" type="tns:chat">
<soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
{"".join(map(_binding, each))}</binding>
<service name="sandbox"><port name="chat" binding="tns:chat">
<soap:address location="{escape(address)}"/></port></service>
</definitions>
""".encode()


def _elements(method: Method) -> str:
    asked = ("class", "method", "user", "password", *method.parameters)
    parts = "".join(_element(name, optional=name in method.optional) for name in asked)
    lines = ""
    if method.returns is not None:
        row = "".join(_element(name, optional=True) for name in _row_fields(method))
        item = _element("item", f"<xsd:complexType><xsd:all>{row}</xsd:all></xsd:complexType>", many=True)
        lines = _element("list", f"<xsd:complexType><xsd:sequence>{item}</xsd:sequence></xsd:complexType>")
    result = _element("result", f"<xsd:complexType><xsd:all>{lines}</xsd:all></xsd:complexType>", optional=True)
    answer = _element("status") + result + _element("error", optional=True)
    returned = _element("return", f"<xsd:complexType><xsd:sequence>{answer}</xsd:sequence></xsd:complexType>")
    return f"{_wrapper(method.name, parts)}\n{_wrapper(method.name + 'Response', returned)}\n"


def _wrapper(name: str, content: str) -> str:
    return _element(name, f"<xsd:complexType><xsd:sequence>{content}</xsd:sequence></xsd:complexType>")


def _element(name: str, content: str = "", *, optional: bool = False, many: bool = False) -> str:
    occurs = ' minOccurs="0" maxOccurs="unbounded"' if many else ' minOccurs="0"' if optional else ""
    if content:
        return f'<xsd:element name="{name}"{occurs}>{content}</xsd:element>'
    kind = "boolean" if name in ("sent", "issent") else "string"
    return f'<xsd:element name="{name}" type="xsd:{kind}"{occurs}/>'


def _row_fields(method: Method) -> list[str]:
    names = [f.name for f in fields(_ROWS[method.returns])] if method.returns else []
    return ["issent" if name == "sent" and method.name == "getunreadmessages" else name for name in names]


def _messages(method: Method) -> str:
    return "".join(
        f'<message name="{name}"><part name="parameters" element="tns:{name}"/></message>\n'
        for name in (method.name, method.name + "Response")
    )


def _port(method: Method) -> str:
    name = method.name
    return f'<operation name="{name}"><input message="tns:{name}"/><output message="tns:{name}Response"/></operation>\n'


def _binding(method: Method) -> str:
    body = '<soap:body use="literal"/>'
    return (
        f'<operation name="{method.name}"><soap:operation soapAction="{NAMESPACE}#{method.name}"/>'
        f"<input>{body}</input><output>{body}</output></operation>\n"
    )


def read(envelope: bytes) -> tuple[str, dict[str, str]]:
    """Return the operation an envelope calls, and its parts, class and method among them.

    Raises:
        ValueError: It is no envelope with an operation in it.
    """
    root = xmltext.parse(envelope)
    body = root.find(f"{{{ENVELOPE}}}Body")
    if root.tag != f"{{{ENVELOPE}}}Envelope" or body is None or len(body) != 1:
        raise ValueError("it is no SOAP envelope with one operation")
    return xmltext.name(body[0]), {xmltext.name(part): part.text or "" for part in body[0]}


def answer(method: str, said: Mapping[str, Any]) -> bytes:
    """Return the envelope of an answer.

    Args:
        method: Name of one of METHODS.
        said: The answer as the JSON API gives it.
    """
    root, body = _envelope()
    returned = etree.SubElement(_sub(body, method + "Response"), f"{{{NAMESPACE}}}return")
    _sub(returned, "status").text = str(said["status"])
    if "result" in said:
        result = _sub(returned, "result")
        if METHODS[method].returns is not None:
            lines = _sub(result, "list")
            for row in said["result"]["list"]:
                item = _sub(lines, "item")
                for name, value in row.items():
                    _sub(item, name).text = str(value).lower() if isinstance(value, bool) else xmltext.fit(str(value))
    if "error" in said:
        _sub(returned, "error").text = str(said["error"])
    return _bytes(root)


def fault(code: str, text: str) -> bytes:
    """Return the envelope of a fault.

    Args:
        code: Client or Server.
        text: What went wrong.
    """
    root, body = _envelope()
    made = etree.SubElement(body, f"{{{ENVELOPE}}}Fault")
    etree.SubElement(made, "faultcode").text = f"soap:{code}"
    etree.SubElement(made, "faultstring").text = xmltext.fit(text)
    return _bytes(root)


def _envelope() -> tuple[etree._Element, etree._Element]:
    root = etree.Element(f"{{{ENVELOPE}}}Envelope", nsmap={"soap": ENVELOPE})
    return root, etree.SubElement(root, f"{{{ENVELOPE}}}Body")


def _sub(parent: etree._Element, name: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{NAMESPACE}}}{name}", nsmap={None: NAMESPACE})


def _bytes(root: etree._Element) -> bytes:
    return bytes(etree.tostring(root, encoding="utf-8", xml_declaration=True))
