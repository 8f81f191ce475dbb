/**
 * Many clients, each with an address of its own, that ask a server who it takes them for: the readers in
 * config/examples.
 *
 * @module
 */
import { INTERFACES, MACS, type TestNetwork } from "../../support/netns.ts";
import { BOTH, FAMILIES, type Family } from "./backends.ts";
import { python } from "./python.ts";

const NETS = { IPv4: "10.40.0.0/16", IPv6: "fd40::/64" } as const;

/** Gives the client namespace all addresses of two networks. */
export async function addManyAddresses(network: TestNetwork): Promise<void> {
  await network.exec("client", ["sysctl", "-q", "-w", "net.ipv6.ip_nonlocal_bind=1"]);
  for (const family of BOTH) {
    await network.exec("client", ["ip", "route", "add", "local", NETS[family], "dev", "lo"]);
    // A question for the box's link address would come from one of them.
    const known = [FAMILIES[family].service, "lladdr", MACS.steer, "dev", INTERFACES.client];
    await network.exec("client", ["ip", "neighbour", "replace", ...known, "nud", "permanent"]);
  }
}

const ASK = `
import ipaddress
net = ipaddress.ip_network(options["net"])
right, wrong = 0, []
for number in range(options["clients"]):
    client = socket.socket(family(options["address"]), socket.SOCK_DGRAM)
    client.settimeout(20)
    # Ports are used by several clients.
    address, port = net[256 + number], 20000 + number % 100
    client.bind((str(address), port))
    client.connect((options["address"], options["port"]))
    for turn in range(options["turns"]):
        payload = f"{number} {turn} ".encode() + b"x" * (number % 37)
        client.send(payload)
        try: seen, seen_port, rest = client.recv(65535).split(b" ", 2)
        except TimeoutError: sys.exit(f"client {number} had no answer, {right} were right")
        if (ipaddress.ip_address(seen.decode()), int(seen_port), rest) == (address, port, payload): right += 1
        else: wrong.append([str(address), port, seen.decode(), int(seen_port)])
    client.close()
print(json.dumps({"right": right, "wrong": wrong[:5]}))
`;

/** What they were told: how many answers were right, and the first that were not. */
export function askWho(
  network: TestNetwork,
  family: Family,
  options: { readonly address: string; readonly port: number; readonly clients: number; readonly turns: number },
): Promise<{ readonly right: number; readonly wrong: readonly unknown[] }> {
  return python(network, "client", ASK, { ...options, net: NETS[family] });
}

const LEARN_MTU = `
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_MTU, IPV6_MTU, DO = 10, 23, 14, 24, 2
client = socket.socket(family(options["address"]), socket.SOCK_DGRAM)
is6 = client.family == socket.AF_INET6
level = socket.IPPROTO_IPV6 if is6 else socket.IPPROTO_IP
client.setsockopt(level, IPV6_MTU_DISCOVER if is6 else IP_MTU_DISCOVER, DO)
client.connect((options["address"], options["port"]))
headers = 48 if is6 else 28
mtu = lambda: client.getsockopt(level, IPV6_MTU if is6 else IP_MTU)
first = mtu()
end = time.monotonic() + 60
while mtu() == first and time.monotonic() < end:
    try: client.send(b"x" * (first - headers))
    except OSError: pass
    time.sleep(0.05)
client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
learned = mtu()
client.send(b"y" * (learned - headers))
print(json.dumps({"first": first, "learned": learned}))
`;

/** Sends packets that are too big once something is added, until the kernel has learned; then one of that size. */
export function learnMtu(
  network: TestNetwork,
  address: string,
  port: number,
): Promise<{ readonly first: number; readonly learned: number }> {
  return python(network, "client", LEARN_MTU, { address, port });
}

const ASK_DNS = `
import ipaddress, struct
net = ipaddress.ip_network(options["net"])
right, wrong = 0, []
kind = 28 if net.version == 6 else 1
for number in range(options["clients"]):
    client = socket.socket(family(options["address"]), socket.SOCK_DGRAM)
    client.settimeout(20)
    address = net[256 + number]
    client.bind((str(address), 20000 + number % 100))
    question = b"\\x03who\\x04test\\0" + struct.pack("!HH", kind, 1)
    client.sendto(struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + question, (options["address"], options["port"]))
    answer = client.recv(65535)
    seen = ipaddress.ip_address(answer[-(net.max_prefixlen // 8):])
    if seen == address and answer[:2] == struct.pack("!H", number): right += 1
    else: wrong.append([str(address), str(seen)])
    client.close()
print(json.dumps({"right": right, "wrong": wrong[:5]}))
`;

/** The same of a DNS server that answers with the address that it takes its client to have. */
export function askDnsWho(
  network: TestNetwork,
  family: Family,
  options: { readonly address: string; readonly port: number; readonly clients: number },
): Promise<{ readonly right: number; readonly wrong: readonly unknown[] }> {
  return python(network, "client", ASK_DNS, { ...options, net: NETS[family] });
}
