"""Tries what the launcher takes from the program, and prints a JSON object: what was tried, and the errno or "done"."""
import ctypes, errno, fcntl, json, os, platform, struct, sys

ARM = platform.machine() == "aarch64"
libc = ctypes.CDLL(None, use_errno=True)
tried = {}


def call(name, x86, arm, *arguments):
    number = arm if ARM else x86
    if number is None:
        return
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    tried[name] = "done" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")


def writes(path, make=False):
    try:
        fd = os.open(path, os.O_WRONLY | (os.O_CREAT | os.O_EXCL if make else 0), 0o600)
        os.close(fd)
        if make:
            os.remove(path)
        tried["write " + path] = "done"
    except OSError as error:
        tried["write " + path] = errno.errorcode[error.errno]


# With arguments that fail in a harmless way, and another one, where they get so far.
call("mount", 165, 40, 0, 0, 0, 0, 0)
call("umount2", 166, 39, 0, 0)
call("pivot_root", 155, 41, 0, 0)
call("chroot", 161, 51, 0)
call("fsopen", 430, 430, 0, 0)
call("unshare", 272, 97, 0)
call("setns", 308, 268, -1, 0)
call("clone, a user namespace", 56, 220, 0x10000000 | 0x800, 0, 0, 0, 0)  # with SIGHAND alone: never done
call("clone3", 435, 435, 0, 0)
call("ptrace", 101, 117, 99, 0, 0, 0)
call("process_vm_readv", 310, 270, os.getpid(), 0, 0, 0, 0, 0)
call("kexec_load", 246, 104, 0, 0, 0, 0)
call("finit_module", 313, 273, -1, 0, 0)
call("keyctl", 250, 219, 99, 0, 0, 0, 0)
call("perf_event_open", 298, 241, 0, 0, 0, 0, 0)
call("open_by_handle_at", 304, 265, 0, 0, 0)
call("personality", 135, 92, 0xFFFFFFFF)
call("settimeofday", 170, 170, 0, 0)
call("reboot", 169, 142, 0, 0, 0, 0)
call("io_uring_setup", 425, 425, 0, 0)
call("userfaultfd", 323, 282, 99)
call("iopl", 172, None, 0)
call("x32", 0x40000000 | 39, None)
try:
    fcntl.ioctl(0, 0x5412, b"x")  # TIOCSTI
except OSError as error:
    tried["TIOCSTI"] = errno.errorcode[error.errno]
for path in sys.argv[1].split(","):
    writes(path)
for path in sys.argv[2].split(","):
    writes(path, make=True)
print(json.dumps(tried))
