"""One download: announced, resumable, checked against a SHA-256, never left half-written under its name."""

from __future__ import annotations

import hashlib
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tqdm import tqdm

CONNECT_SECONDS = 5.0  # longest wait for a first answer, name look-up included
READ_SECONDS = 30.0  # longest silence once the file is coming
CHUNK_BYTES = 1 << 18
LARGEST_BYTES = 4 * 2**30  # no weights that are asked for here come near it; a server that never ends does
SLOWEST = 2_000  # bytes a second, over a minute and longer: below it a server only pretends to send


class DownloadError(Exception):
    """The file could not be fetched, or is not the one that was expected."""


class BrokenTransfer(DownloadError):
    """It broke off, or what was continued is not the file: a second attempt may succeed."""


def fetch(url: str, path: Path, *, sha256_prefix: str) -> None:
    """Download `url` to `path`; a transfer that breaks is continued once.

    Bytes go to ``<path>.part``, which a later call continues; the file gets its name only after the check.

    Args:
        url: address of the file.
        path: where it is kept; parents are made.
        sha256_prefix: first hex digits of the SHA-256 that the file must have (8 in torchvision's names).

    Raises:
        DownloadError: no connection within 5 s, a broken, endless or far too slow transfer, or a wrong checksum.
    """
    print(f"Looking for {path.name} (gives up after {CONNECT_SECONDS:.0f} s without a connection) …", flush=True)
    try:
        _attempt(url, path, sha256_prefix)
    except BrokenTransfer as error:
        print(f"{error}; trying once more", flush=True)
        _attempt(url, path, sha256_prefix)


def _attempt(url: str, path: Path, sha256_prefix: str) -> None:
    part = path.with_name(path.name + ".part")
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with _open(request) as response:
            start = start if response.status == 206 else 0  # else the server sends all of it again
            path.parent.mkdir(parents=True, exist_ok=True)
            _receive(response, part, start)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part already holds the whole file
            raise DownloadError(f"the server answered {error.code}") from error
    except (OSError, HTTPException) as error:
        broken = BrokenTransfer if part.exists() and part.stat().st_size > start else DownloadError
        raise broken(str(error) or type(error).__name__) from error
    found = _sha256(part)
    if not found.startswith(sha256_prefix):
        part.unlink()
        wrong = BrokenTransfer if start else DownloadError  # a part of another file may have been continued
        raise wrong(f"wrong checksum (SHA-256 {found[:8]}…, expected {sha256_prefix}…); the file was removed")
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
    stated = response.headers.get("Content-Length") or ""
    total = start + int(stated) if stated.isdecimal() else None
    if (total or 0) > LARGEST_BYTES:
        raise DownloadError(f"the server announces {stated} bytes, which no such file has")
    print(f"Downloading {f'{total / 1e6:.0f} MB' if total else 'a file of unknown size'} to {part.parent}", flush=True)
    received, begun = start, time.monotonic()
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem) as bar,
    ):
        while chunk := response.read1(CHUNK_BYTES):
            received += file.write(chunk)
            bar.update(len(chunk))
            seconds = time.monotonic() - begun
            if received > LARGEST_BYTES or (seconds > 60 and received - start < SLOWEST * seconds):
                raise DownloadError(
                    f"the server had sent {received / 1e6:.1f} MB after {seconds:.0f} s, without an end"
                )
    if total and received < total:
        raise BrokenTransfer(f"the connection broke after {received / 1e6:.0f} of {total / 1e6:.0f} MB")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
