"""What every notebook does first: find the project, get the data ready, say what is at work; and how figures show."""

from __future__ import annotations

import functools
import io
import os
import shutil
import sys
import time
import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython import get_ipython
from IPython.display import Image as ShownImage
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from fracturelib.catalog import DataOptions, read_catalog
from fracturelib.catalog.layout import layout_error
from fracturelib.config import TrainConfig
from fracturelib.errors import CatalogError, FracturelibError, RunBusyError, RunError
from fracturelib.features.bank import BANK_FOLDER, FeatureBank
from fracturelib.pipeline import train_run
from fracturelib.plots.style import STYLE
from fracturelib.runs import Run, read_record
from fracturelib.runtime import choose_device, class_mode, debugging, fast_mode
from fracturelib.simulation import ensure_simulated
from fracturelib.trunks.weights import available_weights, requested_weights

MIXTURE = {"seed": 4, "mixture_shift": True}  # the set of notebooks 03 to 06; 01 and 02 take the balanced one
# Images per split of the small set that fast mode works on.
FAST_COUNTS = {"train": 160, "val": 40, "test": 80}
COURSE_INDEX = "index.md"  # of a folder that `fracturelib course run` fills: notebooks in it write below it
COURSE_MARK = "<!-- made by fracturelib: course run -->"
# Metadata of outputs by which `fracturelib course run` knows what a notebook said of the reader's own data.
LEFT_OUT, NOT_SO = "left_out", "not_so"
DPI = 96  # one point of a font is one point on the page
SHARP = 2  # pixels of a drawn figure for one of the page, for projectors and dense screens. (An SVG has no `alt` here.)
FIGURE_QUALITY = 82
SECONDS_BETWEEN_LOOKS = 0.5  # at a run that another notebook is making
_TQDM_START = tqdm.__init__


def project_folder(start: str | Path = ".") -> Path:
    """The folder of data/ and runs/ relative to the working folder: no output then holds an absolute path.

    It is the project's, or for notebooks that `fracturelib course run` laid somewhere else the one with their index.

    Raises:
        CatalogError: neither `start` nor a folder above it is such a folder.
    """
    here = Path(start).resolve()
    for folder in (here, *here.parents):
        if _is_project(folder):
            return Path(os.path.relpath(folder, Path.cwd()))
    raise CatalogError(
        "the project's folder was not found",
        cause="the notebook was moved out of the project, or Jupyter was started elsewhere",
        cure="keep the notebook in notebooks/ and open it with `make lab`",
    )


def simulated_data(*, shifted: bool = False, progress: bool = True) -> Path:
    """The embedded data set, made on first use (one to three minutes); a small one where FRACTURELIB_FAST is set.

    `shifted` is a second set, of other patients: its splits do not hold the same mixture of them.
    """
    data = project_folder() / "data"
    settings: dict[str, Any] = dict(MIXTURE) if shifted else {}
    if fast_mode():
        settings["counts"] = FAST_COUNTS
    name = ("simulated-mixture" if shifted else "simulated") + ("-fast" if fast_mode() else "")
    return ensure_simulated(data / name, progress=progress, **settings)


def class_folder() -> Path:
    """Where the class's readings and guesses are saved: FRACTURELIB_CLASS_FOLDER, or runs/class of this project."""
    named = os.environ.get("FRACTURELIB_CLASS_FOLDER")
    return Path(named) if named else project_folder() / "runs" / "class"


def setup(data: str | Path | None = None, *, weights: bool = False, shifted: bool = False) -> Path:
    """Open a notebook: the look of the figures, warnings without paths, errors in words, the data, and the banner.

    Args:
        data: folder of a data set; None is the embedded, simulated one.
        weights: say which pretrained weights the notebook will use.
        shifted: of the simulated sets take the one whose splits differ on purpose.

    Returns:
        the folder of the data set, relative to the working folder.

    Raises:
        CatalogError: `data` is not a folder.
    """
    plt.rcParams.update({**STYLE, "figure.dpi": DPI})
    warnings.showwarning = _show_warning
    if (shell := get_ipython()) is not None:
        # JupyterLab shows stderr on pink, as if something had gone wrong: bars go to stdout. Outputs that are kept in a
        # notebook are made with TQDM_DISABLE; there a bar must stay apart from what a cell prints.
        if "TQDM_DISABLE" not in os.environ:
            tqdm.__init__ = functools.partialmethod(_TQDM_START, file=sys.stdout)  # type: ignore[assignment]
        if not debugging():
            shell.set_custom_exc((FracturelibError,), _plain_error)
    root = simulated_data(shifted=shifted) if data is None else Path(data)
    if not root.is_dir():
        raise layout_error("the data folder does not exist", root)
    print("\n".join(banner(root, weights=weights)))
    return root


def banner(root: Path, *, weights: bool = False) -> list[str]:
    """The lines that say which data, which weights, which device and which mode."""
    if root.name.startswith("simulated"):
        data = f"simulated radiographs in data/{root.name} (made by this project: no patient is shown)"
        if root.name.startswith("simulated-mixture"):
            data += "\n         with a catch on purpose: the splits do not hold the same mixture of patients"
    else:
        data = f"your own radiographs in {root.name}"
    lines = [f"data:    {data}"]
    if weights:
        lines.append(f"weights: {_weights_line()}")
    lines.append(f"device:  {choose_device().type}")
    if class_mode():
        lines.append("mode:    class (FRACTURELIB_CLASS is set: processor and float32, the same numbers for everybody)")
    if fast_mode():
        lines.append("mode:    fast (FRACTURELIB_FAST is set: small sizes, numbers are rough)")
    return lines


