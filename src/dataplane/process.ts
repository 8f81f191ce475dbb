/**
 * What happens to packets: a pure function over packet memory, a batch and a table. No rings, no FFI, no clock, so it
 * runs the same in a test over an ordinary ArrayBuffer.
 *
 * @module
 */
import { isAnswerable } from "../packet/answerable.ts";
import { echoUdp } from "../packet/echo.ts";
import { hopsLeft } from "../packet/hops.ts";
import { frameBytes } from "../packet/link_header.ts";
import { readIcmpError, ReceivedError } from "../packet/received_error.ts";
import {
  destinationOf,
  PLAIN_DESTINATION,
  plainUdpPort,
  readPlainUdp,
  readUdp,
  sourceOf,
  UdpPacket,
} from "../packet/udp.ts";
import { FATE } from "../steering/fate.ts";
import { ruleByAddress } from "../steering/rule_chains.ts";
import { NO_RULE } from "../steering/slots.ts";
import { CHAINED, WORKER_ACTION, type WorkerTable } from "../steering/worker_table.ts";
import { type Batch, DISPOSAL } from "./batch.ts";
import type { Forwarder } from "./forward.ts";
import { fateAt } from "./counters.ts";

const packet = new UdpPacket();
const receivedError = new ReceivedError();

// Imported values are looked up at each use, a module's own are part of the code.
const noRule = NO_RULE;
const chained = CHAINED;
const plainDestination = PLAIN_DESTINATION;
const { counted, echoed, hops_exceeded, tx_ring_full, unanswerable, unlisted, malformed, worker_failed } = FATE;
const { count: countPackets, echo: echoPackets, forward: forwardPackets, answer: answerPackets } = WORKER_ACTION;
const { park, recycle, transmit } = DISPOSAL;

/**
 * Decides and carries out the action of every packet of a batch, and counts its fate. Hot path: no allocation.
 *
 * @param umem All of the packet memory that the batch's addresses refer to; echoed packets are rewritten in place.
 * @param counters The worker's counters.
 * @param receivedAt Where in `counters` the packets received from this queue are counted, by row.
 * @param txRoom How many packets can be sent.
 * @param forwarder Carries out what forwarding rules say; undefined while there are none.
 * @param from The interface the batch came by, as the forwarder numbers them.
 * @returns How many packets are to be transmitted, at most `txRoom`.
 */
export function processBatch(
  umem: DataView,
  batch: Batch,
  table: WorkerTable,
  counters: Float64Array,
  receivedAt: number,
  txRoom: number,
  forwarder?: Forwarder,
  from = 0,
): number {
  // Taken out of their objects once: in the loop, each would be checked anew for every packet.
  const { count, addr: addrs, length: lengths, disposal: disposals } = batch;
  const { ruleOfPort, answersOnPort, actionOfRule } = table;
  // Backends' answers to clients that keep their addresses are for any port.
  const keeps = forwarder !== undefined && forwarder.keeps;
  let transmitted = 0;
  // Packets of one rule and fate mostly come in runs, which are counted as one.
  let runAt = 0;
  let runRule = 0;
  let runPackets = 0;
  let runBytes = 0;
  for (let index = 0; index < count; index++) {
    const addr = addrs[index]!;
    const length = lengths[index]!;
    let rule: number = noRule;
    let fate: number = malformed;
    let disposal: number = recycle;
    let port = plainUdpPort(umem, addr, length);
    const plain = port >= 0;
    if (!plain && readUdp(umem, addr, length, packet)) port = packet.destinationPort;
    if (port >= 0) {
      rule = ruleOfPort[port]!;
      let isKept = false;
      if (keeps) {
        if (plain) readPlainUdp(umem, addr, port, packet);
        isKept = isAnswerToKept(umem, forwarder, from);
        if (isKept) rule = forwarder.keptRule;
      }
      if (rule >= chained) {
        const isIpv6 = !plain && packet.isIpv6;
        rule = ruleByAddress(table, rule, umem, plain ? addr + plainDestination : destinationOf(packet), isIpv6);
      }
      const action = actionOfRule[rule]!;
      if (action === countPackets) {
        fate = counted;
      } else if (action !== echoPackets) {
        fate = unlisted;
        if (forwarder !== undefined && (action === forwardPackets || action === answerPackets)) {
          if (plain) readPlainUdp(umem, addr, port, packet);
          const mayReturn = transmitted !== txRoom;
          if (action === forwardPackets && !isKept) {
            fate = forwarder.toBackend(umem, packet, rule, from, length, mayReturn);
          } else {
            fate = isKept
              ? forwarder.toKeptClient(umem, packet, from, length, mayReturn)
              : forwarder.toClient(umem, packet, from, length, mayReturn);
            if (forwarder.answerRow !== noRule) rule = forwarder.answerRow;
          }
          if (forwarder.parks) {
            disposals[index] = park; // counted when it is decided on
            batch.rule[index] = rule;
            continue;
          }
          if (forwarder.sendsBack) {
            addrs[index] = forwarder.addr;
            lengths[index] = forwarder.length;
            disposal = transmit;
            transmitted++;
          }
        }
      } else if (transmitted === txRoom) {
        fate = tx_ring_full;
      } else {
        if (plain) readPlainUdp(umem, addr, port, packet);
        if (answersOnPort[packet.sourcePort] !== 0 || !isAnswerable(umem, packet)) {
          fate = unanswerable;
        } else if (hopsLeft(umem, packet) <= 1) {
          fate = hops_exceeded;
        } else {
          echoUdp(umem, packet);
          lengths[index] = frameBytes(packet, packet.ip - packet.ethernet, length);
          fate = echoed;
          disposal = transmit;
          transmitted++;
        }
      }
    } else if (forwarder !== undefined && readIcmpError(umem, addr, length, receivedError)) {
      const { quoted } = receivedError;
      const mayReturn = transmitted !== txRoom;
      if (keeps && forwarder.errors.isForKept(umem, receivedError, from)) {
        rule = forwarder.keptRule;
        forwarder.sendsBack = false;
        fate = forwarder.errors.toKeptClient(umem, receivedError, from, length, mayReturn);
      } else {
        rule = ruleOfPort[quoted.sourcePort]!;
        if (rule >= chained) rule = ruleByAddress(table, rule, umem, sourceOf(quoted), quoted.isIpv6);
        fate = processError(umem, actionOfRule[rule]!, forwarder, from, length, mayReturn);
      }
      if (forwarder.answerRow !== noRule) rule = forwarder.answerRow;
      if (forwarder.sendsBack) {
        addrs[index] = forwarder.addr;
        lengths[index] = forwarder.length;
        disposal = transmit;
        transmitted++;
      }
    }
    disposals[index] = disposal;
    const at = fateAt(rule, fate);
    if (at !== runAt) {
      addRun(counters, runAt, receivedAt + runRule, runPackets, runBytes);
      runAt = at;
      runRule = rule;
      runPackets = 0;
      runBytes = 0;
    }
    runPackets++;
    runBytes += length;
  }
  addRun(counters, runAt, receivedAt + runRule, runPackets, runBytes);
  return transmitted;
}

