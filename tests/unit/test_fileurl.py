"""URLs of files: what leads to a private place is refused, however it is spelled; no DNS is asked."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afilsql.api import fileurl
from afilsql.api.methods import check
from afilsql.errors import InvalidParameter
from tests.file_urls import PRIVATE, SECRET, VERDICTS

FILE = {"platform": "whatsapp", "platformid": "100", "destination": "346", "type": "image"}


@pytest.mark.parametrize(("url", "verdict"), VERDICTS)
def test_each_url_meets_its_verdict(url: str, verdict: str | None) -> None:
    fault = fileurl.fault(url)
    assert (fault is None) is (verdict is None), fault
    assert verdict is None or verdict in str(fault)


@pytest.mark.parametrize("url", PRIVATE)
def test_a_private_place_passes_where_the_setting_lets_it(url: str) -> None:
    assert fileurl.fault(url, allow_private=True) is None


@pytest.mark.parametrize("url", SECRET)
def test_credentials_are_refused_whatever_the_setting_and_never_repeated(url: str) -> None:
    for allow in (False, True):
        assert "planted-pw" not in str(fileurl.fault(url, allow_private=allow))
        assert fileurl.fault(url, allow_private=allow)


@pytest.mark.parametrize("name", ["fileurl", "thumburl"])
def test_the_error_names_the_parameter_and_carries_the_code_of_the_api(name: str) -> None:
    urls = {"fileurl": "https://example.com/a", "thumburl": "https://example.com/b", name: "http://10.0.0.5/"}
    with pytest.raises(InvalidParameter, match=f"@{name} 'http://10.0.0.5/' points to a private place") as e:
        check("sendfile", FILE | urls)
    assert e.value.code == f"INCORRECT_{name.upper()}"
    assert check("sendfile", FILE | urls, allow_private_urls=True)[name] == "http://10.0.0.5/"


@given(st.ip_addresses())
def test_no_address_that_the_internet_does_not_route_passes(address: ipaddress.IPv4Address) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    if fileurl.fault(f"http://{host}/") is None:
        documentation = address.version == 6 or str(address).startswith(("192.0.2.", "198.51.100.", "203.0.113."))
        assert address.is_global or documentation


@given(st.ip_addresses(v=4), st.sampled_from(["{:d}", "0x{:x}", "0{:o}"]))
def test_an_address_spelled_as_one_number_never_passes(address: ipaddress.IPv4Address, form: str) -> None:
    assert fileurl.fault(f"http://{form.format(int(address))}/x")


@given(st.text(), st.booleans())
def test_any_text_gets_a_verdict(text: str, allow: bool) -> None:
    for url in (text, f"http://{text}", f"https://{text}/x"):
        fileurl.fault(url, allow_private=allow)
