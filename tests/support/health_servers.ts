/**
 * Backends of all kinds for health checks, in one Python process: ordinary sockets of an ordinary kernel stack.
 *
 * @module
 */
import { LinePrinter } from "../e2e/support/line_printer.ts";
import type { TestNetwork } from "./netns.ts";

/**
 * What a UDP port does with a datagram. A pattern has a character a datagram, `1` a good answer, `0` a bad one; the
 * last goes on.
 */
export type UdpManner =
  | "echo"
  | "twice"
  | "silent"
  | "empty"
  /** Answers a query of the Source engine's servers, byte for byte, and nothing else. */
  | "a2s"
  /** Answers a DNS query with no records, and no error; before that, with the answer to another query. */
  | "dns"
  | { readonly delayMs: number }
  | { readonly pattern: string };

export interface Servers {
  readonly udp?: Readonly<Record<number, UdpManner>>;
  /** Ports that take connections. */
  readonly tcp?: readonly number[];
  /**
   * Answers every echo request with somebody else's answer, as long and with the same numbers; the kernel is to be kept
   * from it.
   */
  readonly falseEcho?: boolean;
}

const SCRIPT = `
import json, os, socket, sys, threading
options = json.loads(sys.argv[1])

# One write a line: the threads share the pipe.
def tell(line): os.write(1, f"{line}\\n".encode())

# None starts before "ready" is told: a request can be there as soon as a port is.
threads = []
def thread(serve): threads.append(threading.Thread(target=serve, daemon=True))

def udp(port, manner):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("::", port))
    def serve():
        count = 0
        while True:
            data, peer = server.recvfrom(65535)
            text = data.decode(errors="backslashreplace").replace(chr(10), " ") # a line, whatever number a query has
            tell(f"udp {port} {peer[1]} {text}")
            answer = b"pong " + data
            if manner == "silent": continue
            if manner == "empty": answer = b""
            if manner == "dns":
                server.sendto(bytes([data[0] ^ 1]) + data[1:2] + b"\\x81\\x82" + data[4:], peer)
                answer = data[:2] + b"\\x81\\x80" + data[4:]
            if manner == "a2s":
                if data != b"\\xff\\xff\\xff\\xffTSource Engine Query\\0": continue
                answer = b"\\xff\\xff\\xff\\xffI\\x11steered\\0de_edge\\0"
            if isinstance(manner, dict) and "delayMs" in manner:
                threading.Timer(manner["delayMs"] / 1000, server.sendto, (answer, peer)).start()
                continue
            if isinstance(manner, dict):
                pattern = manner["pattern"]
                if pattern[min(count, len(pattern) - 1)] == "0":
                    answer = b"\\x1b[31mno\\n, and a good deal more than that"
                count += 1
            server.sendto(answer, peer)
            if manner == "twice": server.sendto(answer, peer)
    thread(serve)

def tcp(port):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    def serve():
        while True:
            connection, peer = server.accept()
            try: data = repr(connection.recv(100))
            except OSError as error: data = str(error)
            connection.close()
            tell(f"tcp {port} {peer[1]} {data}")
    thread(serve)

def false_echo(family, protocol, request, reply):
    server = socket.socket(family, socket.SOCK_RAW, protocol)
    def serve():
        while True:
            data, peer = server.recvfrom(65535)
            if family == socket.AF_INET: data = data[(data[0] & 15) * 4:]
            if data[0] != request: continue
            answer = bytes([reply, 0, 0, 0]) + data[4:-1] + bytes([data[-1] ^ 1])
            total = sum(int.from_bytes(answer[at:at + 2], "big") for at in range(0, len(answer), 2))
            while total > 0xffff: total = (total & 0xffff) + (total >> 16)
            server.sendto(answer[:2] + (~total & 0xffff).to_bytes(2, "big") + answer[4:], peer)
            tell(f"icmp 0 {request} {len(answer)}")
    thread(serve)

if options.get("falseEcho"):
    false_echo(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0)
    false_echo(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129)
for port, manner in options.get("udp", {}).items(): udp(int(port), manner)
for port in options.get("tcp", []): tcp(port)
tell("ready")
for serving in threads: serving.start()
threading.Event().wait()
`;

export interface Request {
  readonly port: number;
  readonly peerPort: number;
  /** What came; of TCP, how the connection ended: `b''` in order. */
  readonly data: string;
}

export class HealthServers implements AsyncDisposable {
  private constructor(private readonly printer: LinePrinter) {}

  static async start(network: TestNetwork, servers: Servers): Promise<HealthServers> {
    const argv = ["/usr/bin/python3", "-c", SCRIPT, JSON.stringify(servers)];
    return new HealthServers(await LinePrinter.start(network, argv, "servers to check"));
  }

  /** What came to a port so far. */
  requests(protocol: "udp" | "tcp" | "icmp", port: number): Request[] {
    return this.printer.lines.map((line) => /^(\w+) (\d+) (\d+) (.*)$/s.exec(line)!)
      .filter(([, kind, number]) => kind === protocol && Number(number) === port)
      .map(([, , , peerPort, data]) => ({ port, peerPort: Number(peerPort), data: data! }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.printer[Symbol.asyncDispose]();
  }
}