/** Whether the packet that was read is a backend's answer to a client that keeps its address. */
function isAnswerToKept(umem: DataView, forwarder: Forwarder, from: number): boolean {
  const ports = umem.getInt32(packet.udp, true);
  return forwarder.findKept(umem, sourceOf(packet), destinationOf(packet), ports, packet, from);
}

/** @returns The fate of an ICMP error about a packet from a port whose rule has this action. */
function processError(
  umem: DataView,
  action: number,
  forwarder: Forwarder,
  from: number,
  length: number,
  mayReturn: boolean,
): number {
  forwarder.sendsBack = false;
  forwarder.answerRow = noRule;
  if (action === answerPackets) return forwarder.errors.toClient(umem, receivedError, from, length, mayReturn);
  if (action === forwardPackets) return forwarder.errors.toBackend(umem, receivedError, from, length, mayReturn);
  return unlisted;
}

/**
 * Decides once more on packets that were parked, each by the rule that it was parked for: its port may have another one
 * by now. Parameters and result are those of {@linkcode processBatch}.
 */
export function processParked(
  umem: DataView,
  batch: Batch,
  counters: Float64Array,
  receivedAt: number,
  txRoom: number,
  forwarder: Forwarder,
  from: number,
): number {
  const { count, addr: addrs, length: lengths, disposal: disposals } = batch;
  let transmitted = 0;
  for (let index = 0; index < count; index++) {
    const length = lengths[index]!;
    const rule = batch.rule[index]!;
    let fate: number = malformed;
    disposals[index] = recycle;
    if (readUdp(umem, addrs[index]!, length, packet)) {
      fate = forwarder.toBackend(umem, packet, rule, from, length, transmitted !== txRoom);
      if (forwarder.parks) {
        disposals[index] = park;
        continue;
      }
      if (forwarder.sendsBack) {
        addrs[index] = forwarder.addr;
        lengths[index] = forwarder.length;
        disposals[index] = transmit;
        transmitted++;
      }
    }
    addRun(counters, fateAt(rule, fate), receivedAt + rule, 1, length);
  }
  return transmitted;
}

/**
 * The same for a batch whose packets are all of one rule that only counts them: they are not looked at, so none is
 * brought into this CPU's cache. Hot path: no allocation.
 */
export function countBatch(batch: Batch, rule: number, counters: Float64Array, receivedAt: number): void {
  const { count, length: lengths, disposal: disposals } = batch;
  let bytes = 0;
  for (let index = 0; index < count; index++) {
    bytes += lengths[index]!;
    disposals[index] = recycle;
  }
  addRun(counters, fateAt(rule, counted), receivedAt + rule, count, bytes);
}

/** Counts packets in hand of a worker that has failed, from one on. */
export function countFailed(batch: Batch, first: number, counters: Float64Array, receivedAt: number): void {
  for (let index = first; index < batch.count; index++) {
    addRun(counters, fateAt(noRule, worker_failed), receivedAt + noRule, 1, batch.length[index]!);
  }
}

/** Counts packets that a worker had in hand which has ended with its process: nobody knows what was in them. */
export function countLost(packets: number, counters: Float64Array, receivedAt: number): void {
  addRun(counters, fateAt(noRule, worker_failed), receivedAt + noRule, packets, 0);
}

/** Counts packets of one rule and fate. */
function addRun(counters: Float64Array, fateAt: number, receivedAt: number, packets: number, bytes: number): void {
  counters[fateAt] = counters[fateAt]! + packets;
  counters[fateAt + 1] = counters[fateAt + 1]! + bytes;
  counters[receivedAt] = counters[receivedAt]! + packets;
}
