"""Run a command that can open only local sockets, and report each attempt to open another.

    python socket_guard.py FD COMMAND…

A seccomp filter, which child processes inherit, suspends each call of socket() for a family other
than AF_UNIX, from Python or C++, until the holder of the filter's listener has answered it. The
listener is sent over the socket FD. Where a filter can't be installed, the exit code is 77 and the
reason stands on stderr.
"""

import ctypes
import os
import platform
import socket
import struct
import sys

UNAVAILABLE = 77

PR_SET_NO_NEW_PRIVS, SET_MODE_FILTER, NEW_LISTENER = 38, 1, 8
NOTIFY, ALLOW, KILL, ERROR = 0x7FC00000, 0x7FFF0000, 0x80000000, 0x00050000
ENOSYS, IO_URING_SETUP = 38, 425  # io_uring opens sockets without socket()
MACHINES = {  # AUDIT_ARCH and the numbers of socket() and seccomp()
    "x86_64": (0xC000003E, 41, 317),
    "aarch64": (0xC00000B7, 198, 277),
}


def program(arch: int, socket_number: int) -> bytes:
    """Return the filter in classic BPF; each jump counts the instructions it leaves out."""
    load, equal, answer = 0x20, 0x15, 0x06
    return b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 4),  # the instruction set
            (equal, 1, 0, arch),
            (answer, 0, 0, KILL),  # its calls have other numbers
            (load, 0, 0, 0),  # the call
            (equal, 0, 1, IO_URING_SETUP),
            (answer, 0, 0, ERROR | ENOSYS),
            (equal, 1, 0, socket_number),
            (answer, 0, 0, ALLOW),
            (load, 0, 0, 16),  # its first argument: the family
            (equal, 0, 1, socket.AF_UNIX),
            (answer, 0, 0, ALLOW),
            (answer, 0, 0, NOTIFY),
        )
    )


def install() -> int:
    """Put the filter on this process and return its listener.

    Raises
    ------
    OSError
        If this system has no such filters, or does not permit them.
    """
    if not sys.platform.startswith("linux") or platform.machine() not in MACHINES:
        raise OSError(f"no seccomp filter for {sys.platform} on {platform.machine()}")
    arch, socket_number, seccomp_number = MACHINES[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    code = program(arch, socket_number)
    held = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    arguments = [ctypes.c_ulong(value) for value in (1, 0, 0, 0)]
    if libc.prctl(PR_SET_NO_NEW_PRIVS, *arguments) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS) failed")
    listener = libc.syscall(
        ctypes.c_long(seccomp_number),
        ctypes.c_ulong(SET_MODE_FILTER),
        ctypes.c_ulong(NEW_LISTENER),
        described,
    )
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER) failed")
    return int(listener)


def main() -> None:
    """Install the filter, send its listener, become the command."""
    with socket.socket(fileno=int(sys.argv[1])) as supervisor:
        try:
            listener = install()
        except OSError as error:
            print(error, file=sys.stderr)
            sys.exit(UNAVAILABLE)
        socket.send_fds(supervisor, [b"listener"], [listener])
    os.close(listener)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
