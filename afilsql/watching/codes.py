"""The codes that metrics and spans tell by name; an answer may bring any text as its code, even a message."""

from __future__ import annotations

from afilsql.api.methods import ERROR_CODES, METHODS

#: Stands for whatever a label does not hold: an account no setting knows, a code nobody foresaw.
OTHER = "other"
#: Codes of our own, beside those of the API, that results carry; of a call, or of the one for its token.
_OF_CALLS = frozenset(
    {"ACCOUNT_NOT_CONFIGURED", "ANSWER_TOO_LARGE", "BAD_ANSWER", "BAD_SHAPE", "CONNECT", "CONNECT_TIMEOUT"}
    | {"CONNECTION_BROKEN", "CREDENTIALS_REFUSED", "DATABASE_UNAVAILABLE", "DELIVERY_UNKNOWN", "INTERNAL"}
    | {"INVALID_PARAMETER", "NOT_ARRIVED", "NOT_IN_WSDL", "NOT_JSON", "NOT_SENT", "NOT_SOAP", "NOT_XML_TEXT"}
    | {"REFUSED", "ROWS_REFUSED", "TIMEOUT", "TLS", "TOO_LATE", "URL_TOO_LONG", "WSDL"}
    | {f"HTTP_{status}" for status in (400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504)}
)
OWN_CODES = (
    _OF_CALLS
    | {f"TOKEN_{code}" for code in _OF_CALLS}
    | {f"INCORRECT_{parameter.upper()}" for method in METHODS.values() for parameter in method.parameters}
)
CODES = frozenset(ERROR_CODES) | OWN_CODES


def known(code: str | None) -> str:
    """Return a code as it is told: itself, "other", or nothing for success."""
    return "" if code is None else code if code in CODES else OTHER
