"""What a kill leaves behind: `python -m benchmarks.kills [--quick] [--kills N] [--json FILE]`.

Commands are killed (SIGKILL) at random moments, in turns the process alone and its whole group, and run again with
the same words. The files must then be those of an uninterrupted run, byte for byte but for recorded times, and the
second run must not be silent for more than 5 s longer than the uninterrupted one was. With `--work FOLDER` a stopped
benchmark goes on where it was. `prepare` is `simulate` and `train` at full size: it is those that are killed here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.outcome import finish, options, row

PATIENCE = 5.0  # seconds of silence beyond the uninterrupted run's
LONGEST = 20  # times the uninterrupted run, or at least a minute: then the second run counts as hanging
TINY = "--weights distilled --image-size 64 --epochs 4 --patience 4 --batch-size 8"
COMMANDS = {  # {inputs} holds a set and a finished run
    "simulate": "simulate set --count 40",
    "train head": f"train --data {{inputs}}/set --name r --resume --views 2 {TINY}",
    "train layer4": f"train --data {{inputs}}/set --name r --resume --views 2 --unfreeze layer4 {TINY}",
    "audit": "audit {inputs}/set --report report",
    "predict": "predict {inputs}/runs/r {inputs}/set --csv p.csv",
}
# Times as numbers and in words, and the seconds that a run took.
_TIMES = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00)?|\d+ [A-Z][a-z]+ \d{4}, \d\d:\d\d UTC"
    rb'|"seconds": [\d.]+|\d+ s\b'
)
_HASHES = re.compile(rb'"(sha256|[\w.-]+\.(html|md|csv|json))": "[0-9a-f]{64}",?')


class Ended(NamedTuple):
    """How a command ended: exit code (None where it was stopped as hanging), seconds, longest silence."""

    code: int | None
    seconds: float
    silence: float


def start(command: str, inputs: Path, folder: Path) -> subprocess.Popen:
    """The command in a process group of its own; what it says goes to `said` beside the folder."""
    words = command.format(inputs=inputs).split()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path.cwd()), "FRACTURELIB_OFFLINE": "1"}
    with folder.with_suffix(".said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "fracturelib.cli", *words],
            **{"cwd": folder, "env": environment, "stdout": said, "stderr": said, "start_new_session": True},
        )


def run(command: str, inputs: Path, folder: Path, *, longest: float = 3600) -> Ended:
    """Run to the end, and listen."""
    begun, spoke, silence, size = time.monotonic(), time.monotonic(), 0.0, 0
    process = start(command, inputs, folder)
    while process.poll() is None:
        now, heard = time.monotonic(), folder.with_suffix(".said").stat().st_size
        spoke, size = (now, heard) if heard != size else (spoke, size)
        silence = max(silence, now - spoke)
        if now - begun > longest:
            os.killpg(process.pid, signal.SIGKILL)
            return Ended(None, now - begun, silence)
        time.sleep(0.02)
    return Ended(process.returncode, time.monotonic() - begun, silence)


def fingerprint(folder: Path) -> dict[str, str]:
    """A hash by file, without recorded times; what is beside the results (locks, features, parts) is left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in Path(name).parts):
            found[name] = hashlib.sha256(_content(path)).hexdigest()
    return found


def _content(path: Path) -> bytes:
    if path.suffix == ".npz":  # a zip file holds times
        with np.load(path) as arrays:
            return b"".join(name.encode() + arrays[name].tobytes() for name in arrays)
    content = path.read_bytes()
    if path.name == "config.json":  # it holds the hash of each file, which is compared here without its times
        content = _HASHES.sub(b"", content)
    return _TIMES.sub(b"", content) if path.suffix in (".json", ".html", ".md", ".csv") else content


def kill_once(number: int, command: str, inputs: Path, folder: Path, whole: Ended, files: dict[str, str]) -> dict:
    """Kill at a random moment of the uninterrupted run, run again, and compare."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    moment = float(np.random.default_rng(number).uniform(0, whole.seconds))
    process = start(command, inputs, folder)
    time.sleep(moment)
    if number % 2:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    again = run(command, inputs, folder, longest=max(60.0, LONGEST * whole.seconds))
    differ = {name for name, _ in files.items() ^ fingerprint(folder).items()}
    return {
        "moment": moment,
        "group": bool(number % 2),
        "code": again.code,
        "differ": sorted(differ),
        "silence": max(0.0, again.silence - whole.silence),
    }


def make_inputs(work: Path) -> Path:
    """A set and a finished run for the commands that read them."""
    inputs = work / "inputs"
    for command in ("simulate set --count 48", f"train --data set --name r --resume --views 1 {TINY}"):
        inputs.mkdir(parents=True, exist_ok=True)
        assert run(command, inputs, inputs).code == 0, inputs.with_suffix(".said").read_text()
    return inputs.resolve()


def measure(work: Path, kills: int) -> list[dict]:
    """Rows of all commands; kills that an earlier call finished are taken from `kills.jsonl`."""
    inputs, log = make_inputs(work), work / "kills.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    done = {entry["number"]: entry for entry in map(json.loads, lines)}
    for place, (name, command) in enumerate(COMMANDS.items()):
        numbers = [number for number in range(place, kills, len(COMMANDS)) if number not in done]
        if not numbers:
            continue
        folder = work / name.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        whole = run(command, inputs, folder)
        assert whole.code == 0, folder.with_suffix(".said").read_text()
        files = fingerprint(folder)
        for number in numbers:
            entry = kill_once(number // len(COMMANDS), command, inputs, folder, whole, files)
            done[number] = {"number": number, "command": name, **entry}
            print(done[number], flush=True)
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[number]) + "\n")
    return [one for name in COMMANDS for one in rows_of(name, list(done.values()))]


def rows_of(name: str, entries: list[dict]) -> list[dict]:
    """How many kills of a command left the files of an uninterrupted run, and the longest silence of a second run."""
    own = [entry for entry in entries if entry["command"] == name]
    if not own:
        return []
    same = sum(entry["code"] == 0 and not entry["differ"] for entry in own)
    silence = max(entry["silence"] for entry in own)
    return [
        row(f"{name}: same files after {len(own)} kills", same / len(own), bar="= 1", holds=same == len(own)),
        row(f"{name}: longest silence added, s", silence, bar=f"≤ {PATIENCE:g}", holds=silence <= PATIENCE),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if a kill left other files, or a second run hung."""
    parser = options("kills", __doc__, quick="10 kills")
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="default: %(default)s")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keep everything here, and go on with it")
    settings = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        rows = measure(settings.work or Path(temporary), 10 if settings.quick else settings.kills)
    return finish(rows, quick=settings.quick, file=settings.json)


if __name__ == "__main__":
    sys.exit(main())
