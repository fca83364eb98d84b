"""afil.url_fault: the same verdict as afilsql/api/fileurl.py on every URL, and where it takes effect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afilsql.api import fileurl
from tests.file_urls import VERDICTS
from tests.tsql.conftest import DriverError, Notifications

pytestmark = pytest.mark.tsql


@pytest.fixture
def allowed(query: Any) -> None:
    query("EXEC afil.configure @name = 'allow_private_urls', @value = 1")


def fault(query: Any, url: str) -> str | None:
    found: str | None = query("SELECT afil.url_fault(?)", url)[0][0]
    return found


@pytest.mark.parametrize(("url", "verdict"), VERDICTS)
def test_each_url_meets_the_verdict_of_python_in_its_words(query: Any, url: str, verdict: str | None) -> None:
    assert fault(query, url) == fileurl.fault(url)
    assert (fault(query, url) is None) is (verdict is None)


def test_with_the_setting_each_url_meets_the_verdict_of_python_with_it(query: Any, allowed: None) -> None:
    for url, _ in VERDICTS:
        assert fault(query, url) == fileurl.fault(url, allow_private=True), url


HOSTS = st.lists(
    st.one_of(
        st.sampled_from(["10", "127", "0x7f", "255", "8", ".", ".", ":", "[", "]", "::", "2001", "@", "\\", "/", "?"]),
        st.sampled_from(["local", "home.arpa", "example.com", "-", "_", "0", "a", "f", "G", "\u00e9", "\uff0e", " "]),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3),
    ),
    max_size=8,
).map("".join)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTS)
def test_any_host_meets_the_verdict_of_python(query: Any, host: str) -> None:
    assert fault(query, f"http://{host}") == fileurl.fault(f"http://{host}")


SEND_FILE = (
    "EXEC afil.send_file @platform = 'whatsapp', @platformid = '100', @destination = '346', @type = 'image', "
    "@fileurl = ?, @thumburl = ?"
)


@pytest.mark.parametrize("name", ["fileurl", "thumburl"])
def test_a_private_url_is_refused_before_anything_is_written(query: Any, name: str) -> None:
    urls = {"fileurl": "https://example.com/a", "thumburl": "https://example.com/b", name: "http://10.0.0.5/"}
    with pytest.raises(DriverError, match=f"@{name} 'http://10.0.0.5/' points to a private place"):
        query(SEND_FILE, *urls.values())
    message = {"method": "sendfile", "platform": "whatsapp", "platformid": "1", "destination": "2", "type": "image"}
    with pytest.raises(DriverError, match=f"request 1: @{name} 'http://10.0.0.5/' points to a private place"):
        query("EXEC afil.send_messages @messages = ?", json.dumps([message | urls]))
    assert query("SELECT id FROM afil.outbox") == []


def test_a_password_in_a_url_is_refused_and_not_repeated(query: Any) -> None:
    with pytest.raises(DriverError, match="@fileurl holds a user or password") as e:
        query(SEND_FILE, "https://user:planted-pw@example.com/a", None)
    assert "planted-pw" not in str(e.value)


def test_the_setting_lets_a_private_url_be_queued(query: Any, allowed: None) -> None:
    query(SEND_FILE, "http://10.0.0.5/", "http://localhost/b")
    assert [r[0] for r in query("SELECT status FROM afil.outbox")] == ["queued"]


def test_a_notification_that_makes_a_private_url_makes_a_failed_request(notifications: Notifications) -> None:
    notifications.create(type="image", fileurl="{note}")
    urls = ("https://example.com/1", "http://10.0.0.5/", "http://user:planted-pw@example.com/", None)
    for n, url in enumerate(urls):
        notifications.query("INSERT INTO dbo.purchase (id, phone, note) VALUES (?, N'346', ?)", n, url)
    found = [(r.status, r.error_code) for r in notifications.outbox()]
    assert found == [("queued", None)] + [("failed", "INCORRECT_FILEURL")] * 3
    assert notifications.failures() == []


def test_the_setting_lets_a_notification_make_a_private_url(notifications: Notifications, allowed: None) -> None:
    notifications.create(type="image", fileurl="{note}")
    notifications.query("INSERT INTO dbo.purchase (id, phone, note) VALUES (1, N'346', N'http://10.0.0.5/')")
    assert [r.status for r in notifications.outbox()] == ["queued"]
