"""The page in a real browser: what people do with it, with and without scripts, by keys, on a phone, in the dark."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.web.screen import Screen, chromium
from tests.web.site import PASSWORD, Page

CHAT = "/conversation?account=default&platform=whatsapp&platformid=100&destination=34600000000"
NASTY = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'--></textarea>{{7*7}}"
LONG = "x" * 300
PAGES = (
    "/",
    "/items",
    "/items?status=failed",
    "/items/1",
    CHAT,
    "/act/pause?target=",
    "/act/requeue?target=1",
    "/?still=1",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def screen(browser: Browser, page: Page) -> Iterator[Callable[..., Screen]]:
    """Opens windows; at the end nothing may have gone wrong in any."""
    opened: list[Screen] = []

    def made(**options: Any) -> Screen:
        opened.append(Screen(browser, page.url, **options))
        return opened[-1]

    yield made
    for one in opened:
        one.close()
        assert one.wrong == []


def fill(page: Page, text: str = "Your order left today.") -> None:
    """One request of each kind of end, a failing subscription, a held account: every part of every page shows."""
    page.send(message=text)
    page.finish("failed", error_code="NO_CREDIT", detail=text[:300], body=text)
    page.send(message=text, dedup_key=text[:150])
    page.finish("uncertain", error_code="TIMEOUT", unknown=True)
    page.send(message="Sent")
    page.finish()
    page.send(text[:150], text, account="shop")
    page.browser.subscribe("whatsapp", "100", text[:150])
    page.browser.exchange("host:1", take=1)
    page.browser.hold_account(text[:100], text[:300])
    page.browser.pause(None, "maintenance")


def test_signing_in_shows_the_overview_with_its_charts(screen: Callable[..., Screen], page: Page) -> None:
    fill(page)
    tab = screen().sign_in()
    expect(tab.get_by_role("heading", name="Overview")).to_be_visible()
    expect(tab.locator("canvas")).to_have_count(2)
    expect(tab.get_by_role("link", name="Resume")).to_be_visible()
    tab.click("text=Figures of the last hour")
    expect(tab.locator("#hour-table")).to_be_visible()


def test_a_wrong_password_is_said_and_the_name_kept(browser: Browser, page: Page) -> None:
    screen = Screen(browser, page.url)
    tab = screen.go("/sign-in")
    tab.fill("#name", "ann"), tab.fill("#password", "wrong")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert").first).to_contain_text("do not go together")
    assert tab.input_value("#name") == "ann" and tab.input_value("#password") == ""
    assert tab.evaluate("document.activeElement.id") == "password"
    screen.close()


def test_typing_searches_choosing_filters_and_back_goes_back(screen: Callable[..., Screen], page: Page) -> None:
    for n in range(3):
        page.send(f"3460000000{n}", f"order {n}")
    page.browser.cancel([1])
    tab = screen().sign_in()
    tab.click("text=Requests")
    expect(tab.locator("tbody tr")).to_have_count(3)
    tab.fill("#text", "order 2")
    expect(tab.locator("tbody tr")).to_have_count(1)
    assert "text=order%202" in tab.url
    tab.fill("#text", "")
    expect(tab.locator("tbody tr")).to_have_count(3)
    tab.click("summary")
    tab.select_option("#status", "cancelled")
    expect(tab.locator("tbody tr")).to_have_count(1)
    assert "status=cancelled" in tab.url
    tab.go_back()
    expect(tab.locator("tbody tr")).to_have_count(3)


def test_an_action_asks_first_and_then_is_done(screen: Callable[..., Screen], page: Page) -> None:
    id = page.send()
    tab = screen().sign_in()
    tab.goto(f"{page.url}/items/{id}")
    tab.click("text=Cancel")
    expect(tab.get_by_role("heading", name="Cancel?")).to_be_visible()
    tab.click("text=Go back")
    assert page.status(id) == "queued"
    tab.click("text=Cancel")
    tab.click("button.grave")
    expect(tab.get_by_role("status")).to_have_text(f"Request {id} is cancelled.")
    assert page.status(id) == "cancelled"


def test_keys_alone_are_enough_and_show_where_they_are(screen: Callable[..., Screen], page: Page) -> None:
    id = page.send()
    tab = screen().go("/sign-in")
    tab.keyboard.type("ann"), tab.keyboard.press("Tab"), tab.keyboard.type(PASSWORD), tab.keyboard.press("Enter")
    tab.wait_for_url(page.url + "/")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('main') !== null")

    def reach(selector: str) -> None:
        for _ in range(40):
            tab.keyboard.press("Tab")
            outline = tab.evaluate(
                "(() => { const s = getComputedStyle(document.activeElement); "
                "return document.activeElement === document.body ? 3 "
                ": s.outlineStyle === 'none' ? 0 : parseFloat(s.outlineWidth); })()"
            )
            assert outline >= 2, tab.evaluate("document.activeElement.outerHTML")
            if tab.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} is not reached")

    reach("a[href='/items']")
    tab.keyboard.press("Enter")
    tab.wait_for_url(page.url + "/items")
    reach(f"a[href='/items/{id}']")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{page.url}/items/{id}")
    reach(f"#cancel-{id}")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{page.url}/act/cancel?target={id}")
    reach("button.grave")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status")).to_have_text(f"Request {id} is cancelled.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_in_the_light_and_in_the_dark_and_heard(
    screen: Callable[..., Screen], page: Page, scheme: str
) -> None:
    fill(page)
    one = screen(color_scheme=scheme)
    one.go("/sign-in")
    assert one.faults() == []
    one.sign_in()
    background = one.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(245, 246, 248)", "dark": "rgb(17, 21, 27)"}[scheme]
    for path in PAGES:
        one.go(path)
        one.tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        assert one.faults() == [], path


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_scrolled_sideways_however_long_the_words(
    screen: Callable[..., Screen], page: Page, width: int
) -> None:
    fill(page, LONG)
    one = screen(viewport={"width": width, "height": 844})
    one.sign_in()
    for path in ("/sign-in", *PAGES):
        one.go(path)
        one.tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        assert one.too_wide() <= 0, path
        inside = one.tab.evaluate(
            "[...document.querySelectorAll('.card, .items')].filter(e => e.scrollWidth > e.clientWidth + 1)"
            ".map(e => e.textContent.trim().slice(0, 40))"
        )
        assert inside == [], path


def test_text_from_outside_is_shown_as_text_in_every_column(screen: Callable[..., Screen], page: Page) -> None:
    fill(page, NASTY)
    one = screen()
    one.sign_in()
    for path in PAGES:
        tab = one.go(path)
        assert tab.locator("main img, main script, main textarea").count() == 0, path
    for path in ("/items", "/items/1", CHAT):
        assert one.go(path).locator("main").inner_text().count("<img src=x onerror=alert(1)><script>") >= 1, path
    tab = one.go("/items")
    tab.fill("#text", NASTY)
    expect(tab.locator("tbody tr")).to_have_count(4)
    assert tab.locator("main img, main script").count() == 0


def test_without_scripts_everything_works_as_well(screen: Callable[..., Screen], page: Page) -> None:
    page.send("1", "first"), page.send("2", "second")
    tab = screen(java_script_enabled=False).sign_in()
    tab.click("text=Requests")
    tab.fill("#text", "second")
    tab.click("text=Search")
    expect(tab.locator("tbody tr")).to_have_count(1)
    tab.click("summary")
    tab.select_option("#status", "failed")
    tab.click("button.main")
    expect(tab.locator("main")).to_contain_text("Nothing matches")
    tab.goto(page.url + "/items/2")
    tab.click("text=Cancel")
    tab.click("button.grave")
    expect(tab.get_by_role("status")).to_have_text("Request 2 is cancelled.")
    tab.goto(page.url + "/")
    tab.click("text=Figures of the last hour")
    expect(tab.locator("#hour-table")).to_be_visible()
    tab.click("text=Sign out")
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_overview_refreshes_by_itself_and_keeps_what_has_the_focus(
    screen: Callable[..., Screen], page: Page
) -> None:
    one = screen()
    one.tab.clock.install()
    tab = one.sign_in()
    expect(tab.locator(".cards")).to_contain_text("0 waiting")
    page.send()
    tab.click("text=Figures of the last hour")
    tab.focus("#pause-")
    page.clock.passed += 60
    assert page.server is not None
    page.server.site.figures.forget()
    tab.clock.fast_forward("00:11")
    expect(tab.locator(".cards")).to_contain_text("1 waiting")
    assert tab.evaluate("document.activeElement.id") == "pause-"
    tab.clock.fast_forward("01:01")
    expect(tab.locator("canvas")).to_have_count(2)
    expect(tab.locator("#hour-table")).to_be_visible()


def test_when_the_session_ends_the_overview_leads_to_signing_in(browser: Browser, page: Page) -> None:
    one = Screen(browser, page.url)
    one.tab.clock.install()
    tab = one.sign_in()
    page.clock.passed += 3600
    tab.clock.fast_forward("00:11")
    tab.wait_for_url(page.url + "/sign-in")
    one.close()


def test_nobody_asked_for_motion_and_there_is_none(screen: Callable[..., Screen]) -> None:
    one = screen(reduced_motion="reduce")
    one.sign_in()
    moving = one.tab.evaluate(
        "[...document.querySelectorAll('*')].filter(e => { const s = getComputedStyle(e); "
        "return s.animationName !== 'none' || parseFloat(s.transitionDuration) > 0; }).length"
    )
    assert moving == 0


@contextmanager
def elsewhere(body: str) -> Iterator[str]:
    """Another site with one page; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<link rel="icon" href="data:,">{body}'.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://localhost:{server.server_port}/"  # the page's 127.0.0.1 is another site
        server.shutdown()


def test_a_link_on_another_site_leads_in_and_signs_nobody_out(screen: Callable[..., Screen], page: Page) -> None:
    id = page.send()
    one = screen()
    tab = one.sign_in()
    with elsewhere(f'<a href="{page.url}/items/{id}">the request</a>') as url:
        tab.goto(url)
        tab.click("text=the request")
        expect(tab.get_by_role("heading", name=f"Request {id}")).to_be_visible()
    one.go("/items")
    expect(tab.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_form_on_another_site_does_nothing_and_signs_nobody_out(browser: Browser, page: Page) -> None:
    one = Screen(browser, page.url)
    tab = one.sign_in()
    form = f'<form method="post" action="{page.url}/act/pause"><button>a prize</button></form>'
    with elsewhere(form) as url:
        tab.goto(url)
        tab.click("text=a prize")
        expect(tab.get_by_text("The form comes from another site.")).to_be_visible()
    one.go("/items")
    expect(tab.get_by_role("button", name="Sign out")).to_be_visible()
    assert not page.browser.overview().paused
    one.close()
