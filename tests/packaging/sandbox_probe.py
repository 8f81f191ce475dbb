"""Does what a feature of xdpsteer needs, one after the other, and prints a JSON line: what does not work, and why."""
import ctypes, grp, json, os, resource, socket, struct, sys

BACKENDS = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
PORT = 5300
libc = ctypes.CDLL(None, use_errno=True)
failures = {}


def needs(name):
    def run(function):
        try:
            function()
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {error}"
    return run


def raw(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def open_to(family, kind, protocol=0):
    checker = socket.socket(family, kind, protocol)
    checker.settimeout(10)
    checker.connect((BACKENDS[family], 0 if kind == socket.SOCK_RAW else PORT))
    return checker


for family in BACKENDS:
    six = family == socket.AF_INET6

    @needs(f"a UDP health check, {family.name}")
    def udp():
        with open_to(family, socket.SOCK_DGRAM) as checker:
            checker.send(b"ping")
            assert checker.recv(100) == b"ping"

    @needs(f"a TCP health check, {family.name}")
    def tcp():
        open_to(family, socket.SOCK_STREAM).close()

    @needs(f"an ICMP health check, {family.name}")
    def icmp():
        protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
        with open_to(family, socket.SOCK_RAW, protocol) as checker:
            request = struct.pack("!BBHHH", 128 if six else 8, 0, 0, 1, 1)
            total = sum(struct.unpack("!4H", request))
            checker.send(request if six else request[:2] + struct.pack("!H", ~total & 0xFFFF) + request[4:])
            while checker.recv(100)[0 if six else 20] != (129 if six else 0):
                pass


@needs("rtnetlink, for next hops")
def rtnetlink():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as routes:
        routes.settimeout(10)
        routes.bind((0, 0x4 | 0x40 | 0x400))  # neighbours and routes, as they change
        routes.send(struct.pack("=IHHIIB3x", 20, 26, 0x301, 1, 0, 0))
        assert routes.recv(4096)


@needs("an AF_XDP socket")
def xdp():
    socket.socket(44, socket.SOCK_RAW, 0).close()


@needs("bpf(2)")
def bpf():
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    fd = libc.syscall(number, 0, ctypes.create_string_buffer(struct.pack("=IIIII", 2, 4, 8, 1, 0), 120), 120)
    raw(fd)
    os.close(fd)


@needs("workers.cpus")
def affinity():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@needs("more open files")
def files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    assert hard >= 4096, hard


@needs("the names of DNS servers")
def resolver():
    if os.path.exists("/etc/resolv.conf"):
        open("/etc/resolv.conf").read()


@needs("what the kernel tells in files")
def proc():
    for path in ["/proc/net/udp", "/proc/net/if_inet6", "/proc/sys/net/ipv4/ip_local_port_range", "/proc/meminfo",
                 "/proc/self/status", "/sys/class/net/lo/mtu", "/sys/devices/system/cpu/online"]:
        open(path).read()
    os.stat("/sys/kernel/btf/vmlinux")


@needs("captures")
def capture():
    for name in ["game.pcapng", "game.1.pcapng"]:
        with open("/var/lib/xdpsteer/" + name, "xb") as file:
            file.write(b"x")
    os.rename("/var/lib/xdpsteer/game.pcapng", "/var/lib/xdpsteer/game.2.pcapng")


@needs("the cache")
def cache():
    path = os.environ["XDPSTEER_CACHE_DIR"]
    assert os.path.realpath(path) == path, path
    open(path + "/probe", "x").close()


@needs("control.group")
def group():
    with socket.socket(socket.AF_UNIX) as control:
        control.bind("/run/xdpsteer/control.sock")
        os.chown("/run/xdpsteer/control.sock", -1, grp.getgrnam("games").gr_gid)
        os.chmod("/run/xdpsteer/control.sock", 0o660)


@needs("the watch of the configuration")
def watch():
    fd = libc.inotify_init1(0)
    raw(fd)
    raw(libc.inotify_add_watch(fd, b"/etc/xdpsteer", 0x2))
    os.close(fd)
    open("/etc/xdpsteer/steering.yaml").read()


print(json.dumps(failures))
