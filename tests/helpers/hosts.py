"""Machines of a test's own: network namespaces with one cable each to a common switch, or processes on the loopback."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NETWORK = "10.213.7"  # lives in the namespaces only
ROOT = Path(__file__).parents[2]
_numbers = itertools.count()


def ip(*words: str) -> None:
    """The command `ip`; an error says what it said."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Host:
    """A machine on which one command runs at a time."""

    def __init__(self, number: int, address: str, namespace: str | None = None) -> None:
        self.number, self.address, self.namespace = number, address, namespace
        self.process: subprocess.Popen[str] | None = None
        self.output = Path()

    def start(self, command: list[str], output: Path, **environment: str) -> None:
        """Begin a command; what it says goes into a file."""
        inside = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        self.output = output
        with output.open("w") as file:
            self.process = subprocess.Popen(
                [*inside, *command],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                start_new_session=True,
            )

    def wait(self, seconds: float) -> tuple[int, str]:
        """Exit code and words of the command; the test fails if it has not ended by then."""
        assert self.process is not None
        return self.process.wait(seconds), self.output.read_text()

    def pull_the_plug(self) -> None:
        """Cut the cable, so that nobody hears a goodbye, and end everything on the machine."""
        if self.namespace:
            ip("-n", self.namespace, "link", "set", "eth0", "down")
        self.stop()

    def stop(self) -> None:
        """End all processes of the command."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            for child in _descendants(self.process.pid):  # torchrun's workers have sessions of their own
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # on a busy machine; what comes after must be done
            self.process.wait(60)

    def plug_in(self) -> None:
        """Mend the cable."""
        if self.namespace:
            ip("-n", self.namespace, "link", "set", "eth0", "up")


def _descendants(pid: int) -> list[int]:
    """Processes below one, from the system's list."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = [pid]
    for one in found:
        found += [child for child, parent in parents if parent == one]
    return found[1:]


@contextlib.contextmanager
def separate_hosts(count: int) -> Iterator[list[Host]]:
    """Machines in namespaces, all of which are gone afterwards; OSError without the right to make them."""
    mark = f"fracturelib-{os.getpid()}-{next(_numbers)}"
    switch, names = f"{mark}-switch", [f"{mark}-{number}" for number in range(count)]
    hosts: list[Host] = []
    try:
        for name in (switch, *names):
            ip("netns", "add", name)
        ip("-n", switch, "link", "add", "name", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        for number, name in enumerate(names):
            address = f"{NETWORK}.{number + 1}"
            ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{number}", "netns", switch)
            ip("-n", switch, "link", "set", f"port{number}", "master", "bridge", "up")
            ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            for interface in ("lo", "eth0"):
                ip("-n", name, "link", "set", interface, "up")
            hosts.append(Host(number, address, name))
        yield hosts
    finally:
        for host in hosts:
            host.stop()
        for name in (*names, switch):
            with contextlib.suppress(OSError):  # it may not have been made
                ip("netns", "delete", name)


@contextlib.contextmanager
def loopback_hosts(count: int) -> Iterator[list[Host]]:
    """The same without namespaces."""
    hosts = [Host(number, "127.0.0.1") for number in range(count)]
    try:
        yield hosts
    finally:
        for host in hosts:
            host.stop()


def torchrun(host: Host, hosts: list[Host], port: int, script: Path, *arguments: str) -> list[str]:
    """The command line that is given to one of several machines."""
    how = ["--nnodes", str(len(hosts)), "--nproc-per-node", "1", "--node-rank", str(host.number)]
    where = ["--master-addr", hosts[0].address, "--master-port", str(port), "--local-addr", host.address]
    return [sys.executable, "-m", "torch.distributed.run", *how, *where, str(script), *arguments]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(file: Path, seconds: float, hosts: list[Host]) -> None:
    """Wait until a file is there; the test fails where it does not come, or a command ends before."""
    end = time.monotonic() + seconds
    while not file.exists():
        ended = [host for host in hosts if host.process is None or host.process.poll() is not None]
        assert not ended, ended[0].output.read_text()
        assert time.monotonic() < end, "\n".join(host.output.read_text() for host in hosts)
        time.sleep(0.1)
