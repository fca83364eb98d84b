"""What can be set for the operators' page, `afilsql web`: where it listens, and who may do what."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from afilsql.accounts import Secretive
from afilsql.errors import ConfigError

Role = Literal["reader", "operator"]

_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_HOST = re.compile(r"\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+")
_HASH = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")


class WebUser(Secretive):
    """Somebody who may sign in.

    Attributes:
        password_hash: As `afilsql web hash-password` prints it.
        role: What they may do: "reader" looks, "operator" also acts.
    """

    password_hash: SecretStr
    role: Role = "reader"

    @field_validator("password_hash")
    @classmethod
    def _is_hash(cls, value: SecretStr) -> SecretStr:
        if not _HASH.fullmatch(value.get_secret_value()):
            raise ValueError("it is no argon2id hash: write what `afilsql web hash-password` prints")
        return value


class WebSettings(Secretive):
    """Settings of the operators' page.

    Attributes:
        host: Address to listen on. One that other machines reach needs cert and key, or behind_proxy.
        port: 0 takes any free one.
        cert, key: PEM files of the certificate, with those that lead to its authority, and of its key: serve https.
        allowed_hosts: Names the page may be asked for by, beside the loopback ones and `host`.
        behind_proxy: A proxy in front speaks https; only those in proxy_from are answered, and their X-Forwarded-Proto
            and X-Forwarded-For are believed.
        proxy_from: Addresses or networks of such proxies.
        proxy_user_header: Header in which a proxy in proxy_from says who is signed in; None is nobody that way.
        proxy_roles: Roles of those users by name; "*" is everybody else. Without one there is no entry.
        users: Who may sign in with a password, by name.
        secret: Signs the sessions, 32 characters or more; None makes one at each start, which ends all sessions.
        secret_file: File that holds it.
        idle_minutes: After so long without a request a session ends.
        session_hours: After so long it ends in any case.
        mask_messages: Show and search messages, files and answers to operators only.
    """

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8765, ge=0, le=65535)
    cert: Path | None = None
    key: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    behind_proxy: bool = False
    proxy_from: tuple[str, ...] = ("127.0.0.1", "::1")
    proxy_user_header: str | None = None
    proxy_roles: dict[str, Role] = Field(default_factory=dict)
    users: dict[str, WebUser] = Field(default_factory=dict)
    secret: SecretStr | None = Field(default=None, min_length=32)
    secret_file: Path | None = None
    idle_minutes: float = Field(default=30, gt=0, le=1440)
    session_hours: float = Field(default=12, gt=0, le=168)
    mask_messages: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the page."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def require_somebody(self) -> None:
        """Refuse settings with which nobody could sign in. Raises ConfigError."""
        if not self.users and not (self.proxy_user_header and self.proxy_roles):
            raise ConfigError(
                "nobody could sign in: add [web.users.NAME] with the password_hash that `afilsql web hash-password` "
                "prints and a role, or set web.proxy_user_header and web.proxy_roles"
            )

    @field_validator("cert", "key")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.exists():
            raise ValueError("there is no such file")
        return value

    @field_validator("users")
    @classmethod
    def _have_names(cls, value: dict[str, WebUser]) -> dict[str, WebUser]:
        for name in value:
            if not (1 <= len(name) <= 64 and name.isprintable() and name == name.strip()):
                raise ValueError("a user's name has 1 to 64 characters that print, none of them a space at an end")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _HOST.fullmatch(name):
                raise ValueError("it lists names alone, without a port, such as afilsql.example.com")
        return value

    @field_validator("proxy_from")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError("it lists addresses or networks, such as 10.0.0.7 or 10.0.0.0/24") from None
        return value

    @field_validator("proxy_user_header")
    @classmethod
    def _is_header(cls, value: str | None) -> str | None:
        if value is not None and not _HEADER.fullmatch(value):
            raise ValueError("it is not the name of a header, such as X-Remote-User")
        return value

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together: set both, or neither")
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("it sets both secret and secret_file: keep one")
        if self.proxy_user_header is not None and not (self.behind_proxy and "proxy_from" in self.model_fields_set):
            raise ValueError("proxy_user_header needs behind_proxy = true, and proxy_from with the proxy's address")
        if not self.is_loopback and self.cert is None and not self.behind_proxy:
            raise ValueError(
                f"the address {self.host} is reached from other machines, where passwords could be read on the way: "
                "set cert and key, or behind_proxy = true with a proxy in front that speaks https"
            )
        return self
