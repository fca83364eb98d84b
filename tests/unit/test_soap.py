"""The transport soap without a network: what it writes, what it reads, and what it refuses to read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pydantic import SecretStr

from afilsql.api import xmltext
from afilsql.api.answers import Answer, Mask, understand
from afilsql.api.methods import ERROR_CODES, METHODS
from afilsql.api.reply import Reply
from afilsql.api.transports import HttpCall, Login, Soap
from afilsql.errors import (
    ApiError,
    ConfigError,
    CredentialsRefused,
    DeliveryUnknown,
    InvalidParameter,
    NotSent,
    Refused,
)
from afilsql.sandbox import soap as sandbox

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "soap"
PASSWORD = "pä\"ss' wo+rd&=<1>"
LOGIN = Login("us er", SecretStr(PASSWORD))
CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "34600000000"}
ADDRESS = "https://api.example.com/soap"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIST = '{"status":"SUCCESS","result":{"list":[{"message":"a"}]}}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wsdl")


@pytest.fixture(scope="module")
def soap(folder: Path) -> Soap:
    return described(folder, sandbox.wsdl(ADDRESS))


def described(folder: Path, wsdl: bytes | str) -> Soap:
    file = folder / "chat.wsdl"
    file.write_bytes(wsdl if isinstance(wsdl, bytes) else wsdl.encode())
    return Soap(str(file))


def sent(call: HttpCall) -> etree._Element:
    """The operation's element of a call."""
    return etree.fromstring(call.body.get_secret_value())[-1][0]


def parts(call: HttpCall) -> dict[str, str]:
    return {xmltext.name(part): part.text or "" for part in sent(call)}


def envelope(content: str, space: str = sandbox.ENVELOPE) -> bytes:
    return f'<e:Envelope xmlns:e="{space}"><e:Body>{content}</e:Body></e:Envelope>'.encode()


def read(soap: Soap, method: str, body: bytes, status: int = 200) -> Reply:
    answer = soap.answer(method, Answer(status, {}, body))
    return understand(method, answer, mask=Mask(*LOGIN.secrets()), now=NOW)


def failure(soap: Soap, method: str, body: bytes, status: int = 200) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(soap, method, body, status)
    return caught.value


def listed(rows: list[Mapping[str, object]], method: str = "getmessages") -> bytes:
    return sandbox.answer(method, {"status": "SUCCESS", "result": {"list": rows}})


def test_a_call_carries_what_the_wsdl_asks_for_and_names_its_action(soap: Soap) -> None:
    call = soap.call("sendmessage", {**CHAT, "message": "Hi"}, LOGIN)
    login = {"user": "us er", "password": PASSWORD}
    assert parts(call) == {"class": "chat", "method": "sendmessage", **login, **CHAT, "message": "Hi"}
    assert (call.verb, call.url.get_secret_value()) == ("POST", ADDRESS)
    assert call.headers["SOAPAction"] == '"urn:afilsql:sandbox#sendmessage"'
    assert call.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert PASSWORD not in repr(call)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_any_text_arrives_as_it_is_or_is_refused(soap: Soap, text: str) -> None:
    try:
        call = soap.call("sendmessage", {**CHAT, "message": text}, LOGIN)
    except InvalidParameter as error:
        assert error.code == "NOT_XML_TEXT"
        assert xmltext.unfit(text)
        return
    assert sandbox.read(call.body.get_secret_value())[1]["message"] == text


@pytest.mark.parametrize("character", ["\x00", "\x08", "\x1f", "\ud800", "\uffff"])
def test_a_character_that_xml_cannot_carry_is_refused_and_named(soap: Soap, character: str) -> None:
    with pytest.raises(InvalidParameter, match=rf"@message .*U\+{ord(character):04X}.*another transport"):
        soap.call("sendmessage", {**CHAT, "message": f"a{character}b"}, LOGIN)


