"""What a WSDL says of the API's methods: where a call goes, how its envelope is written, how an answer's is read.

zeep does all three, and nothing else of zeep is used: no client, no transport of its own. Needs the extra `soap`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree
from pydantic import SecretBytes
from zeep import Settings
from zeep.helpers import serialize_object
from zeep.wsdl import Document
from zeep.wsdl.bindings import Soap11Binding, Soap12Binding

from afilsql.api import xmltext
from afilsql.api.methods import METHODS
from afilsql.errors import InvalidParameter, WsdlError

# zeep's opinion of a WSDL would come unasked between the lines of the worker's log.
logging.getLogger("zeep").addHandler(logging.NullHandler())
warnings.filterwarnings("ignore", category=UserWarning, module=r"zeep\.")

#: What a WSDL may ask for beyond a method's parameters.
CALLER = ("class", "method", "user", "password")

#: Levels of elements within elements that are looked through for what a call has to say.
_LEVELS = 4

#: zeep fetches this schema from the network wherever a WSDL names its types, as PHP's do; of it, what they use.
_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
_ENCODING_SCHEMA = f"""<schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="{_ENCODING}">
<attribute name="arrayType" type="string"/>
<complexType name="Array"><sequence><any minOccurs="0" maxOccurs="unbounded" processContents="lax"/></sequence>
<anyAttribute namespace="##any" processContents="lax"/></complexType>
<complexType name="Struct"><sequence><any minOccurs="0" maxOccurs="unbounded" processContents="lax"/></sequence>
<anyAttribute namespace="##any" processContents="lax"/></complexType>
</schema>""".encode()

Load = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A value of a call: which, and whether it may be left out."""

    name: str
    optional: bool


_Plan = dict[str, "_Leaf | _Plan"]


class Operation:
    """One method, as the WSDL has it. Safe to use from any thread: nothing in it changes.

    Attributes:
        url: Where calls go.
        headers: HTTP headers of a call.

    Raises:
        WsdlError: It wants a part that nobody knows, or has an action that HTTP cannot carry.
    """

    def __init__(self, method: str, operation: Any, url: str) -> None:
        self.url = url
        action = operation.soapaction or ""
        if not (action.isascii() and action.isprintable() and '"' not in action):
            raise WsdlError(f"the soapAction of '{operation.name}' cannot be an HTTP header")
        if isinstance(operation.binding, Soap12Binding):
            self.headers = {"Content-Type": f'application/soap+xml; charset=utf-8; action="{action}"'}
        else:
            self.headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
        self._operation = operation
        body = operation.input.body
        self._plan = _plan(body.type.elements if body is not None else (), {*CALLER, *METHODS[method].parameters})

    def envelope(self, values: Mapping[str, SecretBytes]) -> SecretBytes:
        """Write a call.

        Args:
            values: UTF-8, by the names of parameters and of CALLER; those not given are empty.

        Raises:
            InvalidParameter: The WSDL's types cannot carry it.
        """
        try:
            made = self._operation.create(**_filled(self._plan, values)).content
            return SecretBytes(etree.tostring(made, encoding="utf-8", xml_declaration=True))
        except Exception as error:  # noqa: BLE001 - zeep raises whatever a value that does not fit does to it
            wrong = type(error).__name__
        # Outside of `except`: the frames of zeep, which hold the password, are let go of.
        raise InvalidParameter(
            f"{self._operation.name}: the WSDL's types cannot carry this call ({wrong}): use another transport",
            code="NOT_IN_WSDL",
        )

    def reply(self, envelope: etree._Element) -> Any:
        """Return what an answer holds, as dicts, lists and plain values. Raises whatever zeep does."""
        return serialize_object(self._operation.process_reply(envelope), dict)


def operations(location: str, load: Load) -> dict[str, Operation]:
    """Read a WSDL; return the API's methods it has, by their names.

    Args:
        location: Where it is.
        load: Returns the document at a place: this one, and those it imports.

    Raises:
        WsdlError: It cannot be used; or raised by `load`.
        ApiError: Raised by `load`.
    """
    loader = _Loader(load)
    try:
        document = Document(location, loader, settings=Settings(forbid_dtd=True, forbid_entities=True))
        found = dict(_found(document))
    except Exception as error:  # noqa: BLE001 - what zeep makes of a document that is no WSDL is anything
        if loader.failure is not None:
            raise loader.failure from None
        # Errors of XML carry the document, which is not ours to show.
        wrong = f"{error}" if isinstance(error, WsdlError) else f"it cannot be read ({type(error).__name__})"
    else:
        if found:
            return found
        wrong = f"it has none of the operations {', '.join(METHODS)}"
    raise WsdlError(f"{location} is not the WSDL of the chat API: {wrong}. Correct the setting wsdl")


class _Loader:
    """What zeep takes for its transport. Keeps the error of `load`, which zeep may wrap."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.failure: Exception | None = None

    def load(self, url: str) -> bytes:
        if url == _ENCODING:
            return _ENCODING_SCHEMA
        try:
            document = self._load(url)
            xmltext.check(document)
        except ValueError as wrong:
            self.failure = WsdlError(f"{url} is no WSDL: {wrong}. Correct the setting wsdl")
            raise self.failure from None
        except Exception as error:
            self.failure = error
            raise
        return document


def _found(document: Any) -> Iterator[tuple[str, Operation]]:
    """Each method, of SOAP 1.2 first, so that 1.1 overrides it: more servers do that right."""
    ports = [port for service in document.services.values() for port in service.ports.values()]
    for version in (Soap12Binding, Soap11Binding):
        for port in ports:
            if not isinstance(port.binding, version):
                continue
            address = (port.binding_options or {}).get("address") or ""
            for name, operation in port.binding.all().items():
                if name.lower() in METHODS and operation.input is not None:
                    yield name.lower(), Operation(name.lower(), operation, address)


def _plan(elements: Any, known: set[str], above: str = "", level: int = 1) -> _Plan:
    """Return where in a call's envelope which value goes. Raises WsdlError for a required part nobody knows."""
    plan: _Plan = {}
    for name, element in elements:
        optional = element.is_optional
        within = getattr(element.type, "elements", ()) if hasattr(element, "type") else ()
        if name.lower() in known:
            plan[name] = _Leaf(name.lower(), optional)
        elif within and level < _LEVELS:
            try:
                inner = _plan(within, known, f"{above}{name}.", level + 1)
            except WsdlError:
                if not optional:
                    raise
            else:
                if inner or not optional:
                    plan[name] = inner
        elif not optional:
            raise WsdlError(
                f"it wants the part '{above}{name}', for which there is no value: known are {', '.join(sorted(known))}"
            )
    return plan


def _filled(plan: _Plan, values: Mapping[str, SecretBytes]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for name, part in plan.items():
        if isinstance(part, dict):
            filled[name] = _filled(part, values)
        elif part.name in values or not part.optional:
            filled[name] = values[part.name].get_secret_value().decode() if part.name in values else ""
    return filled
