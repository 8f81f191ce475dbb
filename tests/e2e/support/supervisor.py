"""A service manager's part in a crash, as systemd plays it: keeps descriptors that come to NOTIFY_SOCKET, and starts the
program anew with them when a signal has killed it.

    supervisor.py DELAY_MS DAMAGE PROGRAM ARGUMENTS...

DAMAGE is done to what is kept before the program is started again: none, half (of the record), layout (of counters),
lost (one descriptor). It says what it does on standard error.
"""
import array
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time

ROOM = 4096
delay, damage, program = int(sys.argv[1]) / 1000, sys.argv[2], sys.argv[3:]
name = f"@xdpsteer-supervisor-{os.getpid()}"  # of this network namespace: no file is left, however it ends
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
notify.bind("\0" + name[1:])
kept = []  # of (name, descriptor), the last one first
main = 0
ending = False


def say(*words):
    print("supervisor:", *words, file=sys.stderr, flush=True)


def identity(fd):
    status, target = os.fstat(fd), os.readlink(f"/proc/self/fd/{fd}")
    if not target.startswith("anon_inode"):
        return (status.st_dev, status.st_ino)
    with open(f"/proc/self/fdinfo/{fd}") as info:
        return (target, [line for line in info if line.split(":")[0] in ("map_id", "link_id", "prog_id")])


def take():
    """One message. The kernel says who has sent it; only the main process is listened to."""
    global main
    data, control, _, _ = notify.recvmsg(65536, 4096)
    fds, sender = [], 0
    for level, kind, content in control:
        if kind == socket.SCM_RIGHTS:
            fds = list(array.array("i", content[: len(content) // 4 * 4]))
        elif kind == socket.SCM_CREDENTIALS:
            sender = struct.unpack("3i", content)[0]
    fields = dict(line.split("=", 1) for line in data.decode().split("\n"))
    if sender != main:
        for fd in fds:
            os.close(fd)
        return
    if "FDSTORE" in fields:
        assert fields.get("FDPOLL") == "0", fields
        for fd in fds:
            if len(kept) == ROOM or any(identity(fd) == identity(other) for _, other in kept):
                os.close(fd)
            else:
                kept.insert(0, (fields["FDNAME"], fd))
    elif "FDSTOREREMOVE" in fields:
        for entry in [entry for entry in kept if entry[0] == fields["FDNAME"]]:
            kept.remove(entry)
            os.close(entry[1])
    else:
        for fd in fds:  # a barrier
            os.close(fd)
    if "MAINPID" in fields:
        main = int(fields["MAINPID"])


def spoil():
    fds = dict(kept)
    if damage == "half":
        with mmap.mmap(fds["xdpsteer-record"], 0) as memory:
            for at in 0, 16 << 20:
                memory[4096 + 64 + at + 200] ^= 1
    elif damage == "layout":
        counters = next(fd for fd in fds.values() if "xdpsteer counters" in os.readlink(f"/proc/self/fd/{fd}"))
        with mmap.mmap(counters, 4096) as memory:
            memory[12] ^= 1
    elif damage == "lost":
        os.close(kept.pop()[1])


def start():
    global main
    pid = os.fork()
    if pid != 0:
        main = pid
        say("started", pid, "with", len(kept))
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGCHLD])
    environment = dict(os.environ, NOTIFY_SOCKET=name, FDSTORE=str(ROOM))
    copies = [os.dup2(fd, 1000 + index) for index, (_, fd) in enumerate(kept)]
    for index, fd in enumerate(copies):
        os.dup2(fd, 3 + index, inheritable=True)
    os.closerange(3 + len(copies), 10000)
    if copies:
        names = ":".join(name for name, _ in kept)
        environment.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(copies)), LISTEN_FDNAMES=names)
    os.execvpe(program[0], program, environment)


def ended(pid, status):
    """The end of the main process: whoever else it has started ends with it."""
    global main
    if pid != main:
        return
    say("ended", pid, status)
    main = 0
    while select.select([notify], [], [], 0)[0]:
        take()
    if ending or not os.WIFSIGNALED(status):
        sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
    time.sleep(delay)
    spoil()
    start()


signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
start()
while True:
    if select.select([notify], [], [], 0.01)[0]:
        take()
    if signal.sigtimedwait([signal.SIGTERM], 0) is not None:
        ending = True
        if main:
            os.kill(main, signal.SIGTERM)
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            ended(pid, status)
    except ChildProcessError:
        pass