def test_a_password_that_xml_cannot_carry_is_refused_before_any_call(soap: Soap) -> None:
    with pytest.raises(ConfigError, match="another transport") as caught:
        soap.check_login(Login("ana", SecretStr("a\x01b")))
    assert "a\x01b" not in str(caught.value)


def test_names_are_matched_whatever_their_case_and_an_answer_may_be_a_text_of_json() -> None:
    soap = Soap(str(DATA / "text.wsdl"))
    call = soap.call("getmessages", CHAT, LOGIN)
    assert parts(call) == {"Class": "chat", "USER": "us er", "password": PASSWORD, "platform": "whatsapp",
                           "platformId": "100", "destination": CHAT["destination"]}  # fmt: skip
    body = envelope(f'<m:GetMessagesResponse xmlns:m="urn:text"><return>{LIST}</return></m:GetMessagesResponse>')
    assert [row["message"] for row in read(soap, "getmessages", body).dicts()] == ["a"]
    for content in ("", "no JSON", "[1]", "[" * 100_000):
        wrong = body.replace(LIST.encode(), content.encode())
        assert failure(soap, "getmessages", wrong).code == "BAD_SHAPE"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_an_encoded_array_is_a_list_and_its_schema_is_not_fetched(count: int) -> None:
    soap = Soap(str(DATA / "array.wsdl"))
    item = "<item><platformid>{}</platformid><platform>whatsapp</platform><name>Shop</name></item>"
    items = "".join(map(item.format, range(count)))
    answer = f"<return><status>success</status><result><list>{items}</list></result></return>"
    body = envelope(f'<m:getchatchannelsResponse xmlns:m="urn:array">{answer}</m:getchatchannelsResponse>')
    assert [row["platformid"] for row in read(soap, "getchatchannels", body).dicts()] == [*map(str, range(count))]


def test_a_list_may_be_a_text_of_json_within_the_structure(folder: Path) -> None:
    wsdl = sandbox.wsdl(ADDRESS).decode()
    start = wsdl.index('<xsd:element name="result"', wsdl.index('name="getchatsResponse"'))
    end = wsdl.index('<xsd:element name="error"', start)
    soap = described(folder, f'{wsdl[:start]}<xsd:element name="result" type="xsd:string"/>{wsdl[end:]}')
    answer = sandbox.answer("getchats", {"status": "SUCCESS", "result": {"list": []}})
    for text in ('{"list": [{"message": "a"}]}', '[{"message": "a"}]'):
        body = re.sub(rb"<result>.*</result>", f"<result>{text}</result>".encode(), answer)
        assert [row["message"] for row in read(soap, "getchats", body).dicts()] == ["a"]


ANSWERS = [
    sandbox.answer("getmessages", {"status": "SUCCESS", "result": {"list": [{"message": "a", "sent": True}] * 2}}),
    sandbox.answer("getmessages", {"status": "ERROR", "error": "CHAT_NOT_FOUND"}),
    sandbox.fault("Client", "no"),
]


@given(st.sampled_from(ANSWERS), st.data(), st.sampled_from([200, 400, 401, 404, 429, 500, 503]))
def test_any_answer_is_a_reply_or_an_api_error(soap: Soap, answer: bytes, data: st.DataObject, status: int) -> None:
    places = st.integers(0, len(answer))
    for _ in range(data.draw(st.integers(0, 3))):
        start, end = sorted((data.draw(places), data.draw(places)))
        instead = data.draw(st.one_of(st.binary(max_size=6), st.just(answer[start:end] * 2)))
        answer = answer[:start] + instead + answer[end:]
    try:
        reply = read(soap, "getmessages", answer, status)
    except ApiError as error:
        assert error.code
    else:
        assert all(isinstance(row.message, str | None) for row in reply.rows)  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_list_is_a_list_however_many_it_has(soap: Soap, count: int) -> None:
    rows = [{"platformid": "0100", "message": "a\r\n <&> 😀 ", "sent": number == 1} for number in range(count)]
    reply = read(soap, "getmessages", listed(rows))
    assert [(r["platformid"], r["message"], r["sent"]) for r in reply.dicts()] == [
        ("0100", "a\r\n <&> 😀 ", number == 1) for number in range(count)
    ]
    assert len(json.loads(reply.text)["result"]["list"]) == count


