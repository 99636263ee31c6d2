"""How big the HTML report is, how long it takes to make, and until it can be used in a browser.

    python benchmarks/html_report.py [MODELS ...]

"Interactive" is the time from the start of the navigation until the page's script has ended, in
headless Chromium (Debian: apt install chromium), the best of five.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from pytest_triton.reports.html import html
from pytest_triton.reports.markdown import markdown
from support import sample_ledgers
from support.chromium import Browser

_ROUNDS = 5


def main() -> None:
    counts = [int(text) for text in sys.argv[1:]] or [10, 1000, 5000]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(Path(folder) / "profile")
        try:
            browser.look(width=1300)
            for count in counts:
                _measure(count, browser, Path(folder) / "report.html")
        finally:
            browser.close()


def _measure(count: int, browser: Browser, page: Path) -> None:
    ledger = sample_ledgers.many(count)
    started = time.perf_counter()
    text = html(ledger)
    made = time.perf_counter() - started
    started = time.perf_counter()
    markdown(ledger)
    summarised = time.perf_counter() - started
    page.write_text(text, encoding="utf-8")
    ready, filtered = [], []
    for _ in range(_ROUNDS):
        browser.open(page)
        ready.append(float(browser.eval("document.documentElement.dataset.ready")))
        filtered.append(
            browser.eval(
                "(() => { const begun = performance.now(); const box = document.querySelector("
                "'#search'); box.value = 'fraud'; box.dispatchEvent(new Event('input'));"
                "document.body.offsetHeight; return performance.now() - begun; })()"
            )
        )
    print(
        f"{count:6,} models, {len(ledger.entries):6,} cells: {len(text.encode()) / 1e6:5.1f} MB, "
        f"made in {made * 1e3:4.0f} ms, interactive after {min(ready):4.0f} ms, "
        f"a search {min(filtered):3.0f} ms; Markdown in {summarised * 1e3:3.0f} ms"
    )


if __name__ == "__main__":
    main()
