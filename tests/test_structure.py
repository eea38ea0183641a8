"""The layout that DESIGN promises: layers, one home for widgets, no forgotten places."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fracturelib"

# The street of docs/architecture.md: each room imports only from rooms above it.
LAYERS = [
    *("errors", "config", "runtime", "files", "writing"),
    *("images", "catalog", "transforms", "loaders"),
    *("trunks", "model", "features", "training"),
    *("evaluation", "explain", "stress", "plots"),
    *("runs", "prediction", "comparing", "report", "pipeline"),
    *("audit", "simulation"),
    "course",
    "cli",
]
MOST_FLOORS, MOST_DOORS = 12, 27


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported_layers(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("fracturelib.")}
    return found - {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_above(path):
    layer = layer_of(path)
    assert layer in LAYERS, f"give {layer} its place in LAYERS"
    below = {name for name in imported_layers(path) if LAYERS.index(name) > LAYERS.index(layer)}
    assert not below


def test_the_house_has_few_floors_and_few_doors(capsys):
    above = {room: set() for room in LAYERS}
    for path in modules():
        above[layer_of(path)] |= imported_layers(path) - {layer_of(path)}

    @cache
    def stairs(room):
        """The longest chain of imports that ends in this room."""
        return (*max(map(stairs, above[room]), key=len, default=()), room)

    longest = max(map(stairs, LAYERS), key=len)
    with capsys.disabled():
        print(f"\n{len(longest)} floors ({' > '.join(longest)}), {len(LAYERS)} doors")
    assert len(longest) <= MOST_FLOORS and len(LAYERS) <= MOST_DOORS


@pytest.mark.slow
def test_nothing_but_the_command_line_imports_the_course():
    users = {layer_of(path) for path in modules() if "course" in imported_layers(path)}
    assert users <= {"course", "cli"}


def test_layers_name_only_what_exists():
    assert set(LAYERS) == {layer_of(path) for path in modules()}


def test_only_widgets_imports_ipywidgets():
    users = {layer_of(path) for path in modules() if re.search(r"^\s*(import|from) ipywidgets", path.read_text(), re.M)}
    assert users <= {"course"}


def loaded_by(*statements: str) -> set[str]:
    """Modules in a new Python after these statements."""
    code = "; ".join([*statements, "import sys", "print(*sys.modules)"])
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.slow
def test_reading_a_run_and_predicting_load_no_figures_and_no_statistics():
    """scikit-learn and SciPy's statistics take more than a second, of the three or four before a first answer."""
    loaded = loaded_by("import fracturelib.runs, fracturelib.prediction")
    assert "fracturelib.runs" in loaded
    assert not loaded & {"matplotlib", "seaborn", "jinja2", "ipywidgets", "IPython", "captum"}
    assert not loaded & {"sklearn", "scipy.stats", "torch"}  # torch comes with a run that needs it


@pytest.mark.slow
def test_an_audit_loads_no_torch_until_it_computes_features():
    assert "torch" not in loaded_by("import fracturelib.audit, fracturelib.cli.auditing")


def test_nothing_loads_a_pickle():
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert "pickle.load" not in text and "allow_pickle=True" not in text, path
        for call in re.findall(r"torch\.load\(.*", text):
            assert "weights_only=True" in call, path


def _asked(project: dict) -> list[str]:
    """What a developer installs: the library's packages, those of DICOM and ONNX files, and of the tests."""
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["dicom"], *extras["onnx"], *extras["test"]]


def test_environment_and_pyproject_name_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = _asked(project)
    conda = re.findall(r"^ +- ([a-z][^\s#]*)", (ROOT / "environment.yml").read_text(), re.M)
    only_conda = {"conda-forge", f"python{project['requires-python']}", "pip", "pytorch-cpu", "pip:"}
    as_pip = {name.replace("pytorch>", "torch>") for name in conda} - only_conda
    assert as_pip == set(asked)
    assert only_conda <= set(conda)


def test_requirements_pin_every_package_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[><=]", name)[0] for name in _asked(project)]
    pins = re.findall(r"^([a-z0-9-]+)==[\d.]+$", (ROOT / "requirements.txt").read_text(), re.M)
    assert sorted(pins) == sorted(names)
