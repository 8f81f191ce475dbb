"""
The Debian package under a systemd that is process 1: boot_systemd.sh runs this as /lab/main. eth0 leads through a
switch to two name servers (dnsmasq) and a client, each a network namespace of its own. It installs /lab/xdpsteer.deb,
starts the unit, and asks names all the time, while a server goes and comes back. What it has seen goes to /lab/result,
as JSON.

    service_lab.py ANSWERS      waits for so many answers before the failure, while it is known, and after the recovery
"""
import itertools, socket, struct, subprocess, sys, threading, time

from lab import BOX, configure, enter, ip, main, make_network, process, result, run, status, unit, until

ANSWERS = int(sys.argv[1])
# Clients that ask at once, and how long each waits after an answer. Each question has a socket of its own.
CLIENTS, PAUSE_S = 8, 0.15
# A resolver asks again after a second, and gives up some time: much later here, since a machine may be slow.
RETRY_S, TRIES = 1, 60
CLIENT = "10.0.0.50"
SERVERS = ["10.0.0.11", "10.0.0.12"]
# README.md's check, and the other two kinds in its place. The payload is a query for "steered.test".
README = "{ check: icmp }"
QUERY = struct.pack("!6H", 0x7878, 0x0100, 1, 0, 0, 0) + b"\7steered\4test\0" + struct.pack("!2H", 1, 1)
OTHERS = {"udp": f'{{ check: udp, send: {{ hex: "{QUERY.hex()}" }}, expect: {{ hex: "78 78 85 80" }}, interval: 0.2 }}',
          "tcp": "{ check: tcp, interval: 0.2 }"}


def start_server(number):
    address = SERVERS[number - 1]
    inside = ["ip", "netns", "exec", f"server{number}"]
    server = subprocess.Popen([*inside, "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts",
        "--conf-file=/dev/null", "--user=root", "--pid-file=", f"--listen-address={address}", "--bind-interfaces",
        f"--address=/test/192.0.2.{number}", "--log-facility=/lab/dnsmasq"])
    until("a name server", lambda: f"{address}:53 " in run(*inside, "ss", "-Hltn") + " ")
    return server


def serves():
    try:
        return status()["pid"] == int(unit("MainPID"))
    except Exception:
        return False  # the control socket changes hands


def healths():
    backends = {backend["name"]: backend["health"] for backend in status()["backends"]}
    return [backends[f"{server}:53"] for server in SERVERS]


def healthy():
    return [health["healthy"] for health in healths()]


def kept():
    """How many descriptors systemd has for the time after a crash."""
    return int(unit("NFileDescriptorStore"))


def crash(load, signal):
    """Kills the process under load. Says what the next one has of it."""
    until("everything to be kept", lambda: status()["handovers"]["kept"] == kept() > 0)
    before, pid = status(), unit("MainPID")
    begun = time.monotonic()
    run("kill", f"-{signal}", pid)
    until("another process", lambda: unit("MainPID") not in ("0", pid))
    until("its answers", serves)
    elapsed = time.monotonic() - begun
    load.more()
    after = status()
    forwarded = lambda status: status["totals"]["fates"]["forwarded"]
    return {"adopted": after["handovers"]["adopted"], "done": after["handovers"]["done"], "seconds": round(elapsed, 1),
        "went back": forwarded(after) < forwarded(before), "restarts": unit("NRestarts"), "kept": kept()}


