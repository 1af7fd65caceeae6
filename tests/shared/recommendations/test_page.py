"""The page for people in a real browser, over a real Valkey and a lake in a folder."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from fsspec.implementations.local import LocalFileSystem
from playwright.sync_api import Page, Route, expect, sync_playwright
from prometheus_client.parser import text_string_to_metric_families

from feira.recommendations import goes_with, purchases
from feira.recommendations.publish import publish
from feira.recommendations.serving.app import Recommendations
from feira.recommendations.serving.looked_at import Lake
from feira.recommendations.versions import NAMES
from temporary_postgres import free_port
from valkey_server import InSegments, ValkeyServer, in_slots, rows_with, users_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
OLD, NEW = "2010-12-01-001", "2010-12-02-001"
MARKUP = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
SHORT = "<b onclick=alert(1)>u&amp;"
# A product's number is markup too, and of another a name is.
ITEMS = {"22423": "REGENCY CAKESTAND", "22720": "TINS", "85123A": MARKUP, SHORT: "BAG"}

SEGMENTS = InSegments({MARKUP: ["22423"]}, {"looks": MARKUP})


@dataclass(frozen=True)
class Site:
    url: str
    server: ValkeyServer
    lake: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    lake, port = tmp_path_factory.mktemp("lake"), free_port()
    with ValkeyServer(tmp_path_factory.mktemp("valkey") / "home") as server:
        with server.client() as client:
            _publish(client, lake, OLD, "22720", {})
            _publish(client, lake, NEW, "85123A", ITEMS)
        app = Recommendations(
            server.options,
            lambda: b"{}",
            lake=Lake(LocalFileSystem(), str(lake)),
            hosts=["reco.example"],
        )
        config = uvicorn.Config(
            app, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=1
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run)
        thread.start()
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield Site(f"http://127.0.0.1:{port}/ui", server, lake)
        running.should_exit = True
        thread.join()


def _publish(client: Any, lake: Path, version: str, first: str, names: dict[str, str]) -> None:
    lists = {
        ("again", "12347"): [("22423", "bought_before", None)],
        ("again", SHORT): [("85123A", "bought_before", None)],
        ("new", ""): [("22720", "popular", None)],
        ("new", "12347"): [(first, "goes_with", "22423"), (SHORT, "popular", None)],
        ("new", SHORT): [("22423", "goes_with", "85123A"), ("22720", "popular_in_category", None)],
    }
    beside = [
        {"item": "22423", "goes_with": ["85123A", SHORT], "similarity": [0.5, 0.25]},
        {"item": "85123A", "goes_with": ["22423"], "similarity": [0.5]},
    ]
    folder = lake / version
    folder.mkdir()
    publish(
        client,
        version,
        in_slots(rows_with(lists, SEGMENTS)),
        sorted(ITEMS),
        [pa.RecordBatch.from_pylist(beside, schema=goes_with.ROWS)],
        sorted(SEGMENTS.lists),
        [users_of(SEGMENTS)],
    )
    had = [
        {"user_id": "12347", "item": "22423", "days": 2, "last": date(2010, 12, 1)},
        {"user_id": "12347", "item": "85123A", "days": 1, "last": date(2010, 11, 30)},
        {"user_id": SHORT, "item": SHORT, "days": 1, "last": date(2010, 12, 1)},
    ]
    pq.write_table(pa.Table.from_pylist(had, purchases.ROWS), folder / "purchases.parquet")
    named = pa.table([list(names), list(names.values())], schema=NAMES)
    if names:
        pq.write_table(named, folder / "names.parquet")
        (folder / "gate.json").write_text(
            json.dumps(
                {
                    "verdict": "refused",
                    "figures": [
                        {
                            "figure": f"ndcg {MARKUP}",
                            "slot": SHORT,
                            "value": 1.2345,
                            "low": 1.1,
                            "high": 1.4,
                            "must": "value",
                            "limit": 1.3,
                            "users": 1234,
                            "verdict": "refused",
                        }
                    ],
                    "estimates": [
                        {
                            "figure": "ctr_snips",
                            "slot": "new",
                            "value": None,
                            "low": None,
                            "high": None,
                            "must": "value",
                            "limit": 0.0,
                            "users": 12,
                            "verdict": "small_sample",
                        }
                    ],
                    "drift": [
                        {
                            "figure": f"psi {MARKUP}",
                            "slot": SHORT,
                            "value": 0.5,
                            "low": None,
                            "high": None,
                            "must": "value",
                            "limit": 0.25,
                            "users": 9,
                            "verdict": MARKUP,
                        }
                    ],
                }
            )
        )


@dataclass(frozen=True)
class Tab:
    page: Page
    problems: list[str]


@pytest.fixture(scope="module")
def tab(site: Site) -> Iterator[Tab]:
    """Of the one browser; what it must not do is noted."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine; Debian's package is chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page, problems = browser.new_page(), list[str]()
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.on(
            "console",
            # That an answer is 503 is said too, and is so on purpose.
            lambda it: problems.append(it.text) if "Security Policy" in it.text else None,
        )
        page.on(
            "request",
            lambda it: None if it.url.startswith((site.url, "data:")) else problems.append(it.url),
        )
        page.add_init_script(
            "window.moved = 0; new PerformanceObserver(list => list.getEntries().forEach(it => "
            "{ window.moved += it.hadRecentInput ? 0 : it.value; }))"
            ".observe({type: 'layout-shift', buffered: true});"
        )
        yield Tab(page, problems)
        browser.close()


