"""The pages as people meet them: in a browser, from a file, without a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from leaderboards.board.board import Published
from leaderboards.pages.pages import SuitePage, render
from leaderboards.records.files import write_record
from leaderboards.records.home import Home
from leaderboards.records.schema import Flag, Record

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.pages

RecordOf = Callable[..., Record]
HOSTILE = "&\"'><img src=https://example.org/x onerror=document.title='pwned'><script>document.title='pwned'</script>"
PAGES = (
    *(
        "index.html",
        "method.html",
        "digits/index.html",
        "digits/hundred.html",
        "digits/first-64/part.html",
        "digits/first-64/index.html",
        "digits/findings.html",
    ),
    "digits/compare.html#entrant=hundred&entrant=half&entrant=elsewhere",
)
"""One of each kind."""

ROBUST = "Robust accuracy, %: Measured"


def until(page: Page, expression: str, value: int) -> None:
    """Wait until a page's expression has a value. (Playwright's own waiting evaluates text inside the page, which its policy
    forbids.)"""
    for _ in range(200):
        if page.evaluate(expression) == value:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"expected {value} of {expression}, got {page.evaluate(expression)} after ten seconds")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, record_of: RecordOf) -> Path:
    """Five measured entrants, two published ones, a partial run, one that is not comparable, one bad file."""
    flags = (Flag(code="zero-gradients", message="zero gradients on 3 examples, the robust accuracy may be too high"),)
    folder = tmp_path_factory.mktemp("leaderboards")
    results = folder / "results"
    records = (
        record_of("nine", robust=0.09, energies=-7.5),
        record_of("ten", robust=0.1, energies=-10.25, smoothness=2.0),
        record_of("hundred", standard=1.0, robust=1.0, energies=3.0, flags=flags, smoothness=0.5),
        record_of("half", robust=0.5, entrant={"source": "robustbench"}),
        record_of(
            HOSTILE,
            robust=0.31,
            smoothness=1.0,
            entrant={"title": HOSTILE, "authors": "y" * 10_000, "link": "javascript:document.title='pwned'"},
        ),
        record_of("part", limit=64),
        record_of("old", suite={"version": 0}),
    )
    for record in records:
        write_record(results, record)
    (results / "digits" / "broken.json").write_text("{")
    rows = (
        Published("half", 0.9, 0.52, 0.4, "WideResNet-28-10", "A Title", "Ada Lovelace, Alan Turing", "ICML 2023"),
        Published("elsewhere", 0.95, 0.6, None, "ResNet-18", "T", "A. Author", "ICLR 2024", "https://example.org/a"),
        Published("a" * 80, 0.8, 0.3, additional_data=True, unreliable=True),
    )
    render(Home(folder), folder / "site", [SuitePage("digits", "Digits", "Small.", "digits", "Linf", "0.1", rows)])
    return folder / "site"


@pytest.fixture
def board(site: Path) -> Path:
    return site / "digits" / "index.html"


def names(page: Page, table: str = "board") -> list[str]:
    return page.locator(f"#{table} tbody tr .name").all_inner_texts()


def comes_to_show(page: Page, *expected: str) -> None:
    """The board shows these entrants first, in this order; sorting and searching may take a moment."""
    from playwright.sync_api import expect

    rows = page.locator("#board tbody tr .name")
    for place, name in enumerate(expected):
        expect(rows.nth(place)).to_have_text(name)


def sort_by(page: Page, heading: str) -> None:
    page.locator(f"#board th[aria-label='{heading}']").click()


def test_every_page_opens_from_a_file_and_asks_for_nothing(site: Path, visit: Callable[..., Any]) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 15
    for path in pages:
        visited = visit(path)
        visited.page.wait_for_load_state("load")
        assert visited.said == []
        assert [url for url in visited.asked if not url.startswith("data:")] == [path.as_uri()]
        assert visited.page.title() != "pwned"
        visited.page.context.close()


def test_the_index_leads_to_the_board_and_the_board_to_an_entrant(site: Path, visit: Callable[..., Any]) -> None:
    page = visit(site / "index.html").page
    page.get_by_role("link", name="Digits").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Digits"
    page.locator("#board").get_by_role("link", name="ten", exact=True).click()
    assert page.get_by_role("heading", level=1).inner_text() == "ten"
    page.get_by_role("link", name="Leaderboards").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Leaderboards"


def test_the_board_starts_by_rank(board: Path, visit: Callable[..., Any]) -> None:
    page = visit(board).page
    comes_to_show(page, "hundred", "elsewhere", "half")
    assert page.locator("#board th[aria-sort]").get_attribute("aria-label") == "Rank"


def test_a_column_is_sorted_by_number_and_empty_cells_stay_last(board: Path, visit: Callable[..., Any]) -> None:
    visited = visit(board)
    odd, empty = HOSTILE[:59] + "…", ("elsewhere", "a" * 59 + "…")
    for order in (("hundred", "half", odd, "ten", "nine"), ("nine", "ten", odd, "half", "hundred")):
        sort_by(visited.page, ROBUST)
        comes_to_show(visited.page, *order, *empty)
    for order in (("ten", "nine", "hundred"), ("hundred", "nine", "ten")):
        sort_by(visited.page, "Energy: Mean E(x)")
        comes_to_show(visited.page, *order, "elsewhere", "half")  # who is level stands by rank
    sort_by(visited.page, "Entrant")
    comes_to_show(visited.page, odd, "a" * 59 + "…", "elsewhere", "half", "hundred", "nine", "ten")
    assert visited.said == []


def test_a_column_is_sorted_from_the_keyboard(board: Path, visit: Callable[..., Any]) -> None:
    page = visit(board).page
    button = page.locator(f"#board th[aria-label='{ROBUST}'] [role=button]")
    button.focus()
    page.keyboard.press("Enter")
    page.locator(f"#board th[aria-label='{ROBUST}'][aria-sort=descending]").wait_for()
    button.focus()
    page.keyboard.press("Enter")
    comes_to_show(page, "nine", "ten")


SEARCHES = {
    "hundred": ["hundred"],
    "turing icml": ["half"],
    "iclr": ["elsewhere"],
    "resnet-18": ["elsewhere"],
    "published best": [],
    "zero gradients": ["hundred"],
    "interval": [],
    "&\"'><img": [HOSTILE[:59] + "…"],
}


def test_search_finds_names_papers_and_words(board: Path, visit: Callable[..., Any]) -> None:
    visited = visit(board)
    stages = names(visited.page, "stages")
    field = visited.page.get_by_role("searchbox", name="Search")
    for words, found in SEARCHES.items():
        field.fill(words)
        visited.page.locator("[data-tools-of=board] [role=status]").get_by_text(
            f"{len(found)} of 7 entrants", exact=True
        ).wait_for()
        assert names(visited.page) == found, words
        assert names(visited.page, "stages") == stages
    field.fill("")
    assert len(names(visited.page)) == 7
    assert visited.page.locator("[data-tools-of=board] [role=status]").inner_text() == ""
    assert visited.page.title() != "pwned"
    assert visited.said == []
    assert [url for url in visited.asked if not url.startswith("data:")] == [board.as_uri()]


def test_without_a_script_the_tables_are_plain_and_whole(board: Path, visit: Callable[..., Any]) -> None:
    page = visit(board, java_script_enabled=False).page
    assert names(page)[:3] == ["hundred", "elsewhere", "half"]
    assert len(names(page)) == 7
    assert not page.locator(".tools").first.is_visible()


def test_without_a_script_every_chart_is_a_picture(site: Path, visit: Callable[..., Any]) -> None:
    for name, charts in (("digits/index.html", 6), ("digits/hundred.html", 2)):
        page = visit(site / name, java_script_enabled=False).page
        assert page.locator(".plot svg").count() == page.locator(".plot").count() == charts
        assert all(box["width"] > 300 for box in (svg.bounding_box() for svg in page.locator(".plot svg").all()) if box)


def found_words(page: Page) -> str:
    return page.locator("[data-tools-of=board] [role=status]").inner_text()


def test_filters_narrow_the_board(board: Path, visit: Callable[..., Any]) -> None:
    page = visit(board).page
    for filter_name, group, found in (
        ("Source", "published only", ["elsewhere", "a" * 59 + "…"]),
        ("Source", "measured and published", ["half"]),
        ("Architecture", "ResNet", ["elsewhere"]),
        ("Venue", "ICML 2023", ["half"]),
        ("Extra data", "yes", ["a" * 59 + "…"]),
    ):
        field = page.get_by_label(filter_name, exact=True)
        field.select_option(group)
        assert names(page) == found, group
        assert found_words(page) == f"{len(found)} of 7 entrants"
        field.select_option("")
    assert len(names(page)) == 7
    page.get_by_label("Source", exact=True).select_option("published only")
    page.get_by_role("searchbox", name="Search").fill("iclr")
    assert names(page) == ["elsewhere"]


def test_columns_can_be_hidden_and_shown(board: Path, visit: Callable[..., Any]) -> None:
    page = visit(board).page
    heading = page.locator("#board th[aria-label='Energy: Mean E(x)']")
    assert heading.is_visible()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="Energy: Mean E(x)").uncheck()
    assert not heading.is_visible()
    assert {row.locator("> *:visible").count() for row in page.locator("#board tbody tr").all()} == {
        page.locator("#board thead th[data-place]:visible").count()
    }
    page.get_by_role("checkbox", name="Energy: Mean E(x)").check()
    assert heading.is_visible()


def test_a_board_is_downloaded(board: Path, visit: Callable[..., Any]) -> None:
    page = visit(board, accept_downloads=True).page
    with page.expect_download() as begun:
        page.locator(".downloads").get_by_role("link", name="CSV").click()
    assert begun.value.suggested_filename == "board.csv"
    assert Path(begun.value.path()).read_bytes() == (board.parent / "board.csv").read_bytes()
    # from a file, Chromium opens what it can show instead of saving it
    for words, name in (("JSON", "board.json"), ("BibTeX", "board.bib")):
        page.locator(".downloads").get_by_role("link", name=words).click()
        page.wait_for_url(f"**/{name}")
        assert page.locator("pre").first.inner_text() == (board.parent / name).read_text(encoding="utf-8")
        page.go_back()


def test_bibtex_is_shown_and_copied(board: Path, visit: Callable[..., Any]) -> None:
    page = visit(board, permissions=["clipboard-read", "clipboard-write"]).page
    page.get_by_role("button", name="BibTeX of half").click()
    shown = page.locator("dialog code").inner_text()
    assert shown.startswith("@inproceedings{half,")
    assert "author = {Ada Lovelace and Alan Turing}" in shown
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_text("Copied.", exact=True).wait_for()
    assert page.evaluate("navigator.clipboard.readText()").strip() == shown.strip()
    page.get_by_role("button", name="Close").click()
    assert not page.locator("dialog").is_visible()


def draw_all(page: Page) -> None:
    """Every chart, drawn by Vega: they wait until they come into view."""
    for plot in page.locator(".plot[data-chart]").all():
        plot.scroll_into_view_if_needed()
    until(page, "document.querySelectorAll('.plot[data-chart]:not([data-drawn])').length", 0)


def test_charts_are_drawn_by_vega_and_say_nothing_to_the_console(site: Path, visit: Callable[..., Any]) -> None:
    for name, charts in (("digits/index.html", 6), ("digits/hundred.html", 2)):
        visited = visit(site / name)
        draw_all(visited.page)
        assert visited.page.locator(".plot svg.marks").count() == charts
        assert visited.said == []
        assert [url for url in visited.asked if not url.startswith("data:")] == [(site / name).as_uri()]
    assert visited.page.locator("details.vega-actions, .vega-actions").count() == 0


def test_a_tooltip_is_text(board: Path, visit: Callable[..., Any]) -> None:
    visited = visit(board)
    draw_all(visited.page)
    chart = visited.page.locator("[data-chart=data-against-standard]")
    chart.scroll_into_view_if_needed()
    told = []
    for point in chart.locator(".mark-symbol path").all():
        point.dispatch_event("pointermove", {"bubbles": True})
        box = point.bounding_box()
        assert box is not None
        visited.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        told.append(visited.page.locator("#vg-tooltip-element").inner_text())
    assert any("<img src=https" in text and "31.00" in text for text in told), told
    assert visited.page.locator("#vg-tooltip-element img").count() == 0
    assert visited.page.title() != "pwned"
    assert visited.said == []


def test_charts_follow_the_theme(board: Path, visit: Callable[..., Any]) -> None:
    inks = set()
    for scheme in ("light", "dark"):
        page = visit(board, color_scheme=scheme).page
        draw_all(page)
        text = page.locator("[data-chart=data-stages-chart] .role-mark.mark-text text").first
        inks.add(text.evaluate("element => getComputedStyle(element).fill"))
    assert inks == {"rgb(25, 27, 31)", "rgb(230, 232, 235)"}


def test_three_chosen_entrants_are_compared(board: Path, visit: Callable[..., Any]) -> None:
    visited = visit(board)
    page = visited.page
    for name in ("hundred", "elsewhere", HOSTILE[:60]):
        page.locator("#board tbody tr", has_text=name[:20]).locator(".pick").check()
    page.get_by_role("link", name="Compare 3 chosen").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Compare entrants on Digits"
    heads = page.locator("#compared thead th").all_inner_texts()
    assert heads[:3] == ["Number", "hundred", "elsewhere"] or set(heads[1:]) == {"hundred", "elsewhere", HOSTILE}
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator("#compared tbody tr").all()
    }
    robust = dict(zip(heads[1:], rows["Robust accuracy: Measured"], strict=True))
    assert robust["hundred"].startswith("100.0 ")
    assert robust["elsewhere"] == "—"
    assert rows["Robust accuracy: Published"][heads.index("elsewhere") - 1] == "60.00"
    until(page, "document.querySelectorAll('.chart:not([hidden]) .plot[data-drawn]').length", 3)
    page.get_by_role("button", name="Remove elsewhere").click()
    until(page, "document.querySelectorAll('#compared thead th').length", 3)
    page.get_by_label("Add an entrant").select_option("ten")
    until(page, "document.querySelectorAll('#compared thead th').length", 4)
    page.go_back()
    until(page, "document.querySelectorAll('#compared thead th').length", 3)
    page.get_by_role("link", name="hundred").click()
    assert page.get_by_role("heading", level=1).inner_text() == "hundred"
    page.get_by_role("link", name="Compare with others").click()
    until(page, "document.querySelectorAll('#compared thead th').length", 2)  # the page's script may take a moment
    assert page.locator("#compared thead th").all_inner_texts() == ["Number", "hundred"]
    assert page.title() != "pwned"
    assert visited.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_breaks_the_accessibility_guidelines(site: Path, visit: Callable[..., Any], scheme: str) -> None:
    """axe-core's rules of WCAG 2.2, levels A and AA, on every kind of page as it is used."""
    from axe_playwright_python.sync_playwright import Axe

    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
    for name in PAGES:
        page = visit(site / name.partition("#")[0], color_scheme=scheme).page
        page.goto((site / name.partition("#")[0]).as_uri() + "#" + name.partition("#")[2])
        draw_all(page)
        for details in page.locator("details").all():
            details.evaluate("element => element.open = true")
        found = Axe().run(page, options=rules).response["violations"]
        told = [(one["id"], node["html"][:160], node["failureSummary"]) for one in found for node in one["nodes"]]
        assert told == [], name


