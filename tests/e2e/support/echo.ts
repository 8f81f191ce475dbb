/**
 * Datagrams of many sizes, there and back, between namespaces.
 *
 * @module
 */
import { Program } from "./programs.ts";

const PYTHON = "/usr/bin/python3";

const PRELUDE = `
import json, os, select, socket, sys
options = json.loads(sys.argv[1])
def open_socket(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
`;

const SERVER = `${PRELUDE}
servers = []
for address, port in options:
    servers.append(open_socket(address))
    servers[-1].bind((address, port))
print("ready", flush=True)
while True:
    for server in select.select(servers, [], [])[0]:
        data, peer = server.recvfrom(65535)
        server.sendto(data, peer)
`;

const CLIENT = `${PRELUDE}
SO_NO_CHECK = 11
client = open_socket(options["address"])
client.settimeout(20)
if options["plain"]: client.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
client.connect((options["address"], options["port"]))
for size in options["sizes"]:
    data = os.urandom(size)
    client.send(data)
    if client.recv(65535) != data: raise ValueError(f"{size} bytes came back changed")
`;

const ASK_ONCE = `${PRELUDE}
client = open_socket(options["address"])
client.settimeout(30)
client.connect((options["address"], options["port"]))
try:
    client.send(b"anybody there?")
    client.recv(100)
    print("answered")
except OSError as error:
    print(type(error).__name__)
`;

/** Sends back what it gets, on each of its addresses and ports. */
export function startEcho(
  namespace: string,
  ends: readonly (readonly [address: string, port: number])[],
): Promise<Program> {
  return Program.start(namespace, [PYTHON, "-c", SERVER, JSON.stringify(ends)], "ready\n");
}

export interface Echoes {
  readonly address: string;
  readonly port: number;
  /** Payload bytes of the datagrams; the next is sent when the one before is back. */
  readonly sizes: readonly number[];
  /** Without a UDP checksum, as IPv4 allows. Default false. */
  readonly plain?: boolean;
}

/** Sends datagrams from one socket. Fails where one does not come back as it was. */
export async function echoAll(namespace: string, { plain = false, ...rest }: Echoes): Promise<void> {
  await using program = Program.run(namespace, [PYTHON, "-c", CLIENT, JSON.stringify({ ...rest, plain })]);
  await program.result();
}

/** Sends one datagram. @returns "answered", or the error that was told: ConnectionRefusedError of a closed port. */
export async function askOnce(namespace: string, address: string, port: number): Promise<string> {
  await using program = Program.run(namespace, [PYTHON, "-c", ASK_ONCE, JSON.stringify({ address, port })]);
  return (await program.result()).trim();
}
