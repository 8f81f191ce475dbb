/**
 * The steering program, loaded and ready to be asked for its verdict on single frames (BPF_PROG_TEST_RUN).
 *
 * The kernel runs it as if the frame came in on queue 0. A redirect needs no more than an AF_XDP socket in xsk_map,
 * bound or not; what becomes of a redirected packet is for the end-to-end tests.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type REASON, VERDICT_OF } from "../../src/bpf/layout.gen.ts";
import { PortTable } from "../../src/bpf/port_table.ts";
import { REASON_NAMES } from "../../src/bpf/reasons.ts";
import { SteeringProgram, type XdpCounters } from "../../src/bpf/program.ts";
import { closeFd, openXdpSocket } from "../../src/ffi/libc.ts";
import { testRun } from "../../src/ffi/libbpf.ts";
import { parseAddress, parseMac } from "../../src/packet/address.ts";
import type { OwnAddresses } from "../../src/steering/addresses.ts";
import { PORT_ACTION, type PortMap, type PortOwner } from "../../src/steering/port_map.ts";
import { requireKernel } from "../support/netns.ts";

export type Reason = Exclude<keyof typeof REASON, "COUNT">;

/** The Ethernet address of the device that frames come by. */
export const OWN_MAC = "02:00:00:00:00:02";

/** What one port's entry says. */
export interface PortRule
  extends Partial<Pick<PortOwner, "addresses" | "deliverTo" | "dropsFragments" | "errors" | "guard">> {
  readonly action: keyof typeof PORT_ACTION;
  readonly rule?: number;
  readonly worker?: number;
}

export function portMap(rules: Readonly<Record<number, PortRule>>): PortMap {
  return Object.entries(rules).map(([key, { action, ...more }]) => {
    const port = Number(key);
    const usual = { addresses: "own" as const, errors: false, dropsFragments: false, rule: 0, worker: 0 };
    return { first: port, last: port, action: PORT_ACTION[action], ...usual, ...more };
  });
}

/** Rule slots that tests use: these many from 0 on, and one far behind. To read all of them takes a millisecond. */
const FIRST_SLOTS = 16;
export const LAST_SLOT = 8191;

export class VerdictRig implements AsyncDisposable {
  readonly program: SteeringProgram;
  readonly table: PortTable;
  /** The box's addresses when a table is prepared. */
  own: OwnAddresses = {
    own: ["192.0.2.2", "2001:db8::2"].map(parseAddress),
    broadcasts: [parseAddress("192.0.2.255")],
  };
  readonly #sockets: number[] = [];

  private constructor(program: SteeringProgram) {
    this.program = program;
    this.table = new PortTable(program, () => this.own);
  }

  /** Loads the program for workers of queue 0, with a socket for each worker in `covered`: all where undefined. */
  static async load(
    { workers = 1, covered, shareWith }: { workers?: number; covered?: readonly number[]; shareWith?: VerdictRig } = {},
  ): Promise<VerdictRig> {
    requireKernel();
    const options = { workerCount: workers, queueLimit: 1, shareWith: shareWith?.program };
    const rig = new VerdictRig(await SteeringProgram.load(options));
    rig.program.setDevice({ isLoopback: false, macs: [parseMac(OWN_MAC)] });
    for (const worker of covered ?? Array.from({ length: workers }, (_, index) => index)) {
      const socket = openXdpSocket();
      rig.#sockets.push(socket);
      rig.program.setSocket(0, worker, socket);
    }
    return rig;
  }

  /** Puts a port table in force. */
  async put(ports: PortMap, generation: number, sources = 0): Promise<void> {
    (await this.table.prepare(ports, generation, sources)).flip();
  }

  /** What the program has counted, with the rules of the slots that tests use. */
  counters(): XdpCounters {
    const first = this.program.readRuleCounters(0, FIRST_SLOTS);
    return this.program.readXdpCounters(Float64Array.from([...first, ...this.program.readRuleCounters(LAST_SLOT)]));
  }

  /**
   * Runs the program on one frame; checks that it counted one packet, for one reason, and that the verdict is that
   * reason's.
   */
  run(frame: Uint8Array<ArrayBuffer>): Reason {
    const before = this.counters();
    const verdict = testRun(this.program.fd, { data: frame, repeat: 1 });
    const after = this.counters();
    assert.equal(after.seen - before.seen, 1, "one packet seen");
    const counted = after.byReason.flatMap((count, reason) =>
      Array<number>(count - before.byReason[reason]!).fill(reason)
    );
    assert.equal(counted.length, 1, "one reason counted");
    const reason = REASON_NAMES[counted[0]!]!.toUpperCase() as Reason;
    assert.equal(verdict, VERDICT_OF[reason], `the verdict for ${reason}`);
    return reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.table[Symbol.asyncDispose]();
    this.program[Symbol.dispose]();
    for (const socket of this.#sockets) closeFd(socket);
  }
}