def read_table(root: str | Path, reading: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The table of a data set in any layout; a split that it lacks is made, by patient where they are known.

    Args:
        root: as `setup` returns it.
        reading: what `DataOptions` is to be told, for example {"labels": "../data/labels.csv"}.

    Raises:
        CatalogError: as `read_catalog`.
    """
    return read_catalog(root, make_split=True, options=DataOptions(**(reading or {})))


def left_out(reason: str) -> None:
    """Say in the notebook that a part of it does not apply to these data, and why; the notebook goes on."""
    display(Markdown(f"> **Left out here:** {reason}"), metadata={"fracturelib": {LEFT_OUT: reason}})


def holds(found: Any, claim: str, data: str | Path | None) -> bool:
    """Whether a claim about the embedded data holds; of the reader's own data it is said where it does not.

    Args:
        found: what came out: true where the claim holds.
        claim: in words, as they stand in an assert.
        data: the notebook's DATA. None: the embedded data, of which the claim must hold.

    Returns:
        `found`, or True with the reader's own data: that they are otherwise is a result, and no mistake.
    """
    if not found and data is not None:
        display(Markdown(f"> **Not so on your data:** {claim}."), metadata={"fracturelib": {NOT_SO: claim}})
        return True
    return bool(found)


def feature_bank() -> FeatureBank:
    """The features that the runs in runs/ keep: what a notebook computes with it, `notebook_run` need not compute."""
    return FeatureBank(project_folder() / "runs" / BANK_FOLDER)


def notebook_run(config: TrainConfig, folder: str | Path, reading: Mapping[str, Any] | None = None) -> Run:
    """The finished run in `folder`, if it was made with these settings, data and weights; otherwise it is (re)made.

    The data are read as `read_table` does. A second notebook waits for the one that is making it.

    Raises:
        RunError: the folder holds something other than a run; it is left alone.
        FracturelibError: as `train_run`.
    """
    folder, options = Path(folder), DataOptions(**(reading or {}))
    try:
        run = _when_free(config, folder, options)
        if run.repeats_here:
            return run
        reason = f"it was made in {run.record.get('precision')}"
    except RunError as error:
        read_record(folder)  # raises for a folder that is no run
        reason = error.what
    print(f"The run in runs/{folder.name} does not fit any more ({reason}). It is trained anew.")
    shutil.rmtree(folder)
    return train_run(config, folder=folder, make_split=True, options=options)


def _when_free(config: TrainConfig, folder: Path, options: DataOptions) -> Run:
    """`train_run` of a run that may be finished; waits, and says so, while another notebook holds the folder."""
    said = False
    while True:
        try:
            return train_run(config, folder=folder, resume=True, make_split=True, options=options)
        except RunBusyError:
            if not said:
                print(f"Another notebook is making the run in runs/{folder.name}: waiting for it …", flush=True)
            said = True
            time.sleep(SECONDS_BETWEEN_LOOKS)


def show(figure: Figure, alt: str) -> None:
    """Show a figure once, as a picture with alternative text, and close it; what is drawn is sharp on any screen."""
    sharpness = 1 if any(ax.images for ax in figure.get_axes()) else SHARP
    data, kind = encode(figure, sharpness=sharpness)
    width = Image.open(io.BytesIO(data)).width / sharpness
    display(ShownImage(data, format=kind.removeprefix("image/"), width=round(width), alt=alt))


def encode(figure: Figure, *, sharpness: int = 1) -> tuple[bytes, str]:
    """A figure as bytes and their media type; it is closed. Radiographs become JPEG: their noise makes PNG huge.

    `sharpness` is the number of pixels of the file for one of the page.
    """
    kind = "jpeg" if any(ax.images for ax in figure.get_axes()) else "png"
    # Optimised PNG would take half as long again to save 3 %.
    options = {"quality": FIGURE_QUALITY} if kind == "jpeg" else {}
    # Looking for an empty rim to cut off means drawing twice; a figure that sets its own margins has none.
    rim = None if figure.get_layout_engine() is None else "tight"
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=sharpness * DPI, bbox_inches=rim, facecolor="white", pil_kwargs=options)
    plt.close(figure)
    return buffer.getvalue(), f"image/{kind}"


def _is_project(folder: Path) -> bool:
    """Whether the folder's pyproject.toml is this project's, or its index of `fracturelib course run`."""
    if is_course_folder(folder):
        return True
    try:
        settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return settings.get("project", {}).get("name") == "fracturelib"


def is_course_folder(folder: Path) -> bool:
    """Whether `fracturelib course run` made the folder: its index says so in the first line."""
    try:
        with (folder / COURSE_INDEX).open(encoding="utf-8") as file:
            return file.readline().strip() == COURSE_MARK
    except (OSError, ValueError):
        return False


def _weights_line() -> str:
    """What the setting "auto" comes to here, without touching the network."""
    requested = requested_weights("auto")
    if requested == "auto":
        return next(row["place"] for row in available_weights() if row["weights"] == "auto")
    return requested if requested in ("imagenet", "distilled", "none") else Path(requested).name


def _plain_error(shell: Any, kind: type[BaseException], error: BaseException, *_: Any, **__: Any) -> None:
    """What happened, its cause and its cure, without the traceback; the cell has failed all the same."""
    print(f"{kind.__name__}: {error}", file=sys.stderr)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Category and text, without a file of this machine; on stdout, since JupyterLab shows stderr as if it failed."""
    print(f"{category.__name__}: {message}")
