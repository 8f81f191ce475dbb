/**
 * Programs in Python inside a namespace: ordinary sockets of an ordinary kernel stack, written by nobody of this
 * project.
 *
 * @module
 */
import type { Side, TestNetwork } from "../../support/netns.ts";
import { LinePrinter } from "./line_printer.ts";
import { until } from "./wait.ts";

/** Not the one on PATH: that may be a version manager's, which takes its time. */
const TCP_TIMEOUT_S = 30;
const TCP_WAIT_MS = 60_000;
const PYTHON = "/usr/bin/python3";

/** Runs a script to its end. @returns the JSON it printed. @throws {Error} with its complaint. */
export async function python<T>(network: TestNetwork, side: Side, script: string, input: unknown = {}): Promise<T> {
  return JSON.parse(await network.exec(side, [PYTHON, "-c", `${PRELUDE}${script}`, JSON.stringify(input)]));
}

const PRELUDE = `
import json, os, select, socket, sys, time
options = json.loads(sys.argv[1])
def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET
`;

const UDP_SERVER = `
import threading
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
server.bind(("::", options["port"]))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(65535)
    print(len(data), flush=True)
    server.sendto(data, peer)
`;

const TCP_SERVER = `
import threading
server = socket.create_server(("::", options["port"]), family=socket.AF_INET6, dualstack_ipv6=True)
def serve(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
`;

/** A server of the kernel's stack in the steer namespace, that sends back what it gets. */
export class KernelServer implements AsyncDisposable {
  private constructor(private readonly server: LinePrinter) {}

  static async start(network: TestNetwork, protocol: "udp" | "tcp", port: number): Promise<KernelServer> {
    const script = `${PRELUDE}${protocol === "udp" ? UDP_SERVER : TCP_SERVER}`;
    const argv = [PYTHON, "-c", script, JSON.stringify({ port })];
    return new KernelServer(await LinePrinter.start(network, argv, `a ${protocol} server on port ${port}`));
  }

  /** Payload bytes of every datagram so far (UDP only). */
  get datagrams(): number[] {
    return this.server.lines.map(Number);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}

/**
 * Sends datagrams one after the other, each once its echo is there. The payloads are random.
 *
 * @returns sizes of the payloads that came back changed, or not within 20 seconds; after five it gives up.
 */
export function echoEach(
  network: TestNetwork,
  options: { readonly address: string; readonly port: number; readonly sizes: readonly number[] },
): Promise<number[]> {
  return python(network, "client", ECHO_EACH, options);
}

const ECHO_EACH = `
client = socket.socket(family(options["address"]), socket.SOCK_DGRAM)
client.settimeout(20)
client.connect((options["address"], options["port"]))
wrong = []
for size in options["sizes"]:
    if len(wrong) == 5: break
    data = os.urandom(size)
    client.send(data)
    try:
        if client.recv(65535) != data: wrong.append(size)
    except OSError:
        wrong.append(size)
print(json.dumps(wrong))
`;

const TCP_CLIENT = `
connection = socket.create_connection((options["address"], options["port"]), timeout=options["timeout_s"])
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        data = os.urandom(2000)
        connection.sendall(data)
        answer = b""
        while len(answer) < len(data):
            part = connection.recv(65536)
            if not part: raise ConnectionError("closed")
            answer += part
        if answer != data: raise ValueError("the answer differs")
    print("done", flush=True)
`;

/** A TCP connection from the client namespace to a {@linkcode KernelServer}, kept open. */
export class TcpClient implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<unknown>;
  #output = "";
  #rounds = 0;

  private constructor(network: TestNetwork, address: string, port: number) {
    const options = JSON.stringify({ address, port, timeout_s: TCP_TIMEOUT_S });
    const argv = [PYTHON, "-c", `${PRELUDE}${TCP_CLIENT}`, options];
    this.#child = network.spawn("client", argv, { stdin: "piped", stderr: "inherit" });
    this.#input = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  static async connect(network: TestNetwork, address: string, port: number): Promise<TcpClient> {
    const client = new TcpClient(network, address, port);
    try {
      await until(`a connection to ${address}`, () => client.#output.startsWith("ready\n"), { limitMs: TCP_WAIT_MS });
      return client;
    } catch (error) {
      await client[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Sends blocks of 2,000 bytes over the connection and has each back, the same, before the next. */
  async exchange(blocks: number): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${blocks}\n`));
    const expected = `ready\n${"done\n".repeat(++this.#rounds)}`;
    await until(`${blocks} answers over TCP`, () => this.#output === expected, { limitMs: TCP_WAIT_MS });
  }

  async #read(): Promise<void> {
    for await (const part of this.#child.stdout.pipeThrough(new TextDecoderStream())) this.#output += part;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#reading;
  }
}
