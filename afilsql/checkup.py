"""What a trial call of an account says about its settings: what happened, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from afilsql.api.connections import Reason
from afilsql.api.methods import ERROR_CODES
from afilsql.api.reply import Channel, Reply
from afilsql.errors import ApiError, ConfigError, CredentialsRefused, Refused, WsdlError


@dataclass(frozen=True, slots=True)
class Finding:
    """One outcome, explained.

    Attributes:
        kind: A few words, the same for the same kind of trouble; "ok" when all is well.
        what: What happened, in a sentence.
        advice: What to do, empty when all is well or `what` says it.
        again_in: Seconds the API asks to wait before the next call, None when it does not say.
    """

    kind: str
    what: str
    advice: str = ""
    again_in: float | None = None

    @property
    def is_ok(self) -> bool:
        return self.kind == "ok"

    @property
    def is_setting(self) -> bool:
        """True when no call was made, as a setting is missing or wrong."""
        return self.kind == "settings"


#: Why no connection came about: kind, and what to do. {address} is the setting that holds the address.
_CONNECTING: Mapping[Reason, tuple[str, str]] = {
    "name": (
        "name not found",
        "Look for a typing error in {address}, and whether this machine's DNS answers at all.",
    ),
    "refused": (
        "connection refused",
        "Nothing listens there: look at host and port of {address}; a firewall may refuse as well.",
    ),
    "unreachable": ("unreachable", "Look at this machine's network and its route to the host in {address}."),
    "time-out": (
        "connect time-out",
        "A firewall that drops packets looks like this: let this machine out to host and port of {address}, set "
        "AFILSQL_PROXY where there is a proxy, or allow more with AFILSQL_CONNECT_TIMEOUT.",
    ),
    "proxy": (
        "proxy unreachable",
        'Correct AFILSQL_PROXY, or HTTPS_PROXY where that is not set; AFILSQL_PROXY="none" goes without one.',
    ),
    "proxy-login": (
        "proxy wants a login",
        "Correct user and password in AFILSQL_PROXY (http://user:password@host:port, percent-encoded).",
    ),
    "proxy-refused": ("proxy refuses", "Have the proxy allow connections to host and port of {address}."),
    "certificate-expired": (
        "certificate expired",
        "Look at this machine's clock; if that is right, the server needs another certificate.",
    ),
    "certificate-name": (
        "certificate of another name",
        "Write the name the certificate is for into {address}. If that is the name already, something else answers.",
    ),
    "certificate-untrusted": (
        "certificate not trusted",
        "Where a proxy of yours inspects TLS, or the server's authority is your own, set AFILSQL_CA_BUNDLE to a PEM "
        "file with that authority.",
    ),
    "tls-version": ("TLS too old", "The server speaks TLS 1.1 or older; it has to learn 1.2 or later."),
    "no-tls": ("no TLS there", "What answers speaks no TLS: look at the port in {address}."),
    "tls": (
        "TLS",
        "Look at AFILSQL_CA_BUNDLE, and at AFILSQL_CLIENT_CERT where the server wants to see a certificate.",
    ),
}

_LOGIN = "Correct user and password of the account in the worker's settings."
_NOT_THE_API = "What answers there is not the API: correct {address}."
_SERVER = "The trouble is the server's: try again later, and tell the vendor if it stays."
#: Settings that hold an address.
_API, _TOKEN, _WSDL = "api_url (AFILSQL_API_URL)", "token_url (AFILSQL_TOKEN_URL)", "wsdl (or api_url)"


def explain(outcome: Reply | Exception, *, transport: str) -> Finding:
    """Explain what came of a call of getchatchannels, or of trying to make one.

    Args:
        outcome: The reply, or what was raised.
        transport: The account's.
    """
    match outcome:
        case Reply():
            count = len(outcome.rows)
            return Finding("ok", f"{count} channel{'' if count == 1 else 's'}")
        case WsdlError():
            return Finding("WSDL", str(outcome))
        case ConfigError():
            return Finding("settings", str(outcome))
        case ApiError() if (outcome.code or "").startswith("TOKEN_"):
            return _of_token(outcome)
        case ApiError():
            return _filled(_of_call(outcome), _WSDL if transport == "soap" else _API)
        case _:
            return Finding("unexpected", f"unexpected {type(outcome).__name__}", "Report it as a defect of afilsql.")


def not_offered(allowed: Iterable[str] | None, channels: Sequence[Channel]) -> list[str]:
    """Return the platforms an account may use for which it has no channel."""
    offered = {(channel.platform or "").lower() for channel in channels}
    return [platform for platform in allowed or () if platform not in offered]


def _of_token(error: ApiError) -> Finding:
    """Explain trouble with the token endpoint, by what the same would mean of the API."""
    code = (error.code or "").removeprefix("TOKEN_")
    if isinstance(error, CredentialsRefused) and error.status != 403:
        return Finding("token: refused", str(error))
    inner = ApiError(str(error), status=error.status, code=code, retry_after=error.retry_after, reason=error.reason)
    found = _filled(_of_call(inner), _TOKEN)
    return replace(found, kind=f"token: {found.kind}")


def _of_call(error: ApiError) -> Finding:
    code, what = error.code or "", str(error)
    connecting = _CONNECTING.get(error.reason)  # type: ignore[call-overload]
    if connecting is not None:
        return Finding(connecting[0], what, connecting[1])
    if code in ERROR_CODES and isinstance(error, CredentialsRefused):
        return Finding("credentials", what)
    if isinstance(error, Refused) and not code.startswith("HTTP_"):
        return Finding("refused by the API", what, "Ask the vendor what this code means for the account.")
    if error.status in (429, 503) and code.startswith("HTTP_"):
        return _come_back(error)
    return _by_code(code, what)


def _come_back(error: ApiError) -> Finding:
    wait = error.retry_after
    when = f"in {wait:.0f} s" if wait is not None else "in a while"
    if error.status == 429:
        advice = f"Come back {when}; keep below the vendor's limit with the account's rate."
        return Finding("too many requests", str(error), advice, wait)
    return Finding("not available", str(error), f"Come back {when}. {_SERVER}", wait)


def _by_code(code: str, what: str) -> Finding:
    match code:
        case "WSDL":
            return Finding("WSDL", what, "Try again later; a WSDL saved as a file needs no server.")
        case "TLS":
            return Finding("TLS", what, _CONNECTING["tls"][1])
        case "HTTP_401":
            return Finding("credentials", what, _LOGIN)
        case "HTTP_403":
            advice = (
                "Where the account is limited to IP addresses or named accesses, allow the address this machine has "
                f"outside (its proxy's, if it uses one). {_LOGIN}"
            )
            return Finding("forbidden", what, advice)
        case "HTTP_407":
            return Finding(_CONNECTING["proxy-login"][0], what, _CONNECTING["proxy-login"][1])
        case "REDIRECTED":
            return Finding("redirect", what)
        case (
            "HTTP_404"
            | "HTTP_405"
            | "HTTP_410"
            | "NOT_JSON"
            | "NOT_SOAP"
            | "BAD_SHAPE"
            | "BAD_ANSWER"
            | "ANSWER_TOO_LARGE"
        ):
            return Finding("not the API", what, _NOT_THE_API)
        case "TIMEOUT":
            advice = "It connects, and does not answer in time: allow more with AFILSQL_READ_TIMEOUT. " + _SERVER
            return Finding("answer time-out", what, advice)
        case "CONNECTION_BROKEN":
            advice = "Try again. A server that wants to see a certificate may do this: set AFILSQL_CLIENT_CERT."
            return Finding("connection broken", what, advice)
        case "CONNECT":
            return Finding("address", what, "Correct {address}, AFILSQL_PROXY or HTTPS_PROXY.")
        case _:
            if code.startswith("HTTP_5"):
                return Finding("server error", what, _SERVER)
            return Finding("refused", what, "Ask the vendor what this answer means for the account.")


def _filled(finding: Finding, address: str) -> Finding:
    return replace(finding, advice=finding.advice.replace("{address}", address))
