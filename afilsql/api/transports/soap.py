"""The transport `soap`: envelopes as a WSDL describes them. Needs the extra `soap`, which brings zeep.

zeep sends nothing: the WSDL, what it imports and the calls go through the client, with its limits, TLS and proxy.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretBytes, SecretStr

from afilsql import addresses
from afilsql.api.answers import Answer, retry_after
from afilsql.api.transports.base import Fetch, HttpCall, Login, Transport
from afilsql.errors import ConfigError, DeliveryUnknown, InvalidParameter, NotSent, WsdlError

if TYPE_CHECKING:
    from afilsql.api.transports.envelope import Fault
    from afilsql.api.transports.wsdl import Operation

#: Largest WSDL or schema read from a file, in bytes.
MAX_FILE_BYTES = 5_000_000
#: Documents a WSDL may consist of.
MAX_DOCUMENTS = 20

_Operations = Mapping[str, "Operation"]


def _utcnow() -> datetime:
    return datetime.now(UTC)


class Soap(Transport):
    """Calls by SOAP 1.1 or 1.2, shared by threads; the WSDL is read once.

    A file is read at once, a WSDL on a server with the first call.

    Attributes:
        url: Address of the API; until the WSDL is read, the WSDL's.

    Args:
        wsdl: Address of the WSDL, or path of a file.
        url: Where calls go; empty is where the WSDL says.
        allow_http: Permit http:// to another machine.
        clock: The time (UTC), for a Retry-After given as a date.

    Raises:
        ConfigError: zeep is not installed; the address is not usable or not safe.
        WsdlError: The file is no WSDL of the API.
    """

    def __init__(
        self, wsdl: str, *, url: str = "", allow_http: bool = False, clock: Callable[[], datetime] = _utcnow
    ) -> None:
        if find_spec("zeep") is None:
            raise ConfigError("the transport 'soap' needs zeep: pip install 'afilsql[soap]'")
        self._wsdl = wsdl
        self._fixed = url
        self._allow_http = allow_http
        self._clock = clock
        self._lock = threading.Lock()
        self._loading: Future[_Operations] | None = None
        self._operations: _Operations | None = None
        if _is_web(wsdl):
            addresses.check_safe(wsdl, "the setting wsdl", allow_http=allow_http)
            self.url = url or wsdl
        else:
            self._take(self._read(_from_folder(Path(wsdl))))

    def prepare(self, fetch: Fetch) -> None:
        """Read the WSDL, unless that is done; threads that come meanwhile wait for it and share what comes of it.

        Raises:
            NotSent: It cannot be had at present.
            WsdlError: It cannot be used.
        """
        if self._operations is not None:
            return
        with self._lock:
            loading, first = self._loading, self._loading is None
            if loading is None:
                loading = self._loading = Future()
        if not first:
            if (failure := loading.exception()) is not None:
                raise copy.copy(failure)
            return
        try:
            operations = self._read(_from_server(self._wsdl, fetch, self._clock))
            self._take(operations)
        except BaseException as error:  # a Ctrl+C too must not leave the others waiting
            with self._lock:
                self._loading = None
            loading.set_exception(error)
            raise
        loading.set_result(operations)

    def check_login(self, login: Login) -> None:
        """Refuse a login that XML cannot carry. Raises ConfigError."""
        from afilsql.api import xmltext

        if xmltext.unfit(login.user + login.password.get_secret_value()):
            raise ConfigError(
                "the account's user or password holds a character that XML cannot carry: use another transport"
            )

    def call(self, method: str, parameters: Mapping[str, str], login: Login) -> HttpCall:
        """Write a call, once prepared.

        Raises:
            InvalidParameter: A parameter holds a character that XML cannot carry.
            WsdlError: The WSDL has no operation for this method.
        """
        from afilsql.api import xmltext

        for name, value in parameters.items():
            if character := xmltext.unfit(value):
                raise InvalidParameter(
                    f"@{name} holds the character {character}, which XML cannot carry: remove it, or give the account "
                    "another transport, such as post; nothing was sent",
                    code="NOT_XML_TEXT",
                )
        operation = (self._operations or {}).get(method)
        if operation is None:
            raise WsdlError(f"{self._wsdl} has no operation '{method}': use another transport, such as post")
        values = {"class": "chat", "method": method, "user": login.user, **parameters}
        secret = {name: SecretBytes(value.encode()) for name, value in values.items()}
        secret["password"] = SecretBytes(login.password.get_secret_value().encode())
        headers = {**operation.headers, "Accept": "text/xml, application/soap+xml"}
        return HttpCall("POST", SecretStr(self._fixed or operation.url), headers, operation.envelope(secret))

    def answer(self, method: str, answer: Answer) -> Answer:
        """Return the answer with the API's JSON for a body; what is no envelope stays, marked where it looks well."""
        from afilsql.api import xmltext
        from afilsql.api.transports import envelope

        status = answer.status
        if answer.failure is not None or status in (407, 429, 503) or 300 <= status < 400:
            return answer  # it is not the API that speaks, or it has not come in full
        try:
            root = xmltext.parse(answer.body)
        except ValueError as wrong:
            return _unreadable(method, answer, "NOT_SOAP", str(wrong))
        if not envelope.is_envelope(root):
            return _unreadable(method, answer, "NOT_SOAP", "it is XML, but no SOAP envelope")
        fault = envelope.fault_in(root)
        if fault is not None:
            return _of_fault(answer, fault)
        operation = (self._operations or {}).get(method)
        try:
            body = envelope.as_json(method, operation.reply(root)) if operation else None
        except Exception as error:  # noqa: BLE001 - zeep raises whatever an answer unlike the WSDL does to it
            return _unreadable(method, answer, "BAD_SHAPE", f"it is not as the WSDL says ({type(error).__name__})")
        if body is None:
            return _unreadable(method, answer, "BAD_SHAPE", "it holds neither a status nor JSON")
        return replace(answer, body=body)

    def _read(self, load: Callable[[str], bytes]) -> _Operations:
        from afilsql.api.transports.wsdl import operations

        return operations(self._wsdl, load)

    def _take(self, operations: _Operations) -> None:
        for operation in operations.values():
            self._check_address(operation.url)
        self.url = self._fixed or next(iter(operations.values())).url
        self._operations = operations

    def _check_address(self, address: str) -> None:
        """Refuse an address in the WSDL that is not safe. Raises ConfigError."""
        if self._fixed:
            return
        addresses.check_safe(address, f"the address in {self._wsdl}", allow_http=self._allow_http)
        here, there = urlsplit(self._wsdl).hostname, urlsplit(address).hostname
        if _is_web(self._wsdl) and here != there:
            raise WsdlError(
                f"{self._wsdl} would have the password sent to another host, {there}: if that is right, set api_url to "
                f"{address}"
            )


