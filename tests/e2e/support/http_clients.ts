/**
 * Clients of the HTTP interface as an attacker or a crowd would be: raw bytes on sockets, many at once.
 *
 * @module
 */
import type { TestNetwork } from "../../support/netns.ts";
import { python } from "./python.ts";

export interface RawRequest {
  /** Loopback port, or the path of the control socket. */
  readonly to: number | string;
  /** Bytes of the request, as Latin-1. */
  readonly bytes: string;
}

export interface RawAnswer {
  /** 0 where the connection was closed without an answer. */
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends requests one after the other, each on a connection of its own in the steer namespace. */
export function sendRaw(network: TestNetwork, requests: readonly RawRequest[]): Promise<RawAnswer[]> {
  return python(network, "steer", `${CONNECT}${SEND_RAW}`, { requests });
}

/** Python: `connect`, `read_all` and `ask`, which reads the answer to a GET, for what runs there. */
export const CONNECT = `
def connect(to):
    if isinstance(to, int):
        return socket.create_connection(("127.0.0.1", to), timeout=60)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(to)
    return connection
def read_all(connection):
    data = b""
    try:
        while part := connection.recv(65536): data += part
    except ConnectionError:
        pass
    return data
def ask(to, path):
    with connect(to) as connection:
        try:
            connection.sendall(f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n".encode())
        except ConnectionError:
            pass # there may be an answer all the same
        return read_all(connection)
`;

const SEND_RAW = `
answers = []
for request in options["requests"]:
    with connect(request["to"]) as connection:
        try:
            connection.sendall(request["bytes"].encode("latin-1"))
        except ConnectionError:
            pass
        data = read_all(connection)
    head, _, body = data.partition(b"\\r\\n\\r\\n")
    lines = head.decode("latin-1").split("\\r\\n")
    status = int(lines[0].split(" ")[1]) if lines[0] else 0
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    answers.append({"status": status, "headers": headers, "body": body.decode("latin-1")})
print(json.dumps(answers))
`;

/**
 * Sends requests that are each wrong, or strange, in another way.
 *
 * @returns how often each status came; 0 is a connection that was closed without one.
 */
export function fuzz(
  network: TestNetwork,
  options: { readonly to: readonly (number | string)[]; readonly count: number; readonly seed: number },
): Promise<Record<string, number>> {
  return python(network, "steer", `${CONNECT}${FUZZ}`, options);
}

const FUZZ = `
import random
pick = random.Random(options["seed"])
GOOD = b"GET /v1/status HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n"
PATHS = [b"/", b"/metrics", b"/v1/status", b"/v1/config", b"/v1/ports", b"/healthz", b"//", b"/%00",
         b"/../../etc/passwd", b"/__proto__", b"/constructor", b"/v1/config?" + b"a" * 3000, b"*", b"http://x/metrics",
         b"/%zz", b"/\\xff"]
METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"get", b"G\\x00T",
           b"A" * 500]
HOSTS = [b"localhost", b"127.0.0.1:1", b"evil.example", b"", b"[::1]"]
CLOSE = b"\\r\\nConnection: close\\r\\n"
PUT = b"PUT /v1/config HTTP/1.1\\r\\nHost: localhost" + CLOSE
def garbage(): return pick.randbytes(pick.randrange(1, 400))
def flipped():
    data = bytearray(GOOD)
    for _ in range(pick.randrange(1, 6)): data[pick.randrange(len(data))] = pick.randrange(256)
    return bytes(data)
def truncated(): return GOOD[:pick.randrange(len(GOOD))]
def odd():
    return pick.choice(METHODS) + b" " + pick.choice(PATHS) + b" HTTP/" + \\
        pick.choice([b"1.1", b"1.0", b"2.0", b"9"]) + b"\\r\\nHost: " + pick.choice(HOSTS) + CLOSE + b"\\r\\n"
def headers():
    lines = b"".join(b"X-%d: %s\\r\\n" % (i, b"v" * pick.randrange(300)) for i in range(pick.randrange(400)))
    return GOOD[:-2] + lines + b"\\r\\n"
def body():
    kind = pick.randrange(4)
    text = pick.randbytes(pick.randrange(2000))
    length = [b"%d" % len(text), b"-1", b"99999999999", b"1e3"][kind]
    return PUT + b"Content-Length: " + length + b"\\r\\n\\r\\n" + text
def chunked():
    return PUT + b"Transfer-Encoding: chunked\\r\\n\\r\\n" + \\
        pick.choice([b"5\\r\\nhello\\r\\n0\\r\\n\\r\\n", b"zz\\r\\n", b"FFFFFFFFFFFFFFFF\\r\\nx", b"5\\r\\nhel"])
KINDS = [garbage, flipped, truncated, odd, headers, body, chunked]
counts = {}
for index in range(options["count"]):
    with connect(pick.choice(options["to"])) as connection:
        try:
            connection.sendall(KINDS[index % len(KINDS)]())
            connection.shutdown(socket.SHUT_WR) # no more comes: what is cut short need not be waited for
        except OSError:
            pass
        line = read_all(connection).split(b"\\r\\n")[0].split(b" ")
    status = line[1].decode() if len(line) > 1 else "0"
    counts[status] = counts.get(status, 0) + 1
print(json.dumps(counts))
`;

/**
 * Opens connections that send half a request, or take nothing of the answer.
 *
 * @returns for each how many seconds it took until the other side closed it; null where it did not within 120.
 */
export function crawl(
  network: TestNetwork,
  options: { readonly to: number | string; readonly count: number; readonly bytes: string },
): Promise<(number | null)[]> {
  return python(network, "steer", `${CONNECT}${CRAWL}`, options);
}

const CRAWL = `
start = time.monotonic()
waiting = {}
took = []
for _ in range(options["count"]):
    connection = connect(options["to"])
    try: connection.sendall(options["bytes"].encode())
    except ConnectionError: pass
    waiting[connection.fileno()] = connection
while waiting and time.monotonic() - start < 120:
    for number in select.select(list(waiting), [], [], 1)[0]:
        if not read_all(waiting[number]) is None: took.append(time.monotonic() - start)
        waiting.pop(number).close()
print(json.dumps(took + [None] * len(waiting)))
`;

/** How many requests a crowd made, and what it was answered. */
export interface CrowdReport {
  readonly statuses: Readonly<Record<string, number>>;
  /** Bytes read from each stream. */
  readonly streamed: readonly number[];
}

/**
 * Scrapes from many connections at once, and listens on others until that is done. With low priority: the box's work
 * counts, not theirs.
 */
export function crowd(
  network: TestNetwork,
  options: {
    readonly to: number;
    readonly scrapers: number;
    readonly streams: number;
    /** Of each scraper. */
    readonly scrapes: number;
    /** Pause of each scraper between two scrapes, in seconds. */
    readonly pause: number;
  },
): Promise<CrowdReport> {
  return python(network, "steer", `${CONNECT}${CROWD}`, options);
}

const CROWD = `
import http.client, threading
os.nice(10)
done = threading.Event()
statuses, streamed, lock = {}, [], threading.Lock()
def scrape(index):
    client = http.client.HTTPConnection("127.0.0.1", options["to"], timeout=60)
    path = ["/metrics", "/v1/status", "/healthz", "/v1/config"][index % 4]
    for _ in range(options["scrapes"]):
        client.request("GET", path)
        response = client.getresponse()
        response.read()
        with lock: statuses[response.status] = statuses.get(response.status, 0) + 1
        time.sleep(options["pause"])
    client.close()
def stream():
    read = 0
    with connect(options["to"]) as connection:
        connection.settimeout(30)
        connection.sendall(b"GET /v1/stream HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        while not done.is_set():
            part = connection.recv(65536)
            if not part: break
            read += len(part)
    with lock: streamed.append(read)
scrapers = [threading.Thread(target=scrape, args=(index,)) for index in range(options["scrapers"])]
streams = [threading.Thread(target=stream) for _ in range(options["streams"])]
for thread in scrapers + streams: thread.start()
for thread in scrapers: thread.join()
done.set()
for thread in streams: thread.join()
print(json.dumps({"statuses": statuses, "streamed": streamed}))
`;

/** Connections, and the request that each sends so many times. */
export interface Burst {
  /** Loopback port, or the path of the control socket. */
  readonly to: number | string;
  readonly count: number;
  readonly request: string;
  readonly times: number;
}

/**
 * Sends all of its requests on each of some connections at once, and reads nothing.
 *
 * @returns how many connections the other side ended within two minutes. A number means that all are still open then.
 */
export function flood(network: TestNetwork, options: Burst): Promise<number> {
  return python(network, "steer", `${CONNECT}${FLOOD}`, options);
}

const FLOOD = `
poll, waiting = select.poll(), {}
for _ in range(options["count"]):
    connection = connect(options["to"])
    connection.setblocking(False)
    waiting[connection.fileno()] = [connection, options["request"].encode() * options["times"]]
    poll.register(connection, select.POLLOUT)
end = time.monotonic() + 120
ended = 0
while waiting and time.monotonic() < end:
    for number, events in poll.poll(1000):
        connection, rest = waiting[number]
        try:
            if rest: waiting[number][1] = rest[connection.send(rest):]
            if not waiting[number][1]: poll.modify(connection, 0) # errors and the end are told all the same
        except BlockingIOError: pass
        except ConnectionError: events = select.POLLERR
        if events & (select.POLLERR | select.POLLHUP):
            poll.unregister(connection)
            waiting.pop(number)[0].close()
            ended += 1
print(json.dumps(ended))
`;

/**
 * As {@linkcode flood} for some seconds: a connection that is ended is made again, and so is each after ten seconds.
 *
 * @returns how many the other side has ended.
 */
export function floodFor(
  network: TestNetwork,
  options: Burst & { readonly seconds: number },
): Promise<number> {
  return python(network, "steer", `${CONNECT}${FLOOD_FOR}`, options);
}

const FLOOD_FOR = `
import threading
os.nice(5)
end = time.monotonic() + options["seconds"]
ended = [0] * options["count"]
def flood(index):
    while time.monotonic() < end:
        try:
            with connect(options["to"]) as connection:
                connection.setblocking(False)
                rest = options["request"].encode() * options["times"]
                until = min(end, time.monotonic() + 10)
                while time.monotonic() < until:
                    if not select.select([], [connection], [], 0.1)[1]: continue
                    if not rest: time.sleep(0.1)
                    else: rest = rest[connection.send(rest):]
        except OSError: pass
        ended[index] += 1
threads = [threading.Thread(target=flood, args=(index,)) for index in range(options["count"])]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(sum(ended)))
`;

/**
 * Sends requests, given by their index, on one connection at once, ends its own direction, and reads. @returns all that
 * came.
 */
export function pipeline(
  network: TestNetwork,
  options: { readonly to: number | string; readonly requests: readonly string[]; readonly order: readonly number[] },
): Promise<string> {
  return python(network, "steer", `${CONNECT}${PIPELINE}`, options);
}

const PIPELINE = `
import threading
with connect(options["to"]) as connection:
    connection.settimeout(60)
    def send():
        connection.sendall("".join(options["requests"][index] for index in options["order"]).encode())
        connection.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    data = read_all(connection)
    sender.join()
print(json.dumps(data.decode("latin-1")))
`;

/** Sends requests on one connection, and closes it without a look at the answers. */
export function sendAndLeave(
  network: TestNetwork,
  options: { readonly to: number; readonly request: string; readonly times: number },
): Promise<null> {
  return python(network, "steer", `${CONNECT}${SEND_AND_LEAVE}`, options);
}

const SEND_AND_LEAVE = `
connection = connect(options["to"])
try: connection.sendall(options["request"].encode() * options["times"])
except OSError: pass # it need not take all
connection.close()
print("null")
`;
