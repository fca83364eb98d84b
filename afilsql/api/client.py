"""One call of the chat API: a request out, a Reply or an ApiError back. Never retries.

With OAuth 2.0 there are other requests around it: for a token, and the call once more when the API no longer takes
the token it was made with, and so did nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Self

import requests
from pydantic import SecretStr

from afilsql import addresses
from afilsql.api.answers import Answer, Mask, understand
from afilsql.api.methods import METHODS, check
from afilsql.api.reply import Reply
from afilsql.api.sessions import new_session
from afilsql.api.tokens import Tokens
from afilsql.api.transports import DEFAULT_URL, HttpCall, Login, Post, Transport
from afilsql.api.wire import LARGE_ANSWER_BYTES, Wire
from afilsql.errors import ConfigError

__all__ = ["DEFAULT_URL", "AfilnetClient", "utcnow"]

#: Largest answer read, in bytes after decompression: of a get-method's list, of a send, which says little; and of a
#: token endpoint.
MAX_ANSWER_BYTES = 10_000_000
MAX_SEND_ANSWER_BYTES = LARGE_ANSWER_BYTES
MAX_TOKEN_ANSWER_BYTES = 100_000

#: Largest document read that describes the API, such as a WSDL, in bytes.
MAX_DESCRIPTION_BYTES = 5_000_000

#: Characters a secret must have for rows to be searched for it.
MASKED_IN_ROWS = 8


def utcnow() -> datetime:
    return datetime.now(UTC)


class AfilnetClient:
    """Calls the chat API for one account. One instance serves any number of threads.

    Args:
        user: The account's user.
        password: The account's password.
        url: Address of the API, when no transport is given.
        transport: How calls are written; None is Post(url), where the password leaves only in the body.
        client_id: Client of OAuth 2.0, for a transport with a grant.
        client_secret: That client's secret.
        connect_timeout: Seconds to connect, TLS handshake included.
        read_timeout: Seconds from the sent request to the end of the answer.
        verify: True, or the path of a file with the certificates to trust.
        pool_size: Connections kept open; as many as there are senders.
        session: Used as it is in place of our own, and not closed.
        allow_http: Permit http:// to another machine, where anybody on the way reads the password.
        allow_private_urls: Let the URL of a file point to a private place.
        clock: The time (UTC), for a Retry-After given as a date.

    Raises:
        ConfigError: The address is not usable or not safe, or the credentials are not text or not what the transport
            needs.
    """

    def __init__(
        self,
        user: str = "",
        password: str = "",
        *,
        url: str = DEFAULT_URL,
        transport: Transport | None = None,
        client_id: str = "",
        client_secret: str = "",
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        verify: bool | str = True,
        pool_size: int = 32,
        session: requests.Session | None = None,
        allow_http: bool = False,
        allow_private_urls: bool = False,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._transport = transport or Post(url)
        addresses.check_safe(self._transport.url, "AFILSQL_API_URL", allow_http=allow_http)
        if self._transport.grant is not None:
            addresses.check_safe(self._transport.grant.token_url, "AFILSQL_TOKEN_URL", allow_http=allow_http)
        if any("\ud800" <= c <= "\udfff" for c in user + password + client_id + client_secret):
            raise ConfigError("AFILSQL_USER or AFILSQL_PASSWORD is not text: type it again as UTF-8")
        self._login = Login(user, SecretStr(password), client_id, SecretStr(client_secret))
        self._transport.check_login(self._login)
        self._masks = _Masks(self._login)
        self._own_session = session is None
        self._session = session or new_session(pool_size)
        self._wire = Wire(self._session, connect_timeout=connect_timeout, read_timeout=read_timeout, verify=verify)
        self._allow_private_urls = allow_private_urls
        self._clock = clock
        grant = self._transport.grant
        self._tokens = None if grant is None else Tokens(grant, self._login, self._fetch, clock=clock)

    @property
    def url(self) -> str:
        """Address of the API."""
        return self._transport.url

    def __repr__(self) -> str:
        return f"AfilnetClient(url={self.url!r})"

    def call(self, method: str, parameters: Mapping[str, str | None], *, send_by: float = math.inf) -> Reply:
        """Call one method and return its answer.

        Args:
            method: Name of one of METHODS.
            parameters: The method's parameters; None and "" count as not given.
            send_by: Seconds of time.monotonic after which the request must not leave, for a caller whose right to
                send it ends.

        Raises:
            InvalidParameter: The call breaks the API's contract; nothing was sent.
            NotSent: The request did not take effect; TooLate where `send_by` was over.
            Refused: The API refused the request.
            CredentialsRefused: The API refused the account.
            DeliveryUnknown: The request left and no usable answer came back.
            WsdlError: The WSDL of the transport soap cannot be used; nothing was sent.
        """
        given = check(method, parameters, allow_private_urls=self._allow_private_urls)
        limit = MAX_SEND_ANSWER_BYTES if METHODS[method].is_send else MAX_ANSWER_BYTES
        self._transport.prepare(partial(self._fetch, limit=MAX_DESCRIPTION_BYTES))
        with ExitStack() as until_understood:
            answer, login = self._ask(method, given, limit, send_by, until_understood)
            answer = self._transport.answer(method, answer)
            masks = self._masks_of(login)
            return understand(method, answer, mask=masks.all, mask_rows=masks.rows, now=self._clock())

    def _ask(
        self, method: str, given: Mapping[str, str], limit: int, send_by: float, until_understood: ExitStack
    ) -> tuple[Answer, Login]:
        """Send the call; return what came, and the login it was made with."""
        if self._tokens is None:
            call = self._transport.call(method, given, self._login)
            return self._wire.send(call, limit, until_understood, send_by=send_by), self._login
        token = self._tokens.get()
        for is_last in (False, True):
            login = replace(self._login, token=token)
            with ExitStack() as until_judged:
                call = self._transport.call(method, given, login)
                answer = self._wire.send(call, limit, until_judged, send_by=send_by)
                if answer.status != 401 or is_last:
                    until_understood.enter_context(until_judged.pop_all())
                    break
            # Refused for its token, so the call was not carried out.
            token = self._tokens.instead_of(token)
        return answer, login

    def _fetch(self, call: HttpCall, limit: int = MAX_TOKEN_ANSWER_BYTES) -> Answer:
        with ExitStack() as until_read:
            return self._wire.send(call, limit, until_read)

    def _masks_of(self, login: Login) -> _Masks:
        masks = self._masks
        if masks.login != login:
            masks = self._masks = _Masks(login)
        return masks

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


class _Masks:
    """What hides a login's secrets.

    Attributes:
        login: Whose secrets.
        all: In texts.
        rows: In the values of rows, where a short one is as likely a word of somebody's message, which must stay.
    """

    def __init__(self, login: Login) -> None:
        self.login = login
        self.all = Mask(*login.secrets())
        self.rows = Mask(*(secret for secret in login.secrets() if len(secret) >= MASKED_IN_ROWS))
