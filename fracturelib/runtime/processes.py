"""Several processes that work as one, started by torchrun on one machine or on many.

The first one judges, writes and prints; the others lend it their processors. What they say to each other is pickled by
torch and not encrypted: all of them, and the network between them, must be one's own.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from fracturelib.errors import ConfigError, FracturelibError, LostProcessError
from fracturelib.runtime.connections import choose_interface, open_connections, watch

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MEETING = timedelta(minutes=30)  # for all processes to arrive
LONGEST_WAIT = timedelta(hours=12)  # for one that is alive: the first may be reading a catalogue of millions of files
BATCHES_AT_ONCE = 8  # per process, until the results are collected
USER_ERROR, INTERRUPTED = 2, 130  # exit codes of processes that leave it to another one to say why
_NOTE = "why a process ended"
_helped: ContextVar[bool] = ContextVar("helped", default=False)


@contextlib.contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes that torchrun started, if it did; all but the first are silent.

    When one of them ends, or its machine can no longer be reached, all end: with one message on each machine.

    Raises:
        ConfigError: torchrun's variables in the environment do not fit together, or the processes do not meet.
        LostProcessError: another process ended before its time.
    """
    if _stated_processes() < 2:
        yield
        return
    import torch
    import torch.distributed as dist

    print(f"Waiting for all {os.environ['WORLD_SIZE']} processes …", flush=True)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    others, store = open_connections(), _met()
    watch(open_connections() - others)
    try:
        with _quiet(unless=is_first()):
            yield
    except BaseException as error:
        raise _told_once(error, store) from (None if _is_loss(error) else error.__cause__)
    finally:
        dist.destroy_process_group()


def _stated_processes() -> int:
    """How many processes torchrun says that it started; 1 where it started none."""
    stated = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")}
    if stated["WORLD_SIZE"] in ("", "1"):
        return 1
    numbers = {name: int(value) if value.isdecimal() else -1 for name, value in stated.items()}
    complete = min(numbers.values()) >= 0 and os.environ.get("MASTER_ADDR")
    if not complete or not numbers["RANK"] < numbers["WORLD_SIZE"]:
        raise ConfigError(
            "the environment speaks of several processes, but not as torchrun does",
            cause=", ".join(f"{name}={value}" for name, value in stated.items()),
            cure="start them with torchrun, or take WORLD_SIZE out of the environment",
        )
    return numbers["WORLD_SIZE"]


def _met() -> Any:
    """The store that all processes share, once they have met and are connected."""
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    choose_interface(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    try:
        shared, rank, size = next(dist.rendezvous("env://", timeout=MEETING))
        store = dist.PrefixStore(_room(shared, rank, size), shared)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LONGEST_WAIT)
    except (ValueError, RuntimeError) as error:
        cause = str(error).splitlines()[0][:200]
        cure = "start all of them with torchrun; between machines, GLOO_SOCKET_IFNAME names the network to use"
        raise ConfigError("the processes do not meet", cause=cause, cure=cure) from error
    return store


def _room(store: Any, rank: int, size: int) -> str:
    """The name of a part of torchrun's store that is used by these processes only, once all are there.

    The store outlives a restart: read by its usual names, it would give the addresses of processes that are dead. So
    each process asks with a mark of its own, and the first one answers each mark until all have heard the name.
    """
    name = secrets.token_hex(8)
    if rank > 0:
        store.set(f"mark {rank}", name)
        store.wait([f"room for {name}"], MEETING)
        room = store.get(f"room for {name}").decode()
        store.set(f"{room} {rank}", "")
        return room
    missing, end = set(range(1, size)), time.monotonic() + MEETING.total_seconds()
    while missing:
        if time.monotonic() > end:
            raise RuntimeError(f"still missing: {', '.join(map(str, sorted(missing)))} of {size}")
        for number in list(missing):
            if store.check([f"mark {number}"]):
                store.set(f"room for {store.get(f'mark {number}').decode()}", name)
            if store.check([f"{name} {number}"]):
                missing.remove(number)
        time.sleep(0.1)
    return name


@contextlib.contextmanager
def _quiet(*, unless: bool) -> Iterator[None]:
    """Nothing that is printed in the block is seen."""
    with contextlib.ExitStack() as stack:
        if not unless:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - not a path
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


def _is_loss(error: BaseException) -> bool:
    """Whether an error says that another process is gone; gloo has no kind of error of its own."""
    import torch.distributed as dist

    lost = (dist.DistError, LostProcessError)
    return isinstance(error, lost) or (isinstance(error, RuntimeError) and "gloo" in str(error).casefold())


