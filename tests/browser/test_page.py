"""The HTML report in a browser: by mouse, by keyboard, with hostile names and with many models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_triton.checks.result import DEPLOYMENT_TEST, SERVICE
from pytest_triton.ledger import Ledger
from pytest_triton.reports.html import html
from support import sample_ledgers as ledgers
from support.chromium import Browser

Show = Callable[..., Path]

STORY = "document.querySelector('#story')"
SHOWN = "[...document.querySelectorAll('#matrix tbody tr')].filter(row => !row.hidden)"
NAMES = f"{SHOWN}.map(row => row.querySelector('bdi').textContent)"


def cell(model: str, column: int) -> str:
    """A selector: `column` counts from 1."""
    return f"#matrix tbody tr:nth-child({ORDER.index(model) + 1}) > :nth-child({column})"


# worst first, then by name; so the page says it
ORDER = ["legacy", "ranker", "lost", "cleanup", "detector", "llm", "spellcheck", "tokenizer"]


def test_nothing_but_the_file_is_asked_for(browser: Browser, show: Show) -> None:
    page = show(ledgers.one_of_everything())
    assert browser.requests == [page.as_uri()]
    assert browser.errors == []


def test_order_is_worst_first(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything())
    assert browser.eval(NAMES) == ORDER
    browser.eval("document.querySelector('#order').value = 'name'")
    browser.eval("document.querySelector('#order').dispatchEvent(new Event('change'))")
    assert browser.eval(NAMES) == sorted(ORDER)


def test_click_reports_the_story_of_a_model(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything())
    assert browser.eval(f"{STORY}.hidden")
    browser.click(cell("ranker", 6))
    text = browser.eval(f"{STORY}.innerText")
    for part in (
        "ranker",
        "GPU + CPU",
        "models/ranker/config.pbtxt:4",
        "runs on CPU and on no GPU, though it was predicted",
        "nvcr.io/nvidia/tritonserver:24.10-py3",
        "driver 550.54.15",
        "0: NVIDIA L4 GPU-5d0d0a1e",
        "failed to load 'ranker' version 1: Internal: CUDA",
        "has kind KIND_GPU but no GPUs are available",  # Triton's text, on the other hardware
        "commit 8f2c1ab0c9d8",
    ):
        assert part in text, part
    first = browser.eval(f"{STORY}.querySelector('section').innerText")
    assert "REAL RUN" in first, "the hardware that was clicked comes first"


def test_problem_at_the_top_opens_the_model_at_its_place(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything())
    links = "[...document.querySelectorAll('.problems a')].map(one => one.textContent)"
    assert browser.eval(links) == ["legacy", "ranker", "lost", "lost"]
    browser.click(".problems li:nth-child(2) a")
    browser.wait_for(f"!{STORY}.hidden")
    assert browser.eval(f"{STORY}.querySelector('h2').textContent") == "ranker"
    assert "REAL RUN" in browser.eval(f"{STORY}.querySelector('section').innerText")


@pytest.mark.parametrize("width", [390, 820, 1400, 1920])
def test_first_screen_says_what_is_wrong_and_where(
    browser: Browser, show: Show, width: int
) -> None:
    browser.look(width=width, height=844)
    show(ledgers.three_deployments(999))
    seen = "[...document.querySelectorAll('.problems li')].map(one => one.getBoundingClientRect())"
    boxes = browser.eval(f"{seen}.map(box => [box.top, box.bottom, box.width])")
    assert len(boxes) == 2
    assert all(bottom <= 844 and 0 < across <= width for _, bottom, across in boxes)
    assert browser.eval("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [768, 1024, 1440])
def test_deployments_are_seen_whole_and_names_are_not_broken(
    browser: Browser, show: Show, width: int
) -> None:
    browser.look(width=width)
    known = ledgers.deployments(small=1, medium=2, large=4, huge=8)
    down = [
        ledgers.check(SERVICE, DEPLOYMENT_TEST, text, deployment=f"compose.yaml::{name}")
        for name, text in (("small", "small doesn't come up"), ("large", ""))
    ]
    ledger = replace(known, entries=(*known.entries, *down))
    show(ledgers.merged_with_plan(ledger, "cpu_with_gpus"))
    parts = "document.querySelector('.parts')"
    assert browser.eval(f"{parts}.scrollWidth <= {parts}.clientWidth")
    lines = (
        "[...document.querySelectorAll('#matrix bdi, #matrix .deployment')]"
        ".filter(one => one.getClientRects().length > 1 || one.offsetHeight > 24)"
        ".map(one => one.textContent)"
    )
    assert browser.eval(lines) == []
    assert (
        browser.eval("document.querySelector('#count').textContent") == "9 models, in 4 deployments"
    )


def test_failed_check_is_in_the_story_in_full(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything())
    browser.click(cell("legacy", 3))
    first = browser.eval(f"{STORY}.querySelector('section').innerText")
    assert "test_explicit_placement" in first
    assert "kind: KIND_GPU" in first


def test_everything_by_keyboard(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything())
    browser.press("/")
    browser.write("tokenizer")
    assert browser.eval(NAMES) == ["tokenizer"]
    assert browser.eval("document.querySelector('#count').textContent") == "1 of 8 models"
    browser.press("Escape")
    assert len(browser.eval(NAMES)) == 8

    focused = "document.activeElement"
    for _ in range(20):
        browser.press("Tab")
        if browser.eval(f"!!{focused}.closest('#matrix')"):
            break
    assert browser.eval(f"{focused}.textContent") == "legacy"
    browser.press("ArrowDown")
    browser.press("End")
    assert "CPU" in browser.eval(f"{focused}.textContent")
    browser.press("Enter")
    assert not browser.eval(f"{STORY}.hidden")
    assert browser.eval(f"{focused}.textContent") == "ranker", "the story's title has the focus"
    browser.press("Escape")
    assert browser.eval(f"{STORY}.hidden")
    assert browser.eval(f"{focused}.dataset.k") == "failed", "the focus is back"
    browser.press("PageDown")
    browser.press("Home")
    assert browser.eval(f"{focused}.textContent") == "tokenizer"
    browser.press("PageUp")
    browser.press("ArrowUp")
    assert browser.eval(f"{focused}.textContent") == "legacy"


def test_story_follows_the_arrows(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything())
    browser.click(cell("legacy", 4))
    browser.eval("document.querySelector('[aria-selected]').focus()")
    browser.press("ArrowDown")
    assert browser.eval(f"{STORY}.querySelector('h2').textContent") == "ranker"
    assert not browser.eval("document.activeElement.closest('#story')"), "one can walk on"


def test_legend_filters(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything())
    browser.click(".legend button[data-k=failed]")
    assert browser.eval(NAMES) == ["legacy", "ranker"], "a failed check is a failure too"
    assert browser.eval("document.querySelector('.legend [data-k=failed] b').textContent") == "2"
    browser.click(".legend button[data-k=failed]")
    browser.click(".legend button[data-r=real]")
    assert browser.eval(NAMES) == ["ranker", "detector", "tokenizer"]
    browser.click(".legend button[data-k=cpu]")
    assert browser.eval(NAMES) == ["tokenizer"], "a cell of this kind, from a real run"
    browser.press("/")
    browser.write("nothing like it")
    assert browser.eval(NAMES) == []
    assert not browser.eval("document.querySelector('#empty').hidden")


def test_only_what_needs_attention(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything())
    browser.click("#attention")
    assert browser.eval(NAMES) == ["legacy", "ranker", "lost"]


def test_rehearsal_and_real_run_look_different(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything())

    def fill(column: int) -> str:
        found = f"getComputedStyle(document.querySelector('{cell('detector', column)} svg')).fill"
        return str(browser.eval(found))

    assert fill(5) == "none"
    assert fill(6).startswith("rgb")


def test_story_has_an_address(browser: Browser, show: Show) -> None:
    show(ledgers.one_of_everything(), "#model=detector&at=5")
    assert browser.eval(f"{STORY}.querySelector('h2').textContent") == "detector"
    browser.click(cell("lost", 4))
    assert browser.eval("location.hash") == "#model=lost&at=3"


def test_hostile_texts_are_only_texts(browser: Browser, show: Show) -> None:
    evil = "</script><script>window.hurt=1</script><img src=x onerror=window.hurt=1>{{rows}}"
    names = [evil, "new\nline", "\u202egpj.exe", "\u05d0\u05d1\u05d2", "a\udcffb", "' \" & <b>"]
    entries = [
        ledgers.entry(
            name,
            ledgers.ready("CPU"),
            deployment=evil,
            verdict="failed",
            text=evil + "\u202e",
            log=evil,
            headline=evil,
        )
        for name in names
    ]
    show(Ledger((ledgers.CPU_JOB,), (*entries, ledgers.check(evil, evil, evil, deployment=evil))))
    shown = browser.eval(NAMES)
    assert sorted(shown) == sorted(
        [evil, r"new\nline", r"\u202egpj.exe", "\u05d0\u05d1\u05d2", r"a\udcffb", "' \" & <b>"]
    )
    for number in range(1, len(shown) + 1):
        browser.click(f"#matrix tbody tr:nth-child({number}) th")
        assert "\u202e" not in browser.eval("document.body.textContent")
    assert browser.eval("window.hurt") is None
    assert browser.eval("document.querySelectorAll('img').length") == 0
    assert browser.errors == []


def test_nothing_that_is_put_in_could_run(browser: Browser, show: Show) -> None:
    """The page's own policy stops what an escaping bug would let in."""
    show(ledgers.all_proven())
    browser.eval(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hurt=1\">')"
    )
    browser.wait_for("document.images[0].complete")
    assert browser.eval("window.hurt") is None
    browser.eval("void 0")
    assert any("Content Security Policy" in one for one in browser.errors)