def test_names_in_capitals_and_types_of_the_wsdl_are_read_as_the_api_means_them(folder: Path) -> None:
    typed = (
        sandbox.wsdl(ADDRESS).decode().replace('name="messageid" type="xsd:string"', 'name="MessageId" type="xsd:int"')
    )
    typed = typed.replace('name="datetime" type="xsd:string"', 'name="datetime" type="xsd:dateTime"')
    row = {"MessageId": 7, "sent": True, "datetime": "2026-01-02T03:04:05"}
    (read_row,) = read(described(folder, typed), "getmessages", listed([row])).dicts()
    assert (read_row["messageid"], read_row["sent"], read_row["datetime"]) == ("7", True, "2026-01-02 03:04:05")


def test_an_answer_of_any_type_is_read_by_its_names(folder: Path) -> None:
    wsdl = sandbox.wsdl(ADDRESS).decode()
    start = wsdl.index('<xsd:element name="return">', wsdl.index('name="getchatsResponse"'))
    end = wsdl.index("</xsd:sequence></xsd:complexType></xsd:element>\n", start)
    untyped = wsdl[:start] + '<xsd:element name="return" type="xsd:anyType"/>' + wsdl[end:]
    answer = sandbox.answer("getchats", {"status": "SUCCESS", "result": {"list": [{"message": "a", "sent": False}]}})
    (row,) = read(described(folder, untyped), "getchats", answer).dicts()
    assert (row["message"], row["sent"]) == ("a", False)


def test_soap_1_2_is_spoken_where_the_wsdl_has_no_other(folder: Path) -> None:
    soap = described(folder, sandbox.wsdl(ADDRESS).replace(b"wsdl/soap/", b"wsdl/soap12/"))
    call = soap.call("getchatchannels", {}, LOGIN)
    assert call.headers["Content-Type"] == (
        'application/soap+xml; charset=utf-8; action="urn:afilsql:sandbox#getchatchannels"'
    )
    assert call.body.get_secret_value().count(SOAP_12.encode()) == 1
    assert read(soap, "getmessages", listed([]).replace(sandbox.ENVELOPE.encode(), SOAP_12.encode())).rows == ()


def test_parts_within_a_part_are_filled_too(folder: Path) -> None:
    wsdl = sandbox.wsdl(ADDRESS).decode()
    start = wsdl.index('<xsd:element name="getchats">')
    inner, rest = wsdl[start:].split("</xsd:element>\n", 1)
    inner = inner.replace('name="getchats"', 'name="request"')
    outer = f'<xsd:element name="getchats"><xsd:complexType><xsd:sequence>{inner}</xsd:element></xsd:sequence>'
    soap = described(folder, f"{wsdl[:start]}{outer}</xsd:complexType></xsd:element>\n{rest}")
    (request,) = sent(soap.call("getchats", {"platform": "whatsapp", "platformid": "100"}, LOGIN))
    assert {xmltext.name(part): part.text for part in request}["platformid"] == "100"


def test_a_required_part_that_nobody_knows_is_named(folder: Path) -> None:
    wanting = sandbox.wsdl(ADDRESS).decode().replace('name="user" type="xsd:string"', 'name="apikey" type="xsd:string"')
    with pytest.raises(ConfigError, match=r"'apikey'.*known are class, .*user"):
        described(folder, wanting)


def test_an_optional_part_that_nobody_knows_is_left_out(folder: Path) -> None:
    optional = 'name="apikey" type="xsd:string" minOccurs="0"'
    more = sandbox.wsdl(ADDRESS).decode().replace('name="method" type="xsd:string"', optional)
    assert "apikey" not in parts(described(folder, more).call("getchatchannels", {}, LOGIN))