@pytest.fixture
def page(tab: Tab, site: Site) -> Iterator[Page]:
    """The page, on which nothing of what was stored may run, and nothing move by itself."""
    page = tab.page
    tab.problems.clear()
    page.set_viewport_size({"width": 1200, "height": 900})
    page.emulate_media(color_scheme="light")
    page.goto(site.url)
    expect(page.locator("#version")).to_have_value(NEW)
    yield page
    assert tab.problems == [] and page.title() == "Recommendations"
    assert page.evaluate("window.moved") < 0.02
    assert page.locator("main img, main script, main b").count() == 0


def show(page: Page, user: str, beside: str = "") -> None:
    page.get_by_role("textbox", name="Customer").fill(user)
    if beside:
        page.locator("#beside").select_option(beside)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("status")).to_contain_text(user)


def texts(page: Page, name: str) -> list[str]:
    return page.locator(f"#{name} li").all_inner_texts()


def test_a_customers_purchases_stand_beside_both_slots_with_names_and_reasons(page: Page) -> None:
    show(page, "12347")
    assert texts(page, "bought") == [
        "REGENCY CAKESTAND 22423 · on 2 days, last 2010-12-01",
        f"{MARKUP} 85123A · once, last 2010-11-30",
    ]
    assert texts(page, "again") == ["REGENCY CAKESTAND 22423 · bought before"]
    assert texts(page, "new") == [
        f"{MARKUP} 85123A · goes with REGENCY CAKESTAND",
        f"BAG {SHORT} · popular",
    ]
    expect(page.locator("#new-title")).to_have_text(f"New, {NEW} (own)")
    assert page.url.endswith(f"?user=12347&version={NEW}")


def test_two_versions_stand_side_by_side_and_an_address_brings_both_back(
    page: Page, site: Site
) -> None:
    show(page, "12347", OLD)
    assert texts(page, "new")[0].startswith(f"{MARKUP} 85123A")
    # That version has no names.
    assert texts(page, "other-new") == ["22720 goes with 22423", f"{SHORT} popular"]
    expect(page.locator("#other-new-title")).to_have_text(f"New, {OLD} (own)")
    page.goto(page.url)
    expect(page.locator("#other-new li")).to_have_count(2)
    show(page, "nobody")
    assert texts(page, "bought") == ["nothing that is known"]
    assert texts(page, "again") == ["no list"]
    assert texts(page, "new") == ["TINS 22720 · popular"]


@contextmanager
def late(page: Page, part: str, *, fails: bool = False) -> Iterator[None]:
    """What is asked first inside ``with`` is answered, or fails, at the end of it."""
    held: list[Route] = []
    pattern = re.compile(part)
    page.route(pattern, lambda route: held.append(route), times=1)
    yield
    (route,) = held
    with page.expect_event("requestfailed" if fails else "requestfinished"):
        route.abort() if fails else route.continue_()
    # What is answered after it was read after it.
    page.evaluate("fetch('/ui/api/versions').then(it => it.text())")