def test_dark_and_light(browser: Browser, show: Show) -> None:
    back = "getComputedStyle(document.body).backgroundColor"
    show(ledgers.all_proven())
    assert browser.eval(back) == "rgb(255, 255, 255)"
    browser.look(width=1300, dark=True)
    assert browser.eval(back) == "rgb(18, 22, 28)"
    browser.click("#theme")
    assert browser.eval(back) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read(browser: Browser, show: Show, dark: bool) -> None:
    """WCAG's contrast for text, 4.5, between each kind's colour and the page's."""
    browser.look(width=1300, dark=dark)
    show(ledgers.one_of_everything())
    colours = browser.eval(
        "[...document.querySelectorAll('.cell[data-k] .i')].map(one => [getComputedStyle(one).color"
        ", getComputedStyle(document.body).backgroundColor])"
    )
    assert len(colours) >= 11
    for text, back in colours:
        assert _contrast(text, back) >= 4.5, (text, back)


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG21/#dfn-relative-luminance"""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_paper_has_the_table_and_no_controls(browser: Browser, show: Show) -> None:
    browser.look(width=800, dark=True, media="print")
    show(ledgers.one_of_everything(), "#model=ranker")
    visible = "getComputedStyle(document.querySelector('{}')).display"
    assert browser.eval(visible.format(".tools")) == "none"
    assert browser.eval(visible.format("#story")) == "none"
    assert browser.eval(visible.format("#matrix")) == "table"
    assert browser.eval("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_narrow_screen_scrolls_the_table_only(browser: Browser, show: Show) -> None:
    browser.look(width=380)
    show(ledgers.one_of_everything())
    assert browser.eval("document.documentElement.scrollWidth") <= 380
    browser.click(cell("legacy", 1))
    assert browser.eval(f"{STORY}.getBoundingClientRect().width") == 380
    assert browser.eval("document.documentElement.scrollWidth") <= 380


def test_thousand_models(browser: Browser, show: Show) -> None:
    show(ledgers.many(1000))
    assert browser.eval("document.querySelector('#count').textContent") == "1,000 models"
    colours = browser.eval(
        "(() => { const canvas = document.querySelector('canvas'); const pen = "
        "canvas.getContext('2d'); const data = pen.getImageData(0, 0, canvas.width, canvas.height)"
        ".data; const seen = new Set(); for (let i = 0; i < data.length; i += 4) if (data[i + 3] "
        "== 255) seen.add(data.slice(i, i + 3).join()); return [...seen]; })()"
    )
    for kind in ("failed", "fallback", "refused", "gpu", "mixed", "cpu"):
        assert _colour_of(browser, kind) in colours, f"{kind} is in the picture"
    browser.press("/")
    browser.write("fraud_00")
    assert browser.eval(f"{SHOWN}.length") == 20
    browser.press("Escape")
    x, y = browser.eval(
        "(() => { scrollTo(0, 0); const box = document.querySelector('canvas')"
        ".getBoundingClientRect(); return [box.x + 5, box.y + 26]; })()"
    )
    browser.click_at(x, y)
    assert browser.eval(f"{STORY}.querySelector('h2').textContent") == browser.eval(NAMES)[0]


def _colour_of(browser: Browser, kind: str) -> str:
    name = json.dumps(f"--{kind}")
    text = browser.eval(f"getComputedStyle(document.documentElement).getPropertyValue({name})")
    text = text.strip().lstrip("#")
    return ",".join(str(int(text[i : i + 2], 16)) for i in (0, 2, 4))


def test_without_scripts_the_table_is_there(browser: Browser, tmp_path: Path, show: Show) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page = tmp_path / "still.html"
        page.write_text(html(ledgers.one_of_everything()), encoding="utf-8")
        browser.call("Page.navigate", url=page.as_uri())
        tree = browser.wait_for_tree(
            "GPU\N{NO-BREAK SPACE}0 · GPU\N{NO-BREAK SPACE}1 · CPU"
        )  # the table comes last
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "ranker" in tree
    assert "Search models" not in tree, "what needs the script isn't shown"
