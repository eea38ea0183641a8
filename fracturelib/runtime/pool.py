"""Work on many files or pairs at once: in processes where there is much to do, else in threads."""

from __future__ import annotations

import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import cv2
from threadpoolctl import threadpool_limits

from fracturelib.runtime import available_cores, serve_parent
from fracturelib.runtime.processes import rank_and_size

PROCESSES_FROM = 1000  # files or pairs from which on processes are worth their start
Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def workers(count: int) -> Iterator[Executor]:
    """As many workers as there are cores, for `count` pieces of work.

    Threads wait for each other where work is done in Python. Processes do not; they are forked, where that is the
    system's custom, as this asks no guard of the caller's script, and need no library that keeps threads of its own.
    """
    with one_thread_each():
        cores, alone = available_cores(), multiprocessing.parent_process() is None and rank_and_size()[1] == 1
        if count >= PROCESSES_FROM and cores > 1 and alone and sys.platform == "linux":
            context = multiprocessing.get_context("fork")
            pool: Executor = ProcessPoolExecutor(cores, mp_context=context, initializer=serve_parent)
        else:
            pool = ThreadPoolExecutor(cores)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def ordered(
    pool: Executor, work: Callable[[list[Item]], Iterable[Result]], items: Sequence[Item], *, together: int
) -> Iterator[Result]:
    """What `work` gives for the items, in their order; a worker gets so many at once, and few pieces are under way."""
    pending: deque[Future[Iterable[Result]]] = deque()
    for start in range(0, len(items), together):
        pending.append(pool.submit(work, list(items[start : start + together])))
        if len(pending) >= 4 * available_cores():
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep OpenCV and the matrix library to one thread per call: workers of our own are faster on small pictures."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)
