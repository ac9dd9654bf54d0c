"""Locks on files, which the system lets go of however a process ends, where there are any."""

import errno
from typing import IO, Any

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

# of a file system without them: Lustre without its mount option flock, and some network shares
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


def lock(file: IO[Any] | int, shared: bool = False, wait: bool = False) -> str | None:
    """Hold an open file, or its number, until it is closed.

    Gives why nothing can be locked here, or None. Raises BlockingIOError where another process
    holds it, unless it shall `wait`.
    """
    if fcntl is None:
        return "this system has no such locks"
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, how if wait else how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return error.strerror
    return None
