"""
What the labs share that boot_systemd.sh starts: a box with the package's service, and namespaces behind a switch. A
lab is a program beside this one in /lab that calls `main`, and leaves what it has seen in /lab/result, as JSON.
"""
import ctypes, json, os, subprocess, time

PATIENCE_S = 120
CONFIG = "/etc/xdpsteer/steering.yaml"
BOX = "10.0.0.1"
# What no thread may have more of than another.
ALIKE = ("Uid", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp:", "Seccomp_filters")
result = {}


def run(*argv, check=True):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout.strip()


def ip(*words):
    return run("ip", *words)


def until(what, condition):
    end = time.monotonic() + PATIENCE_S
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {PATIENCE_S} s")
        time.sleep(0.1)


def make_network(others):
    """eth0 of this namespace has BOX, and leads through a switch to a namespace for each name of `others`."""
    ip("link", "set", "lo", "up")
    ip("netns", "add", "switch")
    ip("-n", "switch", "link", "add", "br0", "type", "bridge")
    ip("-n", "switch", "link", "set", "br0", "up")
    for name, address in {"": BOX, **others}.items():
        where = ["-n", name] if name else []
        if name:
            ip("netns", "add", name)
        # One queue: its packet memory is 8 MiB, which is all that may be locked where root is not let raise its limits.
        ip(*where, "link", "add", "eth0", "type", "veth", "peer", "name", f"to-{name or 'box'}", "netns", "switch")
        ip("-n", "switch", "link", "set", f"to-{name or 'box'}", "master", "br0", "up")
        ip(*where, "address", "add", f"{address}/24", "dev", "eth0")
        ip(*where, "link", "set", "eth0", "up")


def enter(namespace):
    """Moves the calling thread, and no other."""
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def configure(text):
    with open(CONFIG, "w") as file:
        file.write(text)


def unit(name):
    """A property of the service, as systemd tells it."""
    return run("systemctl", "show", f"--property={name}", "--value", "xdpsteer")


def status():
    return json.loads(run("xdpsteer", "status", "--json"))


def process():
    pid = unit("MainPID")
    lines = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)
    threads = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        facts = open(f"/proc/{pid}/task/{thread}/status").read().splitlines()
        threads.add(", ".join(line.replace(":\t", " ") for line in facts if line.startswith(ALIKE)))
    return {"uid": lines["Uid"].split()[0], "capabilities": int(lines["CapEff"], 16), "seccomp": lines["Seccomp"],
        "threads": sorted(threads)}


def main(lab):
    """Runs a lab, which fills `result`. Where it fails, what the service says stands there too."""
    try:
        lab()
    except BaseException as error:
        result["error"] = f"{error}"
        try:
            result["state"] = run("systemctl", "--no-pager", "--lines=50", "status", "xdpsteer", check=False)
            result["journal"] = run("journalctl", "--no-pager", "--unit=xdpsteer", check=False)
            result["status"] = run("xdpsteer", "status", check=False)
        except Exception as another:
            result["state"] = f"{another}"
    with open("/lab/result", "w") as file:
        json.dump(result, file)