def test_an_optional_part_in_which_nothing_is_known_is_left_out(folder: Path) -> None:
    inner = (
        '<xsd:complexType><xsd:sequence><xsd:element name="{}" type="xsd:string"{}/></xsd:sequence></xsd:complexType>'
    )
    plain = '<xsd:element name="method" type="xsd:string"/>'
    for within in (inner.format("trace", ' minOccurs="0"'), inner.format("trace", "")):
        extra = f'<xsd:element name="extra" minOccurs="0">{within}</xsd:element>'
        soap = described(folder, sandbox.wsdl(ADDRESS).decode().replace(plain, extra))
        assert "extra" not in parts(soap.call("getchatchannels", {}, LOGIN))


@pytest.mark.parametrize("action", ["a&#13;&#10;X-Other: b", "ñ", "a&quot;b"])
def test_an_action_that_http_cannot_carry_is_refused(folder: Path, action: str) -> None:
    with pytest.raises(ConfigError, match="cannot be an HTTP header"):
        described(folder, sandbox.wsdl(ADDRESS).decode().replace(f"{sandbox.NAMESPACE}#getchats", action))


def test_an_optional_parameter_that_the_wsdl_requires_is_sent_empty(folder: Path) -> None:
    strict = (
        sandbox.wsdl(ADDRESS)
        .decode()
        .replace('name="thumburl" type="xsd:string" minOccurs="0"', 'name="thumburl" type="xsd:string"')
    )
    file = {**CHAT, "type": "image", "fileurl": "https://example.com/a.png"}
    assert parts(described(folder, strict).call("sendfile", file, LOGIN))["thumburl"] == ""


def test_a_method_the_wsdl_lacks_is_refused_by_name(folder: Path) -> None:
    soap = described(folder, sandbox.wsdl(ADDRESS).replace(b'"getchats"', b'"other"'))
    with pytest.raises(ConfigError, match="no operation 'getchats'"):
        soap.call("getchats", {}, LOGIN)
    assert soap.call("getchatchannels", {}, LOGIN)


def fault(code: str, text: str, *, version_12: bool = False) -> bytes:
    if version_12:
        content = f"<e:Code><e:Value>e:{code}</e:Value></e:Code><e:Reason><e:Text>{text}</e:Text></e:Reason>"
        return envelope(f"<e:Fault>{content}</e:Fault>", SOAP_12)
    return envelope(f"<e:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></e:Fault>")


@pytest.mark.parametrize(
    ("body", "status", "kind", "code"),
    [
        (fault("e:Client", "bad request"), 500, Refused, "SOAP_CLIENT"),
        (fault("e:Client.Authentication", "no"), 200, Refused, "SOAP_CLIENT_AUTHENTICATION"),
        (fault("e:Client", "no"), 401, CredentialsRefused, "SOAP_CLIENT"),
        (fault("Sender", "no", version_12=True), 400, Refused, "SOAP_SENDER"),
        (fault("e:MustUnderstand", "no"), 500, Refused, "SOAP_MUSTUNDERSTAND"),
        (fault("e:Server", "oops"), 500, DeliveryUnknown, "HTTP_500"),
        (fault("e:Server", "oops"), 200, DeliveryUnknown, "HTTP_500"),
        (fault("e:Server", "oops"), 400, DeliveryUnknown, "HTTP_500"),
        (fault("e:Server", "oops"), 502, DeliveryUnknown, "HTTP_502"),
        (fault("Receiver", "oops", version_12=True), 500, DeliveryUnknown, "HTTP_500"),
        (fault("E17", "whatever that is"), 500, DeliveryUnknown, "HTTP_500"),
        (fault("", ""), 500, DeliveryUnknown, "HTTP_500"),
        (fault("e:Server", "too many"), 429, NotSent, "HTTP_429"),
        (fault("e:Server", "later"), 503, NotSent, "HTTP_503"),
    ],
)  # fmt: skip
def test_a_fault_says_whether_the_request_may_have_taken_effect(
    soap: Soap, body: bytes, status: int, kind: type[ApiError], code: str
) -> None:
    error = failure(soap, "sendmessage", body, status)
    assert (type(error), error.code) == (kind, code), str(error)


