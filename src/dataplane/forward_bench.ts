/**
 * Nanoseconds per packet of forwarding over plain memory: 64 packets of 64 flows, there and back; and of those that
 * find no room, which may cost at most three times as much.
 */
import { parseAddress, parseMac } from "../packet/address.ts";
import { keepLink } from "../packet/link_header.ts";
import { portInPacket, readUdp, UdpPacket } from "../packet/udp.ts";
import {
  BACKEND,
  BACKEND_KNOWN,
  BACKEND_REACHABLE,
  backendAt,
  createForwardTables,
  FORWARD,
  forwardAt,
  indexBackends,
  viewForwardTables,
} from "../steering/forward_table.ts";
import { fillMaglev } from "../steering/maglev.ts";
import { SESSION_SHIFT } from "../steering/session_row.ts";
import { REFUSED } from "../steering/sessions.ts";
import { buildFrame } from "../traffic/frames.ts";
import { BATCH_SIZE } from "./batch.ts";
import { Forwarder } from "./forward.ts";

const RULE = 3;
const CHUNK = 2048;
const AT = 256;
const PACKETS = BATCH_SIZE;
const SIZE = 65_537;

const [table] = viewForwardTables(createForwardTables(16), 16);
table!.forwardOfRule[RULE] = 1;
const bytes = new DataView(table!.backends.buffer, table!.backends.byteOffset);
const at = backendAt(1);
new Uint8Array(bytes.buffer, bytes.byteOffset + at * 4).set(parseAddress("10.9.0.11"));
new Uint8Array(bytes.buffer, bytes.byteOffset + (at + BACKEND.source) * 4).set(parseAddress("10.9.0.1"));
table!.backends[at + BACKEND.port] = portInPacket(9000);
table!.backends[at + BACKEND.flags] = BACKEND_KNOWN | BACKEND_REACHABLE;
table!.backends[at + BACKEND.generation] = 1;
table!.usable[1] = 1;
table!.backends[at + BACKEND.mtu] = 1500;
table!.backends[at + BACKEND.linkBytes] = keepLink(bytes, (at + BACKEND.link) * 4, {
  destination: parseMac("02:00:00:00:00:03"),
  source: parseMac("02:00:00:00:00:02"),
  vlan: [],
  etherType: 0x0800,
});
indexBackends(table!);
table!.forwards[forwardAt(0) + FORWARD.size4] = SIZE;
table!.forwards[forwardAt(0) + FORWARD.idle] = 60;
fillMaglev(table!.maglev.subarray(0, SIZE), [{ id: 1, name: "10.9.0.11:9000", weight: 1 }]);

const options = { capacity: 65_536, firstPort: 20_000, portCount: 20_000, key: { low: 7, high: 8 }, ruleSlots: 16 };
const forwarder = new Forwarder(table!, { largest: () => 1792, isOpen: () => true, send: () => false }, options);
const packet = new UdpPacket();
const clients = new Uint8Array(PACKETS * CHUNK);
const answers = new Uint8Array(PACKETS * CHUNK);
const work = new Uint8Array(PACKETS * CHUNK);
const view = new DataView(work.buffer);
let length = 0;
for (let index = 0; index < PACKETS; index++) {
  const frame = buildFrame({
    source: { mac: "02:00:00:00:00:01", address: "10.1.2.3", port: 40_000 + index },
    destination: { mac: "02:00:00:00:00:02", address: "10.1.2.4", port: 8080 },
    payload: new Uint8Array(22),
  }).bytes;
  length = frame.length;
  clients.set(frame, index * CHUNK + AT);
}
/** Whole buffers would be copied at the speed their addresses happen to allow. */
function restore(from: DataView): void {
  for (let packet = 0; packet < PACKETS; packet++) {
    const start = packet * CHUNK + AT - 32;
    for (let byte = start; byte < start + 128; byte += 4) view.setInt32(byte, from.getInt32(byte));
  }
}
const clientsView = new DataView(clients.buffer);
const answersView = new DataView(answers.buffer);
toBackend();
for (let index = 0; index < PACKETS; index++) {
  const port = view.getUint16(index * CHUNK + AT + 34);
  const frame = buildFrame({
    source: { mac: "02:00:00:00:00:03", address: "10.9.0.11", port: 9000 },
    destination: { mac: "02:00:00:00:00:02", address: "10.9.0.1", port },
    payload: new Uint8Array(22),
  }).bytes;
  answers.set(frame, index * CHUNK + AT);
}

function toBackend(by = forwarder, from = clientsView): void {
  restore(from);
  by.now = 1;
  for (let index = 0; index < PACKETS; index++) {
    readUdp(view, index * CHUNK + AT, length, packet);
    by.toBackend(view, packet, RULE, 0, length, true);
  }
}

function toClient(): void {
  restore(answersView);
  forwarder.now = 1;
  for (let index = 0; index < PACKETS; index++) {
    readUdp(view, index * CHUNK + AT, length, packet);
    forwarder.toClient(view, packet, 0, length, true);
  }
}

/** A worker all of whose ports have conversations, and packets of clients that have none. */
const full = new Forwarder(table!, { largest: () => 1792, isOpen: () => true, send: () => false }, {
  ...options,
  portCount: PACKETS,
});
const { sessions } = full;
for (let round = 0; round < 4; round++) {
  toBackend(full);
  for (let session = 0; session < PACKETS; session++) sessions.touchByAnswer(session << SESSION_SHIFT, 1);
}
const strangers = clientsView.buffer.slice(0) as ArrayBuffer;
const strangersView = new DataView(strangers);
for (let index = 0; index < PACKETS; index++) strangersView.setUint16(index * CHUNK + AT + 34, 50_000 + index);
toBackend(full, strangersView);
if (sessions.refused[REFUSED.ports] !== PACKETS) throw new Error("there is room");

Deno.bench(`forward ${PACKETS} packets to a backend (and copy them in)`, () => toBackend());
Deno.bench(`forward ${PACKETS} answers to clients (and copy them in)`, toClient);
Deno.bench(`refuse ${PACKETS} packets (and copy them in)`, () => toBackend(full, strangersView));
Deno.bench(`copy ${PACKETS} packets in`, () => restore(clientsView));