def test_no_page_scrolls_sideways(site: Path, visit: Callable[..., Any]) -> None:
    for name in PAGES:
        page = visit(site / name.partition("#")[0]).page
        page.goto((site / name.partition("#")[0]).as_uri() + "#" + name.partition("#")[2])
        for details in page.locator("details").all():
            details.evaluate("element => element.open = true")
        for width in (320, 360, 768, 1280, 2200):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            for plot in page.locator(".plot svg").all():
                assert plot.evaluate("svg => svg.getBoundingClientRect().right") <= width + 1, (name, width)
            if width == 360 and name == "digits/index.html":
                assert page.evaluate("(b => b.scrollWidth > b.clientWidth)(document.querySelector('.box'))")


FAINT = """() => {
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3);
    }
    return null;
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    if (["SCRIPT", "STYLE"].includes(element.tagName) || !element.checkVisibility()) continue;
    if (![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color).slice(0, 3)), light(behind(element))].sort();
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.push(`${element.tagName} ${element.textContent.slice(0, 30)} ${contrast.toFixed(2)}`);
  }
  return faint;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(site: Path, visit: Callable[..., Any], scheme: str) -> None:
    backgrounds = set()
    for name in ("index.html", "digits/index.html", "digits/hundred.html"):
        page = visit(site / name, color_scheme=scheme).page
        assert page.evaluate(FAINT) == []
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    (background,) = backgrounds
    brightness = sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) / 3
    assert brightness > 200 if scheme == "light" else brightness < 60


def test_everything_that_acts_is_reached_from_the_keyboard_and_shows_it(board: Path, visit: Callable[..., Any]) -> None:
    page = visit(board).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        kind, outline = page.evaluate(
            "(e => [e.tagName + '.' + e.className.split(' ')[0], getComputedStyle(e).outlineStyle])(document.activeElement)"
        )
        seen.add(kind)
        assert outline != "none" or kind == "BODY.", kind
    assert {"INPUT.", "DIV.box", "SPAN.dt-column-order", "A.name", "A.paper", "SUMMARY."} <= seen


def test_a_picture_of_the_board_is_made(visit: Callable[..., Any], tmp_path: Path) -> None:
    """Of MNIST's records in the checkout; BOARD_PICTURE=leaderboards/board.png puts it where the README shows it."""
    from harness.run.site import suite_page
    from harness.suites.suite import SUITES

    records = Path(__file__).parents[2] / "leaderboards"
    render(Home(records), tmp_path / "site", [suite_page(SUITES["mnist"])])
    page = visit(tmp_path / "site" / "mnist" / "first-1000" / "index.html", width=1360, device_scale_factor=1.25).page
    draw_all(page)
    page.evaluate("window.scrollTo({ top: 0, behavior: 'instant' })")
    box = page.locator("#board-heading").bounding_box()
    assert box is not None
    picture = Path(os.environ.get("BOARD_PICTURE") or tmp_path / "board.png")
    clip = {"x": 0, "y": box["y"] - 24, "width": 1360, "height": 1560}
    page.screenshot(path=picture, full_page=True, clip=clip)  # type: ignore[arg-type]
    assert picture.read_bytes().startswith(b"\x89PNG")
    measured = {path.stem for path in (records / "results" / "mnist" / "partial-1000").glob("*.json")}
    assert "Zhang2019Theoretically" in measured
    assert measured <= set(names(page)) | {
        name for row in names(page) for name in measured if name.startswith(f"{row}-s")
    }


