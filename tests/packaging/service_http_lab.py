"""
The package's service under a systemd that is process 1, while clients of its HTTP interface send requests ahead and
never read: boot_systemd.sh runs this as /lab/main. Meanwhile packets come for a rule, somebody asks whether it is
ready, and the unit's watchdog waits for its beats.

    service_http_lab.py SECONDS        how long the clients go on
    service_http_lab.py client         one of them, until it is killed
"""
import json, os, select, socket, subprocess, sys, threading, time

from lab import BOX, configure, enter, main, make_network, process, result, run, unit, until

CLIENTS, REQUESTS = 8, 10_000
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
# A connection that is still open is given up after so long, and made again.
CONNECTION_S = 10
SOCKET, HTTP, PORT = "/run/xdpsteer/control.sock", ("127.0.0.1", 9469), 8080
SENDER = "10.0.0.50"
CONFIG = "version: 1\ninterfaces: [{ name: eth0 }]\nworkers: { count: 1 }\n" \
    f"steering: [{{ name: game, ports: {PORT}, worker: 0, action: count }}]\n"
# So many packets are under way at most: far fewer than a ring or a device's backlog has room for, however slow the
# machine.
WINDOW, WINDOW_PAUSE_S = 200, 0.05
ANSWER_S = 60


def client():
    while True:
        try:
            with socket.create_connection(HTTP, timeout=ANSWER_S) as connection:
                connection.setblocking(False)
                rest, end = REQUEST * REQUESTS, time.monotonic() + CONNECTION_S
                while time.monotonic() < end:
                    if not select.select([], [connection], [], 0.1)[1]:
                        continue
                    if rest:
                        rest = rest[connection.send(rest):]
                    else:
                        time.sleep(0.1)
        except OSError:
            pass
        print("ended", flush=True)


def ask(where, path):
    """Status, body and milliseconds of a request on a connection of its own; status 0 where there is no answer."""
    began = time.monotonic()
    data = b""
    try:
        with socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(where)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            while part := connection.recv(65536):
                data += part
    except OSError:
        pass
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]) if head else 0, body, (time.monotonic() - began) * 1000


def status():
    code, body, _ = ask(SOCKET, "/v1/status")
    assert code == 200, f"/v1/status: {code}"
    return json.loads(body)


def counted():
    rule = next(rule for rule in status()["rules"] if rule["name"] == "game")
    return sum(worker["fates"].get("counted", {"packets": 0})["packets"] for worker in rule["workers"])


def memory(field):
    """KiB."""
    lines = open(f"/proc/{unit('MainPID')}/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


class Busy:
    """A thread that does something again and again, until it is to end, and tells what failed."""

    def __init__(self, work, namespace=None):
        self.ends, self.error = threading.Event(), None
        self.thread = threading.Thread(target=self.run, args=(work, namespace), daemon=True)
        self.thread.start()

    def run(self, work, namespace):
        try:
            if namespace:
                enter(namespace)
            while not self.ends.is_set():
                work()
        except Exception as error:
            self.error = error

    def end(self):
        self.ends.set()
        self.thread.join()
        if self.error:
            raise self.error


class Packets:
    """Sends windows of packets; the next one when the rule has counted the one before."""

    def __init__(self):
        self.sent, self.sender = 0, None

    def window(self):
        if self.sender is None:  # in the thread, which has a namespace of its own
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sender.connect((BOX, PORT))
        for _ in range(WINDOW):
            self.sender.send(b"packet")
        self.sent += WINDOW
        until(f"{self.sent} packets, of which {counted()} are counted", lambda: counted() >= self.sent)
        time.sleep(WINDOW_PAUSE_S)


def figures(answers):
    times = sorted(ms for _, _, ms in answers)
    refused = [f"{code} {body.decode(errors='replace').strip()}" for code, body, _ in answers if code != 200]
    return {"answers": len(times), "refused": refused,
        "p50 ms": times[len(times) // 2], "p99 ms": times[len(times) * 99 // 100], "max ms": times[-1]}


def lab():
    seconds = float(sys.argv[1])
    make_network({"client": SENDER})
    run("dpkg", "--install", "/lab/xdpsteer.deb")
    configure(CONFIG)
    run("systemctl", "start", "xdpsteer")
    result["process"] = process()
    until("readiness", lambda: ask(SOCKET, "/readyz")[0] == 200)
    packets = Packets()
    beats, answers, beat = [], {"socket": [], "TCP": []}, lambda: int(unit("WatchdogTimestampMonotonic"))

    sending = Busy(packets.window, "client")
    for _ in range(50):  # what a box takes that is asked now and then
        ask(HTTP, "/metrics")
        ask(SOCKET, "/v1/status")
    until("packets before", lambda: sending.error or packets.sent >= 5 * WINDOW)
    before, sent_before = memory("VmRSS"), packets.sent
    pid = unit("MainPID")
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")  # the peak is from now on

    def look():
        for name, where in ("socket", SOCKET), ("TCP", HTTP):
            answers[name].append(ask(where, "/readyz"))
        if not beats or beat() != beats[-1]:
            beats.append(beat())
        time.sleep(0.1)

    clients = [subprocess.Popen([sys.executable, __file__, "client"], stdout=subprocess.PIPE, text=True)
        for _ in range(CLIENTS)]
    looking = Busy(look)
    time.sleep(seconds)
    # However short it was, a beat came, and packets did, while they were at it.
    until("beats", lambda: looking.error or len(beats) >= 3)
    until("packets meanwhile", lambda: sending.error or packets.sent >= sent_before + 5 * WINDOW)
    looking.end()
    sending.end()
    for process_of in clients:
        process_of.kill()
    result["ended"] = sum(each.communicate()[0].count("ended") for each in clients)
    result["memory"] = {"before KiB": before, "peak KiB": memory("VmHWM")}
    result["longest gap between beats, s"] = max(b - a for a, b in zip(beats, beats[1:])) / 1e6
    result["watchdog, s"] = unit("WatchdogUSec")
    result["readyz"] = {name: figures(all) for name, all in answers.items()}
    result["same process"] = unit("MainPID") == pid
    result["restarts"] = unit("NRestarts")
    totals = status()["totals"]
    result["packets"] = {"sent": packets.sent, "counted": counted(), "redirected": totals["verdicts"]["redirect"],
        "lost": totals["socketDrops"] + totals["redirectErrors"]}
    run("systemctl", "stop", "xdpsteer")
    result["stopped"] = unit("Result")


if sys.argv[1:] == ["client"]:
    os.nice(5)
    client()
else:
    main(lab)
