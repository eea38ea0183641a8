"""Which build of PyTorch the Makefile installs: stub wheels in two local indexes stand for PyPI and the CPU index."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"


def stub_index(folder: Path, version: str) -> str:
    """Write an index with empty wheels of torch and torchvision, and return its address."""
    for name in ("torch", "torchvision"):
        (folder / name).mkdir(parents=True)
        wheel = f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(folder / name / wheel, "w") as archive:
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        (folder / name / "index.html").write_text(f'<a href="{wheel}">{wheel}</a>')
    return folder.as_uri()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("make"), reason="make on Linux chooses the build")
@pytest.mark.parametrize(
    ("driver", "reachable", "by_hand", "version"),
    [
        (False, True, "", "1.0+cpu"),
        (False, False, "", "1.0"),
        (True, True, "", "1.0"),
        (True, False, "", "1.0"),
        (True, True, "cpu", "1.0+cpu"),
        (False, True, "cuda", "1.0"),
    ],
)
def test_the_build_of_torch(tmp_path: Path, driver: bool, reachable: bool, by_hand: str, version: str) -> None:
    plain, cpu = stub_index(tmp_path / "plain", "1.0"), stub_index(tmp_path / "cpu", "1.0+cpu")
    requirements, proof = tmp_path / "requirements.txt", tmp_path / "driver"
    requirements.write_text("torch==1.0\ntorchvision==1.0\n")
    if driver:
        proof.touch()
    index = cpu if reachable else "http://127.0.0.1:9"
    command = ["make", "-f", str(MAKEFILE), "packages", f"PYTHON={sys.executable}", f"VENV={tmp_path / 'venv'}"]
    command += [f"REQUIREMENTS={requirements}", f"DRIVER={proof}", f"TORCH_INDEX={index}"]
    command += [f"TORCH={by_hand}"] if by_hand else []
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHONPATH", "TORCH", "MAKE"))}
    environment |= {"PIP_INDEX_URL": plain, "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("did not answer" in done.stdout) == (not driver and not reachable)
    for name in ("torch", "torchvision"):
        assert [p.name for p in tmp_path.glob(f"venv/lib/*/site-packages/{name}-*.dist-info")] == [
            f"{name}-{version}.dist-info"
        ]