def test_print_shows_the_whole_table(board: Path, visit: Callable[..., Any]) -> None:
    page = visit(board).page
    page.emulate_media(media="print")
    assert not page.locator(".tools").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.box')).overflow") == "visible"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory, record_of: RecordOf, seed_of: RecordOf) -> Path:
    """A board of two recipes with three seeds each, and an entrant between them."""
    home, place = Home(tmp_path_factory.mktemp("seeded")), np.arange(200)
    for seed in (1, 2, 3):
        for recipe, robust in (("trades", 120), ("sat", 80)):
            write_record(home.results, seed_of(home, recipe, seed, place < robust + 2 * seed))
    write_record(home.results, record_of("alone", robust=0.5, suite={"examples": 200}))
    render(home, home.site, [SuitePage("digits", "Digits", "Small.", "digits", "Linf", "0.1")])
    return home.site / "digits" / "index.html"


def test_a_click_shows_the_seeds_of_a_recipe_below_it_and_another_hides_them(
    seeded: Path, visit: Callable[..., Any]
) -> None:
    visited = visit(seeded)
    page = visited.page
    assert names(page) == ["trades", "alone", "sat"]
    assert not page.locator("[data-seeds-of=board]").is_visible()
    button = page.locator("#board").get_by_role("button", name="3 seeds of trades")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    assert names(page) == ["trades", "trades-s1", "trades-s2", "trades-s3", "alone", "sat"]
    button.click()
    assert button.get_attribute("aria-expanded") == "false"
    assert names(page) == ["trades", "alone", "sat"]
    assert visited.said == []


