"""Settings: from the environment (AFILSQL_*), from a TOML file, or both; the environment wins.

Secrets are masked in `repr` and dumps, and no error raised here quotes a value. Passwords kept elsewhere than in
the settings are looked up by credentials.py, when a worker needs them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
)

from afilsql import addresses, secretfiles, settingsfile
from afilsql.accounts import DEFAULT_ACCOUNT, DEFAULT_API_URL, PREFIX, AccountFields, AccountSettings, listed
from afilsql.errors import ConfigError
from afilsql.masking import MaskedUrl, masked_url
from afilsql.websettings import WebSettings

#: Settings that are JSON in the environment, each with an example.
_IN_JSON = {
    "accounts": '{"name": {"user": "…", "password": "…"}}',
    "alert_command": '["/path/to/program", "argument"]',
    "web": '{"users": {"name": {"password_hash": "…", "role": "reader"}}}',
}
#: A value, and the file that holds it in its place.
_PAIRS = (
    ("password", "password_file"),
    ("client_secret", "client_secret_file"),
    ("database_url", "database_url_file"),
)


_SecretUrl = Annotated[str, AfterValidator(MaskedUrl), PlainSerializer(masked_url)]


class Settings(AccountFields):
    """Everything that can be set; the fields of AccountFields are the account "default".

    Attributes:
        database_url: Where the outbox is: sqlite:///file.db or mssql+pyodbc://….
        database_url_file: File that holds it.
        databases: More databases on its server that the worker serves; in the environment names apart by commas.
        api_url: Address of the chat API, of every account that has none of its own and the same kind of transport.
        accounts: Settings by account name; in the environment a JSON object.
        concurrency: Calls at a time.
        lease_seconds: Seconds a row stays a worker's without renewal.
        connect_timeout: Seconds to wait for a connection to the API.
        read_timeout: Seconds to wait for its answer.
        grace_seconds: Seconds that calls in flight get when the worker is stopped.
        account_concurrency: Calls at a time that one account may have; None is all of `concurrency` with one account
            in the settings, three quarters with more, so that a slow account leaves senders to the others.
        breaker_calls, breaker_share: An account is passed by for a while when within a minute so many calls ended and
            this share of them failed; 0 calls never.
        on_unknown: What becomes of a send of which nobody can say whether it took effect: "reconcile" reads the
            conversation back, "hold" leaves it to a person, "retry" repeats it.
        read_back_after: Seconds until such a conversation is first read.
        read_back_settle: Seconds within which the API lists what it accepted.
        api_time_zone: Time zone of the API's times, as in Europe/Madrid.
        worker_name: How the worker appears in the database; None is host and process id.
        allow_http: Permit an api_url with http:// on another machine, where the password can be read on the way.
        allow_private_urls: Queue and send files whose URL points to a private place, such as localhost or 10.0.0.5.
        ca_bundle: File of certificates to trust in place of the usual ones.
        client_cert: PEM file of the certificate to show to the API.
        client_key: PEM file of its private key, without a passphrase; None when client_cert holds it too.
        proxy: http://user:password@host:port to reach the API through; "none" is none, None what the environment says.
        log_level: debug, info, warning or error.
        log_format: "auto" is console on a terminal and JSON lines elsewhere.
        pulse_file: File the worker renews while its loop moves, which `afilsql health` reads.
        alert_command: Program and arguments that get each alert as JSON on standard input; in the environment a JSON
            array.
        alert_url: Web address each alert is posted to as JSON; it may hold a token and is never told.
        metrics_port: Port of /healthz, /readyz and /metrics, 0 takes any; None is none.
        metrics_host: Address they are served on.
        traces: Export OpenTelemetry traces; None does so where OTEL_EXPORTER_OTLP_ENDPOINT is set.
        web: The operators' page, see WebSettings; in the environment a JSON object.
        web_port: Port on which a worker serves that page beside its work, 0 takes any; None does not.
    """

    database_url: _SecretUrl = Field("sqlite:///afilsql.db", min_length=1)
    database_url_file: Path | None = None
    databases: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    accounts: dict[str, AccountSettings] = Field(default_factory=dict)
    concurrency: int = Field(32, ge=1, le=256)
    lease_seconds: int = Field(120, ge=5, le=3600)
    connect_timeout: float = Field(5.0, gt=0, le=300)
    read_timeout: float = Field(60.0, gt=0, le=600)
    grace_seconds: float = Field(30.0, ge=0, le=600)
    account_concurrency: int | None = Field(default=None, ge=1, le=256)
    breaker_calls: int = Field(5, ge=0, le=20)
    breaker_share: float = Field(0.5, gt=0, le=1)
    on_unknown: Literal["reconcile", "hold", "retry"] = "reconcile"
    read_back_after: float = Field(15.0, ge=0.1, le=3600)
    read_back_settle: float = Field(300.0, ge=0.1, le=86_400)
    api_time_zone: str = "UTC"
    worker_name: str | None = Field(None, min_length=1, max_length=128)
    allow_http: bool = False
    allow_private_urls: bool = False
    ca_bundle: Annotated[Path | None, AfterValidator(addresses.of_file)] = None
    client_cert: Annotated[Path | None, AfterValidator(addresses.of_file)] = None
    client_key: Annotated[Path | None, AfterValidator(addresses.of_file)] = None
    proxy: Annotated[_SecretUrl | None, AfterValidator(addresses.of_proxy)] = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    pulse_file: Path | None = None
    alert_command: list[str] | None = Field(None, min_length=1)
    alert_url: Annotated[str | None, AfterValidator(addresses.of_alerts)] = Field(None, repr=False)
    metrics_port: int | None = Field(default=None, ge=0, le=65_535)
    metrics_host: str = Field("127.0.0.1", min_length=1)
    traces: bool | None = None
    web: WebSettings = WebSettings()
    web_port: int | None = Field(default=None, ge=0, le=65_535)

    @field_validator("api_time_zone")
    @classmethod
    def _is_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError):
            raise ValueError("there is no such time zone: write one as in Europe/Madrid") from None
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_small_letters(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("alert_command")
    @classmethod
    def _can_be_arguments(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and (not value[0].strip() or any("\x00" in argument for argument in value)):
            raise ValueError("it names no program: write the program and its arguments, each a text of its own")
        return value

    @property
    def share(self) -> int | None:
        """Calls at a time that one account may have; None is all."""
        several = max(1, self.concurrency * 3 // 4) if len(self.configured) > 1 else None
        share = self.account_concurrency or several
        return share if share is not None and share < self.concurrency else None

    def credentials(self, account: str) -> AccountSettings:
        """Return what is set for an account, its `api_url` filled in where another setting or the vendor gives it.

        Raises:
            ConfigError: The account is not set.
        """
        if account not in self.configured:
            if account == DEFAULT_ACCOUNT:
                raise ConfigError("the account 'default' needs AFILSQL_USER and AFILSQL_PASSWORD: set them")
            raise ConfigError(
                f"the account '{account}' has no credentials (configured: {', '.join(self.configured) or 'none'}): add "
                f"[accounts.{account}] with user and password to the settings file, or to AFILSQL_ACCOUNTS"
            )
        given = self.accounts.get(account) or AccountSettings(
            **{name: getattr(self, name) for name in AccountFields.model_fields}
        )
        if given.api_url is not None:
            return given
        alike = given.transport == self.transport or (given.has_default_url and self.has_default_url)
        url = (self.api_url if alike else None) or (DEFAULT_API_URL if given.has_default_url else None)
        return given.model_copy(update={"api_url": url})

    @property
    def configured(self) -> list[str]:
        """Names of the accounts that are set."""
        has_default = self.user or (self.client_id and not self.needs_user)
        return sorted({*self.accounts, *([DEFAULT_ACCOUNT] if has_default else [])})


def load_settings(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        config: TOML file; None takes the one AFILSQL_CONFIG names, if it does.
        environ: Environment variables; None takes the process's. Empty ones count as not set.

    Raises:
        ConfigError: A file or value cannot be used; the message names the setting.
    """
    environ = os.environ if environ is None else environ
    path = settings_file(config, environ)
    from_file = settingsfile.read(path, Settings.model_fields, AccountSettings.model_fields) if path else {}
    from_env = _read_environ(environ)
    for values, place in ((from_env, "the environment"), (from_file, str(path))):
        _refuse_both(values, place)
    default = from_file.get("accounts", {}).get(DEFAULT_ACCOUNT)
    if isinstance(default, dict) and "accounts" not in from_env:
        # What the environment says about the default account also beats the file's [accounts.default].
        said: dict[str, Any] = {k: from_env[k] for k in AccountFields.model_fields if k in from_env}
        from_file["accounts"][DEFAULT_ACCOUNT] = _over(default, said)
    merged = _over(from_file, from_env)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        root = str(first["loc"][0]) if first["loc"] else ""
        where = PREFIX + key.upper().replace(".", "_", 1) if root in from_env else f"{key} in {path}"
        if root in ("accounts", "web") and root in from_env:
            where = f"{PREFIX}{root.upper()} ({key})"
        raise ConfigError(f"the setting {where} is wrong: {first['msg'].removeprefix('Value error, ')}") from None
    return settings if "database_url" in merged else _with_database_url(settings, environ)


