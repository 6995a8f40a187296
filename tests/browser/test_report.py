"""The report of the quickstart as a reader meets it: from disk, without network."""

import json
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
STEMS = [path.stem for path in NOTEBOOKS]
PAGES = ["index", *STEMS]
PLACEHOLDERS = {"", "figure", "No description has been provided for this image"}
SHOWN_ROUNDED = 0.0005  # three digits

LINKS = "all => all.map(a => a.getAttribute('href'))"
TEXTS = "all => all.map(element => element.textContent.trim())"

# visible texts whose contrast with what lies behind them is below 4.5 (WCAG 2.2, 1.4.3)
FAINT = """() => {
  const pixel = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const luminance = colour => {
    const [r, g, b] = colour.map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.backgroundColor = 'Canvas';
  const paper = rgba(getComputedStyle(probe).backgroundColor);
  probe.remove();
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      layers.unshift(rgba(getComputedStyle(e).backgroundColor));
    }
    return layers.reduce((under, layer) => over(layer, under), paper);
  };
  const texts = [...document.body.querySelectorAll('*')].filter(e => e.checkVisibility()
    && !['SCRIPT', 'STYLE'].includes(e.tagName)
    && [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.textContent.trim()));
  const faint = [];
  for (const e of texts) {
    const back = behind(e);
    const ink = over(rgba(getComputedStyle(e).color), back);
    const [low, high] = [luminance(ink), luminance(back)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${e.textContent.trim().slice(0, 40)}`);
  }
  return {texts: texts.length, faint};
}"""