@pytest.mark.parametrize("code", ERROR_CODES)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_fault_that_holds_a_code_of_the_apis_is_that_code(soap: Soap, code: str, status: int) -> None:
    for body in (fault("e:Server", code), fault(code, "no"), fault("Receiver", code, version_12=True)):
        error = failure(soap, "sendmessage", body, status)
        assert isinstance(error, Refused)
        assert error.code == code
        assert isinstance(error, CredentialsRefused) == (ERROR_CODES[code].handling == "hold account")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("code", [*ERROR_CODES, "SOMETHING_NEW"])
def test_a_code_in_the_structure_is_that_code(soap: Soap, method: str, code: str) -> None:
    assert failure(soap, method, sandbox.answer(method, {"status": "ERROR", "error": code})).code == code


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"<!doctype html><title>Oops</title><p>We will be back.", 200, "NOT_SOAP"),
        (b"<html><body/></html>", 200, "NOT_SOAP"),
        (b"", 200, "NOT_SOAP"),
        (b"\xff\xfe<", 200, "NOT_SOAP"),
        (b'<?xml version="1.0" encoding="utf-9"?><a/>', 200, "NOT_SOAP"),
        (b'<?xml version="1.0" encoding="big5"?><a/>', 200, "NOT_SOAP"),
        (b'<?xml version="1.0" encoding="cp1252"?><a>\x81</a>', 200, "NOT_SOAP"),
        (envelope(""), 200, "NOT_SOAP"),
        (b"<a/>", 502, "HTTP_502"),
        (envelope("<x/>"), 200, "BAD_SHAPE"),
        (listed([])[:-9], 200, "NOT_SOAP"),
    ],
)
def test_what_is_no_answer_of_the_apis_may_have_taken_effect(soap: Soap, body: bytes, status: int, code: str) -> None:
    error = failure(soap, "sendmessage", body, status)
    assert (type(error), error.code, error.status) == (DeliveryUnknown, code, status)


def test_no_soap_at_this_address_is_refused_as_over_http(soap: Soap) -> None:
    assert failure(soap, "sendmessage", b"<html/>", 404).code == "HTTP_404"


