"""Calls as people write them: procedures, loops, cursors, triggers, wrappers, and every way to build a URL."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afilsql.legacy import Verdict
from tests.unit.legacy_samples import defects_of, only_call, scanned, sql_of, text_of, wrap

API = "https://www.afilnet.com/api/http/"
CHAT = f"{API}?class=chat&method=getmessages&user=u&password=pp12&platform=whatsapp&platformid=1"


def test_a_procedures_parameters_go_straight_into_the_exec() -> None:
    call = only_call(text_of("procedure"))
    assert call.module == "dbo.notify_customer"
    assert call.account == "shop@example.com"
    assert sql_of(call) == (
        "/* in place of lines 18 to 28; look which of the other statements there stay */\n"
        "EXEC afil.send_file\n    @platform = 'whatsapp',\n    @platformid = '100',\n    @destination = @phone,\n"
        "    @type = 'image',\n    @fileurl = @picture,\n    @thumburl = @thumb,\n    @message = @text;"
    )
    found = defects_of(call)
    assert "@thumb is varchar(300)" in found["parameter-truncated"]
    assert not {"password-in-url", "status-unread", "answer-cut", "url-truncated", "not-destroyed"} & set(found)


def test_a_loop_declares_once_and_sets_each_time() -> None:
    call = only_call(text_of("loop"))
    assert sql_of(call).startswith(
        "/* once, before the loop */\nDECLARE @afil_message nvarchar(max);\n"
        "/* in the loop, in place of lines 9 to 11 */\n"
        "SET @afil_message = N'Hello ' + @name + N', order ' + CAST(@n AS varchar(10)) + N' has left.';\nEXEC"
    )
    assert "only the last one is destroyed" in defects_of(call)["not-destroyed"]
    assert "password-in-clear" not in defects_of(call)


def test_a_cursors_variables_are_used_and_a_number_needs_no_cast() -> None:
    call = only_call(text_of("cursor"))
    assert "@platformid = @channel,\n    @destination = @destination,\n    @message = @message;" in sql_of(call)
    assert "in the loop, in place of lines 15 to 17" in sql_of(call)
    notes = " ".join(call.notes)
    assert "REPLACE(…, ' ', '%20') on line 14 encodes the message" in notes
    assert "sp_OACreate on line 9 and sp_OADestroy on line 20 can go too" in notes
    assert "8,000 bytes" in defects_of(call)["answer-cut"]


def test_in_a_trigger_the_wait_is_everybodys() -> None:
    call = only_call(text_of("trigger"))
    assert call.module == "dbo.order shipped"
    assert "trigger dbo.order shipped" in defects_of(call)["session-blocked"]
    assert "transaction begun on line 7" in defects_of(call)["session-blocked"]
    assert "takes one row of inserted" in " ".join(call.notes)


def test_concat_keeps_reading_null_as_nothing_and_an_encoder_is_taken_away() -> None:
    call = only_call(text_of("concat"))
    assert "= CONCAT(@note, N'\nCustomer ', @customer);" in sql_of(call)
    assert "dbo.fn_UrlEncode on line 9 encodes the message" in " ".join(call.notes)
    assert "@login chooses it at run time" in " ".join(call.notes)
    assert "@note" not in defects_of(call)["not-encoded"]


def test_text_added_in_an_if_is_marked_and_unknown_parameters_are_said() -> None:
    call = only_call(text_of("append"))
    assert "@message = N'Tom & Jerry: \"100% off\"' /* only when the IF on line 9 holds, else NULL */;" in sql_of(call)
    assert "@destination = '+34600000000'" in sql_of(call)
    assert "'colour' (line 11)" in " ".join(call.notes)
    assert "in message" in defects_of(call)["not-encoded"]


def test_a_template_is_filled_and_a_function_cannot_run_a_procedure() -> None:
    call = only_call(text_of("template"))
    assert "@destination = @to;" in sql_of(call)
    assert "function, which may not run a procedure" in " ".join(call.notes)


def test_calls_in_dynamic_sql_are_mentioned_as_such() -> None:
    calls = scanned(text_of("dynamic")).calls
    assert [(c.verdict, c.line) for c in calls] == [(Verdict.DYNAMIC, 2), (Verdict.DYNAMIC, 6)]
    assert "the Afilnet API is named in it" in calls[0].title


def test_other_addresses_are_left_alone_and_need_no_work() -> None:
    report = scanned(text_of("elsewhere"))
    assert [(c.verdict, c.host) for c in report.calls] == [
        (Verdict.OTHER_ADDRESS, "api.example.com"),
        (Verdict.OTHER_ADDRESS, "www.afilnet.com.example.net"),
    ]
    assert not any(c.defects or c.replacement for c in report.calls)
    assert not report.needs_work


def test_what_cannot_be_resolved_is_said_and_never_guessed() -> None:
    base, method, rest, branch, sms = scanned(text_of("unresolved")).calls
    assert base.verdict is Verdict.UNRESOLVED
    assert "@base is a parameter" in base.notes[0]
    assert method.verdict is Verdict.OTHER_METHOD
    assert "@method is a parameter" in method.notes[0]
    assert "@destination = NULL, /* FILL IN: it may be in @rest" in sql_of(rest)
    assert rest.replacement is not None
    assert rest.replacement.fill_in == ["destination", "message"]
    assert "set in a branch on line 23" in branch.notes[0]
    assert sms.verdict is Verdict.OTHER_CLASS


def test_comments_and_literals_are_no_calls() -> None:
    report = scanned(text_of("comments"))
    assert (report.calls, report.switches, report.needs_work) == ([], [], False)


@pytest.mark.parametrize(
    "build",
    [
        f"DECLARE @url varchar(900) = '{CHAT}&destination=' + @to;",
        f"DECLARE @url varchar(900); SET @url = '{CHAT}' + '&destination=' + @to",
        f"DECLARE @url varchar(900); SELECT @url = '{CHAT}&destination=' + @to;",
        f"DECLARE @url varchar(900) = '{CHAT}'; SET @url += '&destination=' + @to;",
        f"DECLARE @url varchar(900) = '{CHAT}'; SET @url = @url + '&destination=' + @to;",
        f"DECLARE @url varchar(900) = '{CHAT}'; SELECT @url = @url + '&destination=' + @to;",
        f"DECLARE @url varchar(900) = CONCAT('{CHAT}', '&destination=', @to);",
        f"DECLARE @url varchar(900) = CAST('{CHAT}' AS varchar(500)) + ('&destination=' + @to);",
        f"DECLARE @url varchar(900) = CONVERT(varchar(900), '{CHAT}&destination=' + @to);",
        f"DECLARE @url varchar(900) = REPLACE('{CHAT}&destination={{to}}', '{{to}}', @to);",
        f"DECLARE @url varchar(900) = REPLACE('{CHAT}&destination=' + @to, ' ', '%20');",
        f"DECLARE @a varchar(9) = 'getmessages', @url varchar(900) = '{CHAT}&destination=' + @to;",
        f"DECLARE @q varchar(300) = '&destination=' + @to, @url varchar(900); SET @url = '{CHAT}' + @q;",
        f"DECLARE @url varchar(900); IF 1 = 1 PRINT 'x' ELSE PRINT 'y' SET @url = '{CHAT}&destination=' + @to;",
        f"DECLARE @url varchar(900); BEGIN TRY SET @url = '{CHAT}&destination=' + @to END TRY BEGIN CATCH END CATCH",
        f'SET QUOTED_IDENTIFIER OFF; DECLARE @url varchar(900) = "{CHAT}&destination=" + @to;',
        f"DECLARE @url varchar(900) = '{CHAT}' + ISNULL('&destination=' + @to, '');",
    ],
)
def test_every_way_to_build_the_url_gives_the_same_replacement(build: str) -> None:
    call = only_call(wrap(f"DECLARE @to varchar(20) = dbo.next_phone();\n{build}\n"))
    assert call.verdict is Verdict.REPLACED
    assert sql_of(call).endswith(
        "EXEC afil.get_messages\n    @platform = 'whatsapp',\n    @platformid = '1',\n    @destination = @to;"
    )


@pytest.mark.parametrize(
    "head",
    ["EXEC @hr=sp_OACreate", "EXECUTE master..sp_OACreate", "EXEC [master].[sys].[sp_OACreate]", "exec SP_OACREATE"],
)
@pytest.mark.parametrize("program", ["'WinHttp.WinHttpRequest.5.1'", "'MSXML2.XMLHTTP'", "N'Msxml2.ServerXMLHTTP.3.0'"])
def test_every_spelling_of_the_object_is_found(head: str, program: str) -> None:
    text = wrap("").replace("EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1'", f"{head} {program}")
    assert only_call(text.replace("@url", f"'{CHAT}&destination=3'")).verdict is Verdict.REPLACED


def test_bare_words_are_values_of_an_exec_too() -> None:
    text = wrap("").replace("'Open'", "Open").replace("'GET'", "GET").replace("@url", f"'{CHAT}&destination=3'")
    assert only_call(text).title.startswith("getmessages by GET")


def test_a_value_that_changes_before_the_request_leaves_is_said() -> None:
    setup = (
        "DECLARE @to varchar(20) = dbo.f(), @url varchar(900);\n"
        f"SET @url = '{CHAT}&destination=' + @to;\nSET @to = dbo.g();"
    )
    assert "changes on line 4, before the request leaves" in " ".join(only_call(wrap(setup)).notes)


def test_encoding_by_hand_in_several_steps_is_undone_step_by_step() -> None:
    setup = (
        "DECLARE @m nvarchar(max) = dbo.text(), @url nvarchar(max);\n"
        "SET @m = REPLACE(REPLACE(@m, ' ', '+'), '&', '%26');\nSET @m = REPLACE(@m, CHAR(10), '%0a');\n"
        f"SET @url = N'{API}?class=chat&method=sendmessage&platform=whatsapp&platformid=1&destination=3&message=' + @m;"
    )
    call = only_call(wrap(setup))
    assert "@message = @m;" in sql_of(call)
    assert (
        "REPLACE(…, ' ', '+') on line 3, REPLACE(…, '&', '%26') on line 3 and REPLACE(…, CHAR(10), '%0a') on line 4 "
        "encode the message: take that away"
    ) in " ".join(call.notes)
    assert "@m" in defects_of(call)["not-encoded"]


def test_a_wrapper_that_is_given_the_address_says_who_gives_it() -> None:
    wrapper = "CREATE PROC dbo.http_get @address varchar(8000) AS\n" + wrap("", "@address")
    caller = (
        "GO\nDECLARE @u varchar(200) = 'https://www.afilnet.com/api/http/?class=chat';\nEXEC [dbo].[http_get] @u;\n"
    )
    [call] = scanned(wrapper + caller + "EXEC dbo.http_get 'https://example.com/';").calls
    assert call.verdict is Verdict.UNRESOLVED
    assert call.notes == [
        "@address is a parameter, and it is run with the API's address on it:10: there the EXEC belongs, in its place."
    ]


def test_a_value_built_in_a_loop_stays_the_variable() -> None:
    setup = (
        "DECLARE @m nvarchar(max) = N'', @i int = 0, @url nvarchar(max);\n"
        "WHILE @i < 3 BEGIN SET @m += N'x'; SET @i += 1; END;\n"
        f"SET @url = N'{API}?class=chat&method=sendmessage&platform=whatsapp&platformid=1&destination=3&message=' + @m;"
    )
    assert "@message = @m;" in sql_of(only_call(wrap(setup)))


def test_a_column_must_be_read_into_a_variable_first() -> None:
    setup = f"DECLARE @url varchar(900);\nSELECT @url = '{CHAT}&destination=' + phone FROM dbo.customer;"
    assert "@destination = NULL /* FILL IN: line 3 reads phone from a row; SELECT it into a variable first */;" in (
        sql_of(only_call(wrap(setup)))
    )


def test_two_calls_in_a_batch_do_not_declare_the_same_variable() -> None:
    one = wrap(f"SET @url = '{CHAT}&destination=' + LTRIM(@to);")
    calls = scanned("DECLARE @to varchar(20), @url varchar(999);\n" + one + one).calls
    assert ["@afil_destination " in sql_of(c) for c in calls] == [True, False]
    assert "@afil_destination2 " in sql_of(calls[1])


def test_an_object_used_twice_is_two_calls() -> None:
    text = wrap("").replace("@url", f"'{CHAT}&destination=3'")
    again = "EXEC sp_OAMethod @win, 'Open', NULL, 'GET', 'https://example.com/', 'false';\nEXEC sp_OADestroy"
    assert [c.verdict for c in scanned(text.replace("EXEC sp_OADestroy", again)).calls] == [
        Verdict.REPLACED,
        Verdict.OTHER_ADDRESS,
    ]


def test_a_platform_that_will_be_refused_is_said() -> None:
    text = wrap("").replace("@url", f"'{CHAT.replace('whatsapp', 'fax')}&destination=3'")
    assert "@platform 'fax' will be refused" in " ".join(only_call(text).notes)


@pytest.mark.parametrize(
    ("retry", "found"),
    [
        ("WHILE @tries < 3 BEGIN", False),
        ("WHILE @x < 3 BEGIN WAITFOR DELAY '00:00:01';", False),
        ("WHILE @@FETCH_STATUS = 0 BEGIN", True),
    ],
)
def test_a_loop_that_tries_again_is_no_defect(retry: str, found: bool) -> None:
    text = retry + "\n" + wrap("").replace("@url", f"'{CHAT}&destination=3'") + "END"
    assert ("no-retry" in defects_of(only_call(text))) is found


def test_an_object_that_is_never_destroyed_or_not_on_every_way_is_said() -> None:
    text = wrap("").replace("@url", f"'{CHAT}&destination=3'")
    assert (
        "no sp_OADestroy follows" in defects_of(only_call(text.replace("EXEC sp_OADestroy @win;", "")))["not-destroyed"]
    )
    leaving = text.replace("EXEC sp_OADestroy", "IF @@ERROR <> 0\n    RETURN;\nEXEC sp_OADestroy")
    assert "this RETURN leaves" in defects_of(only_call(leaving))["not-destroyed"]
    assert "not-destroyed" not in defects_of(only_call(text))


def test_an_unencoded_address_in_an_address_is_seen_to_be_cut() -> None:
    url = f"{API}?class=chat&method=sendfile&platform=whatsapp&platformid=1&destination=3&type=image"
    call = only_call(wrap("", f"'{url}&fileurl=https://x.example/a?b=1&c=2'"))
    assert "@fileurl = N'https://x.example/a?b=1'" in sql_of(call)
    assert "'c' (line 4): left out; it may be the rest of the fileurl" in " ".join(call.notes)


def test_what_stands_in_a_catch_is_not_within_the_lines_to_replace() -> None:
    call = wrap("").replace("@url", f"'{CHAT}&destination=3'")
    text = f"BEGIN TRY\n{call}END TRY\nBEGIN CATCH\n    EXEC sp_OADestroy @win;\n    THROW;\nEND CATCH"
    found = only_call(text)
    assert sql_of(found).startswith("/* in place of lines 4 to 7 */")
    assert "outside these lines sp_OADestroy on line 10 can go too." in found.notes


def test_code_with_nothing_wrong_in_a_place_has_no_defect_there() -> None:
    setup = (
        "DECLARE @body nvarchar(max), @m nvarchar(max) = dbo.text(), @p nvarchar(99) = dbo.secret();\n"
        "SET @body = N'class=chat&method=sendmessage&user=u&password=' + dbo.UrlEncode(@p) + N'&platform=whatsapp'\n"
        "    + N'&platformid=1&destination=3&message=' + dbo.UrlEncode(@m);"
    )
    text = wrap(setup, f"'{API}'", "POST").replace("'Send'", "'Send', NULL, @body")
    text = text.replace("EXEC sp_OADestroy", "EXEC sp_OAGetProperty @win, 'Status';\nEXEC sp_OADestroy")
    assert set(defects_of(only_call(text))) == {"no-retry", "session-blocked"}


def test_the_longest_of_nested_and_repeated_code_is_read_without_trouble() -> None:
    deep = "BEGIN " * 3000 + wrap("").replace("@url", f"'{CHAT}&destination=3'") + "END " * 3000
    assert scanned(deep).calls
    chain = "IF 1 = 1 PRINT 'a' ELSE " * 3000 + wrap("")
    assert scanned(chain).calls
    doubling = "DECLARE @url varchar(max) = 'https://www.afilnet.com/?';" + "SET @url = @url + @url;" * 200
    assert scanned(wrap(doubling)).calls
    parentheses = "SET @url = " + "(" * 3000 + "'x'" + ")" * 3000
    assert scanned(wrap(parentheses)).calls


SOUP = """DECLARE @a @url @win int varchar ( ) 8 , = += + SET SELECT FROM IF ELSE WHILE BEGIN END CASE WHEN TRY CATCH
EXEC sp_OACreate sp_OAMethod sp_OAGetProperty sp_OADestroy OUT 'WinHttp' 'Open' 'Send' NULL 'GET' CAST AS REPLACE CONCAT
ISNULL CONVERT '?class=chat&method=sendmessage&message=' '' ; . INTO FETCH CURSOR FOR CREATE PROC TRIGGER p RETURN GOTO
x : TRAN COMMIT INSERT 'https://www.afilnet.com/' '&x=' ' -- /* */ [ " """
WORDS = [*SOUP.split(), "\n", "\nGO\n"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))
def test_no_order_of_words_makes_the_scan_fail(text: str) -> None:
    report = scanned(wrap(text))
    assert all(c.line for c in report.calls)
