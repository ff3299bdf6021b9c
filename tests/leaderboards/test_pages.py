"""What stands on the pages, and what can never stand there."""

from __future__ import annotations

import base64
import csv
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import jinja2
import pytest

from leaderboards.board.board import Published
from leaderboards.charts.scripts import inline
from leaderboards.findings.findings import LINK as PAPER
from leaderboards.pages import bundle
from leaderboards.pages.environment import make_environment
from leaderboards.pages.method import MethodView
from leaderboards.pages.pages import Rendered, SuitePage, render
from leaderboards.pages.site import MARK
from leaderboards.records.files import record_path
from leaderboards.records.home import Home
from leaderboards.records.schema import Flag, Record

RecordOf = Callable[..., Record]
Written = Callable[..., Home]

DIGITS = SuitePage("digits", "Digits", "Small images.", "digits", "Linf", "0.1")
VOID = {"meta", "link", "br", "wbr", "input", "rect"}


@dataclass
class Node:
    tag: str
    attrs: dict[str, str]
    parts: list[Node | str] = field(default_factory=list)

    def all(self, tag: str = "", **attrs: str) -> Iterator[Node]:
        for part in self.parts:
            if isinstance(part, Node):
                if tag in ("", part.tag) and all(value in part.attrs.get(k, "").split() for k, value in attrs.items()):
                    yield part
                yield from part.all(tag, **attrs)

    def one(self, tag: str = "", **attrs: str) -> Node:
        found = list(self.all(tag, **attrs))
        assert len(found) == 1, (tag, attrs, len(found))
        return found[0]

    @property
    def text(self) -> str:
        return " ".join("".join(part if isinstance(part, str) else part.text for part in self.parts).split())