@pytest.mark.parametrize("fails", [False, True])
def test_a_late_answer_is_not_shown_over_a_newer_one(page: Page, fails: bool) -> None:
    with late(page, "user=12347", fails=fails):
        page.get_by_role("textbox", name="Customer").fill("12347")
        with page.expect_request(re.compile("user=12347")):
            page.get_by_role("button", name="Show").click()
        show(page, "looks")
    assert texts(page, "new") == [f"REGENCY CAKESTAND 22423 · popular in {MARKUP}"]
    expect(page.get_by_role("status")).to_contain_text("customer looks")
    with late(page, f"gate.*{OLD}", fails=fails):
        with page.expect_request(re.compile(f"gate.*{OLD}")):
            page.locator("#version").select_option(OLD)
        page.locator("#version").select_option(NEW)
        expect(page.locator("#verdict")).to_have_text(f"{NEW}: refused")
    assert page.locator("#verdict").inner_text() == f"{NEW}: refused"
    search = page.get_by_role("combobox", name="Name or number")
    with late(page, r"product\?item=85123A", fails=fails):
        for number in ("85123A", "22423"):
            search.fill(number)
            expect(page.get_by_role("listbox")).to_be_visible()
            with page.expect_request(re.compile(f"item={number}")):
                search.press("Enter")
        expect(page.locator("#with-title")).to_have_text("What goes with REGENCY CAKESTAND")
    expect(page.locator("#with-title")).to_have_text("What goes with REGENCY CAKESTAND")
    assert page.locator("#problem").inner_text() == ""


@contextmanager
def failing(page: Page, *parts: str) -> Iterator[None]:
    """What is asked inside ``with`` for one of these parts is answered with a problem that names it."""
    for part in parts:
        problem = {"detail": f"{part} fails"}
        page.route(re.compile(part), partial(Route.fulfill, status=503, json=problem))
    yield
    for part in parts:
        page.unroute(re.compile(part))


def of_customer(page: Page) -> list[str]:
    """All that names a customer, or is of one."""
    names = [f"{prefix}{slot}" for prefix in ("", "other-") for slot in ("again", "new")]
    ids = ["customer-title", "bought", *names, *(f"{name}-title" for name in names)]
    return [text for name in ids if (text := page.locator(f"#{name}").text_content())]


NO_CUSTOMER = ["Customer", "Again", "New", "Again", "New"]


@pytest.mark.parametrize("beside", ["", OLD])
def test_of_a_customer_whose_answer_fails_nothing_of_another_is_shown(
    page: Page, beside: str
) -> None:
    show(page, "12347", beside)
    # The choice itself makes room for the second version.
    page.evaluate("window.moved = 0")
    with failing(page, "user=looks"):
        page.get_by_role("textbox", name="Customer").fill("looks")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_have_text("user=looks fails")
        assert of_customer(page) == NO_CUSTOMER
        expect(page.get_by_role("status")).to_have_text("")
        expect(page.locator("#verdict")).to_have_text(f"{NEW}: refused")
    show(page, "looks")
    expect(page.locator("#customer-title")).to_have_text("Customer looks")
    expect(page.get_by_role("alert")).to_have_text("")


def test_until_a_customer_is_answered_what_is_shown_keeps_its_own_title(page: Page) -> None:
    show(page, "12347")
    with late(page, "user=looks"):
        page.get_by_role("textbox", name="Customer").fill("looks")
        with page.expect_request(re.compile("user=looks")):
            page.get_by_role("button", name="Show").click()
        expect(page.locator("#customer-title")).to_have_text("Customer 12347")
        assert len(texts(page, "bought")) == 2
    expect(page.locator("#customer-title")).to_have_text("Customer looks")


@pytest.mark.parametrize("press", [True, False])
def test_where_no_customer_is_named_nothing_of_one_is_shown(page: Page, press: bool) -> None:
    show(page, "12347", OLD)
    # The choice itself makes room for the second version.
    page.evaluate("window.moved = 0")
    with late(page, "user=looks"):
        page.get_by_role("textbox", name="Customer").fill("looks")
        with page.expect_request(re.compile("user=looks")):
            page.get_by_role("button", name="Show").click()
        page.get_by_role("textbox", name="Customer").fill("")
        if press:
            page.get_by_role("button", name="Show").click()
        else:
            page.locator("#version").select_option(OLD)
        expect(page.get_by_role("status")).to_have_text("Name a customer to see its lists.")
        assert of_customer(page) == NO_CUSTOMER
    assert of_customer(page) == NO_CUSTOMER
    assert "user=" not in page.url


