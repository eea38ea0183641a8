"""The site: built from the committed notebooks and pages without a network, no link of it is broken."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
MISSING = [name for name in ("sphinx", "myst_nb", "sphinx_book_theme") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed: pip install 'fracturelib[site]'"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make site` builds it; a warning of Sphinx is an error."""
    out = tmp_path_factory.mktemp("site")
    words = ["--fail-on-warning", "--keep-going", "--quiet", "--conf-dir", "docs/site", ".", str(out / "html")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words, "-d", str(out / "trees")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_no_link_is_broken(site: Path):
    broken = []
    for page in (page for page in site.rglob("*.html") if page.parent.name != "_static"):  # the theme's templates
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target) and not (page.parent / unquote(target)).exists():
                broken.append(f"{page.relative_to(site)}: {target}")
    assert not broken


def test_a_word_of_the_glossary_explains_itself_under_the_pointer(site: Path):
    text = (site / "notebooks/03_training.html").read_text(encoding="utf-8")
    assert re.search(r'glossary\.html#loss" title="One number that says how wrong the model is', text)


def test_pictures_keep_their_texts(site: Path):
    text = (site / "README.html").read_text(encoding="utf-8")
    assert 'alt="Eight simulated radiographs' in text
