"""Settings: from the environment (AFILSQL_*), from a TOML file, or both; the environment wins.

Secrets are masked in `repr`, and no error raised here quotes a value.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from afilsql.errors import ConfigError

PREFIX = "AFILSQL_"
DEFAULT_API_URL = "https://www.afilnet.com/api/http/"
DEFAULT_ACCOUNT = "default"


class AccountSettings(BaseModel):
    """Credentials of one account of the chat API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str = Field(min_length=1)
    password: SecretStr = Field(min_length=1)


class Settings(BaseModel):
    """Everything that can be set.

    Attributes:
        database_url: Where the outbox is: sqlite:///file.db or mssql+pyodbc://….
        api_url: Address of the chat API.
        user: User of the account "default".
        password: Password of the account "default".
        accounts: Credentials by account name; in the environment a JSON object.
        concurrency: Calls at a time.
        lease_seconds: Seconds a row stays a worker's without renewal.
        connect_timeout: Seconds to wait for a connection to the API.
        read_timeout: Seconds to wait for its answer.
        grace_seconds: Seconds that calls in flight get when the worker is stopped.
        on_unknown: "hold" leaves a send with an unknown outcome to a person, "retry" repeats it.
        worker_name: How the worker appears in the database; None is host and process id.
        allow_http: Permit an api_url with http:// on another machine, where the password can be read on the way.
        allow_private_urls: Queue and send files whose URL points to a private place, such as localhost or 10.0.0.5.
        ca_bundle: File of certificates to trust in place of the usual ones.
        log_level: debug, info, warning or error.
        log_format: "auto" is console on a terminal and JSON lines elsewhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str = Field("sqlite:///afilsql.db", min_length=1, repr=False)
    api_url: str = DEFAULT_API_URL
    user: str | None = None
    password: SecretStr | None = None
    accounts: dict[str, AccountSettings] = Field(default_factory=dict)
    concurrency: int = Field(32, ge=1, le=256)
    lease_seconds: int = Field(120, ge=5, le=3600)
    connect_timeout: float = Field(5.0, gt=0, le=300)
    read_timeout: float = Field(60.0, gt=0, le=600)
    grace_seconds: float = Field(30.0, ge=0, le=600)
    on_unknown: Literal["hold", "retry"] = "hold"
    worker_name: str | None = Field(None, min_length=1, max_length=128)
    allow_http: bool = False
    allow_private_urls: bool = False
    ca_bundle: Path | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"

    @field_validator("api_url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it is not a web address: write https://host/path/")
        if "@" in parts.netloc or parts.query:
            raise ValueError("it may hold neither credentials nor a query: use AFILSQL_USER and AFILSQL_PASSWORD")
        return value

    @field_validator("ca_bundle")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.exists():
            raise ValueError("there is no such file")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_small_letters(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    def credentials(self, account: str) -> AccountSettings:
        """Return the credentials of an account; "default" falls back to `user` and `password`.

        Raises:
            ConfigError: The account has none.
        """
        if account in self.accounts:
            return self.accounts[account]
        if account == DEFAULT_ACCOUNT:
            missing = [n for n, v in (("AFILSQL_USER", self.user), ("AFILSQL_PASSWORD", self.password)) if not v]
            if missing or self.user is None or self.password is None:
                raise ConfigError(f"the account 'default' needs {' and '.join(missing)}: set them for the worker")
            return AccountSettings(user=self.user, password=self.password)
        known = ", ".join(sorted({*self.accounts, *([DEFAULT_ACCOUNT] if self.user else [])})) or "none"
        raise ConfigError(
            f"the account '{account}' has no credentials (configured: {known}): add [accounts.{account}] with "
            "user and password to the settings file, or to AFILSQL_ACCOUNTS"
        )


def load_settings(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        config: TOML file; None takes the one AFILSQL_CONFIG names, if it does.
        environ: Environment variables; None takes the process's. Empty ones count as not set.

    Raises:
        ConfigError: A file or value cannot be used; the message names the setting.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(f"{PREFIX}CONFIG")
    path = config or (Path(named) if named else None)
    from_file = _read_toml(path) if path else {}
    from_env = _read_environ(environ)
    merged = {**from_file, **from_env}
    default = from_file.get("accounts", {}).get(DEFAULT_ACCOUNT)
    if isinstance(default, dict) and "accounts" not in from_env:
        # What the environment says about the default account also beats the file's [accounts.default].
        default.update({k: from_env[k] for k in ("user", "password") if k in from_env})
    try:
        return Settings.model_validate(merged)
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        root = str(first["loc"][0]) if first["loc"] else ""
        where = PREFIX + key.upper().replace(".", "_", 1) if root in from_env else f"{key} in {path}"
        if root == "accounts" and root in from_env:
            where = f"{PREFIX}ACCOUNTS ({key})"
        raise ConfigError(f"the setting {where} is wrong: {first['msg'].removeprefix('Value error, ')}") from None


def masked_url(url: str) -> str:
    """Return a database URL fit for messages: its passwords replaced by ***."""
    hidden = re.sub(r"(?<=://)([^:/?@]*):.*@(?=[^@]*$)", r"\1:***@", url)
    # odbc_connect carries a whole connection string, often percent-encoded, with the password somewhere inside.
    hidden = re.sub(r"(odbc_connect=)[^&]*", r"\1***", hidden, flags=re.IGNORECASE)
    return re.sub(r"((?:pwd|password)=)[^&;]*", r"\1***", hidden, flags=re.IGNORECASE)


def _read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = environ.get(PREFIX + name.upper())
        if value:
            found[name] = value
    if "accounts" in found:
        try:
            found["accounts"] = json.loads(found["accounts"])
        except (ValueError, RecursionError):
            raise ConfigError(
                f'the setting {PREFIX}ACCOUNTS is not JSON: write {{"name": {{"user": "…", "password": "…"}}}}'
            ) from None
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"the settings file {path} does not exist: check --config or {PREFIX}CONFIG") from None
    except OSError as e:
        raise ConfigError(f"the settings file {path} cannot be read ({e.strerror}): check its permissions") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the settings file {path} is not UTF-8: save it as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"the settings file {path} is nested too deeply: correct it") from None
    except tomllib.TOMLDecodeError as e:
        # Only the place: the text of the error may quote part of a line that holds a password.
        place = re.search(r"\(at [^)]*\)", str(e))
        raise ConfigError(f"the settings file {path} is not TOML {place[0] if place else ''}: correct it") from None
    _refuse_unknown(path, data)
    if os.name == "posix" and _holds_secret(data) and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"the settings file {path} holds a password and others can read it: run `chmod 600 {path}`")
    return data


def _refuse_unknown(path: Path, data: Mapping[str, Any]) -> None:
    for key in data:
        if key not in Settings.model_fields:
            raise ConfigError(
                f"the settings file {path} has the unknown key '{key}'; known are {', '.join(Settings.model_fields)}"
            )
    accounts = data.get("accounts", {})
    if not isinstance(accounts, dict):
        raise ConfigError(f"accounts in {path} is not a table: write [accounts.NAME] with user and password")
    for name, account in accounts.items():
        for key in account if isinstance(account, dict) else ():
            if key not in AccountSettings.model_fields:
                raise ConfigError(
                    f"the settings file {path} has the unknown key '{key}' in [accounts.{name}]; "
                    "known are user, password"
                )


def _holds_secret(data: Mapping[str, Any]) -> bool:
    url = str(data.get("database_url", ""))
    accounts = data.get("accounts", {}).values()
    return "password" in data or masked_url(url) != url or any("password" in a for a in accounts if isinstance(a, dict))
