"""One download: announced, resumable, checked against a checksum, never left half-written under its name."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from tqdm import tqdm

CONNECT_SECONDS = 5.0  # longest wait for a first answer, name look-up included
READ_SECONDS = 30.0  # longest silence once the file is coming
CHUNK_BYTES = 1 << 18
LARGEST_BYTES = 4 * 2**30  # nothing that is asked for here comes near it; a server that never ends does
LARGEST_JSON = 2**20  # bytes of an answer that describes files
SLOWEST = 2_000  # bytes a second, over a minute and longer: below it a server only pretends to send


class DownloadError(Exception):
    """The file could not be fetched, or is not the one that was expected."""


class BrokenTransfer(DownloadError):
    """It broke off, or what was continued is not the file: a second attempt may succeed."""


def fetch(url: str, path: Path, *, checksum: str, algorithm: str = "sha256", size: int | None = None) -> None:
    """Download `url` to `path`; a transfer that breaks is continued once.

    Bytes go to ``<path>.part``, which a later call continues; the file gets its name only after the check.

    Args:
        url: address of the file.
        path: where it is kept; parents are made.
        checksum: first hex digits of the checksum that the file must have (8 in torchvision's names, or all).
        algorithm: of the checksum, as `hashlib` names it.
        size: bytes that the file has, where that is known: more are not received.

    Raises:
        DownloadError: no connection within 5 s, a broken, endless or far too slow transfer, or a wrong checksum.
    """
    print(f"Looking for {path.name} (gives up after {CONNECT_SECONDS:.0f} s without a connection) …", flush=True)
    try:
        _attempt(url, path, checksum, algorithm, size)
    except BrokenTransfer as error:
        print(f"{error}; trying once more", flush=True)
        _attempt(url, path, checksum, algorithm, size)


def fetch_json(url: str) -> Any:
    """A server's answer in JSON, of at most 1 MiB.

    Raises:
        DownloadError: no connection, an answer that is too long, or one that is not JSON.
    """
    try:
        with _open(urllib.request.Request(url, headers={"Accept": "application/json"})) as response:
            text = response.read(LARGEST_JSON + 1)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"the server answered {error.code}") from error
    except (OSError, HTTPException) as error:
        raise DownloadError(str(error) or type(error).__name__) from error
    if len(text) > LARGEST_JSON:
        raise DownloadError(f"the server's answer is longer than {LARGEST_JSON:,} bytes")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DownloadError("the server's answer is not JSON") from error


def _attempt(url: str, path: Path, checksum: str, algorithm: str, size: int | None) -> None:
    part = path.with_name(path.name + ".part")
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with _open(request) as response:
            if response.status not in (200, 206):  # 202: "come again later", without the file
                raise DownloadError(f"the server answered {response.status}")
            start = start if response.status == 206 else 0  # else the server sends all of it again
            path.parent.mkdir(parents=True, exist_ok=True)
            _receive(response, part, start, size or LARGEST_BYTES)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part already holds the whole file
            raise DownloadError(f"the server answered {error.code}") from error
    except (OSError, HTTPException) as error:
        broken = BrokenTransfer if part.exists() and part.stat().st_size > start else DownloadError
        raise broken(str(error) or type(error).__name__) from error
    found = digest_of(part, algorithm)
    if not found.startswith(checksum):
        part.unlink()
        wrong = BrokenTransfer if start else DownloadError  # a part of another file may have been continued
        raise wrong(f"wrong checksum ({algorithm} {found[:8]}…, expected {checksum[:8]}…); the file was removed")
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


def _receive(response: HTTPResponse, part: Path, start: int, largest: int) -> None:
    """Append the body to the part file, with a progress bar that says what comes and where it goes."""
    stated = response.headers.get("Content-Length") or ""
    total = start + int(stated) if stated.isdecimal() else None
    if (total or 0) > largest:
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
            if received > largest or (seconds > 60 and received - start < SLOWEST * seconds):
                raise DownloadError(
                    f"the server had sent {received / 1e6:.1f} MB after {seconds:.0f} s, without an end"
                )
    if total and received < total:
        raise BrokenTransfer(f"the connection broke after {received / 1e6:.0f} of {total / 1e6:.0f} MB")


def digest_of(path: Path, algorithm: str) -> str:
    """A file's checksum in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
