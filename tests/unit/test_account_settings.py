"""What can be set for each account: where it comes from, what is refused, and the transport it makes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from afilsql.accounts import AccountFields
from afilsql.api.transports import Basic, Get, JsonOAuth, Post
from afilsql.api.transports.oauth import Grant
from afilsql.clients import Clients, transport_of
from afilsql.config import Settings, load_settings
from afilsql.credentials import FILES_EVERY, Logins, find
from afilsql.errors import ConfigError, CredentialsRefused
from afilsql.sandbox import SandboxServer

SECRET = "s3cret-Word"
VENDOR = "https://www.afilnet.com/api/http/"
USER = {"AFILSQL_USER": "ana", "AFILSQL_PASSWORD": "x"}
JSON = {
    "AFILSQL_TRANSPORT": "json",
    "AFILSQL_API_URL": "https://x.example/json/",
    "AFILSQL_TOKEN_URL": "https://x.example/token",
    "AFILSQL_CLIENT_ID": "app",
}


def toml(folder: Path, text: str) -> Path:
    path = folder / "afilsql.toml"
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    return path


def no_keyring(service: str, name: str) -> str | None:
    return None


def accounts(**given: dict[str, object]) -> dict[str, str]:
    return {"AFILSQL_ACCOUNTS": json.dumps(given)}


def secret_of(
    environ: dict[str, str],
    account: str = "default",
    config: Path | None = None,
    keyring: Callable[[str, str], str | None] = no_keyring,
) -> str:
    login = find(load_settings(config, environ), account, environ=environ, keyring=keyring).login
    assert login.client_id == "app"
    return login.client_secret.get_secret_value()


def test_without_a_word_about_it_an_account_posts_to_the_vendor() -> None:
    assert transport_of(load_settings(environ=USER), "default") == Post(VENDOR)


@pytest.mark.parametrize(
    ("environ", "transport"),
    [
        ({"TRANSPORT": "get"}, Get(VENDOR)),
        ({"TRANSPORT": "POST", "API_URL": "https://x.example/"}, Post("https://x.example/")),
        ({"TRANSPORT": "basic", "API_URL": "https://x.example/"}, Basic("https://x.example/")),
        (
            {"TRANSPORT": "basic", "API_URL": "https://x.example/", "HTTP_METHOD": "get"},
            Basic("https://x.example/", "GET"),
        ),
        (
            {
                "TRANSPORT": "json",
                "API_URL": "https://x.example/",
                "TOKEN_URL": "https://x.example/t",
                "CLIENT_ID": "c",
            },
            JsonOAuth("https://x.example/", Grant("https://x.example/t")),
        ),
        (
            {
                "TRANSPORT": "json",
                "API_URL": "https://x.example/",
                "TOKEN_URL": "https://x.example/t",
                "CLIENT_ID": "c",
                "GRANT": "password",
                "SCOPE": "chat more",
            },
            JsonOAuth("https://x.example/", Grant("https://x.example/t", "password", "chat more")),
        ),
    ],
)
def test_each_transport_is_set_by_the_environment_or_the_file(
    tmp_path: Path, environ: dict[str, str], transport: object
) -> None:
    by_environ = load_settings(environ=USER | {f"AFILSQL_{name}": value for name, value in environ.items()})
    lines = "".join(f"{name.lower()} = '{value}'\n" for name, value in environ.items())
    by_file = load_settings(toml(tmp_path, f"user = 'ana'\npassword = 'x'\n{lines}"), {})
    by_table = load_settings(toml(tmp_path, f"[accounts.default]\nuser = 'ana'\npassword = 'x'\n{lines}"), {})
    by_json = load_settings(environ=accounts(default={"user": "a"} | {k.lower(): v for k, v in environ.items()}))
    for settings in (by_environ, by_file, by_table, by_json):
        assert transport_of(settings, "default") == transport


@pytest.mark.parametrize(
    ("name", "more", "missing"),
    [
        ("basic", {}, ("api_url",)),
        ("json", {}, ("api_url", "token_url")),
        ("json", {"api_url": "https://x.example/"}, ("token_url",)),
        ("soap", {"api_url": "https://x.example/"}, ("wsdl",)),
    ],
)
def test_what_the_vendor_does_not_document_is_asked_for_by_name(
    name: str, more: dict[str, str], missing: tuple[str, ...]
) -> None:
    given: dict[str, object] = {"user": "ana", "transport": name, "client_id": "app", **more}
    settings = load_settings(environ=accounts(shop=given, default=given))
    for account, spelled in (("shop", "{} in [accounts.shop]"), ("default", "AFILSQL_{}")):
        with pytest.raises(ConfigError, match="vendor") as caught:
            transport_of(settings, account)
        said = str(caught.value)
        assert account in said
        assert f"'{name}'" in said
        for setting in missing:
            assert spelled.format(setting if account == "shop" else setting.upper()) in said
        assert ("token_url" in said.lower()) == ("token_url" in missing)


def test_an_account_has_an_address_of_its_own_and_shares_one_only_with_its_like() -> None:
    environ = USER | {"AFILSQL_API_URL": "https://post.example/"}
    given: dict[str, dict[str, object]] = {
        "own": {"user": "a", "api_url": "https://own.example/"},
        "shared": {"user": "a", "transport": "get"},
        "other": {"user": "a", "transport": "basic"},
    }
    settings = load_settings(environ=environ | accounts(**given))
    assert transport_of(settings, "own") == Post("https://own.example/")
    assert transport_of(settings, "shared") == Get("https://post.example/")
    with pytest.raises(ConfigError, match="api_url"):
        transport_of(settings, "other")
    as_basic = load_settings(environ=environ | {"AFILSQL_TRANSPORT": "basic"} | accounts(**given))
    assert transport_of(as_basic, "other") == Basic("https://post.example/")
    assert transport_of(as_basic, "shared") == Get(VENDOR), "the address of basic is not that of get"


def test_the_environment_beats_each_setting_of_the_default_account_of_the_file(tmp_path: Path) -> None:
    config = toml(tmp_path, "[accounts.default]\nuser='ana'\ntransport='get'\nrate=5\nplatforms=['webchat']\n")
    settings = load_settings(config, {"AFILSQL_TRANSPORT": "post", "AFILSQL_PLATFORMS": "whatsapp, telegram"})
    found = settings.credentials("default")
    assert (found.user, found.transport, found.rate) == ("ana", "post", 5.0)
    assert found.platforms == ("whatsapp", "telegram")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRANSPORT", "fax"),
        ("HTTP_METHOD", "PUT"),
        ("GRANT", "code"),
        ("TOKEN_URL", "ftp://x.example/"),
        ("TOKEN_URL", "https://ana:word@x.example/"),
        ("WSDL", "/no/such/file.wsdl"),
        ("WSDL", "https://ana:word@x.example/?wsdl"),
        ("PLATFORMS", "whatsapp,fax"),
        ("PLATFORMS", ","),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_setting(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"AFILSQL_{name}"):
        load_settings(environ={f"AFILSQL_{name}": value})
    with pytest.raises(ConfigError, match=rf"accounts\.shop\.{name.lower()}"):
        load_settings(toml(tmp_path, f"[accounts.shop]\nuser = 'a'\n{name.lower()} = '{value}'\n"), {})


def test_an_address_in_clear_is_refused_with_its_account(tmp_path: Path) -> None:
    text = "[accounts.shop]\nuser='a'\ntransport='json'\nclient_id='c'\n"
    text += "api_url='https://x.example/'\ntoken_url='http://x.example/token'\n"
    with pytest.raises(ConfigError, match=r"token_url in \[accounts\.shop\] would send the password unencrypted"):
        transport_of(load_settings(toml(tmp_path, text), {}), "shop")
    allowed = load_settings(toml(tmp_path, "allow_http = true\n" + text), {})
    assert isinstance(transport_of(allowed, "shop"), JsonOAuth)


def test_with_client_credentials_an_account_needs_no_user() -> None:
    environ = JSON | {"AFILSQL_CLIENT_SECRET": SECRET}
    assert load_settings(environ=environ).configured == ["default"]
    assert secret_of(environ) == SECRET
    for transport in ("post", "json"):
        given: dict[str, object] = {"transport": transport, "client_id": "app", "grant": "password"}
        with pytest.raises(ConfigError, match="user is missing"):
            load_settings(environ=accounts(shop=given))


def test_a_clients_secret_comes_from_the_same_places_as_a_password(tmp_path: Path) -> None:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.touch(0o600)
        path.write_text(text)
        return path

    file = write("secret", "file")
    systemd = JSON | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    write("afilsql.client_secret", "systemd")
    write("afilsql.shop.client_secret", "systemd of shop")
    config = toml(tmp_path, "client_secret = 'settings file'")

    def keyring(service: str, name: str) -> str:
        return f"keyring {service} {name}"

    assert secret_of(systemd | {"AFILSQL_CLIENT_SECRET": "environment"}, config=config) == "environment"
    assert secret_of(systemd | {"AFILSQL_CLIENT_SECRET_FILE": str(file)}, config=config) == "file"
    assert secret_of(systemd, config=config, keyring=keyring) == "settings file"
    assert secret_of(systemd, keyring=keyring) == "systemd"
    assert secret_of(JSON, keyring=keyring) == "keyring afilsql default.client_secret"
    bare = accounts(shop={k.removeprefix("AFILSQL_").lower(): v for k, v in JSON.items()})
    assert secret_of(bare | {"CREDENTIALS_DIRECTORY": str(tmp_path)}, "shop") == "systemd of shop"
    with pytest.raises(ConfigError) as caught:
        secret_of(JSON)
    for where in ("AFILSQL_CLIENT_SECRET_FILE", "afilsql.client_secret", "keyring set afilsql default.client_secret"):
        assert where in str(caught.value)


def test_with_the_grant_password_a_client_may_have_no_secret() -> None:
    assert secret_of(JSON | USER | {"AFILSQL_GRANT": "password"}) == ""


def test_a_secret_and_its_file_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="client_secret and client_secret_file") as caught:
        load_settings(environ={"AFILSQL_CLIENT_SECRET": SECRET, "AFILSQL_CLIENT_SECRET_FILE": "/x"})
    assert SECRET not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX matter")
@pytest.mark.parametrize("text", ["client_secret='x'", "[accounts.shop]\nclient_secret='x'"])
def test_a_file_with_a_clients_secret_that_others_can_read_is_refused(tmp_path: Path, text: str) -> None:
    config = toml(tmp_path, text)
    config.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_settings(config, {})


def test_no_form_of_the_settings_shows_a_clients_secret() -> None:
    given: dict[str, object] = {"transport": "json", "client_id": "app", "client_secret": SECRET}
    settings = load_settings(environ=JSON | {"AFILSQL_CLIENT_SECRET": SECRET} | accounts(shop=given))
    forms = (settings, settings.credentials("shop"), settings.credentials("default"), settings.model_dump())
    assert SECRET not in repr(forms) + settings.model_dump_json()


def test_a_new_clients_secret_gets_a_new_client_and_a_new_token(tmp_path: Path) -> None:
    now, known = 1e9, {"app": "first-Word"}
    secret = tmp_path / "secret"

    def put(text: str) -> None:
        fresh = tmp_path / "new"
        fresh.touch(0o600)
        fresh.write_text(text)
        fresh.rename(secret)

    put("first-Word")
    with SandboxServer(accounts=None, clients=known) as api:
        environ = JSON | {
            "AFILSQL_API_URL": api.url_of("json"),
            "AFILSQL_TOKEN_URL": api.token_url,
            "AFILSQL_CLIENT_SECRET_FILE": str(secret),
            "AFILSQL_PROXY": "none",
        }
        settings = load_settings(environ=environ)
        changed: list[str] = []
        logins = Logins(
            lambda: settings,
            environ=environ,
            keyring=no_keyring,
            on_change=changed.append,
            monotonic=lambda: now,
            clock=lambda: 4e9,
        )
        clients = Clients(settings, logins)
        clients("default").get_chat_channels()
        known["app"] = "second-Word"
        api.sandbox.oauth.revoke_all()
        with pytest.raises(CredentialsRefused, match="client_secret"):
            clients("default").get_chat_channels()
        put("second-Word")
        now += FILES_EVERY + 0.1
        clients("default").get_chat_channels()
    assert changed == ["default"]
    assert [call["user"] for call in api.received] == ["app", "app"]


def test_an_account_whose_transport_changes_keeps_its_login_until_the_worker_starts_anew() -> None:
    now, told = 1e9, list[str]()
    environ = dict(USER)
    logins = Logins(
        lambda: load_settings(environ=environ),
        environ={},
        keyring=lambda service, name: f"keyring {name}",
        on_trouble=lambda account, why: told.append(why),
        monotonic=lambda: now,
    )
    del environ["AFILSQL_PASSWORD"]
    first = logins("default")
    environ |= JSON
    now += 61  # the keyring is asked again
    assert logins("default") == first
    assert len(told) == 1
    assert "restart the worker" in told[0]


def test_the_settings_of_the_default_account_are_those_of_every_account() -> None:
    assert AccountFields.model_fields.keys() <= Settings.model_fields.keys()
