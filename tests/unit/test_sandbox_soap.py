"""The simulated API by SOAP: its WSDL, its faults, and that it does without the extra."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests
from lxml import etree

from afilsql.api.client import AfilnetClient
from afilsql.api.methods import METHODS
from afilsql.api.transports import Soap
from afilsql.sandbox import SandboxServer, soap
from tests.patience import PATIENCE
from tests.unit.test_sandbox import CALL

WSDL = "{http://schemas.xmlsoap.org/wsdl/}"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SandboxServer() as server:
        yield f"{server.base_url}/api/soap/"


def post(url: str, content: str) -> tuple[int, str]:
    body = f'<e:Envelope xmlns:e="{soap.ENVELOPE}"><e:Body>{content}</e:Body></e:Envelope>'
    answer = requests.post(url, data=body.encode(), headers={"Content-Type": "text/xml"}, timeout=PATIENCE)
    return answer.status_code, answer.text


def call(operation: str, **parts: str) -> str:
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in parts.items())
    return f'<{operation} xmlns="{soap.NAMESPACE}">{inside}</{operation}>'


def test_the_wsdl_has_every_method_and_its_own_address(url: str) -> None:
    root = etree.fromstring(requests.get(f"{url}?wsdl", timeout=PATIENCE).content)
    assert [o.get("name") for o in root.iterfind(f"{WSDL}portType/{WSDL}operation")] == list(METHODS)
    assert url.encode() in etree.tostring(root)
    assert requests.get(url, timeout=PATIENCE).status_code == 405


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (call("getchatchannels"), "MISSING_USER"),
        (call("getchatchannels", user="demo"), "MISSING_PASSWORD"),
        (call("getchatchannels", user="demo", password="x"), "INCORRECT_USER_PASSWORD"),
        (call("getchatchannels", user="demo", password="demo"), "MISSING_CLASS"),
        (call("getchatchannels", **CALL | {"class": "sms"}), "INCORRECT_CLASS"),
        (call("getchatchannels", **CALL), "MISSING_METHOD"),
        (call("getchats", **CALL | {"method": "getchats"}), "MISSING_COMPULSORY_PARAM"),
    ],
)
def test_a_code_is_in_the_answers_structure(url: str, content: str, code: str) -> None:
    status, text = post(url, content)
    assert status == 200
    assert f"<error>{code}</error>" in text
    assert "<status>ERROR</status>" in text


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (call("getnothing", **CALL), "INCORRECT_METHOD"),
        (call("getchats", **CALL | {"method": "sendmessage"}), "INCORRECT_METHOD"),
        ("", "the body cannot be read"),
        ("<a/><b/>", "the body cannot be read"),
        ("<a>", "the body cannot be read"),
    ],
)
def test_what_no_operation_can_answer_is_a_fault(url: str, content: str, code: str) -> None:
    status, text = post(url, content)
    assert status == 500
    assert "<faultcode>soap:Client</faultcode>" in text
    assert code in text


def test_a_text_that_xml_cannot_carry_is_listed_with_a_replacement(url: str) -> None:
    chat = {"platform": "whatsapp", "platformid": "100", "destination": "1"}
    with AfilnetClient("demo", "demo", url=url.replace("soap", "http")) as api:
        api.call("sendmessage", {**chat, "message": "a\x08b"})
    with AfilnetClient("demo", "demo", transport=Soap(f"{url}?wsdl")) as api:
        assert [row["message"] for row in api.get_messages(**chat).dicts()] == ["a\ufffdb"]


def test_without_the_extra_the_rest_runs_and_soap_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['lxml'] = None\n"
        "import requests\n"
        "from afilsql.sandbox import SandboxServer\n"
        "with SandboxServer() as server:\n"
        "    print(requests.get(server.base_url + '/api/soap/?wsdl').text)\n"
        "    print(requests.get(server.url).status_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["SOAP needs lxml: pip install 'afilsql[soap]'", "200"], done.stderr
