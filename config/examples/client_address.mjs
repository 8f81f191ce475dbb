// Answers each datagram with its client's address, port and payload, as xdpsteer's client_address tells them.
//
// node client_address.mjs ADDRESS PORT
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import process from "node:process";

const PROXY_V2 = "\r\n\r\n\0\r\nQUIT\n";
const clients = new Map(); // with proxy_v2_first: a session's client, by the address and port that the box has for it

function addressIn(bytes) {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.toString("hex", 0, 12) === "00000000000000000000ffff") return bytes.subarray(12).join(".");
  return new URL(`http://[${bytes.toString("hex").match(/.{4}/g).join(":")}]`).hostname.slice(1, -1);
}

/** @returns client, payload, and what answers have to begin with. */
function read(data, peer) {
  if (data.toString("latin1", 0, 12) === PROXY_V2 && data.length >= 16) {
    const width = { 0x2112: 4, 0x2122: 16 }[data.readUInt16BE(12)]; // a client's datagram over IPv4, over IPv6
    if (width) clients.set(peer, [addressIn(data.subarray(16, 16 + width)), data.readUInt16BE(16 + 2 * width)]);
    return [clients.get(peer), data.subarray(16 + data.readUInt16BE(14)), ""];
  }
  if (data.length >= 38 && data.readUInt16BE(0) === 0x56ec) {
    return [[addressIn(data.subarray(2, 18)), data.readUInt16BE(34)], data.subarray(38), data.subarray(0, 38)];
  }
  return [clients.get(peer), data, ""];
}

const server = createSocket(isIPv6(process.argv[2]) ? "udp6" : "udp4");
server.on("message", (data, { address, port }) => {
  const [client = [address, port], payload, header] = read(data, `${address} ${port}`);
  server.send([header, `${client.join(" ")} `, payload].map((part) => Buffer.from(part)), port, address);
});
server.bind(Number(process.argv[3]), process.argv[2], () => process.stdout.write("ready\n"));