def test_a_part_that_fails_is_emptied_and_keeps_no_other_from_being_shown(page: Page) -> None:
    show(page, "12347", NEW)
    # The choice itself makes room for the second version.
    page.evaluate("window.moved = 0")
    with failing(page, f"gate.*{OLD}", f"user=.*{OLD}"):
        page.locator("#version").select_option(OLD)
        expect(page.get_by_role("status")).to_have_text(f"Shown: customer 12347, {NEW}.")
        expect(page.get_by_role("alert")).to_contain_text(f"gate.*{OLD} fails")
        expect(page.get_by_role("alert")).to_contain_text(f"user=.*{OLD} fails")
        assert page.locator("#verdict").text_content() == ""
        expect(page.locator("#figures tr")).to_have_count(0)
        assert texts(page, "bought") == texts(page, "new") == []
        assert texts(page, "other-new")[1] == f"BAG {SHORT} · popular"
        # A search that works does not wipe what is said of the gate.
        page.get_by_role("combobox", name="Name or number").fill("22423")
        expect(page.get_by_role("listbox")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text(f"gate.*{OLD} fails")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#verdict")).to_have_text(f"{OLD}: not judged")
    expect(page.get_by_role("alert")).to_have_text("")


def test_what_goes_with_a_product_is_of_the_version_that_is_chosen(page: Page) -> None:
    search = page.get_by_role("combobox", name="Name or number")
    status = page.get_by_role("status")
    for number, announced in (("85123A", "1 product goes"), ("22423", "2 products go")):
        search.fill(number)
        expect(page.get_by_role("listbox")).to_be_visible()
        search.press("Enter")
        expect(status).to_have_text(f"{announced} with it.")
    assert texts(page, "with")[1] == f"BAG {SHORT} · similarity 0.25"
    with late(page, f"product.*{OLD}"):
        with page.expect_request(re.compile(f"product.*{OLD}")):
            page.locator("#version").select_option(OLD)
        assert texts(page, "with") == []
    expect(page.locator("#with-title")).to_have_text("What goes with 22423")
    assert texts(page, "with") == ["85123A similarity 0.5", f"{SHORT} similarity 0.25"]
    with failing(page, f"product.*{NEW}"):
        page.locator("#version").select_option(NEW)
        expect(page.get_by_role("alert")).to_have_text(f"product.*{NEW} fails")
        assert texts(page, "with") == []
        expect(page.locator("#with-title")).to_have_text("What goes with it")


def test_enter_takes_no_product_of_what_was_searched_before(page: Page) -> None:
    search = page.get_by_role("combobox", name="Name or number")
    search.fill("85123A")
    expect(page.get_by_role("listbox")).to_be_visible()
    with late(page, "q=22423"):
        with page.expect_request(re.compile("q=22423")):
            search.fill("22423")
        search.press("Enter")
        expect(search).to_have_value("22423")
    expect(page.locator("#products [role=option]")).to_have_text(["REGENCY CAKESTAND 22423"])


def test_a_page_opened_without_versions_asks_for_them_again(page: Page, site: Site) -> None:
    asked_for = f"?user=12347&version={OLD}&beside={NEW}"
    with failing(page, "api/versions"):
        page.goto(site.url + asked_for)
        expect(page.get_by_role("alert")).to_have_text("api/versions fails")
        expect(page.get_by_role("textbox", name="Customer")).to_have_value("12347")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_have_text("api/versions fails")
        assert page.url == site.url + asked_for
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("status")).to_have_text(f"Shown: customer 12347, {OLD} beside {NEW}.")
    expect(page.locator("#verdict")).to_have_text(f"{OLD}: not judged")
    expect(page.get_by_role("alert")).to_have_text("")
    assert page.url == site.url + asked_for