class Load:
    """Asks names, from the client's namespace."""

    def __init__(self):
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.ends = False
        self.asked = self.answered = self.first = 0
        self.answers = {}
        self.longest = 0.0
        self.error = None
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        try:
            enter("client")  # a thread has a namespace of its own
            while not self.ends:
                self.ask(next(self.numbers))
                time.sleep(PAUSE_S)
        except Exception as error:
            self.error = repr(error)

    def end(self):
        self.ends = True
        for thread in self.threads:
            thread.join()

    def ask(self, number):
        name = b"".join(bytes([len(part)]) + part for part in (b"name%d" % number, b"test")) + b"\0"
        began = time.monotonic()
        with self.lock:
            self.asked += 1
        for attempt in range(TRIES):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
                resolver.settimeout(RETRY_S)
                resolver.connect((BOX, 53))
                query = struct.pack("!6H", number & 0xffff, 0x0100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)
                resolver.send(query)
                try:
                    answer = resolver.recv(512)
                except OSError:
                    continue
            assert answer[:2] == query[:2] and answer[2] & 0x80 and answer[3] & 15 == 0, answer
            address = ".".join(map(str, answer[-4:]))
            with self.lock:
                self.answered += 1
                self.first += attempt == 0
                self.longest = max(self.longest, time.monotonic() - began)
                self.answers[address] = self.answers.get(address, 0) + 1
            return

    def more(self):
        """Waits for answers that are all to questions asked from now on. Says how many of each address."""
        with self.lock:
            start = self.answered + CLIENTS
        until("answers", lambda: self.error or self.answered >= start)
        before = dict(self.answers)
        until("more answers", lambda: self.error or self.answered >= start + ANSWERS)
        return {address: count - before.get(address, 0) for address, count in self.answers.items()}


def lab():
    make_network({"client": CLIENT, "server1": SERVERS[0], "server2": SERVERS[1]})
    servers = [start_server(1), start_server(2)]
    run("dpkg", "--install", "/lab/xdpsteer.deb")
    result["installed"] = run("systemctl", "is-active", "xdpsteer", check=False)
    with open("/lab/steering.yaml") as file:
        config = file.read()
    configure(config)
    run("xdpsteer", "check")
    run("systemctl", "start", "xdpsteer")
    result["process"] = process()
    result["exposure"] = run("systemd-analyze", "security", "--no-pager", "xdpsteer").splitlines()[-1]

    until("first checks", lambda: all(health["checks"] >= 2 for health in healths()))
    until("a deadman", lambda: status()["deadman"]["armed"])  # with the capabilities that the unit has
    load = Load()
    load.more()
    ip("-n", "switch", "link", "set", "to-server1", "down")
    until("a failure", lambda: not healthy()[0])
    result["failed"] = healthy()
    result["in failure"] = load.more()
    ip("-n", "switch", "link", "set", "to-server1", "up")
    until("a recovery", lambda: healthy()[0])
    result["in recovery"] = load.more()
    # Another process takes over: once asked for, and once by an upgrade of the package.
    result["handed over"] = []
    for words in (["xdpsteer", "upgrade", "--within", "60"], ["dpkg", "--install", "/lab/xdpsteer.deb"]):
        before = unit("MainPID")
        run(*words)
        until("another main process", lambda: unit("MainPID") != before)
        until("its answers", serves)
        load.more()
        result["handed over"].append([status()["handovers"]["done"], unit("ActiveState"), unit("NRestarts")])
    result["process after"] = process()
    result["crashed"] = [crash(load, signal) for signal in ("KILL", "ABRT")]
    load.end()
    result["client"] = {key: getattr(load, key) for key in ("asked", "answered", "first", "longest", "error")}

    for kind, check in OTHERS.items():
        configure(config.replace(README, check))
        run("systemctl", "reload", "xdpsteer")
        checks = [health["checks"] for health in healths()]
        until(kind, lambda: all(now["checks"] >= then + 5 and now["healthy"] for now, then in zip(healths(), checks)))
        servers[0].terminate()
        servers[0].wait()
        # On a slow machine the first check that fails may be one without an answer.
        until(f"a failure, {kind}", lambda: "ECONNREFUSED" in f"{healths()[0]['reason']}" and not healthy()[0])
        result[f"{kind} failed"] = [[health["healthy"], health["reason"]] for health in healths()]
        servers[0] = start_server(1)
        until(f"a recovery, {kind}", lambda: healthy()[0])
        result[f"{kind} recovered"] = healthy()
    result["restarts"] = unit("NRestarts")
    result["active"] = run("systemctl", "is-active", "xdpsteer", check=False)
    run("systemctl", "stop", "xdpsteer")
    result["kept"] = kept()
    result["left"] = run("ip", "-details", "link", "show", "eth0").count("xdp")


main(lab)
