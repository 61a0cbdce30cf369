"""Keep a Python process on its own machine: any other address is an error, and nothing is sent.

Python imports this file by itself when its folder is on PYTHONPATH, in kernels and in whatever they
start. An audit hook sees every use of the socket module before the system does, and cannot be
taken out again. The error is no OSError, so that code which copes with a missing network by
catching that one is found too; and each attempt is written to $COURSE_OFFLINE_LOG, so that it is
known even where everything is caught.
"""

import os
import sys
from typing import NoReturn

# "" and "0.0.0.0" stand for this machine where a server binds.
HERE = {None, "", "localhost", "localhost.localdomain", "0.0.0.0", "::", "::1", "ip6-localhost"}


class NetworkBlockedError(RuntimeError):
    """A lesson tried to leave this machine."""


def is_here(host: object) -> bool:
    """Say whether a host name or address means this machine."""
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii", "replace")
    return host in HERE or str(host).startswith(("127.", "::ffff:127."))


def refuse(what: str, where: object) -> NoReturn:
    """Write the attempt down and stop it."""
    message = f"The lessons must work without a network, but {what} was called for {where!r}."
    log = os.environ.get("COURSE_OFFLINE_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as record:  # noqa: PTH123 - before pathlib is loaded
            record.write(f"{message}\n")
    raise NetworkBlockedError(message)


def guard(event: str, arguments: tuple) -> None:
    """Judge one use of the socket module."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if not is_here(arguments[0]):
            refuse(event, arguments[0])
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]  # a name (local sockets), a tuple, or None (connected before)
        if isinstance(address, tuple) and not is_here(address[0]):
            refuse(event, address)


sys.addaudithook(guard)
