"""The documentation site: Sphinx, with notebooks that run while it is built (see ``_ext``).

The Chinese site is built from the same sources with ``-D language=zh_CN``; its paragraphs are in ``locale`` (``translate.py``).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from deepseek_magic import __version__

project = "deepseek-magic"
author = "The deepseek-magic authors"
copyright = "the deepseek-magic authors; MIT licence"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "formulas", "generated_tables", "notebooks_on_demo", "self_contained"]
extensions += ["two_languages", "chinese_search"]
exclude_patterns = ["_build", "_generated", "_ext", "lite", "locale", "zh", "Thumbs.db", ".DS_Store"]
templates_path = ["_templates"]

language = "en"
locale_dirs = ["locale"]
gettext_compact = False  # a file a page
gettext_location = False  # the files change only where a paragraph does
gettext_uuid = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "cache"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_render_markdown_format = "myst"  # answers hold tables and formulas

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

smartquotes_action = "qe"  # two dashes begin a flag
html_math_renderer = "mathml"
html_theme = "sphinx_book_theme"
html_title = f"deepseek-magic {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "repository_url": "https://github.com/deepseek-magic/deepseek-magic",
    "repository_branch": "main",
    "path_to_docs": "docs",
    "use_repository_button": True,
    "use_source_button": True,
    "use_edit_page_button": True,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "navbar_persistent": [],
    "article_header_end": ["language_switch.html", "article-header-buttons.html"],
}
