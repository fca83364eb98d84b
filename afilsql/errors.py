"""Every exception afilsql raises, in one tree.

AfilsqlError
├─ ConfigError                    a setting is missing or wrong
│  └─ WsdlError                   … or the WSDL it names cannot be used
├─ ServiceError                   systemd or Windows is not there, or did not do as asked
├─ DatabaseError                  the outbox database refused or cannot be reached
│  ├─ DatabaseUnavailable         no connection, or one that broke: worth trying again
│  ├─ SchemaOutOfDate             `afilsql migrate` has not been run for this version
│  ├─ InvalidParameter            a request was refused before anything was written
│  ├─ QuotaExceeded               the sender has queued too much within a minute
│  ├─ RequestNotFound             no request has this id
│  ├─ LeaseLost                   another worker owns the row now
│  └─ DriverMissing               pyodbc, unixODBC or the ODBC driver is not installed
└─ ApiError                       one call to the chat API did not succeed
   ├─ NotSent                     the request certainly did not take effect: safe to repeat
   │  └─ TooLate                  its time was over before it could leave
   ├─ Refused                     the API answered with an error code
   │  └─ CredentialsRefused       … that concerns the account, not the request
   └─ DeliveryUnknown             nobody can say whether the request took effect

The docstring of a class is its message when none is given.
"""

from __future__ import annotations

import inspect


class AfilsqlError(Exception):
    """afilsql could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))


class ConfigError(AfilsqlError):
    """A setting is missing or wrong."""


class WsdlError(ConfigError):
    """The WSDL of the transport soap cannot be used."""


class ServiceError(AfilsqlError):
    """The manager of services did not do as asked."""


class DatabaseError(AfilsqlError):
    """The outbox database refused a statement."""


class DatabaseUnavailable(DatabaseError):
    """The outbox database cannot be reached."""


class SchemaOutOfDate(DatabaseError):
    """The database does not have this version's tables and procedures: run `afilsql migrate`."""


class InvalidParameter(DatabaseError):
    """A parameter of the request is not allowed."""

    # The code is for a row that was written past the checks and met them only when it was to be sent.
    def __init__(self, message: str | None = None, *, code: str = "INVALID_PARAMETER") -> None:
        super().__init__(message)
        self.code = code


class QuotaExceeded(DatabaseError):
    """The sender has queued as much as the setting quota_per_minute allows."""


class RequestNotFound(DatabaseError):
    """No request has this id."""


class LeaseLost(DatabaseError):
    """The row's lease ran out and it belongs to another worker now."""


class DriverMissing(DatabaseError):
    """The database driver is not installed."""


class ApiError(AfilsqlError):
    """One call to the chat API did not succeed.

    Attributes:
        status: HTTP status of the answer, None when no answer came.
        code: The API's error code, or one of ours (TIMEOUT, CONNECT, …), None when there is none.
        retry_after: Seconds the server asked us to wait, None when it did not say.
        body: The first kilobyte of the answer as text, empty when there was none.
        reason: Why no connection came about, where it is known: a value of connections.Reason.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        body: str = "",
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.body = body


class NotSent(ApiError):
    """The request did not reach the API, or the API turned it away untouched: it can be repeated."""


class TooLate(NotSent):
    """The request was not sent: by the time it could leave, it no longer might."""


class Refused(ApiError):
    """The API refused the request."""


class CredentialsRefused(Refused):
    """The API refused the account's user or password."""


class DeliveryUnknown(ApiError):
    """The request left, and no usable answer came back: it may or may not have taken effect."""
