"""The documentation site: `make docs`. References are generated from the code; see `_ext`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

from pytest_triton import __version__  # noqa: E402

project = "pytest-triton"
author = "The pytest-triton authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "generated"]
exclude_patterns = ["_ext", "errors.md"]  # the latter is part of reference/exceptions.md
source_suffix = {".md": "markdown"}
root_doc = "index"
smartquotes = False  # texts are shown as the program has them

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "pytest-triton"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#3d6b1d",
        "color-brand-content": "#1a56c9",
        "font-stack": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
    },
    "dark_css_variables": {
        "color-brand-primary": "#9ad06b",
        "color-brand-content": "#7fb2ff",
    },
}
highlight_language = "none"
pygments_style = "friendly"
pygments_dark_style = "monokai"
python_display_short_literal_types = True
add_module_names = False
toc_object_entries_show_parents = "hide"