def test_seeds_stay_with_their_recipe_when_the_board_is_sorted_searched_and_narrowed(
    seeded: Path, visit: Callable[..., Any]
) -> None:
    page = visit(seeded).page
    page.locator("#board").get_by_role("button", name="3 seeds of sat").click()
    seeds = [f"sat-s{seed}" for seed in (1, 2, 3)]
    for order in (["trades", "alone", "sat", *seeds], ["sat", *seeds, "alone", "trades"]):
        sort_by(page, ROBUST)
        comes_to_show(page, *order)
    field = page.get_by_role("searchbox", name="Search")
    field.fill("trades")
    assert names(page) == ["trades"]
    field.fill("sat-s2")
    assert names(page) == ["sat", *seeds]
    assert found_words(page) == "1 of 3 rows"


def test_a_hidden_column_is_hidden_in_the_rows_of_seeds_too(seeded: Path, visit: Callable[..., Any]) -> None:
    page = visit(seeded).page
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="Ranked by").uncheck()
    page.locator("#board").get_by_role("button", name="3 seeds of trades").click()
    shown = {row.locator("> *:visible").count() for row in page.locator("#board tbody tr").all()}
    assert shown == {page.locator("#board thead th[data-place]:visible").count()}


def test_seeds_are_chosen_to_be_compared(seeded: Path, visit: Callable[..., Any]) -> None:
    page = visit(seeded).page
    page.locator("#board").get_by_role("button", name="3 seeds of trades").click()
    for seed in (1, 3):
        page.get_by_role("checkbox", name=f"Compare trades-s{seed}").check()
    page.get_by_role("link", name="Compare 2 chosen").click()
    until(page, "document.querySelectorAll('#compared thead th').length", 3)
    assert page.locator("#compared thead th").all_inner_texts() == ["Number", "trades-s1", "trades-s3"]


def test_without_a_script_the_seeds_are_a_table_below(seeded: Path, visit: Callable[..., Any]) -> None:
    page = visit(seeded, java_script_enabled=False).page
    below = page.locator("[data-seeds-of=board]")
    assert below.locator("tbody .name").all_inner_texts() == [
        f"{recipe}-s{seed}" for recipe in ("trades", "sat") for seed in (1, 2, 3)
    ]
    assert below.is_visible()
    page.locator("#board").get_by_role("link", name="3 seeds, below").first.click()
    assert page.url.endswith("#board-seeds-heading")
    assert page.locator("button.expand:visible").count() == 0
