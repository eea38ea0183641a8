"""Fixtures shared by the whole suite: tiny generated data sets, and the real radiographs where there are any."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from hypothesis import settings

from tests.helpers.trees import write_tree

settings.register_profile("long", max_examples=5000, deadline=None)
if "HYPOTHESIS_PROFILE" in os.environ:
    settings.load_profile(os.environ["HYPOTHESIS_PROFILE"])

mpl.use("Agg")  # no test opens a window

PROJECT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark cells of notebooks, and what uses a fixture that a module calls slow.

    What takes longest comes first, so that no worker waits for the other at the end.
    """
    for item in items:
        if set(getattr(item, "fixturenames", ())) & set(getattr(getattr(item, "module", None), "SLOW_FIXTURES", ())):
            item.add_marker("slow")
        if item.path.suffix == ".ipynb":
            item.add_marker("notebook")
    items.sort(key=lambda item: 0 if item.get_closest_marker("browser") else 1 if item.path.suffix == ".ipynb" else 2)


@pytest.fixture(scope="module", autouse=True)
def weights_as_configured() -> Iterator[None]:
    """`make test` overrides the weights for the notebooks; the tests here mean what their settings say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FRACTURELIB_WEIGHTS", raising=False)
        yield


@pytest.fixture(autouse=True)
def no_figure_of_another_test() -> None:
    """pyplot's figures belong to the process: one left open by any test would be seen by the next that counts them."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """A function (counts, seed=…, suffix=…) → root of a new data set that the test may change."""
    made = iter(range(1000))
    return lambda *args, **kwargs: write_tree(tmp_path / f"data{next(made)}", *args, **kwargs)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a data set of 32 images, made once; read-only by agreement."""
    return write_tree(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real sets `fracatlas_slice` and `wrist_rotated`, named by FRACTURELIB_REAL_DATA."""
    named = os.environ.get("FRACTURELIB_REAL_DATA")
    folder = Path(named) if named else PROJECT / "../shared/data"
    if not (folder / "fracatlas_slice").is_dir():
        pytest.skip(f"no real radiographs in {named or '../shared/data'} (set FRACTURELIB_REAL_DATA; see the README)")
    return folder.resolve()


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of pictures with a bright spot for a fracture."""
    from tests.helpers.spots import write_spots  # needs torch, which most tests do without

    return write_spots(tmp_path_factory.mktemp("spots"))