def settings_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the settings file in use: the one given, else the one AFILSQL_CONFIG names, else None."""
    named = environ.get(f"{PREFIX}CONFIG")
    return config or (Path(named) if named else None)


def credential_file(name: str, environ: Mapping[str, str]) -> Path | None:
    """Return where systemd puts a credential of this name; None when it gave none, or no file can be called so."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder, name) if folder and Path(name).name == name else None


def _with_database_url(settings: Settings, environ: Mapping[str, str]) -> Settings:
    if settings.database_url_file is not None:
        url = secretfiles.read_secret(
            settings.database_url_file, f"the file {settings.database_url_file} of the database URL"
        )
    else:
        file = credential_file("afilsql.database_url", environ)
        if file is None or not secretfiles.is_there(file):
            return settings
        url = secretfiles.read_secret(
            file, "the systemd credential afilsql.database_url", mounted=(secretfiles.MOUNTED, file.parent)
        )
    return settings.model_copy(update={"database_url": MaskedUrl(url)})


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Merge: a value above also beats the file that would hold it below, and the other way round."""
    beaten = {other for pair in _PAIRS for other in pair if upper.keys() & set(pair)}
    return {**{k: v for k, v in lower.items() if k not in beaten}, **upper}


def _refuse_both(values: Mapping[str, Any], place: str) -> None:
    accounts = values.get("accounts", {})
    tables = accounts.values() if isinstance(accounts, dict) else ()
    for table in (values, *(t for t in tables if isinstance(t, dict))):
        for pair in _PAIRS:
            if table.keys() >= set(pair):
                raise ConfigError(f"{place} sets both {pair[0]} and {pair[1]}: keep one")


def _read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = environ.get(PREFIX + name.upper())
        if value:
            found[name] = value
    for name, example in _IN_JSON.items():
        if name in found:
            try:
                found[name] = json.loads(found[name])
            except (ValueError, RecursionError):
                raise ConfigError(f"the setting {PREFIX}{name.upper()} is not JSON: write {example}") from None
    return found
