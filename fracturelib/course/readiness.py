"""Is this machine ready for the course, and if not, what is missing? And: make and fetch all of it beforehand."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from packaging.requirements import Requirement

from fracturelib import __version__
from fracturelib.config import TrainConfig
from fracturelib.course.notebook import MIXTURE, notebook_run, project_folder
from fracturelib.errors import FracturelibError
from fracturelib.model import build_model
from fracturelib.runtime import fast_mode, library_versions, offline
from fracturelib.simulation import ensure_simulated
from fracturelib.simulation.plan import make_plan
from fracturelib.simulation.writer import is_complete
from fracturelib.transforms import train_transform
from fracturelib.trunks.weights import available_weights, fetch_imagenet

# The data sets that the notebooks make on first use at their default settings (a test compares the two).
SETS: dict[str, dict[str, Any]] = {
    "simulated": {},
    "simulated-mixture": MIXTURE,
    "leaky-240": {"counts": 240, "leaky": True, "seed": 0},
    "mixture-other-device-120": {"counts": {"test": 120}, "device_shift": True, "mixture_shift": True, "seed": 1},
    "mixture-fresh-240": {"counts": {"test": 240}, "mixture_shift": True, "seed": 2},
    "simulated-hospital-240": {"counts": 240, "format": "dicom"},
}
# The run that notebooks 03, 04 and 06 share: its folder in runs/, and its settings except the data.
RUN, RUN_CONFIG = "notebook", TrainConfig(image_size=160, views=2, seed=0)

NEEDED_MEMORY = 3.0  # GB of the machine: a notebook at default settings, a browser and the system beside it
NEEDED_DISK = 1.0  # GB free: the data sets, a run and its features, with room for a class's own runs
KERNEL_SECONDS = 90  # longest wait for a kernel on a slow disk
# Minutes of computing at default settings, the data being there, and the speed (`batches_per_second`) of the machine
# that took them: two quiet cores with AVX-512 and bfloat16, by `python -m benchmarks.classroom --no-panel --json FILE`.
# Held to AVX2 and float32 it did 6.5 batches a second; 03 then took 0.88 minutes, where the estimate says 1.1.
MEASURED = Path(__file__).parents[1] / "assets" / "classroom.json"
SPEED_ROW = "batches per second"
_ROWS = {row["check"]: row["value"] for row in json.loads(MEASURED.read_text(encoding="utf-8"))["rows"]}
NOTEBOOK_MINUTES = {check[:2]: value for check, value in _ROWS.items() if check.endswith(": minutes")}
REFERENCE_SPEED = _ROWS[SPEED_ROW]
MOST_MINUTES = 5.0  # a notebook that computes longer than this holds up a class


@dataclass(frozen=True)
class Finding:
    """One check: its name, whether it passed, what was found, and what to do if it failed."""

    what: str
    ready: bool
    found: str
    cure: str = ""


def check_machine() -> Iterator[Finding]:
    """Look at all that the course needs, the quick things first; changes nothing and never raises."""
    for what, look in {
        "Python": _python,
        "packages": _packages,
        "memory": _memory,
        "disk": _disk,
        "weights": _weights,
        "data": _data,
        "kernel": _kernel,
        "panels": _panels,
        "time": _minutes,
    }.items():
        try:
            ready, found, cure = look()
        except Exception as error:  # a check that fails is a finding, whatever the reason
            ready, found, cure = False, f"could not be checked ({type(error).__name__}: {error})", "see the README"
        yield Finding(what, ready, found, "" if ready else cure)


def prepare_machine(
    *, weights: str = "auto", say: Callable[[str], None] = print, progress: bool = True
) -> list[Finding]:
    """Fetch and make what the notebooks need, then check the machine; what is there already is kept.

    Args:
        weights: "imagenet" fetches torchvision's weights (the network must be allowed); "distilled" and "auto" fetch
            nothing: the bundled trunk is always there.
        say: gets one line for each thing that was done.
        progress: show bars while data are made.

    Returns:
        the findings of `check_machine`, after those of the steps that failed.
    """
    project = project_folder()
    steps: dict[str, Callable[[], Any]] = {}
    if weights == "imagenet":
        steps["ImageNet weights"] = lambda: fetch_imagenet("resnet18")
    for name, settings in SETS.items():
        steps[f"data/{name}"] = functools.partial(
            ensure_simulated, project / "data" / name, progress=progress, **settings
        )
    steps[f"runs/{RUN}, the model of the notebooks"] = lambda: _shared_run(project)
    failed = []
    for what, make in steps.items():
        started = time.monotonic()
        try:
            make()
        except FracturelibError as error:
            say(f"{what}: failed\n{error}")
            failed.append(Finding(what, False, error.what, error.cure or ""))
        else:
            seconds = time.monotonic() - started
            say(f"{what}: ready ({seconds:.0f} s)")
    return failed + list(check_machine())


def _shared_run(project: Path) -> None:
    """The run that notebook 03 leaves for the later ones, made from their folder: a run keeps the name of its data."""
    with contextlib.chdir(project / "notebooks"):
        inside = project_folder()
        notebook_run(replace(RUN_CONFIG, data=str(inside / "data" / "simulated-mixture")), inside / "runs" / RUN)


def _python() -> tuple[bool, str, str]:
    ready = sys.version_info >= (3, 11)
    return ready, f"{platform.python_version()} in {sys.prefix}", "install Python 3.11 or newer"


def _packages() -> tuple[bool, str, str]:
    """Every package that fracturelib asks for, in a version that it allows."""
    wrong = []
    for asked in map(Requirement, importlib.metadata.requires("fracturelib") or []):
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
            continue  # it belongs to an extra, or to another system
        try:
            here = importlib.metadata.version(asked.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{asked.name} is missing")
            continue
        if not asked.specifier.contains(here, prereleases=True):
            wrong.append(f"{asked.name} is {here}, needed {asked.specifier}")
    versions = library_versions()
    found = f"fracturelib {__version__}, torch {versions['torch']}, numpy {versions['numpy']}"
    return not wrong, "; ".join(wrong) or found, "make lab, or pip install -r requirements.txt"


def _memory() -> tuple[bool, str, str]:
    if not hasattr(os, "sysconf"):
        return True, f"unknown on this system (needed: {NEEDED_MEMORY:g} GB)", ""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return total >= NEEDED_MEMORY, f"{total:.1f} GB (needed: {NEEDED_MEMORY:g})", "use a machine with more memory"


def _disk() -> tuple[bool, str, str]:
    free = shutil.disk_usage(project_folder()).free / 1e9
    return free >= NEEDED_DISK, f"{free:.1f} GB free (needed: {NEEDED_DISK:g})", "make room on the disk"


def _weights() -> tuple[bool, str, str]:
    """Pretrained weights that need no network."""
    here = [row["weights"] for row in available_weights() if row["status"] == "ready" and row["weights"] != "none"]
    network = "network forbidden by FRACTURELIB_OFFLINE" if offline() else "the network may be asked"
    return bool(here), f"{', '.join(here) or 'none'} ({network})", "fracturelib prepare --weights imagenet"


def _data() -> tuple[bool, str, str]:
    folder = project_folder() / "data"
    missing = [name for name, settings in SETS.items() if not is_complete(folder / name, make_plan(**settings))]
    found = f"still to be made: {', '.join(missing)}" if missing else f"{', '.join(SETS)}, complete"
    return not missing, found, "fracturelib prepare (a few minutes, no network)"


def _kernel() -> tuple[bool, str, str]:
    """Start the kernel that the notebooks name, and let it import the library."""
    from jupyter_client.manager import start_new_kernel

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=KERNEL_SECONDS, **quiet)
    try:
        reply = client.execute_interactive(
            "import fracturelib; assert fracturelib.__version__ == " + repr(__version__),
            timeout=KERNEL_SECONDS,
            output_hook=lambda message: None,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    content = reply["content"]
    ready = content["status"] == "ok"
    found = "python3 starts and finds fracturelib" if ready else f"python3: {content.get('ename')}: {content['evalue']}"
    return ready, found, "start JupyterLab with `make lab`, so that it uses the project's own Python"


def _panels() -> tuple[bool, str, str]:
    """ipywidgets, and its part inside JupyterLab."""
    from jupyter_core.paths import jupyter_path

    part = "labextensions/@jupyter-widgets/jupyterlab-manager/package.json"
    ready = any((Path(folder) / part).is_file() for folder in jupyter_path())
    widgets, lab = (importlib.metadata.version(name) for name in ("ipywidgets", "jupyterlab"))
    found = f"ipywidgets {widgets}, JupyterLab {lab}" if ready else "JupyterLab lacks its widgets extension"
    return ready, found, "pip install --force-reinstall ipywidgets"


def _minutes() -> tuple[bool, str, str]:
    """Estimated computing time of each notebook; a slow machine is a fact to know, not a fault."""
    factor = REFERENCE_SPEED / batches_per_second()
    minutes = {name: factor * each for name, each in NOTEBOOK_MINUTES.items()}
    note = ""
    if fast_mode():
        note = " (much less now, since FRACTURELIB_FAST is set)"
    elif max(minutes.values()) > MOST_MINUTES:
        note = f" ({factor:.0f} times slower than the reference: FRACTURELIB_FAST=1 makes everything small)"
    return True, "about " + ", ".join(f"{name}: {each:.1f} min" for name, each in minutes.items()) + note, ""


def batches_per_second(*, images: int = 16, repeats: int = 4) -> float:
    """How often a second this machine does a small piece of the notebooks' work: the best of a few tries.

    The piece: augment a radiograph four times for every one of the `images`, and send these through the trunk, in the
    precision that it has in the notebooks here. On the reference each of the two takes about half of the time, as the
    trunk and all other work do in notebook 03. So a processor without bfloat16, whose trunk alone is slow, is not
    taken for one that is slow in everything.
    """
    config = replace(RUN_CONFIG, weights="none")
    model, transform = build_model(config), train_transform(config)
    radiograph, fastest, cores = np.zeros((256, 256), np.uint8), float("inf"), torch.get_num_threads()
    for _ in range(repeats + 1):  # the first one warms up
        started = time.perf_counter()
        torch.set_num_threads(1)  # a picture is too small to share: on a busy machine threads would wait
        augmented = [transform(radiograph) for _ in range(4 * images)]
        torch.set_num_threads(cores)
        model.frozen_features(torch.stack(augmented[:images]))
        fastest = min(fastest, time.perf_counter() - started)
    return 1 / fastest
