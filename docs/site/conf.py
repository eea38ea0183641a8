"""How Sphinx builds the site from the committed notebooks and the pages in docs/: `make site`.

Nothing is executed and nothing is fetched. Links into the glossary carry the first sentence of their entry, which a
browser shows where the pointer rests on a word.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "runs/demo/index.html"  # of `fracturelib page runs/demo`

project = "fracturelib"
author = "the authors of fracturelib"
project_copyright = "text and figures CC BY 4.0, code Apache-2.0"
root_doc = "docs/site/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "docs/**",
    "notebooks/**",
    "fracturelib/assets/README.md",
    "data/README.md",
]
exclude_patterns = ["**/.ipynb_checkpoints", "**.py"]
extensions = ["myst_nb"]
html_theme = "sphinx_book_theme"
html_title = "fracturelib"
html_theme_options = {"use_download_button": True, "home_page_in_toc": True, "show_toc_level": 2}
html_show_sphinx = False
nb_execution_mode = "off"  # the outputs are those that are committed
nb_render_markdown_format = "myst"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "substitution", "attrs_inline"]
myst_heading_anchors = 3
myst_substitutions = {
    "cases": "[Can you beat the model at 20 X-rays?](../../cases.html){.external}" if CASES.is_file() else "",
}
templates_path: list[str] = []


def glossary_hints(text: str) -> dict[str, str]:
    """The first sentence of each entry of the glossary, by the anchor of its heading."""
    hints = {}
    for entry in re.split(r"^## ", text, flags=re.M)[1:]:
        word, _, body = entry.partition("\n")
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)|\*", r"\1", " ".join(body.split()))
        anchor = re.sub(r"[^\w\- ]", "", word.strip().lower()).replace(" ", "-")
        hints[anchor] = re.split(r"(?<=[.:]) ", plain)[0].rstrip(":")
    return hints


class GlossaryHints(SphinxPostTransform):
    """Gives links into the glossary the sentence that explains their word."""

    default_priority = 900  # after references are resolved

    def run(self, **_: object) -> None:
        hints = glossary_hints((ROOT / "docs/glossary.md").read_text(encoding="utf-8"))
        for link in self.document.findall(nodes.reference):
            target = link.get("refuri", "") or "#" + link.get("refid", "")
            page, _, anchor = target.partition("#")
            if anchor in hints and ("glossary" in page or self.env.docname == "docs/glossary"):
                link["reftitle"] = hints[anchor]


def front_door(app: Sphinx, error: Exception | None) -> None:
    """The first page lies at the top, and the demo run's page of cases beside it, where `make demo` has made one."""
    if error is not None:
        return
    out = Path(app.outdir)
    page = '<!doctype html><meta charset="utf-8"><title>fracturelib</title>'
    page += f'<meta http-equiv="refresh" content="0; url={root_doc}.html"><a href="{root_doc}.html">fracturelib</a>\n'
    (out / "index.html").write_text(page, encoding="utf-8")
    if CASES.is_file():
        shutil.copyfile(CASES, out / "cases.html")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_post_transform(GlossaryHints)
    app.connect("build-finished", front_door)
