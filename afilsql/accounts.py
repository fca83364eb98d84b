"""What can be set for one account: who it is, how it calls the API, and what it may do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NoReturn, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from afilsql import addresses
from afilsql.errors import ConfigError

PREFIX = "AFILSQL_"
DEFAULT_ACCOUNT = "default"
DEFAULT_API_URL = "https://www.afilnet.com/api/http/"

TransportName = Literal["post", "get", "basic", "json", "soap"]

#: What each transport needs that the vendor documents no value of.
_NEEDED: dict[TransportName, tuple[str, ...]] = {
    "post": (),
    "get": (),
    "basic": ("api_url",),
    "json": ("api_url", "token_url", "client_id"),
    "soap": ("wsdl",),  # which says the address
}


class Secretive(BaseModel):
    """A model with secrets, which a pickle would carry in clear wherever it goes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds passwords and is not pickled: load it where it is needed")


def _in_small_letters(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _in_capitals(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def listed(value: object) -> object:
    """Read a text as a list: words apart by commas, as the environment gives them."""
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


def _are_platforms(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    from afilsql.api.methods import PLATFORMS

    unknown = [name for name in value or () if name not in PLATFORMS]
    if unknown:
        raise ValueError(f"'{unknown[0]}' is not one of {', '.join(PLATFORMS)}")
    return value


class AccountFields(Secretive):
    """The settings of an account; those of the account "default" are also settings of their own.

    Attributes:
        user: The account's user; not needed with the grant client_credentials.
        password: Its password.
        password_file: File that holds it; read anew when it changes.
        transport: How the API is called: post, get, basic, json or soap.
        http_method: POST or GET, for the transport basic.
        api_url: Address of the API. Of post and get the vendor's is the default, of soap what the WSDL says; basic and
            json have none.
        token_url: Address of the token endpoint, for the transport json.
        grant: client_credentials, or password: user and password are traded for a token.
        client_id: The client known to the token endpoint.
        client_secret: Its secret.
        client_secret_file: File that holds it; read anew when it changes.
        scope: What a token is asked for, words apart by spaces.
        wsdl: Description of the service for the transport soap: a web address or a file.
        platforms: Platforms the account may use; None is all. In the environment words apart by commas.
        rate: Requests a second, all workers together; None is no limit.
        burst: Requests that may go at once after a pause; None is one second's worth.
    """

    user: str | None = Field(None, min_length=1)
    password: SecretStr | None = Field(None, min_length=1)
    password_file: Path | None = None
    transport: Annotated[TransportName, BeforeValidator(_in_small_letters)] = "post"
    http_method: Annotated[Literal["GET", "POST"], BeforeValidator(_in_capitals)] = "POST"
    api_url: Annotated[str | None, AfterValidator(addresses.of_api)] = None
    token_url: Annotated[str | None, AfterValidator(addresses.of_api)] = None
    grant: Annotated[Literal["client_credentials", "password"], BeforeValidator(_in_small_letters)] = (
        "client_credentials"
    )
    client_id: str | None = Field(None, min_length=1)
    client_secret: SecretStr | None = Field(None, min_length=1)
    client_secret_file: Path | None = None
    scope: str = ""
    wsdl: Annotated[str | None, AfterValidator(addresses.of_wsdl)] = None
    platforms: Annotated[tuple[str, ...] | None, BeforeValidator(listed), AfterValidator(_are_platforms)] = Field(
        None, min_length=1
    )
    rate: float | None = Field(default=None, gt=0, le=10_000)
    burst: float | None = Field(default=None, ge=1, le=10_000)

    @property
    def needs_user(self) -> bool:
        """False where a client's secret stands for user and password."""
        return self.transport != "json" or self.grant == "password"

    @property
    def has_default_url(self) -> bool:
        """True where the vendor documents the API's address."""
        return self.transport in ("post", "get")


class AccountSettings(AccountFields):
    """The settings of one account."""

    @model_validator(mode="after")
    def _has_user(self) -> Self:
        if self.needs_user and self.user is None:
            raise ValueError("user is missing: set it, or with the transport json use the grant client_credentials")
        return self

    def check_complete(self, account: str) -> None:
        """Refuse an account whose transport lacks a setting.

        Args:
            account: Its name.

        Raises:
            ConfigError: Names what is missing, where it goes, and who knows it.
        """
        missing = [name for name in _NEEDED[self.transport] if getattr(self, name) is None]
        if missing:
            raise ConfigError(
                f"the account '{account}' uses the transport '{self.transport}' and lacks "
                f"{' and '.join(place(account, name) for name in missing)}: the vendor documents no default; "
                "ask it for yours"
            )


def place(account: str, name: str) -> str:
    """Return what a setting of an account is called in messages."""
    return f"{PREFIX}{name.upper()}" if account == DEFAULT_ACCOUNT else f"{name} in [accounts.{account}]"
