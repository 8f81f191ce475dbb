/**
 * `xdpsteer ports`: which port goes where in a running xdpsteer, and changing that while packets flow.
 *
 * @module
 */
import type { SteeredPorts } from "../config/remap.ts";
import { EXIT, SteerError } from "../errors.ts";
import { endsInKernel, KERNEL_ACTIONS, KERNEL_WORDS } from "../steering/action.ts";
import { textOf } from "../steering/addresses.ts";
import { formatPorts, type PortRange, rangeText } from "../steering/rule.ts";
import { callJson } from "./client.ts";
import { type Change, type ConfirmOptions, printChange, queryOf } from "./reload.ts";
import { print, printJson, table } from "./output.ts";

interface CommonOptions {
  readonly socket: string;
  readonly json?: boolean;
}

interface PortList {
  readonly generation: number;
  readonly ports: readonly SteeredPorts[];
}

/** Shows all ports in force. */
export async function list({ socket, json }: CommonOptions): Promise<void> {
  const answer = await callJson<PortList>(socket, "GET", "/v1/ports");
  if (json) return printJson(answer);
  const { generation, ports } = answer;
  if (ports.length === 0) {
    return print(`generation ${generation}: no port is steered; all packets pass to the kernel stack`);
  }
  const allOwn = ports.every(({ addresses }) => addresses === "own");
  const rows = ports.map(({ rule, addresses, worker, action, ...ports }) => [
    rangeText(ports),
    ...allOwn ? [] : [textOf(addresses)],
    rule,
    endsInKernel(action) ? "-" : `${worker}`,
    action,
  ]);
  print(table(["PORTS", ...allOwn ? [] : ["ADDRESSES"], "RULE", "WORKER", "ACTION"], rows));
}

export interface SetOptions extends CommonOptions, ConfirmOptions {
  readonly worker?: string;
  readonly action?: string;
  readonly address?: string;
  /** Backends, with commas. */
  readonly to?: string;
  readonly rule?: string;
  readonly save?: boolean;
}

/** Gives ports to a worker. */
export async function set(ports: string, { socket, json = false, confirm, ...order }: SetOptions): Promise<void> {
  const { worker, action, address, to, rule, save = false } = order;
  if (
    worker === undefined && to === undefined && !(KERNEL_ACTIONS as readonly (string | undefined)[]).includes(action)
  ) {
    throw new SteerError("No worker is named: expected --worker with a worker id or hash", {
      exitCode: EXIT.usage,
      hint: `only --to, and --action ${KERNEL_WORDS}, need none`,
    });
  }
  const body = { ports, addresses: addressesOf(address), worker, action, to, rule, save };
  printChange(await callJson<Change>(socket, "POST", `/v1/ports${queryOf({ confirm })}`, body), json);
}

/** `own` and `any` are words, everything else is a list with commas. */
function addressesOf(text: string | undefined): string | readonly string[] | undefined {
  return text === undefined || !text.includes(",") ? text : text.split(",").map((item) => item.trim());
}

/** Leaves ports to the kernel stack again. */
export async function unset(
  ports: string,
  { socket, json = false, save = false, confirm }: CommonOptions & ConfirmOptions & { readonly save?: boolean },
): Promise<void> {
  const change = await callJson<PortsUnset>(
    socket,
    "DELETE",
    `/v1/ports${queryOf({ ports, save: `${save}`, confirm })}`,
  );
  const { notSteered = [] } = change;
  if (!json && notSteered.length > 0) print(notSteeredText(notSteered));
  printChange(change, json);
}

interface PortsUnset extends Change {
  /** A process that was started from an older file does not say. */
  readonly notSteered?: readonly PortRange[];
}

const MAX_NAMED = 5;

/** `port 5000 is not steered by any rule` */
function notSteeredText(ranges: readonly PortRange[]): string {
  const isOne = ranges.length === 1 && ranges[0]!.first === ranges[0]!.last;
  const more = ranges.length > MAX_NAMED ? ` and ${ranges.length - MAX_NAMED} more` : "";
  const words = `${formatPorts(ranges.slice(0, MAX_NAMED))}${more}`;
  return isOne ? `port ${words} is not steered by any rule` : `ports ${words} are not steered by any rule`;
}
