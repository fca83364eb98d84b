"""One HTTP request out, its answer in: bounded in time and size, with every failure told apart. Never retries."""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack
from urllib.parse import urlsplit

import requests
from requests.exceptions import InvalidSchema, InvalidURL
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from afilsql.api.answers import Answer
from afilsql.api.connections import ConnectError, TooLateError, sending_by
from afilsql.api.transports.base import HttpCall
from afilsql.errors import ApiError, DeliveryUnknown, NotSent, TooLate

#: Bytes of an answer from which on only a few are read at a time.
LARGE_ANSWER_BYTES = 1_000_000

#: Of an answer too large, what is kept to show.
_KEPT_BYTES = 8_192
_CHUNK_BYTES = 65_536

#: Large answers that are read at a time, by all clients together: memory is the process's.
_LARGE_ANSWERS = threading.BoundedSemaphore(4)


class Wire:
    """Sends requests through a session. One instance serves any number of threads.

    Args:
        session: Made by `new_session`.
        connect_timeout: Seconds to connect, TLS handshake included.
        read_timeout: Seconds from the sent request to the end of the answer.
        verify: True, or the path of a file with the certificates to trust.
    """

    def __init__(
        self, session: requests.Session, *, connect_timeout: float, read_timeout: float, verify: bool | str
    ) -> None:
        self._session = session
        self._timeout = (connect_timeout, read_timeout)
        self._verify = verify

    def send(self, call: HttpCall, limit: int, until_understood: ExitStack, *, send_by: float = math.inf) -> Answer:
        """Send a request and return what came, whatever its status.

        Args:
            call: The request.
            limit: Largest answer read, in bytes.
            until_understood: Closed when the answer is not needed any more.
            send_by: Seconds of time.monotonic after which it must not leave.

        Raises:
            TooLate: `send_by` was over.
            NotSent: Nothing of the request left.
            DeliveryUnknown: It left, and no head of an answer came.
        """
        # What tools that report crashes read of our frames, local variables, shows no secret.
        # Errors of requests carry the request, and with it the password; raising ours after the except
        # block keeps theirs out of __context__ as well.
        failure: ApiError
        try:
            with sending_by(send_by):
                response = self._session.request(
                    call.verb,
                    call.url.get_secret_value(),
                    data=call.body.get_secret_value(),
                    headers=call.headers,
                    timeout=self._timeout,
                    verify=self._verify,
                    allow_redirects=False,
                    stream=True,
                )
            with response:
                return self._read(response, limit, until_understood)
        except TooLateError:
            failure = TooLate(f"{host(call)}: too late to send; nothing was sent", code="TOO_LATE")
        except ConnectError as error:
            failure = NotSent(f"{host(call)}: {error}; nothing was sent", code=error.code, reason=error.reason)
        except requests.ConnectTimeout:
            failure = NotSent(
                f"{host(call)}: no connection within the connect time-out", code="CONNECT_TIMEOUT", reason="time-out"
            )
        except (InvalidURL, InvalidSchema) as error:  # raised before connecting; a proxy's URL can be meant too
            failure = NotSent(
                f"{host(call)}: its URL or the proxy's cannot be used ({type(error).__name__}): correct "
                "AFILSQL_API_URL, AFILSQL_PROXY or HTTPS_PROXY; nothing was sent",
                code="CONNECT",
            )
        except (OSError, HTTPError) as error:  # every exception of requests is the one, of urllib3 the other
            failure = _no_ca_file(call) if type(error) is OSError and error.errno is None else _broken(error)
        except Exception as error:  # noqa: BLE001 - requests lets through what odd answers do to its parsers
            failure = DeliveryUnknown(
                f"the API's answer cannot be read ({type(error).__name__}); the request may have taken effect",
                code="BAD_ANSWER",
            )
        raise failure

    def _read(self, response: requests.Response, limit: int, until_understood: ExitStack) -> Answer:
        """Read the body, up to the limit, keeping what came when it breaks off."""
        body = bytearray()
        failure = None
        large = False
        try:
            for chunk in response.iter_content(_CHUNK_BYTES):
                body += chunk
                if len(body) > limit:
                    del body[_KEPT_BYTES:]
                    message = f"the API's answer is larger than {limit // 1_000_000} MB and was not read further"
                    failure = DeliveryUnknown(message, code="ANSWER_TOO_LARGE")
                    break
                if len(body) > LARGE_ANSWER_BYTES and not large:
                    if not _LARGE_ANSWERS.acquire(timeout=self._timeout[1]):
                        raise TimeoutError
                    until_understood.callback(_LARGE_ANSWERS.release)
                    large = True
        except (OSError, HTTPError) as error:
            failure = _broken(error)
        return Answer(response.status_code, response.headers, bytes(body), failure)


def host(call: HttpCall) -> str:
    """Return host and port a request goes to, the only part of its URL that may be told."""
    return urlsplit(call.url.get_secret_value()).netloc.rpartition("@")[2]


def _no_ca_file(call: HttpCall) -> NotSent:
    return NotSent(
        f"{host(call)}: the certificates to trust cannot be read: set AFILSQL_CA_BUNDLE to a PEM file "
        "the worker may read; nothing was sent",
        code="TLS",
    )


def _broken(error: OSError | HTTPError) -> DeliveryUnknown:
    if _timed_out(error):
        return DeliveryUnknown(
            "the API did not answer in full within the read time-out; the request may have taken effect", code="TIMEOUT"
        )
    return DeliveryUnknown(
        "the connection broke after the request left; it may or may not have taken effect", code="CONNECTION_BROKEN"
    )


def _timed_out(error: object) -> bool:
    if isinstance(error, (requests.Timeout, TimeoutError, ReadTimeoutError)):
        return True
    # Both wrap the cause: requests as its first argument, urllib3 behind a text.
    wraps = isinstance(error, (requests.RequestException, ProtocolError))
    return wraps and any(map(_timed_out, error.args))  # type: ignore[attr-defined]
