"""Threads for arithmetic: numpy and pyarrow work beside each other, as they hold no lock."""

from __future__ import annotations

import importlib
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

Item = TypeVar("Item")
Made = TypeVar("Made")


_NAME = "spt-explain"


def thread_pool(workers: int) -> ThreadPoolExecutor:
    """Return a pool of so many threads, which `threads_busy` knows."""
    return ThreadPoolExecutor(workers, thread_name_prefix=_NAME)


@contextmanager
def beside() -> Iterator[ThreadPoolExecutor]:
    """Yield a thread for what goes on meanwhile; an error within does not wait for it."""
    pool = thread_pool(1)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def threads_busy() -> bool:
    """Return whether threads of a `thread_pool` are there, which the end of Python would wait for.

    A library's call can't be interrupted: the reading of a file, the start of a GPU.
    """
    return any(thread.name.startswith(_NAME) for thread in threading.enumerate())


def import_whole(name: str) -> None:
    """Import a module beyond the reach of Ctrl-C, which strikes the main thread only.

    Some libraries' own code crashes where its import is interrupted.
    """
    with ThreadPoolExecutor(1) as pool:
        pool.submit(importlib.import_module, name).result()


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Made],
    items: Iterable[Item],
    *,
    jobs: int | None = None,
    ahead: int | None = None,
) -> Generator[Made, None, None]:
    """Yield the result for each item, in order, while threads work on the next ones.

    The threads begin at once, with as many items as may wait.

    Parameters
    ----------
    function : callable
        What is done to an item; it must be safe to run in several threads.
    items : iterable
        Taken one by one by the calling thread, as places become free.
    jobs : int, optional
        Threads; one for each core by default. With 1, the calling thread does it all.
    ahead : int, optional
        Most items whose results are under way or wait to be taken, which bounds the memory; two
        for each thread by default.

    Yields
    ------
    object
        What `function` returned. What it raises is raised in its turn, and so is Ctrl-C; items
        that have not begun by then are dropped.
    """
    found: Generator[Any, None, None] = _in_order(function, items, jobs or core_count(), ahead)
    next(found)
    return found


def _in_order(
    function: Callable[[Item], Made], items: Iterable[Item], jobs: int, ahead: int | None
) -> Generator[Made | None, None, None]:
    """Yield None once the threads have begun, then what `in_order` says."""
    if jobs == 1:
        yield None
        yield from map(function, items)
        return
    pool = thread_pool(jobs)
    waiting: deque[Future[Made]] = deque()
    coming = iter(items)
    try:
        for item in islice(coming, ahead or 2 * jobs):
            waiting.append(pool.submit(function, item))
        yield None
        for item in coming:
            yield waiting.popleft().result()
            waiting.append(pool.submit(function, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
