"""One download: announced, resumable, checked against a SHA-256, never left half-written under its name."""

from __future__ import annotations

import hashlib
import threading
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tqdm import tqdm

CONNECT_SECONDS = 5.0  # longest wait for a first answer, name look-up included
READ_SECONDS = 30.0  # longest silence once the file is coming
CHUNK_BYTES = 1 << 18


class DownloadError(Exception):
    """The file could not be fetched, or is not the one that was expected."""


def fetch(url: str, path: Path, *, sha256_prefix: str) -> None:
    """Download `url` to `path`.

    Bytes go to ``<path>.part``, which a later call continues; the file gets its name only after the check.

    Args:
        url: address of the file.
        path: where it is kept; parents are made.
        sha256_prefix: first hex digits of the SHA-256 that the file must have (8 in torchvision's names).

    Raises:
        DownloadError: no connection within 5 s, a broken transfer, or a wrong checksum.
    """
    part = path.with_name(path.name + ".part")
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    print(f"Looking for {path.name} (gives up after {CONNECT_SECONDS:.0f} s without a connection) …", flush=True)
    try:
        with _open(request) as response:
            resumed = response.status == 206
            path.parent.mkdir(parents=True, exist_ok=True)
            _receive(response, part, start if resumed else 0)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part already holds the whole file
            raise DownloadError(f"the server answered {error.code}") from error
    except (OSError, HTTPException) as error:
        raise DownloadError(str(error) or type(error).__name__) from error
    found = _sha256(part)
    if not found.startswith(sha256_prefix):
        part.unlink()
        raise DownloadError(f"wrong checksum (SHA-256 {found[:8]}…, expected {sha256_prefix}…); the file was removed")
    part.replace(path)


def _open(request: urllib.request.Request) -> HTTPResponse:
    """`urlopen` with a deadline on everything before the first answer.

    The time-out of `urlopen` does not cover the name look-up, which can hang for a minute behind a closed
    firewall; so the call runs in a daemon thread that is abandoned when the deadline passes.
    """
    outcome: list[HTTPResponse | Exception] = []

    def attempt() -> None:
        try:
            outcome.append(urllib.request.urlopen(request, timeout=READ_SECONDS))
        except Exception as error:  # handed to the caller's thread, which raises it
            outcome.append(error)

    worker = threading.Thread(target=attempt, daemon=True)
    worker.start()
    worker.join(CONNECT_SECONDS)
    if not outcome:
        raise DownloadError(f"no connection within {CONNECT_SECONDS:.0f} s")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _receive(response: HTTPResponse, part: Path, start: int) -> None:
    """Append the body to the part file, with a progress bar that says what comes and where it goes."""
    remaining = int(response.headers.get("Content-Length") or 0)
    total = start + remaining
    print(f"Downloading {total / 1e6:.0f} MB to {part.parent}", flush=True)
    received = start
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(total=total or None, initial=start, unit="B", unit_scale=True, desc=part.stem) as bar,
    ):
        while chunk := response.read(CHUNK_BYTES):
            received += file.write(chunk)
            bar.update(len(chunk))
    if remaining and received < total:
        raise DownloadError(f"the connection broke after {received / 1e6:.0f} of {total / 1e6:.0f} MB; try again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