@pytest.fixture
def read(report, new_tab):
    """A function that opens a page of the report from disk, with the network off."""
    contexts = []

    def open_page(name, **options):
        tab = new_tab(offline=True, **options)
        contexts.append(tab.page.context)
        tab.page.goto((report / f"{name}.html").as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def numbers(report):
    """What numbers.json holds."""
    return json.loads((report / "numbers.json").read_text(encoding="utf-8"))


def table(page, heading):
    """Texts of the first table under a heading, a list a row."""
    found = page.locator(f"xpath=//h2[.='{heading}']/following::table[1]").locator("tr")
    return [row.locator("th, td").all_inner_texts() for row in found.all()]


def test_there_is_a_page_for_each_of_the_eight_notebooks(report):
    assert len(STEMS) == 8
    assert {path.stem for path in report.glob("*.html")} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_page_asks_for_nothing_but_itself_and_complains_of_nothing(report, read, name):
    tab = read(name)
    tab.page.wait_for_load_state("networkidle")
    asked = [url for url in tab.asked if not url.startswith("data:")]
    assert asked == [(report / f"{name}.html").as_uri()]
    assert tab.failed == []
    assert tab.said == []


@pytest.mark.parametrize("name", PAGES)
def test_html_names_no_address_on_the_network(report, name):
    text = (report / f"{name}.html").read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)=["']https?://[^"']*""", text) == []
    assert re.findall(r"""import\(["']https:[^"']*""", text) == []
    assert re.findall(r"""url\(["']?https?:[^)]*""", text) == []


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_is_drawn_and_told_in_words(read, name):
    pictures = read(name).page.locator("img").all()
    assert pictures
    for picture in pictures:
        alt = picture.get_attribute("alt") or ""
        assert picture.evaluate("img => img.decode().then(() => img.naturalWidth)") > 0, alt
        assert alt.strip() not in PLACEHOLDERS


@pytest.mark.parametrize("name", STEMS)
def test_code_is_folded_and_opens_on_a_click(report, read, name):
    notebook = nbformat.read(report / f"{name}.ipynb", as_version=4)
    written = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    cells = read(name).page.locator("details.sk-code")
    assert cells.evaluate_all("all => all.map(cell => cell.open)") == [False] * len(written)
    assert cells.locator("pre").evaluate_all(TEXTS) == [source.strip() for source in written]
    assert cells.last.locator("pre").is_hidden()
    cells.last.locator("summary").click()
    assert cells.last.locator("pre").is_visible()


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(report, read, name):
    page = read(name).page
    links = page.locator("a[href]").evaluate_all(LINKS)
    assert links
    for link in links:
        parts = urlsplit(link)
        assert not parts.scheme, link
        assert not parts.path or (report / unquote(parts.path)).is_file(), link
        if parts.fragment and not parts.path:
            assert page.evaluate("id => Boolean(document.getElementById(id))", parts.fragment), link


@pytest.mark.parametrize("name", STEMS)
def test_page_leads_on_to_pages_and_back_to_the_index(read, name):
    page = read(name).page
    links = page.locator("a[href]").evaluate_all(LINKS)
    assert "index.html" in links
    assert [link for link in links if link.endswith(".ipynb")] == []  # a browser shows its JSON


def test_index_lists_page_and_notebook_of_every_stage(read):
    page = read("index").page
    links = page.locator("a[href]").evaluate_all(LINKS)
    assert {f"{stem}{end}" for stem in STEMS for end in (".html", ".ipynb")} <= set(links)
    for stem in STEMS:
        page.get_by_role("link", name=re.compile(rf"^{int(stem[:2])} · ")).click()
        assert page.locator("h1").inner_text().startswith(f"{int(stem[:2])} · ")
        page.get_by_role("link", name="the report").click()
        assert page.locator("h1").inner_text() == "quickstart"


def test_verdict_shows_value_interval_baseline_and_trials(read):
    head, *rows = table(read("index").page, "The verdict")
    at = {name: head.index(name) for name in ("value", "95 % interval", "baseline", "trials")}
    assert len(rows) >= 2
    for row in rows:
        assert re.fullmatch(r"-?\d+\.\d{3}", row[at["value"]]), row
        assert re.fullmatch(r"-?\d+\.\d{3} to -?\d+\.\d{3}", row[at["95 % interval"]]), row
        assert re.fullmatch(r"-?\d+\.\d{3}", row[at["baseline"]]), row
        assert int(row[at["trials"]]) >= 1, row


def test_every_number_on_the_index_is_the_one_in_numbers_json(read, numbers):
    places = read("index").page.locator("[data-number]")
    shown = places.evaluate_all("all => all.map(place => [place.dataset.number, place.innerText])")
    assert len(shown) >= 20
    for name, text in shown:
        exact = numbers["numbers"][name]
        if text == "–":
            assert exact == "nan", name
        else:
            assert float(text.replace(",", "")) == pytest.approx(exact, abs=SHOWN_ROUNDED), name


def test_index_shows_the_identities_of_data_code_environment_and_params(read, numbers):
    rows = dict(table(read("index").page, "Where the numbers come from"))
    assert set(numbers["identity"]) == {"data", "code", "environment", "params"}
    assert rows == numbers["identity"] | {"trial ledger": numbers["ledger_head"]}
    assert all(re.fullmatch("[0-9a-f]{64}", identity) for identity in rows.values())


def test_index_shows_what_was_asked(read):
    page = read("index").page
    assert "Does a week-ahead direction exist" in page.locator(".question").inner_text()
    assert "{}" not in page.locator("pre").evaluate_all(TEXTS)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_sticks_out_sideways(read, name, width):
    page = read(name, width=width).page
    wide = "e => e.scrollWidth - e.clientWidth"
    assert page.locator("html").evaluate(wide) <= 0
    assert page.locator("body").evaluate(wide) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_stands_out_from_what_is_behind_it(read, name, scheme):
    seen = read(name, color_scheme=scheme).page.evaluate(FAINT)
    assert seen["texts"] > 20
    assert seen["faint"] == []


@pytest.mark.parametrize("name", PAGES)
def test_headings_are_in_order_under_one_title_in_a_named_language(read, name):
    page = read(name).page
    heads = page.locator("h1, h2, h3, h4, h5, h6")
    levels = heads.evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title().strip()
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", PAGES)
def test_header_cells_say_what_they_head(read, name):
    heads = read(name).page.locator("table th")
    assert heads.count() > 0
    scopes = heads.evaluate_all("all => all.map(th => [th.innerText.trim(), th.scope])")
    known = {"col", "row", "colgroup", "rowgroup"}
    assert [text for text, scope in scopes if scope not in known] == []


def test_the_list_of_trades_sorts_by_the_head_that_is_clicked(read):
    table = read("06_backtesting").page.locator(".sk-sortable table")
    heads = table.locator("thead th").evaluate_all(TEXTS)
    place = heads.index("return")
    button = table.locator("thead th").nth(place).get_by_role("button")
    cells = table.locator(f"tbody tr td:nth-child({place + 1})")
    before = [float(text) for text in cells.evaluate_all(TEXTS)]
    for downwards in (False, True):
        button.click()
        found = [float(text) for text in cells.evaluate_all(TEXTS)]
        assert found == sorted(before, reverse=downwards)
        assert table.locator("thead th[aria-sort]").count() == 1
    assert before not in (found, found[::-1])
