"""Settings: where they come from, what is refused, and that secrets stay secret."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

import afilsql
from afilsql import logs
from afilsql.config import load_settings
from afilsql.errors import ConfigError
from afilsql.masking import masked_url

SECRET = "s3cret-Word"


def toml(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "afilsql.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_without_anything_set_the_defaults_hold():
    settings = load_settings(environ={})
    assert settings.database_url == "sqlite:///afilsql.db"
    assert settings.concurrency == 32
    assert settings.on_unknown == "reconcile"


def test_the_environment_beats_the_file(tmp_path):
    path = toml(tmp_path, "concurrency = 4\nlease_seconds = 60\n")
    settings = load_settings(path, {"AFILSQL_CONCURRENCY": "8", "AFILSQL_LEASE_SECONDS": ""})
    assert (settings.concurrency, settings.lease_seconds) == (8, 60)


def test_the_environment_names_the_file(tmp_path):
    path = toml(tmp_path, "concurrency = 4\n")
    assert load_settings(environ={"AFILSQL_CONFIG": str(path)}).concurrency == 4


def test_the_default_account_falls_back_to_user_and_password():
    settings = load_settings(environ={"AFILSQL_USER": "ana", "AFILSQL_PASSWORD": SECRET})
    assert settings.credentials("default").password.get_secret_value() == SECRET


def test_the_environment_beats_the_default_account_of_the_file(tmp_path):
    path = toml(tmp_path, "[accounts.default]\nuser='ana'\npassword='old'\n")
    settings = load_settings(path, {"AFILSQL_PASSWORD": SECRET})
    found = settings.credentials("default")
    assert (found.user, found.password.get_secret_value()) == ("ana", SECRET)


def test_accounts_come_from_the_file_or_as_json(tmp_path):
    path = toml(tmp_path, f"[accounts.shop]\nuser='ana'\npassword='{SECRET}'\n")
    assert load_settings(path, {}).credentials("shop").user == "ana"
    accounts = json.dumps({"shop": {"user": "eva", "password": SECRET}})
    assert load_settings(environ={"AFILSQL_ACCOUNTS": accounts}).credentials("shop").user == "eva"


@pytest.mark.parametrize("account", ["default", "shop"])
def test_an_account_without_credentials_is_named(account):
    with pytest.raises(ConfigError, match=account):
        load_settings(environ={}).credentials(account)


@pytest.mark.parametrize(
    ("text", "named"), [("concurency = 4", "concurency"), ("[accounts.shop]\nuser='a'\npasword='b'", "pasword")]
)
def test_an_unknown_key_is_refused_by_name(tmp_path, text, named):
    with pytest.raises(ConfigError, match=f"'{named}'"):
        load_settings(toml(tmp_path, text), {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", "many"),
        ("ON_UNKNOWN", "guess"),
        ("API_URL", "ftp://example.com"),
        ("API_URL", "https://ana:word@example.com/"),
        ("CA_BUNDLE", "/no/such/file.pem"),
        ("CA_BUNDLE", "x" * 5000),
        ("ACCOUNTS", "not json"),
        ("ACCOUNTS", "{}x"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_variable(name, value):
    with pytest.raises(ConfigError, match=f"AFILSQL_{name}"):
        load_settings(environ={f"AFILSQL_{name}": value})


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX matter")
@pytest.mark.parametrize(
    "text",
    ["password='x'", "[accounts.shop]\nuser='a'\npassword='b'", "database_url='mssql+pyodbc://sa:word@host/db'"],
)
def test_a_file_with_a_password_that_others_can_read_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match="chmod 600"):
        load_settings(toml(tmp_path, text, 0o644), {})


def test_a_file_without_a_password_may_be_readable(tmp_path):
    assert load_settings(toml(tmp_path, "concurrency = 4", 0o644), {}).concurrency == 4


@pytest.mark.parametrize("text", [f"password = {SECRET}", f"password = '{SECRET}", f"[accounts]\nshop = '{SECRET}'"])
def test_no_error_quotes_a_secret(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load_settings(toml(tmp_path, text), {})
    assert SECRET not in str(caught.value)


def test_repr_shows_no_secret():
    settings = load_settings(
        environ={
            "AFILSQL_USER": "ana",
            "AFILSQL_PASSWORD": SECRET,
            "AFILSQL_DATABASE_URL": f"mssql+pyodbc://sa:{SECRET}@host/db",
            "AFILSQL_ACCOUNTS": json.dumps({"shop": {"user": "eva", "password": SECRET}}),
        }
    )
    assert SECRET not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    "url",
    [
        f"mssql+pyodbc://sa:{SECRET}@host:1433/db?Encrypt=yes",
        f"mssql+pyodbc://sa:p@{SECRET}@host/db",
        f"mssql+pyodbc://sa:a/{SECRET}@host/db",
        f"mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3D{SECRET}",
        f"mssql+pyodbc://host/db?PWD={SECRET}",
    ],
)
def test_a_url_in_a_message_shows_no_password(url):
    assert SECRET not in masked_url(url)


def test_a_url_without_a_password_is_shown_whole():
    assert masked_url("sqlite:///folder/a.db") == "sqlite:///folder/a.db"


def test_a_log_line_elsewhere_than_on_a_terminal_is_json_without_secrets():
    stream = io.StringIO()
    with logs.logging_to(stream) as logger:
        logger.info("asked", password=SECRET, nested={"api_key": SECRET, "user": "ana"}, count=2)
    line = json.loads(stream.getvalue())
    assert SECRET not in stream.getvalue()
    assert (line["event"], line["count"], line["nested"]["user"]) == ("asked", 2, "ana")


def test_every_public_name_can_be_imported():
    for name in afilsql.__all__:
        assert getattr(afilsql, name) is not None
    with pytest.raises(AttributeError):
        _ = afilsql.no_such_name
