/**
 * Two protocols of applications to which it matters what address and port they are seen with: SIP (RFC 3261, RFC 3581)
 * and the server queries of the Source engine. Server and client in Python, on ordinary sockets.
 *
 * @module
 */
import { Program } from "./programs.ts";

export const SIP_PORT = 5060;
export const GAME_PORT = 27015;
const PYTHON = "/usr/bin/python3";

const PRELUDE = `
import hashlib, json, os, re, select, socket, struct, sys
options = json.loads(sys.argv[1])
def bound(address, port):
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))
    return server
QUERY = b"\\xff\\xff\\xff\\xffTSource Engine Query\\0"
`;

const SERVER = `${PRELUDE}
# Where a response goes to: to the address and port that the request came from, which it names (RFC 3581, section 4).
def sip(data, peer):
    lines = data.decode().split("\\r\\n")
    assert lines[0].startswith("OPTIONS "), lines[0]
    kept = [line for line in lines[1:] if re.match("(Via|From|To|Call-ID|CSeq): ", line)]
    kept = [re.sub(";rport(?=;|$)", f";received={peer[0]};rport={peer[1]}", line) for line in kept]
    return "\\r\\n".join(["SIP/2.0 200 OK", *kept, "Allow: INVITE, ACK, OPTIONS", "Content-Length: 0", "", ""]).encode()

# Information only for who shows the challenge that was sent to its address and port.
def game(data, peer):
    challenge = hashlib.sha256(f"{peer[0]} {peer[1]}".encode()).digest()[:4]
    if data != QUERY + challenge: return b"\\xff\\xff\\xff\\xffA" + challenge
    texts = b"steered\\0de_edge\\0edge\\0Edge\\0"
    numbers = struct.pack("<HBBBccBB", 10, 3, 16, 0, b"d", b"l", 0, 1)
    return b"\\xff\\xff\\xff\\xffI\\x11" + texts + numbers + b"1.0\\0"

servers = {}
for address in options["addresses"]:
    servers[bound(address, options["sip"])] = sip
    servers[bound(address, options["game"])] = game
print("ready", flush=True)
while True:
    for server in select.select(list(servers), [], [])[0]:
        data, peer = server.recvfrom(65535)
        server.sendto(servers[server](data, peer), peer)
`;

const CLIENT = `${PRELUDE}
address = options["address"]
host = f"[{address}]" if ":" in address else address
def open_socket(port):
    client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(20)
    client.connect((address, port))
    return client
def ask(client, request):
    client.send(request)
    return client.recv(65535)

def options_request(client, number):
    own, port = client.getsockname()[:2]
    own = f"[{own}]" if ":" in own else own
    request = "\\r\\n".join([
        f"OPTIONS sip:{host} SIP/2.0",
        f"Via: SIP/2.0/UDP {own}:{port};rport;branch=z9hG4bK{os.urandom(6).hex()}",
        "Max-Forwards: 70", f"From: <sip:probe@{own}>;tag={os.urandom(4).hex()}", f"To: <sip:{host}>",
        f"Call-ID: {os.urandom(8).hex()}@{own}", f"CSeq: {number} OPTIONS", "Content-Length: 0", "", ""])
    answer = ask(client, request.encode()).decode().split("\\r\\n")
    sent = request.split("\\r\\n")
    via = next(line for line in answer if line.startswith("Via: "))
    received, seen_port = re.search(";received=([^;]+);rport=(\\\\d+)", via).groups()
    assert via.replace(f"received={received};rport={seen_port}", "rport") in sent, via
    for name in ("From", "To", "Call-ID", "CSeq"):
        assert next(line for line in answer if line.startswith(name + ": ")) in sent, name
    return [answer[0], received, int(seen_port)]

def information(client):
    challenge = ask(client, QUERY)
    assert challenge[:5] == b"\\xff\\xff\\xff\\xffA" and len(challenge) == 9, challenge
    answer = ask(client, QUERY + challenge[5:])
    assert answer[:6] == b"\\xff\\xff\\xff\\xffI\\x11", answer
    return [text.decode() for text in answer[6:].split(b"\\0")[:4]]

phones = [open_socket(options["sip"]) for _ in range(options["clients"])]
calls = [[options_request(phone, number) for phone in phones] for number in (1, 2, 3)]
games = [information(open_socket(options["game"])) for _ in range(options["clients"])]
print(json.dumps({"calls": calls, "games": games}))
`;

/** Answers both on each of its addresses. */
export function startPhonesAndGames(namespace: string, addresses: readonly string[]): Promise<Program> {
  const options = JSON.stringify({ addresses, sip: SIP_PORT, game: GAME_PORT });
  return Program.start(namespace, [PYTHON, "-c", SERVER, options], "ready\n");
}

export interface Conversations {
  /** Three rounds of OPTIONS, of all clients: the status line, and the address and port that the server has seen. */
  readonly calls: readonly (readonly (readonly [status: string, address: string, port: number])[])[];
  /** Name, map, folder and game, as each client was told after its challenge. */
  readonly games: readonly (readonly string[])[];
}

/** A number of clients, each with a socket of its own for either protocol, that wait for the first answer longest. */
export async function converse(namespace: string, address: string, clients: number): Promise<Conversations> {
  const options = JSON.stringify({ address, clients, sip: SIP_PORT, game: GAME_PORT });
  await using program = Program.run(namespace, [PYTHON, "-c", CLIENT, options]);
  return JSON.parse(await program.result());
}
