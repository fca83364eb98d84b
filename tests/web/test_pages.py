"""What the pages show and do, as a browser without a screen sees it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from afilsql.outbox.browse import Minute
from afilsql.outbox.records import Account
from afilsql.web.figures import FRESH_SECONDS, Figures
from afilsql.web.text import duration, visible
from tests.web.site import Client, Page, later, served, text_of

CHAT = "/conversation?account=default&platform=whatsapp&platformid=100&destination=34600000000"


def ids(client: Client, query: str = "") -> list[int]:
    return [int(i) for i in re.findall(r'<a href="/items/(\d+)">', client.get(f"/items{query}").text)]


def test_an_empty_outbox_says_so(rob: Client) -> None:
    assert "Nothing waits, and no account is held" in text_of(rob.get("/"))
    assert "0 sent, 0 failed" in text_of(rob.get("/"))
    assert "There are no requests yet" in text_of(rob.get("/items"))
    assert rob.get("/items/1").status_code == 404
    assert "Nothing was sent or received here" in text_of(rob.get(CHAT))


def test_the_overview_tells_what_waits_failed_and_is_held(page: Page, ann: Client) -> None:
    for code in ("NO_CREDIT", "NO_CREDIT", "NO_CHANNEL"):
        page.send()
        page.finish("failed", error_code=code)
    page.send()
    page.finish()
    page.send("34600000001"), page.send("34600000002", send_at=later(days=1))
    page.browser.hold_account("shop", "new password on Monday")
    said = text_of(ann.get("/"))
    for part in ("1 waiting", "1 scheduled", "1 worker alive", "shop held new password on Monday", "Release"):
        assert part in said, part
    assert "NO_CREDIT 2 NO_CHANNEL 1" in said
    assert said.count("1 sent, 3 failed") == 2, "of the hour and of the day"
    assert text_of(ann.get("/live", headers={"HX-Request": "true"})).startswith("1 waiting")


def test_an_account_can_be_paused_before_anything_waits_for_it(page: Page, ann: Client) -> None:
    page.browser.announce([Account("shop")])
    assert 'href="/act/pause-account?target=shop"' in ann.get("/").text


def test_the_figures_stand_in_a_table_for_those_who_see_no_chart(page: Page, rob: Client) -> None:
    page.send()
    page.finish()
    answer = rob.get("/charts")
    hour, day = re.findall(r"<tbody>(.*?)</tbody>", answer.text, re.DOTALL)
    assert hour.count("<tr>") == 60 and day.count("<tr>") == 96
    for table in (hour, day):
        assert sum(int(n) for n in re.findall(r'</th><td class="n">(\d+)</td>', table)) == 1
    assert answer.text.count("<caption>") == 2


def test_requests_are_searched_filtered_and_paged(page: Page, rob: Client) -> None:
    made = [page.send(f"3460000{n:04}", f"order {n}") for n in range(120)]
    page.browser.cancel(made[:2])
    assert ids(rob) == made[:-51:-1]
    older = re.search(r'href="(/items\?before=\d+)" rel="next"', rob.get("/items").text)
    assert older and ids(rob, older[1].removeprefix("/items")) == made[-51:-101:-1]
    assert ids(rob, "?text=order+77") == [made[77]] and ids(rob, "?text=34600000077") == [made[77]]
    assert ids(rob, f"?text={made[-1]}") == [made[-1]] * 2, "by its id, with a link right to it"
    assert "There is a request 4 ." in text_of(rob.get("/items?text=4&status=failed"))
    assert ids(rob, "?status=cancelled") == made[1::-1]
    assert ids(rob, "?status=cancelled&text=order+1") == [made[1]]
    assert ids(rob, "?account=nobody") == ids(rob, "?method=sendfile") == ids(rob, "?code=X") == []
    assert ids(rob, "?since=2020-01-01T00:00&platform=whatsapp")[0] == made[-1]
    assert ids(rob, "?until=2020-01-01T00:00") == []


def test_a_filter_is_kept_in_the_form_and_in_the_links(page: Page, rob: Client) -> None:
    for _ in range(60):
        page.send(message="order & more")
    text = rob.get("/items?status=queued&text=order+%26").text
    assert "<option selected>queued</option>" in text and 'value="order &amp;"' in text
    assert 'href="/items?text=order+%26&amp;status=queued&amp;before=' in text


def test_a_time_that_cannot_be_read_is_said(rob: Client) -> None:
    for query in "?since=yesterday", "?until=2026-99-99", "?since=0001-01-01T00:00":
        answer = rob.get(f"/items{query}")
        assert answer.status_code == 200 and "cannot be read: write it as in 2026-03-31T09:30" in text_of(answer), query


def test_nonsense_in_an_address_is_no_error(page: Page, rob: Client) -> None:
    page.send()
    queries = ("?before=x", "?before=-1", "?before=" + "9" * 40, "?status=x", "?text=%00", "?text=%ff")
    for query in (*queries, "?text=" + "x" * 3000):
        assert rob.get(f"/items{query}").status_code == 200, query


def test_what_is_not_there_is_not_found(ann: Client) -> None:
    for path in "/items/0", "/items/99", f"/items/{2**63}", "/items/" + "9" * 60, "/conversation":
        assert ann.get(path).status_code == 404, path


def test_a_part_is_given_where_a_part_is_asked_for(page: Page, rob: Client) -> None:
    page.send()
    part = rob.get("/items", headers={"HX-Request": "true"})
    assert "<html" not in part.text and "/items/1" in part.text and "HX-Request" in part.headers["vary"]
    whole = rob.get("/items", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in whole.text


def test_a_request_shows_its_parameters_tries_and_answer(page: Page, rob: Client) -> None:
    page.send(message="Two\nlines")
    page.finish("failed", error_code="NO_CREDIT", http_status=200, body='{"error":"NO_CREDIT"}', detail="no credit")
    said = text_of(rob.get("/items/1"))
    for part in ("Request 1 failed", "whatsapp", "34600000000", "Two lines", "NO_CREDIT", "1 of 8", "host:1"):
        assert part in said, part
    assert '{ "error": "NO_CREDIT" }' in said and "no credit" in said


def test_a_conversation_is_a_chat_of_both_directions(page: Page, rob: Client) -> None:
    page.send(message="Where are you?")
    page.browser.subscribe("whatsapp", "100", "34600000000")
    page.finish()
    (claim,) = page.browser.exchange("host:1", take=1).claims
    row = {"platform": "whatsapp", "platformid": "100", "destination": "34600000000", "message": "On my way"}
    at = datetime.now(UTC) + timedelta(seconds=5)
    assert page.browser.receive(claim, "messages", [row | {"messageid": "m1", "sent": False, "dated_at": at}])
    text = rob.get(CHAT).text
    assert re.search(r'<li class="out">.*?Where are you\?.*?sent.*?request 1', text, re.DOTALL)
    assert re.search(r'<li class="in">.*?On my way', text, re.DOTALL)
    assert text.index("Where are you?") < text.index("On my way")


def confirmed(client: Client, action: str, target: object = "", **form: str) -> str:
    """Do something, and return what the page says afterwards."""
    answer = client.act(action, str(target), **form)
    assert answer.status_code == 303, answer.text
    return text_of(client.get(answer.headers["location"]))


def test_asking_for_a_confirmation_changes_nothing(page: Page, ann: Client) -> None:
    id = page.send()
    for path in (f"cancel?target={id}", "pause?target=", "pause-account?target=default"):
        assert ann.get(f"/act/{path}").status_code == 200
    assert page.status(id) == "queued" and not page.browser.overview().paused and not page.browser.overview().held


def test_a_failed_request_is_sent_again(page: Page, ann: Client) -> None:
    id = page.send()
    page.finish("failed", error_code="NO_CREDIT")
    assert f"Request {id} is queued again." in confirmed(ann, "requeue", id)
    assert page.status(id) == "queued"
    assert f"Request {id} was not changed" in confirmed(ann, "requeue", id)


def test_a_waiting_request_is_cancelled(page: Page, ann: Client) -> None:
    id = page.send()
    assert f"Request {id} is cancelled." in confirmed(ann, "cancel", id)
    assert page.status(id) == "cancelled"


@pytest.mark.parametrize(("action", "status"), [("arrived", "sent"), ("send-again", "queued")])
def test_an_uncertain_request_is_settled_once(page: Page, ann: Client, action: str, status: str) -> None:
    id = page.send()
    page.finish("uncertain", error_code="TIMEOUT", unknown=True)
    confirmed(ann, action, id)
    assert page.status(id) == status
    answer = ann.act(action, id)
    assert answer.status_code == 409 and "not uncertain" in text_of(answer)


def test_everything_is_paused_and_resumed(page: Page, ann: Client) -> None:
    assert "Everything is paused." in confirmed(ann, "pause", reason="new\nrelease")
    assert page.browser.overview().paused and "Resume" in text_of(ann.get("/"))
    assert "Sending goes on." in confirmed(ann, "resume")
    assert "Nothing was paused." in confirmed(ann, "resume")
    assert not page.browser.overview().paused


def test_an_account_is_paused_with_a_reason_and_the_name_and_released(page: Page, ann: Client) -> None:
    name = "<b>shop & co</b>"
    assert f"The account {name} is paused." in confirmed(ann, "pause-account", name, reason="why not")
    assert page.browser.overview().held == [(name, "why not, by ann on the page")]
    assert f"The account {name} is released." in confirmed(ann, "release-account", name)
    assert page.browser.overview().held == []


def test_each_action_is_in_the_log_with_who_did_it_to_what(page: Page, ann: Client) -> None:
    id = page.send(message="a secret")
    ann.act("cancel", id), ann.act("pause"), ann.act("arrived", id)
    done = [line for line in page.lines if line["event"] == "web_action"]
    assert [(x["action"], x["target"], x["user"], x["outcome"]) for x in done] == [
        ("cancel", "1", "ann", "done"),
        ("pause", "everything", "ann", "done"),
        ("arrived", "1", "ann", "RequestNotFound"),
    ]
    assert "secret" not in str(page.lines)


def test_what_cannot_be_done_is_not_found(ann: Client) -> None:
    token = ann.token("/")
    for name, target in ("nothing", "1"), ("cancel", "x"), ("cancel", ""), ("pause", "1"), ("cancel", "1" * 40):
        assert ann.get(f"/act/{name}?target={target}").status_code == 404, name
        assert ann.post(f"/act/{name}", {"token": token, "target": target}).status_code == 404, name


def test_the_words_after_an_action_are_ours_whatever_the_address_says(ann: Client) -> None:
    text = ann.get("/?done=pause-account&of=%3Cscript%3Ealert(1)%3C/script%3E").text
    assert "The account &lt;script&gt;alert(1)&lt;/script&gt; is paused." in text and "<script>alert" not in text
    assert "notice good" not in ann.get("/?done=x&of=1").text
    assert "notice good" not in ann.get("/?done=cancel&of=call+0900").text


def test_readers_neither_see_nor_search_messages_where_the_settings_say_so(folder: Path) -> None:
    with served(folder, mask_messages=True) as page:
        page.send("34600000000", "a secret")
        page.finish("failed", error_code="the secret code", detail="a secret detail", body='{"echo":"a secret"}')
        rob, ann = Client(page), Client(page)
        rob.sign_in("rob"), ann.sign_in("ann")
        for path in ("/", "/items", "/items/1", CHAT, "/items?text=34600000000"):
            assert "secret" not in rob.get(path).text, path
            assert "hidden" in rob.get(path).text or path == "/", path
            assert "secret" in ann.get(path).text, path
        for query in "?text=secret", "?code=the+secret+code":
            assert ids(rob, query) == [] and ids(ann, query) == [1], query
        assert ids(rob, "?text=34600000000") == [1]


NASTY = "<script>alert(1)</script>\"'&{{7*7}}\u202egnp.exe\x1b[31m\x00\u2066 end"


def test_text_from_outside_stays_text_and_what_is_unseen_is_shown(page: Page, ann: Client) -> None:
    page.send(
        NASTY.replace("\x00", ""), NASTY.replace("\x00", ""), account="default", dedup_key="<img src=x onerror=1>"
    )
    page.finish("failed", error_code="<i>x</i>", detail="<u>\u202e", body=NASTY)
    page.browser.hold_account("<h1>", "<h2>\u202e")
    for path in ("/", "/items", "/items/1"):
        text = ann.get(path).text
        assert not re.search(r"<script>|<img|<i>x|<u>|<h1><|<h2>[^A-Z]|\u202e|\u2066|\x1b|\x00", text), path
    text = ann.get("/items/1").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;{{7*7}}\ufffdgnp.exe\ufffd[31m" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc\r\nd", "a\tb\nc\nd"),
        ("\u202eabc\u2069\u200b\ufeff\x7f\x85", "\ufffdabc" + "\ufffd" * 5),
        ("\ud800half", "\ufffdhalf"),
        ("👨‍👩‍👧 नमस्ते שלום\u00a0!", "👨‍👩‍👧 नमस्ते שלום\u00a0!"),
    ],
)
def test_what_is_not_seen_is_replaced_and_all_else_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_durations_are_said_as_people_say_them() -> None:
    said = [duration(s) for s in (None, -3, 0, 59, 119, 120, 7199, 7200, 172_799, 172_800)]
    assert said == ["–", "0 s", "0 s", "59 s", "119 s", "2 min", "120 min", "2 h", "48 h", "2 days"]


def test_a_database_that_is_away_is_said_without_its_words(page: Page, ann: Client, folder: Path) -> None:
    import sqlite3

    with sqlite3.connect(folder / "outbox.db") as connection:
        connection.execute("DROP TABLE outbox")
    answer = ann.get("/items")
    assert answer.status_code == 500 and "the log of this page says more" in text_of(answer)
    assert "no such table" not in answer.text and page.events()[-1] == "web_failed"


class Counted:
    """Minutes as a database tells them, and how far back it was asked."""

    def __init__(self) -> None:
        self.minutes: list[Minute] = []
        self.asked: list[datetime] = []

    def overview(self) -> str:
        return "seen"

    def finished_since(self, since: datetime) -> list[Minute]:
        self.asked.append(since)
        return [m for m in self.minutes if m.at >= since]


def test_a_day_is_read_once_and_then_only_the_last_minutes() -> None:
    start, passed = datetime(2026, 3, 31, 12, 7, 30, tzinfo=UTC), [0.0]
    counted = Counted()
    figures = Figures(
        counted,  # type: ignore[arg-type]
        clock=lambda: start + timedelta(seconds=passed[0]),
        monotonic=lambda: passed[0],
    )
    minute = start.replace(second=0)
    counted.minutes = [Minute(minute - timedelta(hours=5), 7, 1), Minute(minute, 3, 2)]
    assert (sum(p.sent for p in figures.hour()), sum(p.sent for p in figures.day())) == (3, 10)
    assert figures.hour()[-1].at == minute and figures.day()[-1].at == minute.replace(minute=0)
    figures.day()
    assert counted.asked == [minute - timedelta(days=1)], "it is told again for a moment"
    passed[0] += max(FRESH_SECONDS, 60)
    counted.minutes = [Minute(minute, 5, 2), Minute(minute + timedelta(minutes=1), 1, 0)]
    assert (sum(p.sent for p in figures.hour()), sum(p.sent for p in figures.day())) == (6, 13)
    assert counted.asked[1] == minute - timedelta(minutes=2)
