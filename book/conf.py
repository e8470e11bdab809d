"""How Sphinx makes the book: the pages beside this file and the notebooks as they are stored; nothing is executed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from octavoice import __version__

project, author, release = "Octavoice", "Octavoice contributors", __version__
html_title = "Octavoice"
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx-mathjax-offline", "binding"]
exclude_patterns = ["data", "binding", "static", "**/.ipynb_checkpoints"]

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # live widgets need a kernel, and their script a network
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 2
myst_url_schemes = {
    "http": None, "https": None, "mailto": None,
    "code": "code/{{path}}.html#{{fragment}}",           # code:octavoice.thesis.attention#read_past
    "page": "notebooks/{{path}}.html#{{fragment}}",      # page:03_main_module#the-clock
}
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]  # a notebook may begin a part with a smaller heading

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_favicon = "static/icon.svg"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}
