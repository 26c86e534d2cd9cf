"""Work done by several threads ahead of the one that takes its results, in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

THREADS = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4, 16)


def in_order(
    work: Callable[[Task], Result], tasks: Iterable[Task], threads: int = THREADS
) -> Generator[Result, None, None]:
    """Yield `work(task)` for each task, in the order of the tasks.

    No more than two tasks a thread are under way or wait to be taken, so that memory stays
    flat however slowly results are taken. An exception of a task is raised in its place; what
    has not begun by then, or when the iterator is closed, is never done.
    """
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) == 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
