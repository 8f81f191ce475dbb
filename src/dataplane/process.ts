/**
 * What happens to packets: a pure function over packet memory, a batch and a table. No rings, no FFI, no clock, so it runs
 * the same in a test over an ordinary ArrayBuffer.
 *
 * @module
 */
import { echoUdp } from "../packet/echo.ts";
import { readUdp, UdpPacket } from "../packet/udp.ts";
import { NO_RULE } from "../steering/slots.ts";
import { WORKER_ACTION, type WorkerTable } from "../steering/worker_table.ts";
import { type Batch, DISPOSAL } from "./batch.ts";
import { FATE, fateAt } from "./words.ts";

const packet = new UdpPacket();

/**
 * Decides and carries out the action of every packet of a batch, and counts its fate. Hot path: no allocation.
 *
 * @param umem All of the packet memory that the batch's addresses refer to; echoed packets are rewritten in place.
 * @param counters The worker's counters.
 * @param receivedAt Where in `counters` the packets received from this queue are counted, by rule slot.
 * @param txRoom How many packets can be sent.
 * @returns How many packets are to be transmitted, at most `txRoom`.
 */
export function processBatch(
  umem: DataView,
  batch: Batch,
  table: WorkerTable,
  counters: Float64Array,
  receivedAt: number,
  txRoom: number,
): number {
  const count = batch.count;
  let transmitted = 0;
  for (let index = 0; index < count; index++) {
    const length = batch.length[index]!;
    let rule: number = NO_RULE;
    let fate: number = FATE.malformed;
    let disposal: number = DISPOSAL.recycle;
    if (readUdp(umem, batch.addr[index]!, length, packet)) {
      rule = table.ruleOfPort[packet.destinationPort]!;
      const action = table.actionOfRule[rule]!;
      if (action === WORKER_ACTION.count) {
        fate = FATE.counted;
      } else if (action !== WORKER_ACTION.echo) {
        fate = FATE.unlisted;
      } else if (transmitted === txRoom) {
        fate = FATE.tx_ring_full;
      } else if (echoUdp(umem, packet)) {
        fate = FATE.echoed;
        disposal = DISPOSAL.transmit;
        transmitted++;
      } else {
        fate = FATE.unanswerable;
      }
    }
    const at = fateAt(rule, fate);
    counters[at] = counters[at]! + 1;
    counters[at + 1] = counters[at + 1]! + length;
    counters[receivedAt + rule] = counters[receivedAt + rule]! + 1;
    batch.disposal[index] = disposal;
  }
  return transmitted;
}
