/**
 * Ports that UDP checks are sent from: none that is steered, for the answer would go to a worker.
 *
 * @module
 */
import { ERRNO } from "../../ffi/errno.ts";
import type { IpSocket } from "../../ffi/ip_socket.ts";
import { givenToPrograms, type LocalPorts, readLocalPorts } from "../../host/local_ports.ts";
import { common, without } from "../../steering/port_set.ts";
import type { PortRange } from "../../steering/rule.ts";

/** Ports that are taken are passed over. With more of them than this in a row the kernel may choose. */
const MAX_TRIES = 100;
/** Without a privilege. */
const ANY: PortRange = { first: 1024, last: 65_535 };

export class SourcePorts {
  #steered: readonly PortRange[] = [];
  /** As of the last time that a port was needed; undefined where the kernel would choose none that is steered. */
  #choices: readonly PortRange[] | undefined;
  readonly #local: () => LocalPorts | undefined;
  readonly #random: () => number;

  constructor(local: () => LocalPorts | undefined = readLocalPorts, random: () => number = Math.random) {
    this.#local = local;
    this.#random = random;
  }

  get steered(): readonly PortRange[] {
    return this.#steered;
  }

  set steered(ports: readonly PortRange[]) {
    this.#steered = ports;
    this.#choices = this.#choose();
  }

  /** Whether an answer to a port arrives. @param port 0: the kernel chose it when it could choose no other. */
  allows(port: number): boolean {
    return port === 0
      ? this.#choices === undefined
      : !this.steered.some(({ first, last }) => first <= port && port <= last);
  }

  /** Gives a socket a port, unless any that the kernel chooses will do. @returns the port, or 0. */
  bind(socket: Pick<IpSocket, "bind">): number {
    const choices = this.#choices = this.#choose();
    if (choices === undefined) return 0;
    const count = choices.reduce((sum, { first, last }) => sum + last - first + 1, 0);
    for (let tries = 0; tries < MAX_TRIES && count > 0; tries++) {
      const port = portAt(choices, Math.floor(this.#random() * count));
      const result = socket.bind(port);
      if (result === 0) return port;
      if (result !== -ERRNO.EADDRINUSE) break;
    }
    return 0;
  }

  #choose(): readonly PortRange[] | undefined {
    if (this.steered.length === 0) return undefined;
    const local = this.#local();
    if (local === undefined || givenToPrograms(this.steered, local).length === 0) return undefined;
    const free = without(without([ANY], this.steered), local.reserved);
    const usual = common(free, [local.range]);
    return usual.length > 0 ? usual : free;
  }
}

function portAt(ranges: readonly PortRange[], index: number): number {
  let left = index;
  for (const { first, last } of ranges) {
    if (left <= last - first) return first + left;
    left -= last - first + 1;
  }
  return 0;
}