def _is_web(location: str) -> bool:
    return urlsplit(location).scheme.lower() in ("http", "https")


def _from_folder(wsdl: Path) -> Callable[[str], bytes]:
    """Read a WSDL's file and those it imports from its folder."""
    folder = wsdl.resolve().parent

    def load(location: str) -> bytes:
        path = Path(location.removeprefix("file://")).resolve()
        if _is_web(location) or not path.is_relative_to(folder):
            raise WsdlError(f"{wsdl} imports {location}: save that beside it, and name it so in its imports")
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise WsdlError(f"{path}, of the setting wsdl, cannot be read ({error.strerror})") from None
        if len(content) > MAX_FILE_BYTES:
            raise WsdlError(f"{path}, of the setting wsdl, is larger than {MAX_FILE_BYTES // 1_000_000} MB")
        return content

    return load


def _from_server(wsdl: str, fetch: Fetch, clock: Callable[[], datetime]) -> Callable[[str], bytes]:
    """Fetch a WSDL and what it imports from its server."""
    left = MAX_DOCUMENTS

    def load(location: str) -> bytes:
        nonlocal left
        left -= 1
        if left < 0:
            raise WsdlError(f"{wsdl} consists of more than {MAX_DOCUMENTS} documents: save it as a file")
        if urlsplit(location)[:2] != urlsplit(wsdl)[:2]:
            raise WsdlError(f"{wsdl} imports {location} from another host: save both as files, side by side")
        try:
            answer = fetch(HttpCall("GET", SecretStr(location), {"Accept": "text/xml, */*"}))
        except DeliveryUnknown as error:
            raise _no_wsdl(location, error.code) from None
        if answer.failure is not None:
            raise _no_wsdl(location, answer.failure.code)
        status = answer.status
        if status in (407, 408, 429) or status >= 500:
            failure = _no_wsdl(location, f"HTTP {status}")
            failure.status = status
            failure.retry_after = retry_after(answer.headers.get("Retry-After"), clock())
            raise failure
        if not 200 <= status < 300:
            raise WsdlError(f"{location}: no WSDL there (HTTP {status}): correct the setting wsdl")
        return answer.body

    return load


def _no_wsdl(location: str, why: str | None) -> NotSent:
    return NotSent(f"{location}: the WSDL cannot be had at present ({why}); nothing was sent", code="WSDL")


def _of_fault(answer: Answer, fault: Fault) -> Answer:
    """Say a fault in the API's JSON, with the HTTP status that HTTP itself would have for it.

    SOAP 1.1 answers 500 to what was wrong with the request as well; some servers answer 200 to everything.
    """
    status = answer.status
    said = {"error": fault.code, "fault": fault.text}
    if fault.is_refusal:
        kept = fault.is_known or 400 <= status < 500
        return replace(answer, status=status if kept else 400, body=_json({"status": "ERROR", **said}))
    return replace(answer, status=status if status >= 500 else 500, body=_json(said))


def _json(value: Mapping[str, str]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _unreadable(method: str, answer: Answer, code: str, why: str) -> Answer:
    """Mark an answer that looks well; of one that does not, the status speaks."""
    if not 200 <= answer.status < 300:
        return answer
    message = f"{method}: the API answered HTTP {answer.status}, but not by SOAP: {why}; is the address right?"
    return replace(answer, failure=DeliveryUnknown(message, code=code))
