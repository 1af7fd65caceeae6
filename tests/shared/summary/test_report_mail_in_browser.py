"""The mail in a real browser: it keeps its width, and its figures their places, whatever a name is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from feira.summary.mail import html, plain
from feira.summary.slack import slack_message
from reported_days import figures, naming, product, report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine; Debian's package is chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(30_000)
        yield page
        browser.close()


@pytest.mark.parametrize("width", [720, 360])
def test_no_text_makes_the_mail_wider_than_it_is(page: Page, width: int) -> None:
    long = "HTTPS://SHOP.EXAMPLE/" + "A" * 110
    page.set_viewport_size({"width": width, "height": 900})
    page.set_content(html(naming(long), "chart"))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    # Words and figures are not broken for it.
    heights = "it => it.getClientRects().length"
    for text in ("12", "1,200.00", "Product"):
        assert page.get_by_text(text, exact=True).last.evaluate(heights) == 1


LEFT_EDGES = """([line, ...parts]) => {
  document.querySelector("pre").textContent = line;
  const node = document.querySelector("pre").firstChild, range = document.createRange();
  let end = 0;
  return parts.map(part => {
    const start = line.indexOf(part, end);
    end = start + part.length;
    range.setStart(node, start);
    range.setEnd(node, end);
    return range.getBoundingClientRect().left;
  });
}"""


@pytest.mark.parametrize("name", ["כוס תה", "شاي أخضر 250", "٣"])
@pytest.mark.parametrize("code", ["22423", "85123A", "כ7"])
def test_figures_keep_their_places_beside_a_right_to_left_name(
    page: Page, name: str, code: str
) -> None:
    stated = report(figures=figures(top_products=(product(code, "1200.0000", 12, name),)))
    slack = slack_message(stated)["blocks"][3]["text"]["text"].strip("`")
    page.set_content("<pre></pre>")
    for text in (plain(stated), slack):
        (line,) = [line for line in text.splitlines() if name in line]
        edges = page.evaluate(LEFT_EDGES, [line, name, code, "12", "1,200.00"])
        assert edges == sorted(edges)
    page.set_content(html(stated, "chart"))
    edges = [it.bounding_box()["x"] for it in page.locator("[data-product] bdi").all()]
    assert len(edges) == 2 and edges == sorted(edges)
