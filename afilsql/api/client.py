"""One call of the chat API: a POST out, a Reply or an ApiError back. Never retries."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Self
from urllib.parse import quote, urlencode, urlsplit

import requests
from pydantic import SecretBytes, SecretStr
from requests.exceptions import InvalidSchema, InvalidURL
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from afilsql.api.answers import Answer, Mask, understand
from afilsql.api.connections import ConnectError
from afilsql.api.methods import METHODS, check
from afilsql.api.reply import Reply
from afilsql.api.sessions import new_session
from afilsql.errors import ApiError, ConfigError, DeliveryUnknown, NotSent

DEFAULT_URL = "https://www.afilnet.com/api/http/"

#: Largest answer read, in bytes after decompression: of a get-method's list, and of a send, which says little.
MAX_ANSWER_BYTES = 10_000_000
MAX_SEND_ANSWER_BYTES = 1_000_000

#: Characters a password must have for rows to be searched for it.
MASKED_IN_ROWS = 8


#: Of an answer too large, what is kept to show.
_KEPT_BYTES = 8_192
_CHUNK_BYTES = 65_536

#: Answers beyond MAX_SEND_ANSWER_BYTES that are read at a time, by all clients together: memory is the process's.
_LARGE_ANSWERS = threading.BoundedSemaphore(4)

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}


def utcnow() -> datetime:
    return datetime.now(UTC)


class AfilnetClient:
    """Calls the chat API for one account. One instance serves any number of threads.

    Args:
        user: The account's user.
        password: The account's password; it leaves only in the body of the POST.
        url: Address of the API.
        connect_timeout: Seconds to connect, TLS handshake included.
        read_timeout: Seconds from the sent request to the end of the answer.
        verify: True, or the path of a file with the certificates to trust.
        pool_size: Connections kept open; as many as there are senders.
        session: Used as it is in place of our own, and not closed.
        allow_http: Permit http:// to another machine, where anybody on the way reads the password.
        allow_private_urls: Let the URL of a file point to a private place.
        clock: The time (UTC), for a Retry-After given as a date.

    Raises:
        ConfigError: The address is not usable or not safe, or the credentials are not text.
    """

    def __init__(
        self,
        user: str,
        password: str,
        *,
        url: str = DEFAULT_URL,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        verify: bool | str = True,
        pool_size: int = 32,
        session: requests.Session | None = None,
        allow_http: bool = False,
        allow_private_urls: bool = False,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        _check_url(url, allow_http)
        if any("\ud800" <= c <= "\udfff" for c in user + password):
            raise ConfigError("AFILSQL_USER or AFILSQL_PASSWORD is not text: type it again as UTF-8")
        self.url = url
        self._user = user
        self._password = SecretStr(password)
        self._mask = Mask(password)
        # A short password is as likely a word of somebody's message, which must stay as it is.
        self._mask_rows = self._mask if len(password) >= MASKED_IN_ROWS else str
        self._timeout = (connect_timeout, read_timeout)
        self._verify = verify
        self._own_session = session is None
        self._session = session or new_session(pool_size)
        self._allow_private_urls = allow_private_urls
        self._clock = clock

    def __repr__(self) -> str:
        return f"AfilnetClient(url={self.url!r})"

    def call(self, method: str, parameters: Mapping[str, str | None]) -> Reply:
        """Call one method and return its answer.

        Args:
            method: Name of one of METHODS.
            parameters: The method's parameters; None and "" count as not given.

        Raises:
            InvalidParameter: The call breaks the API's contract; nothing was sent.
            NotSent: The request did not take effect.
            Refused: The API refused the request.
            CredentialsRefused: The API refused the account.
            DeliveryUnknown: The request left and no usable answer came back.
        """
        given = check(method, parameters, allow_private_urls=self._allow_private_urls)
        limit = MAX_SEND_ANSWER_BYTES if METHODS[method].is_send else MAX_ANSWER_BYTES
        with ExitStack() as until_understood:
            answer = self._post(self._form(method, given), limit, until_understood)
            return understand(method, answer, mask=self._mask, mask_rows=self._mask_rows, now=self._clock())

    def _form(self, method: str, given: Mapping[str, str]) -> SecretBytes:
        login = {"user": self._user, "password": self._password.get_secret_value()}
        form = {"class": "chat", "method": method, **login, **given}
        return SecretBytes(urlencode(form, quote_via=quote).encode("ascii"))

    def _post(self, body: SecretBytes, limit: int, until_understood: ExitStack) -> Answer:
        # What tools that report crashes read of our frames, local variables, does not show the body.
        # Errors of requests carry the request, and with it the password; raising ours after the except
        # block keeps theirs out of __context__ as well.
        failure: ApiError
        try:
            with self._session.post(
                self.url,
                data=body.get_secret_value(),
                headers=_HEADERS,
                timeout=self._timeout,
                verify=self._verify,
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._read(response, limit, until_understood)
        except ConnectError as error:
            failure = NotSent(f"{self._host()}: {error}; nothing was sent", code=error.code)
        except requests.ConnectTimeout:
            failure = NotSent(f"{self._host()}: no connection within the connect time-out", code="CONNECT_TIMEOUT")
        except (InvalidURL, InvalidSchema) as error:  # raised before connecting; a proxy's URL can be meant too
            failure = NotSent(
                f"{self._host()}: its URL or the proxy's cannot be used ({type(error).__name__}): correct "
                "AFILSQL_API_URL, AFILSQL_PROXY or HTTPS_PROXY; nothing was sent",
                code="CONNECT",
            )
        except (OSError, HTTPError) as error:  # every exception of requests is the one, of urllib3 the other
            failure = self._no_ca_file() if type(error) is OSError and error.errno is None else _broken(error)
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
                if len(body) > MAX_SEND_ANSWER_BYTES and not large:
                    if not _LARGE_ANSWERS.acquire(timeout=self._timeout[1]):
                        raise TimeoutError
                    until_understood.callback(_LARGE_ANSWERS.release)
                    large = True
        except (OSError, HTTPError) as error:
            failure = _broken(error)
        return Answer(response.status_code, response.headers, bytes(body), failure)

    def _host(self) -> str:
        return urlsplit(self.url).netloc

    def _no_ca_file(self) -> NotSent:
        return NotSent(
            f"{self._host()}: the certificates to trust cannot be read: set AFILSQL_CA_BUNDLE to a PEM file "
            "the worker may read; nothing was sent",
            code="TLS",
        )

    def send_message(self, platform: str, platformid: str, destination: str, message: str) -> Reply:
        """Send a text. Raises as `call`."""
        return self.call("sendmessage", _chat(platform, platformid, destination) | {"message": message})

    def send_file(
        self,
        platform: str,
        platformid: str,
        destination: str,
        type: str,
        fileurl: str,
        *,
        thumburl: str | None = None,
        message: str | None = None,
    ) -> Reply:
        """Send a file by its URL. Raises as `call`."""
        file = {"type": type, "fileurl": fileurl, "thumburl": thumburl, "message": message}
        return self.call("sendfile", _chat(platform, platformid, destination) | file)

    def get_chat_channels(self) -> Reply:
        """Return the account's channels. Raises as `call`."""
        return self.call("getchatchannels", {})

    def get_chats(self, platform: str, platformid: str) -> Reply:
        """Return a channel's chats. Raises as `call`."""
        return self.call("getchats", {"platform": platform, "platformid": platformid})

    def get_messages(self, platform: str, platformid: str, destination: str) -> Reply:
        """Return a chat's messages. Raises as `call`."""
        return self.call("getmessages", _chat(platform, platformid, destination))

    def get_unread_messages(self, platform: str, platformid: str, destination: str) -> Reply:
        """Return a chat's unread messages. Raises as `call`."""
        return self.call("getunreadmessages", _chat(platform, platformid, destination))

    def close(self) -> None:
        """Close the pooled connections. May be called twice."""
        if self._own_session:
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _chat(platform: str, platformid: str, destination: str) -> dict[str, str | None]:
    return {"platform": platform, "platformid": platformid, "destination": destination}


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


def _check_url(url: str, allow_http: bool) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ConfigError("AFILSQL_API_URL is not a URL: it looks like " + DEFAULT_URL) from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError("AFILSQL_API_URL is not an https URL: it looks like " + DEFAULT_URL)
    if parts.username is not None or parts.password is not None:
        raise ConfigError("AFILSQL_API_URL holds credentials: put them into AFILSQL_USER and AFILSQL_PASSWORD")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigError(f"AFILSQL_API_URL would send the password unencrypted to {host}: use https://")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