class Tree(HTMLParser):
    """A strict reader: what is opened is closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]
        self.feed(page)
        self.close()
        assert self.open == [self.root], f"<{self.open[-1].tag}> is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].parts.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].parts.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"<{self.open[-1].tag}> is closed by </{tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def pages_of(rendered: Rendered) -> list[Path]:
    """The pages that were written, without the data files beside them."""
    return [path for path in rendered.written if path.suffix == ".html"]


def read(path: Path) -> Node:
    return Tree(path.read_text(encoding="utf-8")).root


def cells(page: Node, table: str, column: str) -> dict[str, Node]:
    """The cells of one column by the entrant of their row; the column by its accessible name."""
    found = page.one("table", id=table)
    place = int(next(th.attrs["data-place"] for th in found.all("th") if th.attrs.get("aria-label") == column))
    rows = [[part for part in tr.parts if isinstance(part, Node)] for tr in found.one("tbody").all("tr")]
    return {row[1].one(**{"class": "name"}).text: row[place] for row in rows}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


def published(count: int) -> tuple[Published, ...]:
    return tuple(
        Published(
            name=f"Author{i}2023Title_WRN-28-{i}",
            standard_accuracy=0.9,
            autoattack_accuracy=round(0.7 - i / 1000, 4),
            best_known_accuracy=0.5 if i == 7 else None,
            architecture="WideResNet-28-10",
            authors=f"Author {i}, Another",
            venue="ICML 2023",
            title=f"Title {i}",
            link=f"https://example.org/{i}",
            additional_data=bool(i % 2),
        )
        for i in range(count)
    )


def test_a_suite_without_records_shows_every_published_row(tmp_path: Path, site: Path) -> None:
    suite = SuitePage("cifar10", "CIFAR-10", "", "CIFAR-10", "Linf", "8/255", published(99))
    assert render(Home(tmp_path / "nothing"), site, [suite]).problems == ()
    page = read(site / "cifar10" / "index.html")
    assert len(list(page.one("table", id="board").one("tbody").all("tr"))) == 99
    assert "Nothing has been measured on this suite yet" in page.one("main").text
    ranks = cells(page, "board", "Rank")
    assert ranks["Author02023Title_WRN-28-0"].text == "1"
    assert ranks["Author72023Title_WRN-28-7"].text == "99"  # by what is best known
    paper = next(a for a in page.all("a") if a.attrs["href"] == "https://example.org/3")
    assert paper.text == "Author 3 et al., ICML 2023"
    assert {cell.text for cell in cells(page, "board", "Ranked by").values()} == {"published", "published, best known"}
    assert "Robust accuracy, %: Measured" not in {th.attrs.get("aria-label") for th in page.all("th")}


def test_the_board_says_what_is_measured(record_of: RecordOf, written: Written, site: Path) -> None:
    render(written(record_of("A")), site, [DIGITS])
    lead = read(site / "digits" / "index.html").one("p", **{"class": "lead"}).text
    assert "360 test images of digits" in lead
    assert "L∞, ε = 0.1" in lead


def test_measured_numbers_stand_beside_published_ones(record_of: RecordOf, written: Written, site: Path) -> None:
    info = {"name": "cifar10", "dataset": "CIFAR-10", "examples": 10_000, "eps": 8 / 255}
    name = "Author02023Title_WRN-28-0"
    home = written(record_of(name, suite=info, robust=0.6911, energies=-4.2, entrant={"source": "robustbench"}))
    suite = SuitePage("cifar10", "CIFAR-10", "", "CIFAR-10", "Linf", "8/255", published(3))
    render(home, site, [suite])
    page = read(site / "cifar10" / "index.html")
    group = "Robust accuracy, %: "
    measured = cells(page, "board", f"{group}Measured")
    assert measured[name].one("span", **{"class": "value"}).text == "69.11"
    assert measured[name].one("span", **{"class": "ends"}).text == "68.20–70.01"
    assert float(measured[name].attrs["data-order"]) == 0.6911
    assert measured["Author12023Title_WRN-28-1"].text == measured["Author12023Title_WRN-28-1"].attrs["data-order"] == ""
    assert cells(page, "board", f"{group}Published")[name].text == "70.00"
    assert cells(page, "board", f"{group}Difference")[name].text == "−0.89"
    assert cells(page, "board", "Energy: Mean E(x)")[name].text == "−4.200"
    assert "8/255" in page.one("p", **{"class": "lead"}).text


def test_overlapping_intervals_overlap_on_the_page(record_of: RecordOf, written: Written, site: Path) -> None:
    robust = {"a": 0.80, "b": 0.78, "c": 0.30}
    render(written(*(record_of(name, robust=value) for name, value in robust.items())), site, [DIGITS])
    drawn = {}
    for name, cell in cells(read(site / "digits" / "index.html"), "board", "Robust accuracy, %: Measured").items():
        style = cell.one("span", **{"class": "bar"}).attrs["style"]
        start, width = (float(re.search(rf"--{end}:([\d.]+)%", style)[1]) for end in "sw")  # type: ignore[index]
        drawn[name] = start, start + width
        assert 0 <= drawn[name][0] < drawn[name][1] <= 100
    assert drawn["b"][1] > drawn["a"][0] > drawn["c"][1]


def test_every_cell_of_a_table_can_be_sorted_and_every_table_is_whole(
    record_of: RecordOf, written: Written, site: Path
) -> None:
    more = record_of("P", limit=4), record_of("Q", limit=4, robust=None)
    home = written(record_of("A", energies=-1.0), record_of("B", robust=None), *more)
    render(home, site, [DIGITS])
    pages = [read(site / "digits" / folder / "index.html") for folder in ("", "first-4")]
    tables = [table for page in pages for table in page.all("table", **{"class": "sortable"})]
    assert [table.attrs["id"] for table in tables] == ["board", "stages"] * 2
    for table in tables:
        heads = sorted(int(th.attrs["data-place"]) for th in table.all("th") if "data-place" in th.attrs)
        assert heads == list(range(len(heads)))
        kinds = {th.attrs["data-place"]: th.attrs["data-as"] for th in table.all("th") if "data-place" in th.attrs}
        for tr in table.one("tbody").all("tr"):
            row = [part for part in tr.parts if isinstance(part, Node)]
            assert len(row) == len(heads)
            for place, cell in enumerate(row):
                order = cell.attrs["data-order"]
                assert ("data-search" in cell.attrs) == (kinds[str(place)] == "words")
                if kinds[str(place)] == "number" and order:
                    float(order)


def test_tables_are_said_aloud(record_of: RecordOf, written: Written, site: Path) -> None:
    for path in pages_of(render(written(record_of("A"), record_of("B"), record_of("P", limit=4)), site, [DIGITS])):
        page = read(path)
        assert page.one("html").attrs["lang"] == "en"
        assert len(list(page.all("h1"))) == len(list(page.all("main"))) == len(list(page.all("title"))) == 1
        ids = [node.attrs["id"] for node in page.all() if "id" in node.attrs]
        assert len(set(ids)) == len(ids)
        levels = [int(node.tag[1]) for node in page.all() if re.fullmatch(r"h[1-6]", node.tag)]
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        for table in page.all("table"):
            assert table.one("caption").text
            assert all(th.attrs["scope"] in ("col", "colgroup", "row") for th in table.all("th"))
            assert all(len(list(tr.all("th", scope="row"))) == 1 for tr in table.one("tbody").all("tr"))
        assert all(figure.one("div", role="img").attrs["aria-label"] for figure in page.all("figure"))
        for node in page.all():
            for reference in (*node.attrs.get("aria-labelledby", "").split(), node.attrs.get("for")):
                assert reference is None or reference in ids
        assert all(box.attrs.get("tabindex") == "0" for box in page.all("div", **{"class": "box"}))


def test_the_index_tells_of_every_suite(record_of: RecordOf, written: Written, site: Path) -> None:
    late = {"measured_at": "2027-02-03T04:05:06+00:00"}
    home = written(record_of("A", robust=0.4), record_of("B", robust=0.6, provenance=late), record_of("P", limit=9))
    empty = SuitePage("cifar10", "CIFAR-10", "", "CIFAR-10", "Linf", "8/255", published(2))
    render(home, site, [empty, DIGITS])
    page = read(site / "index.html")
    first, second = page.all("li", **{"class": "suite"})
    assert "Digits" in first.text, "what was measured stands first"
    assert "2 entrants, all 360 test images" in first.text
    assert "1 entrant, first 9 test images of 360" in first.text
    assert "Published only" not in first.text
    assert "60.0 %" in first.text
    assert "B" in first.text
    assert "2027-02-03" in first.text
    assert [a.attrs["href"] for a in first.all("a")] == [
        *("digits/index.html", "digits/index.html", "digits/first-9/index.html")
    ]
    assert "0 entrants" in second.text
    assert "Published only2 entrants" in second.text
    assert "70.00 %" in second.text
    assert "none yet" in second.text


def test_a_demonstration_stands_last_on_the_index(record_of: RecordOf, written: Written, site: Path) -> None:
    empty = SuitePage("cifar10", "CIFAR-10", "", "CIFAR-10", "Linf", "8/255", published(2))
    first = record_of("P", limit=9, suite={"name": "mnist", "dataset": "mnist"})
    suites = [replace(DIGITS, demonstration=True), empty, SuitePage("mnist", "MNIST", "", "mnist", "Linf", "0.3")]
    render(written(record_of("A"), first), site, suites)
    assert [li.one("h2").text for li in read(site / "index.html").all("li", **{"class": "suite"})] == [
        *("MNIST", "CIFAR-10", "Digits")
    ]


def test_an_entrants_page_holds_all_that_was_measured(record_of: RecordOf, written: Written, site: Path) -> None:
    flag = Flag(code="zero-gradients", message="zero gradients on 3 examples")
    card = {"licence": "MIT", "training": {"recipe": "trades", "epochs": 60}, "title": "A Title", "venue": "ICML 2023"}
    record = record_of("A", energies=-4.25, flags=(flag,), entrant=card, arrays=site.parent / "arrays")
    render(written(record), site, [DIGITS])
    text = read(site / "digits" / "A.html").one("main").text
    for measurement in record.measurements.values():
        assert f"version 1, {measurement.n} examples" in text
    for words in (
        *(
            "AutoAttack accuracy",
            "Accuracy after APGD-CE",
            "Accuracy after Square",
            "PGD: accuracy",
            "E(x), mean",
            "−4.250",
        ),
        *("95 %, wilson", "batch_size256", "seed0", "cuda, NVIDIA H200", "fp32", "2026-11-20T21:34:00+00:00"),
        *("0123456789abcdef0123456789abcdef01234567", "torch 2.15.0", "a" * 64, "recipetrades", "MIT"),
        *(
            "Zero gradients. zero gradients on 3 examples",
            "90.0 min",
            "1 of 1",
            "31,402",
            "A Title",
            "pgd.marginal_energy_adv in",
        ),
    ):
        assert words in text, words


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;{{ 7*7 }}\u202eשלום</bdi></td>"


def hostile(record_of: RecordOf, **more: object) -> Record:
    card = dict.fromkeys(("spec", "architecture", "title", "authors", "venue", "licence", "weights_sha256"), HOSTILE)
    card |= {"link": "javascript:alert(1)", "training": {HOSTILE: HOSTILE}}
    flag = Flag(code=HOSTILE, message=HOSTILE)
    made = {"device": HOSTILE, "device_name": HOSTILE, "precision": HOSTILE, "commit": HOSTILE, "measured_at": HOSTILE}
    return record_of(HOSTILE, entrant=card, flags=(flag,), provenance=made, energies=-1.0, **more)


def test_texts_from_a_card_are_never_markup(record_of: RecordOf, written: Written, site: Path) -> None:
    home = written(
        hostile(record_of),
        hostile(record_of, limit=3),
        hostile(record_of, suite={"name": HOSTILE, "dataset": HOSTILE, "split": HOSTILE, "norm": HOSTILE}),
    )
    (home.results / "digits" / "b<b>&.json").write_text("{")
    row = Published(HOSTILE, 0.5, 0.5, 0.5, HOSTILE, HOSTILE, HOSTILE, HOSTILE, "data:text/html,x", None, True)
    suite = SuitePage("digits", HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, (row,))
    rendered = render(home, site, [suite])
    assert (
        len(pages_of(rendered)) == 12
    )  # with a board of the first 3, and its comparison; one record contradicts itself
    for path in pages_of(rendered):
        assert path.resolve().is_relative_to(site.resolve())
        page = read(path)
        assert not list(page.all("img"))
        assert not list(page.all("b"))
        kinds = {script.attrs["type"] for script in page.all("script")}
        assert kinds <= {"module", "application/json"}
        assert not [script for script in page.all("script") if set(script.attrs) - {"type", "id"}]
        assert not [name for node in page.all() for name in node.attrs if name.startswith("on")]
        shown = "".join(node.text for node in page.one("main").all() if node.tag == "bdi")
        assert "49" not in shown
        hrefs = [a.attrs["href"] for a in page.all("a")]
        assert all(not urlsplit(href).scheme for href in hrefs if href != PAPER)
        for node in page.all():
            if any(isinstance(part, str) and "שלום" in part for part in node.parts):
                assert node.tag in ("bdi", "title", "code", "option"), node.tag


def test_long_texts_are_cut_on_the_board_and_whole_on_the_entrants_page(
    record_of: RecordOf, written: Written, site: Path
) -> None:
    name = "word " * 200
    flag = Flag(code="x", message="long " * 500)
    render(written(record_of(name, flags=(flag,), entrant={"title": name, "architecture": name})), site, [DIGITS])
    page = read(site / "digits" / "index.html")
    assert len(page.one("table", id="board").one("tbody").text) < 800
    (own,) = (a.attrs["href"] for a in page.one("table", id="board").all("a", **{"class": "name"}))
    text = read(site / "digits" / own).one("main").text
    assert name.strip() in text
    assert flag.message.strip() in text


def test_characters_that_html_cannot_hold_become_replacement_characters(
    record_of: RecordOf, written: Written, site: Path
) -> None:
    suite = SuitePage("digits", "a\0b\ud800c", "", "digits", "Linf", "0.1")
    render(written(record_of("A\0B")), site, [suite])
    assert read(site / "digits" / "index.html").one("h1").text == "a\ufffdb\ufffdc"


def test_pages_load_nothing_and_lead_to_pages_that_exist(record_of: RecordOf, written: Written, site: Path) -> None:
    suite = SuitePage("digits", "Digits", "", "digits", "Linf", "0.1", published(2))
    other = record_of("old", suite={"version": 0})
    parts = (
        record_of("P", limit=4, flags=(Flag(code="x", message="odd"),)),
        record_of("P", limit=3),
        record_of("Q", limit=4),
    )
    for path in pages_of(render(written(record_of("A"), *parts, other), site, [suite])):
        page = read(path)
        assert not [
            node for node in page.all() if {"src", "srcset", "action", "background", "poster"} & set(node.attrs)
        ]
        assert [link.attrs for link in page.all("link")] == [{"rel": "icon", "href": "data:,"}]
        assert not re.search(r"url\(|@import|@font-face", page.one("style").text)
        for anchor in page.all("a"):
            href = anchor.attrs["href"]
            if urlsplit(href).scheme:
                assert href.startswith("https://example.org/") or href == PAPER
                assert anchor.attrs["rel"] == "noopener noreferrer"
            else:
                file, _, fragment = href.partition("#")
                target = path.parent / file if file else path
                assert target.is_file(), href
                assert not href.startswith("/")
                if fragment.startswith("entrant="):
                    assert file.endswith("compare.html")
                    continue
                assert not fragment or any(node.attrs.get("id") == fragment for node in read(target).all())


def test_no_script_runs_but_the_one_that_the_page_names(record_of: RecordOf, written: Written, site: Path) -> None:
    render(written(record_of("A", energies=-1.0), record_of("B")), site, [DIGITS])
    counts = {"index.html": 0, "method.html": 0, "digits/index.html": 3, "digits/compare.html": 2, "digits/B.html": 1}
    for name, scripts in counts.items():
        raw = (site / name).read_text(encoding="utf-8")
        found = re.findall(r'<script type="module">(.*?)</script>', raw, re.DOTALL)
        assert len(found) == scripts
        (policy,) = (m.attrs["content"] for m in read(site / name).all("meta") if "http-equiv" in m.attrs)
        allowed = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in found]
        assert f"script-src {' '.join(allowed) if found else chr(39) + 'none' + chr(39)};" in policy
        assert "default-src 'none'" in policy


def test_datatables_lies_in_the_installed_bundle() -> None:
    script = bundle.table_script()
    assert re.search(r"DataTables 2\.\d+\.\d+", script)
    assert re.search(r"^const DataTable = [\w$]+;$", script, re.MULTILINE)
    assert "<!--" not in script
    assert "</script" not in script


def test_a_script_cannot_end_its_element() -> None:
    assert inline("a = '</script><!-- ';") == "a = '\\x3C/script>\\x3C!-- ';"


def snapshot(site: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in site.rglob("*") if path.is_file()}


def test_equal_records_give_equal_bytes(record_of: RecordOf, tmp_path: Path, written: Written) -> None:
    home = written(record_of("A", energies=-1.0), record_of("B"), record_of("P", limit=4))
    for name in ("one", "two"):
        render(home, tmp_path / name, [DIGITS])
    one, two = (
        {path.relative_to(tmp_path / name): content for path, (content, _) in snapshot(tmp_path / name).items()}
        for name in ("one", "two")
    )
    assert one == two
    assert not any(str(tmp_path).encode() in content for content in one.values())


def test_the_same_again_writes_nothing(record_of: RecordOf, written: Written, site: Path) -> None:
    home = written(record_of("A"), record_of("B"))
    first = render(home, site, [DIGITS])
    before = snapshot(site)
    again = render(home, site, [DIGITS])
    assert (again.written, again.removed) == ((), ())
    assert again.unchanged == first.written == tuple(sorted(before))
    assert snapshot(site) == before


def test_only_pages_that_change_are_written(record_of: RecordOf, written: Written, site: Path) -> None:
    render(written(record_of("A", robust=0.5), record_of("B", robust=0.4)), site, [DIGITS])
    again = render(written(record_of("B", robust=0.41)), site, [DIGITS])
    digits = ("B.html", "B.json", "board.csv", "board.json", "compare.html", "index.html")
    assert again.written == (*(site / "digits" / name for name in digits), site / "index.html")


def test_pages_of_entrants_that_are_gone_are_removed_and_nobody_elses(
    record_of: RecordOf, written: Written, site: Path, tmp_path: Path
) -> None:
    gone, partial = record_of("Gone"), record_of("Part", limit=4)
    home = written(record_of("A"), gone, partial)
    render(home, site, [DIGITS, SuitePage("old", "Old", "", "x", "L2", "0.5")])
    names = ("digits/mine.html", "about.html", "digits/Gone.txt", "digits/mine.json", "digits/old.csv")
    theirs = [site / name for name in names]
    for path in theirs:
        path.write_text("<!doctype html><title>mine</title>")
    outside = tmp_path / "outside.html"
    outside.write_text(f"<!doctype html>{MARK}")
    (site / "digits" / "link.html").symlink_to(outside)
    for record in (gone, partial):
        record_path(home.results, record).unlink()
    again = render(home, site, [DIGITS])
    first = (
        *(f"first-4/{name}.{kind}" for name in ("Part", "findings") for kind in ("html", "json")),
        *(f"first-4/board.{kind}" for kind in ("bib", "csv", "json")),
    )
    gone_files = ("Gone.html", "Gone.json", "compare.html", "first-4/index.html", *first)
    assert set(again.removed) == {*(site / "digits" / name for name in gone_files), site / "old" / "index.html"}
    assert not (site / "old").exists()
    assert not (site / "digits" / "first-4").exists()
    assert all(path.exists() for path in (*theirs, outside, site / "digits" / "link.html", site / "digits" / "A.html"))


def test_an_entrant_called_index_does_not_take_the_board(record_of: RecordOf, written: Written, site: Path) -> None:
    render(written(record_of("index"), record_of("A")), site, [DIGITS])
    assert "index" in cells(read(site / "digits" / "index.html"), "board", "Rank")


def test_a_bad_record_is_named_and_the_rest_is_shown(record_of: RecordOf, written: Written, site: Path) -> None:
    home = written(record_of("A"))
    good = json.loads(record_of("B").to_json())
    (home.results / "digits" / "newer.json").write_text(json.dumps(good | {"schema_version": 2}))
    (home.results / "digits" / "broken.json").write_text("{")
    (home.results / "digits" / "copy.json").write_text(json.dumps(good))
    (home.results / "digits" / "folder.json").mkdir()
    (home.results / "elsewhere").mkdir()
    (home.results / "elsewhere" / "x.json").write_text("[]")
    rendered = render(home, site, [DIGITS])
    named = {problem.file: problem.message for problem in rendered.problems}
    assert set(named) == {f"digits/{n}.json" for n in ("newer", "broken", "copy", "folder")} | {"elsewhere/x.json"}
    assert "schema version 1 in digits/newer.json, got 2" in named["digits/newer.json"]
    assert "belongs in digits/B.json" in named["digits/copy.json"]
    page, index = read(site / "digits" / "index.html"), read(site / "index.html")
    for file, message in named.items():
        assert file in index.one("section", **{"class": "problems"}).text
        assert (message in page.one("section", **{"class": "problems"}).text) == file.startswith("digits/")
    assert list(cells(page, "board", "Rank")) == ["A"]


def test_missing_and_corrupt_arrays_are_named_and_the_numbers_stay(
    record_of: RecordOf, written: Written, site: Path, tmp_path: Path
) -> None:
    arrays = tmp_path / "arrays"
    records = {name: record_of(name, robust=r, arrays=arrays) for name, r in (("ok", 0.5), ("gone", 0.4), ("bad", 0.3))}
    home = written(*records.values())
    files = {name: arrays / (record.measurements["autoattack"].arrays).file for name, record in records.items()}  # type: ignore[union-attr]
    files["gone"].unlink()
    files["bad"].write_bytes(b"x")
    rendered = render(home, site, [DIGITS])
    assert sorted(problem.file for problem in rendered.problems) == ["digits/bad.json", "digits/gone.json"]
    page = read(site / "digits" / "index.html")
    assert len(cells(page, "board", "Rank")) == 3
    notes = cells(page, "board", "Notes")
    assert notes["bad"].text == notes["gone"].text == "autoattack: its arrays do not verify"
    assert notes["ok"].text == ""
    assert files["bad"].name in read(site / "digits" / "bad.html").one("main").text
    assert "see notes" in page.one("table", id="board").text


def test_the_first_examples_have_a_board_of_their_own(record_of: RecordOf, written: Written, site: Path) -> None:
    suite = replace(DIGITS, published=(Published("Theirs", 0.9, 0.7, title="T"),))
    first = (record_of(name, limit=64, robust=r, energies=-1.0) for name, r in (("A", 0.8), ("B", 0.5)))
    render(written(record_of("A", robust=0.4), *first, record_of("C", limit=8)), site, [suite])
    page, part = (read(site / "digits" / folder / "index.html") for folder in ("", "first-64"))
    assert {name: cell.text for name, cell in cells(page, "board", "Rank").items()} == {"Theirs": "1", "A": "2"}
    assert part.one("h1").text == "Digits: first 64 test images"
    assert "Accuracy on the first 64 of 360 test images of digits" in part.one("p", **{"class": "lead"}).text
    scopes = "Measured rows: the first 64 of 360 test images. Published rows: all 360."
    assert scopes in part.one("p", **{"class": "scopes"}).text
    assert {name: cell.text for name, cell in cells(part, "board", "Rank").items()} == {
        "A": "1",
        "Theirs": "",
        "B": "2",
    }
    assert {name: cell.text for name, cell in cells(part, "board", "n").items()} == {
        "A": "64",
        "Theirs": "360",
        "B": "64",
    }
    assert list(cells(part, "stages", "Rank")) == ["A", "B"]
    for board, others in ((page, ("First 64", "First 8")), (part, ("All 360", "First 8"))):
        assert [a.text for a in board.one("nav", **{"class": "siblings"}).all("a")] == [
            f"{o} test images" for o in others
        ]
    for chart in part.all("script", type="application/json"):
        assert "Theirs" not in chart.text, "no chart sets a number of all images beside one of the first"
    own = read(site / "digits" / "first-64" / "B.html")
    assert "Only the first 64 of 360 examples were judged" in own.one("main").text
    assert "Rank2 of 2" in own.one("main").text
    assert "--limit 64" in next(own.all("pre")).text
    with (site / "digits" / "first-64" / "board.csv").open(encoding="utf-8") as stream:
        assert [(line["entrant"], line["rank"], line["n"]) for line in csv.DictReader(stream)] == [
            *(("A", "1", "64"), ("Theirs", "", "360"), ("B", "2", "64"))
        ]
    plain = json.loads((site / "digits" / "first-64" / "board.json").read_text(encoding="utf-8"))
    assert plain["suite"]["first"] == 64
    assert "first" not in json.loads((site / "digits" / "board.json").read_text(encoding="utf-8"))["suite"]


def test_a_suite_measured_on_first_images_alone_says_so_first(
    record_of: RecordOf, written: Written, site: Path
) -> None:
    render(written(record_of("A", limit=64)), site, [replace(DIGITS, published=published(2))])
    notice = read(site / "digits" / "index.html").one("p", **{"class": "notice"})
    assert notice.text == (
        "No entrant was measured on all 360 test images yet. Entrants were measured on the first images alone: 1 on the first"
        " 64 test images. Others published the numbers below. They were not checked here."
    )
    assert notice.one("a").attrs["href"] == "../digits/first-64/index.html"
    part = read(site / "digits" / "first-64" / "index.html").one("table", id="board").one("tbody")
    assert [tr.attrs.get("class") for tr in part.all("tr")] == ["elsewhere", "elsewhere", "measured"], "told apart"


def test_a_board_of_another_version_than_the_whole_one_says_so(
    record_of: RecordOf, written: Written, site: Path
) -> None:
    render(written(record_of("A"), record_of("B", limit=8, suite={"version": 0})), site, [DIGITS])
    siblings = read(site / "digits" / "index.html").one("nav", **{"class": "siblings"}).text
    assert "measured on version 0 of the suite; the board shows version 1" in siblings


def test_the_problems_of_partial_records_stand_on_their_board(
    record_of: RecordOf, written: Written, site: Path
) -> None:
    home = written(record_of("A"), record_of("B", limit=8), record_of("B", limit=4))
    (home.results / "digits" / "partial-8" / "bad.json").write_text("{")
    render(home, site, [DIGITS])
    for folder, there in (("", True), ("first-8", True), ("first-4", False)):
        page = read(site / "digits" / folder / "index.html")
        assert bool(list(page.all("section", **{"class": "problems"}))) == there


def test_charts_of_a_partial_run_are_drawn_where_the_board_is_empty(
    record_of: RecordOf, written: Written, site: Path
) -> None:
    render(written(record_of("A", limit=64, energies=-1.0)), site, [DIGITS])
    own = read(site / "digits" / "first-64" / "A.html")
    assert list(own.all("figure", **{"class": "chart"}))
    assert len(list(own.all("script", type="module"))) == 2  # of charts, and of lines to be copied


def test_what_is_not_comparable_is_listed_with_its_reason(record_of: RecordOf, written: Written, site: Path) -> None:
    render(written(record_of("A"), record_of("Old", suite={"version": 0})), site, [DIGITS])
    page = read(site / "digits" / "index.html")
    assert list(cells(page, "board", "Rank")) == ["A"]
    reason = "measured on version 0 of the suite; the board shows version 1"
    assert f"Old: {reason}" in page.one("ul", **{"class": "others"}).text
    assert reason.capitalize() in read(site / "digits" / "Old.html").one("main").text


def test_a_suite_that_only_records_know_of_has_a_page(record_of: RecordOf, written: Written, site: Path) -> None:
    home = written(record_of("A", suite={"name": "my suite", "dataset": "Mine", "norm": "L2", "eps": 0.5}))
    render(home, site, [DIGITS])
    links = [a.attrs["href"] for a in read(site / "index.html").all("a") if "suite" in a.text]
    assert len(links) == 1
    assert "Euclidean distance" in read(site / links[0]).one("p", **{"class": "lead"}).text


def test_a_suite_given_twice_is_refused(tmp_path: Path, site: Path) -> None:
    with pytest.raises(ValueError, match="every suite once"):
        render(Home(tmp_path), site, [DIGITS, DIGITS])


def test_no_suite_at_all_is_an_index(tmp_path: Path, site: Path) -> None:
    rendered: Rendered = render(Home(tmp_path / "none"), site, [])
    assert rendered.written == (site / "index.html", site / "method.html")
    assert "No suite yet" in read(site / "index.html").one("main").text


def test_unmeasured_values_say_why(record_of: RecordOf, written: Written, site: Path) -> None:
    plain = json.loads(record_of("A").to_json())
    plain["measurements"]["standard"]["values"]["standard_accuracy"] = {"value": None, "n": 0, "reason": "no labels"}
    plain["measurements"]["autoattack"]["values"]["new_value"] = {"value": "NaN", "n": 1}
    render(written(Record.model_validate(plain)), site, [DIGITS])
    text = read(site / "digits" / "A.html").one("main").text
    assert "not known no labels" in text
    assert "new_value" in text
    assert "NaN" in text


@pytest.mark.slow
def test_a_board_of_five_hundred_entrants_stays_light(record_of: RecordOf, written: Written, site: Path) -> None:
    one = record_of("A", energies=-1.0)
    records = [
        one.model_copy(update={"entrant": one.entrant.model_copy(update={"name": f"entrant-{i}"})}) for i in range(500)
    ]
    home = written(*records)
    rendered = render(home, site, [DIGITS])
    assert len(pages_of(rendered)) == 505
    assert os.path.getsize(site / "digits" / "index.html") < 4_000_000


def test_pages_are_no_larger_than_they_must_be(record_of: RecordOf, written: Written, site: Path) -> None:
    render(written(record_of("A"), record_of("B")), site, [DIGITS])
    assert os.path.getsize(site / "digits" / "index.html") < 1_800_000  # the scripts of tables and charts are 1.5 MB
    assert os.path.getsize(site / "digits" / "A.html") < 50_000
    assert os.path.getsize(site / "method.html") < 60_000


def test_a_name_that_a_view_does_not_have_is_an_error_and_no_gap_on_a_page() -> None:
    environment = make_environment()
    assert environment.from_string("{{ view.topics[0].key }}").render(view=MethodView()) == "accuracy"
    for text in ("{{ view.topic }}", "{% if view.topic %}{% endif %}", "{{ topics }}"):
        with pytest.raises(jinja2.UndefinedError):
            environment.from_string(text).render(view=MethodView())