@pytest.mark.parametrize("versions", [[], [{"version": NEW, "served": False}]])
def test_a_page_says_that_no_version_is_kept_and_shows_one_that_is_not_served(
    page: Page, site: Site, versions: list[dict[str, Any]]
) -> None:
    pattern = re.compile("api/versions")
    page.route(pattern, lambda it: it.fulfill(json={"served": "gone", "versions": versions}))
    page.goto(f"{site.url}?user=12347")
    if versions:
        expect(page.get_by_role("status")).to_have_text(f"Shown: customer 12347, {NEW}.")
    else:
        expect(page.get_by_role("alert")).to_have_text("No version of the lists is in Valkey yet.")
    page.unroute(pattern)


def test_an_address_of_a_version_that_is_gone_is_corrected_and_said(page: Page, site: Site) -> None:
    gone, other = "2010-11-01-001", MARKUP
    page.goto(f"{site.url}?user=12347&version={gone}&beside={other}")
    said = [
        f"{gone} is no longer kept; shown is {NEW}.",
        f"{other} is no longer kept; nothing is shown beside.",
    ]
    expect(page.get_by_role("status")).to_have_text(f"Shown: customer 12347, {NEW}.")
    assert page.get_by_role("alert").inner_text().splitlines() == said
    assert page.url == f"{site.url}?user=12347&version={NEW}"
    page.locator("#version").select_option(OLD)
    expect(page.get_by_role("alert")).to_have_text("")
    page.goto(f"{site.url}?version={OLD}&beside={gone}")
    expect(page.get_by_role("alert")).to_have_text(
        f"{gone} is no longer kept; nothing is shown beside."
    )
    assert page.url == f"{site.url}?version={OLD}"
    page.goto(page.url)
    expect(page.locator("#version")).to_have_value(OLD)
    expect(page.get_by_role("alert")).to_have_text("")


def test_markup_is_shown_as_it_is_written_wherever_it_comes_from(page: Page, site: Site) -> None:
    show(page, SHORT)
    expect(page.locator("#customer-title")).to_have_text(f"Customer {SHORT}")
    assert texts(page, "bought") == [f"BAG {SHORT} · once, last 2010-12-01"]
    assert texts(page, "new") == [
        f"REGENCY CAKESTAND 22423 · goes with {MARKUP}",
        "TINS 22720 · popular in its category",
    ]
    expect(page.locator("#figures tr")).to_have_count(3)
    cells = page.locator("#figures td").all_inner_texts()
    assert cells[:7] == [f"ndcg {MARKUP}", SHORT, "1.235", "1.1 to 1.4", "1.3", "1,234", "refused"]
    assert cells[7:14] == ["ctr_snips", "new", "–", "–", "–", "12", "small sample"]
    assert cells[14:20] == [f"psi {MARKUP}", SHORT, "0.5", "–", "0.25", "9"]
    assert "<script>" in cells[20]
    expect(page.locator("#verdict")).to_have_text(f"{NEW}: refused")
    show(page, "looks")
    assert texts(page, "new") == [f"REGENCY CAKESTAND 22423 · popular in {MARKUP}"]
    expect(page.get_by_text(f"segment {MARKUP}")).to_have_count(1)
    # No id of a user is longer.
    user = MARKUP[:64]
    page.goto(f"{site.url}?user={user}&version={MARKUP}&beside={MARKUP}")
    expect(page.locator("#customer-title")).to_have_text(f"Customer {user}")
    expect(page.locator("#version")).to_have_value(NEW)
    expect(page.locator("#bought li")).to_have_text(["nothing that is known"])


def test_a_version_without_a_verdict_is_not_judged(page: Page, site: Site) -> None:
    page.locator("#version").select_option(OLD)
    expect(page.locator("#verdict")).to_have_text(f"{OLD}: not judged")
    for damaged in ("{", "[]", '{"verdict": "passed"}', '{"verdict": 1, "figures": []}'):
        (site.lake / OLD / "gate.json").write_text(damaged)
        page.locator("#version").select_option(NEW)
        expect(page.locator("#verdict")).to_have_text(f"{NEW}: refused")
        page.locator("#version").select_option(OLD)
        expect(page.locator("#verdict")).to_contain_text("not judged (gate.json is no verdict")
    (site.lake / OLD / "gate.json").unlink()