def _told_once(error: BaseException, store: Any) -> BaseException:
    """What a process ends with, so that each machine says once what happened.

    A process with an error of its own leaves a note for the others and tells it. Of those that find it gone, the first
    of each other machine tells what the note says.
    """
    machine, speaks = os.environ.get("GROUP_RANK", "0"), os.environ["LOCAL_RANK"] == "0"
    if not _is_loss(error):
        if isinstance(error, KeyboardInterrupt) and not (speaks and _note(store) is None):
            return SystemExit(INTERRUPTED)
        with contextlib.suppress(RuntimeError):
            said = str(error).splitlines() or [type(error).__name__]
            store.set(_NOTE, "\n".join([machine, socket.gethostname(), said[0]]))
        return error
    found = _note(store)
    if not speaks or (found and found[0] == machine):
        time.sleep(1)  # torchrun stops a machine's other processes with the first to end: let the one that speaks speak
        return SystemExit(USER_ERROR)
    cause = f"on {found[1]}: {found[2]}" if found else "it was stopped, or its machine cannot be reached"
    cure = "start all of them again; `train` then goes on where it was with --resume (or let torchrun --max-restarts)"
    return LostProcessError("another process of this run has ended", cause=cause, cure=cure)


def _note(store: Any) -> list[str] | None:
    """Number and name of the machine and the reason, as the first process that ended by itself left them."""
    with contextlib.suppress(RuntimeError):  # the store's machine may be the one that is gone
        if store.check([_NOTE]):
            return store.get(_NOTE).decode().split("\n", 2)
    return None


def may_restart() -> bool:
    """Whether torchrun starts the processes again when one fails (its --max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)) > 0


def is_restart() -> bool:
    """Whether torchrun has started the processes again, with the same command line."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def rank_and_size() -> tuple[int, int]:
    """The number of this process among those that work together, and how many they are: (0, 1) for one alone."""
    if "torch.distributed" not in sys.modules:  # nobody has joined, and torch takes seconds to load
        return 0, 1
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def is_first() -> bool:
    """Whether this is the process that judges, writes and prints."""
    return rank_and_size()[0] == 0


def gathered(value: Any) -> list[Any]:
    """The values of all processes, in their order, in every process."""
    values = [value] * rank_and_size()[1]
    if len(values) > 1:
        import torch.distributed as dist

        dist.all_gather_object(values, value)
    return values


def collected(value: Any) -> list[Any]:
    """The values of all processes, in their order, in the first one; none in the others."""
    rank, processes = rank_and_size()
    if processes == 1:
        return [value]
    import torch.distributed as dist

    values = [None] * processes if rank == 0 else None
    dist.gather_object(value, values, dst=0)
    return values or []


def from_first(value: Any) -> Any:
    """The first process's value, in every process."""
    if rank_and_size()[1] == 1:
        return value
    import torch.distributed as dist

    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def tensor_from_first(found: torch.Tensor | None) -> torch.Tensor:
    """The first process's tensor in every process, without a second copy of it on the way; None in the others."""
    import torch
    import torch.distributed as dist

    shape, dtype = from_first(None if found is None else (tuple(found.shape), found.dtype))
    tensor = torch.empty(shape, dtype=dtype) if found is None else found
    for part in tensor:
        dist.broadcast(part, 0)
    return tensor


def dealt(work: Callable[[list[Item]], Iterable[Result]], items: Iterable[Item], *, size: int = 1) -> Iterator[Result]:
    """What `work` gives for the first process's items, in order, in the first process; every one does a part.

    A part is a list of whole batches of `size`, so that the numbers are those of one process alone. The other processes
    get nothing, and return when the items are used up. An error of `work` that a user can cure is raised in the first
    process, whoever met it.
    """
    rank, processes = rank_and_size()
    rest = iter(items)
    while True:
        own = list(itertools.islice(rest, size * BATCHES_AT_ONCE * processes)) if rank == 0 else []
        some, part = from_first((own, size * math.ceil(len(own) / size / processes)))
        if not some:
            return
        for found in collected(_tried(work, some[rank * part : (rank + 1) * part])):
            if isinstance(found, FracturelibError):
                raise found
            yield from found


def _tried(work: Callable[[list[Item]], Iterable[Result]], items: list[Item]) -> list[Result] | FracturelibError:
    """All that `work` gives, or the error that a user can cure, with the name of this machine."""
    try:
        return list(work(items)) if items else []
    except FracturelibError as error:
        if not is_first():
            error.add_note(f"  on machine:   {socket.gethostname()}")
        return error


def by_first(work: Callable[[], Result]) -> Result:
    """What `work` gives in the first process, in every process; the others help wherever it calls `spread`."""
    if rank_and_size()[1] == 1:
        return work()
    if is_first():
        token = _helped.set(True)
        try:
            result = work()
        finally:
            _helped.reset(token)
        return from_first((None, result))[1]
    while True:
        helping, result = from_first(None)
        if helping is None:
            return result
        for _ in dealt(helping, ()):
            pass


def spread(work: Callable[[list[Item]], Iterable[Result]], items: Iterable[Item], *, size: int = 1) -> Iterator[Result]:
    """What `work` gives for all items, in order: by all processes inside `by_first`, else by this one.

    `work` must be a function of a module, or a `functools.partial` of one, so that it can be sent.
    """
    if not _helped.get():
        yield from work(list(items))
        return
    from_first((work, None))
    yield from dealt(work, items, size=size)