LAUGHS = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
BOMBS = {
    "laughs": f'<!DOCTYPE a [<!ENTITY a "lol">{LAUGHS}]>'.encode() + envelope("&m;"),
    "laughs-in-an-attribute": f'<!DOCTYPE a [<!ENTITY a "lol">{LAUGHS}]>'.encode() + envelope('<a b="&m;"/>'),
    "external-entity": b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + envelope("&a;"),
    "external-dtd": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">' + envelope("<a/>"),
    "10-mb-of-elements": envelope("<a/>" * 2_400_000),
    "10-mb-deep": envelope("<a>" * 1_400_000 + "</a>" * 1_400_000),
    "300-deep": envelope("<a>" * 300 + "</a>" * 300),
    "10-mb-of-attributes": envelope("<a " + " ".join(f'a{n}="1"' for n in range(800_000)) + "/>"),
    "10-mb-of-namespaces": envelope("<a " + " ".join(f'xmlns:a{n}="u"' for n in range(600_000)) + "/>"),
    "10-mb-of-one-name": envelope(f"<{'a' * 9_900_000}/>"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_xml_made_to_do_harm_is_not_built(soap: Soap, bomb: str) -> None:
    error = failure(soap, "getmessages", BOMBS[bomb])
    assert (type(error), error.code) == (DeliveryUnknown, "NOT_SOAP")
    assert len(error.body) <= 1024


def test_more_rows_than_are_taken_are_refused_before_they_are_built(soap: Soap) -> None:
    rows = listed([{"message": "a"}]).replace(b"<item>", b"<item/>" * 400_000 + b"<item>")
    assert "elements" in str(failure(soap, "getmessages", rows))


@pytest.mark.parametrize("kind", ["laughs", "external-entity", "10-mb-of-attributes"])
def test_a_wsdl_made_to_do_harm_is_not_built(folder: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match=r"is no WSDL|larger than"):
        described(folder, BOMBS[kind])


@pytest.mark.parametrize(
    "wsdl",
    [
        b"",
        b"<html/>",
        b"<!doctype html>",
        envelope("<a/>"),
        sandbox.wsdl(ADDRESS).replace(b"<operation name=", b"<x name="),
    ],
)
def test_a_file_that_is_no_wsdl_of_the_api_is_refused(folder: Path, wsdl: bytes) -> None:
    with pytest.raises(ConfigError, match="WSDL"):
        described(folder, wsdl)


def test_an_address_in_the_wsdl_must_be_safe(folder: Path) -> None:
    for address, why in (("http://api.example.com/", "unencrypted"), ("https://a:b@example.com/", "credentials")):
        with pytest.raises(ConfigError, match=why):
            described(folder, sandbox.wsdl(address))
    file = str(folder / "chat.wsdl")
    assert Soap(file, allow_http=True, url="https://other.example.com/").url == "https://other.example.com/"


def test_a_wsdl_imports_only_from_its_own_folder(folder: Path) -> None:
    whole = sandbox.wsdl(ADDRESS).decode()
    start, end = whole.index("<xsd:schema"), whole.index("</types>")
    (folder / "types.xsd").write_text(
        whole[start:end].replace("<xsd:schema ", '<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" ', 1)
    )
    (folder.parent / "types.xsd").write_text((folder / "types.xsd").read_text())

    def importing(place: str) -> str:
        schema = f'<xsd:import namespace="{sandbox.NAMESPACE}" schemaLocation="{place}"/>'
        return f"{whole[:start]}<xsd:schema>{schema}</xsd:schema>{whole[end:]}"

    assert described(folder, importing("types.xsd")).call("getchatchannels", {}, LOGIN)
    for place in ("../types.xsd", "/etc/hostname", "file:///etc/hostname", "http://127.0.0.1:9/types.xsd"):
        with pytest.raises(ConfigError, match=r"imports .*: save that beside it"):
            described(folder, importing(place))


def test_a_value_the_wsdls_types_cannot_carry_leaves_no_password_behind(folder: Path) -> None:
    dated = (
        sandbox.wsdl(ADDRESS)
        .decode()
        .replace('name="destination" type="xsd:string"/>', 'name="destination" type="xsd:duration"/>')
    )
    with pytest.raises(InvalidParameter, match="cannot carry") as caught:
        described(folder, dated).call("sendmessage", {**CHAT, "destination": "soon", "message": "m"}, LOGIN)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(shown.format())
    assert "destination" in text
    assert PASSWORD not in text
    assert repr(PASSWORD)[1:-1] not in text


def test_a_password_that_comes_back_in_xml_is_masked(soap: Soap) -> None:
    apostrophes = "pä&quot;ss&apos; wo+rd&amp;=&lt;1&gt;"
    for spelled in ("pä\"ss' wo+rd&amp;=&lt;1&gt;", apostrophes):
        for body in (fault("e:Client", f"no {spelled}"), envelope(f"<x>{spelled}</x>"), f"<x>{spelled}</x>".encode()):
            error = failure(soap, "sendmessage", body)
            assert "***" in error.body
            for word in ("wo+rd", "ss'"):
                assert word not in error.body + str(error)


def test_without_zeep_the_extra_to_install_is_named(folder: Path) -> None:
    script = (
        "import sys; sys.modules['zeep'] = None; sys.modules['lxml'] = None\n"
        "from afilsql.api.transports import Soap\n"
        "from afilsql.errors import ConfigError\n"
        "try: Soap('https://example.com/?wsdl')\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "pip install 'afilsql[soap]'" in done.stdout, done.stderr