def test_everything_is_reached_and_used_by_the_keyboard_alone(page: Page) -> None:
    order = []
    page.keyboard.press("Tab")
    page.keyboard.type("12347")
    for _ in range(5):
        order.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        page.keyboard.press("Tab")
    assert order == ["user", "version", "beside", "BUTTON", "product"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#new li")).to_have_count(2)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "product"
    # Each that has the focus shows it.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("2")
    expect(page.locator("#products [role=option]")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    active = page.get_by_role("combobox", name="Name or number").get_attribute(
        "aria-activedescendant"
    )
    assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
    first = page.locator(f"#{active}").inner_text()
    assert first == "REGENCY CAKESTAND 22423"
    page.keyboard.press("Enter")
    expect(page.locator("#with-title")).to_have_text("What goes with REGENCY CAKESTAND")
    assert texts(page, "with") == [
        f"{MARKUP} 85123A · similarity 0.5",
        f"BAG {SHORT} · similarity 0.25",
    ]
    page.keyboard.type(" x")
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    # Each field has a name to be read out.
    assert page.evaluate(
        "[...document.querySelectorAll('input, select')].every(it => it.labels.length === 1)"
    )


def test_a_search_finds_by_words_of_the_name_and_by_number(page: Page) -> None:
    search = page.get_by_role("combobox", name="Name or number")
    for text, expected in (("cake reg", 1), ("85123a", 1), ("onerror", 1), ("nothing", 0)):
        search.fill(text)
        expect(page.get_by_role("status")).to_contain_text(f"{expected} product")
        expect(page.locator("#products [role=option]")).to_have_count(expected)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_small_screen_and_can_be_read_in_light_and_dark(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 320, "height": 640})
    show(page, "12347", OLD)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.evaluate(CONTRAST) >= 4.5
    page.evaluate("window.moved = 0")


CONTRAST = """() => {
  const channel = (it) => it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4;
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map((it) => channel(it / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (it) => {
    const found = getComputedStyle(it).backgroundColor;
    return found === "rgba(0, 0, 0, 0)" && it.parentElement ? behind(it.parentElement) : found;
  };
  return Math.min(...[...document.querySelectorAll("h1, h2, h3, li, span, th, td, label, button, p")].map((it) => {
    const [one, other] = [light(getComputedStyle(it).color), light(behind(it))].sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
  }));
}"""


def test_while_valkey_is_down_the_page_says_so_and_works_when_it_is_back(
    page: Page, site: Site
) -> None:
    site.server.keep()
    site.server.kill()
    try:
        page.get_by_role("textbox", name="Customer").fill("12347")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_contain_text("Valkey does not answer")
        answer = httpx.get(f"{site.url}/api/versions", timeout=30)
        assert (answer.status_code, answer.headers["content-type"]) == (
            503,
            "application/problem+json",
        )
    finally:
        site.server.__enter__()
    show(page, "12347")
    expect(page.get_by_role("alert")).to_have_text("")


def test_what_is_asked_wrongly_or_from_elsewhere_is_refused(site: Site) -> None:
    with httpx.Client(timeout=30) as http:
        for path, status in (
            ("user?user=u&version=../../etc", 404),
            ("user?user=u&version=2010-12-09-001", 404),
            (f"user?user={'u' * 65}&version={NEW}", 422),
            (f"user?version={NEW}", 422),
            ("gate?version=../x", 404),
            ("products?q=&version=" + NEW, 422),
            (f"product?item=nothing&version={NEW}", 200),
            ("nothing", 404),
        ):
            answer = http.get(f"{site.url}/api/{path}")
            assert answer.status_code == status, path
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
        assert http.get(site.url, headers={"host": "evil.example"}).status_code == 400
        assert http.get(site.url, headers={"host": "reco.example:18040"}).status_code == 200
        found = http.get(site.url.replace("/ui", "/openapi.json")).json()["paths"]
        assert {"/ui/api/user", "/ui/api/gate", "/recommendations/basket"} <= found.keys()
        metrics = http.get(site.url.replace("/ui", "/metrics")).text
        routes = {
            tuple(sample.labels[name] for name in ("route", "status", "source"))
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
            if sample.name == "feira_recommendations_request_seconds_count"
        }
        assert {
            ("/ui/api/user", "404", ""),
            ("/ui/api/product", "200", ""),
            ("/ui/{path}", "404", ""),
        } <= routes
        assert not any("nothing" in route for route, *_ in routes)
