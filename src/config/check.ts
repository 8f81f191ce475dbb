/**
 * Checks that no single key can make: what must be unique, what must exist, what must fit together.
 *
 * They work on the file as it is, so that they also find what is wrong beside a value that the schema refuses; whatever
 * has the wrong shape is passed over here, since the schema reports it.
 *
 * @module
 */

import { type Clash, PortClaims, portItems, type PortRange } from "./ports.ts";
import { FULL_FRAME, MAX_WORKERS, roomFor, XDP_PACKET_HEADROOM } from "./schema.ts";
import { show } from "./wording.ts";
import type { Finding, Path, YamlFile } from "./yaml_file.ts";

/** What the checks across keys have found. */
export interface CrossCheck {
  readonly findings: readonly Finding[];
  /** How many workers the file asks for; undefined where it does not say so properly. */
  readonly workerCount: number | undefined;
}

/** Checks what concerns more than one key. `cpuCount` is what `workers.count: auto` means without `cpus`. */
export function crossCheck(file: YamlFile, cpuCount: number): CrossCheck {
  const findings: Finding[] = [];
  const report: Report = (path, message) => void findings.push({ ...file.place(path), message });
  const workers = countWorkers(file.value, cpuCount);
  checkNames(file, "interfaces", "interface", report);
  checkRooms(file.value, report);
  if (workers !== undefined && workers.count !== workers.cpus && workers.cpus > 0) {
    const message =
      `cpus lists ${workers.cpus} and count is ${workers.count}: expected one CPU per worker, or count auto`;
    report(["workers", "cpus"], message);
  }
  checkNames(file, "steering", "rule", report);
  if (workers !== undefined) checkWorkersExist(file.value, workers, report);
  checkPorts(file, report);
  return { findings, workerCount: workers?.count };
}

type Report = (path: Path, message: string) => void;

/** The value at the end of a path; undefined where there is none. */
function at(value: unknown, ...path: (string | number)[]): unknown {
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

function listAt(value: unknown, ...path: (string | number)[]): readonly unknown[] {
  const list = at(value, ...path);
  return Array.isArray(list) ? list : [];
}

interface WorkerCount {
  readonly count: number;
  readonly cpus: number;
  /** The count in words. */
  readonly because: string;
}

function countWorkers(value: unknown, cpuCount: number): WorkerCount | undefined {
  const count = at(value, "workers", "count") ?? "auto";
  const cpus = listAt(value, "workers", "cpus").length;
  if (count !== "auto") {
    const valid = typeof count === "number" && Number.isInteger(count) && count >= 1 && count <= MAX_WORKERS;
    return valid ? { count, cpus, because: `workers.count is ${count}` } : undefined;
  }
  const auto = cpus > 0 ? cpus : Math.min(Math.max(cpuCount, 1), MAX_WORKERS);
  const because = cpus > 0 ? `workers.cpus lists ${cpus}` : `workers.count is auto, ${auto} on this machine`;
  return { count: auto, cpus, because };
}

function checkNames(file: YamlFile, section: string, noun: string, report: Report): void {
  const seen = new Map<string, Path>();
  for (const [index, entry] of listAt(file.value, section).entries()) {
    const name = at(entry, "name");
    if (typeof name !== "string") continue;
    const path = [section, index, "name"];
    const first = seen.get(name);
    if (first === undefined) seen.set(name, path);
    else report(path, `${noun} name ${show(name)} is used twice: expected another, line ${lineOf(file, first)} has it`);
  }
}

/** A chunk holds the kernel's headroom, ours, and a full frame. */
function checkRooms(value: unknown, report: Report): void {
  for (const [index, entry] of listAt(value, "interfaces").entries()) {
    const headroom = at(entry, "umem", "headroom") ?? 0;
    const chunkSize = at(entry, "umem", "chunk_size") ?? 2048;
    if (!Number.isInteger(headroom) || (chunkSize !== 2048 && chunkSize !== 4096)) continue;
    const room = roomFor(chunkSize);
    if (Number(headroom) <= room) continue;
    const sum = `${XDP_PACKET_HEADROOM} (kernel) + ${headroom} + ${FULL_FRAME} (frame)`;
    const total = XDP_PACKET_HEADROOM + Number(headroom) + FULL_FRAME;
    report(
      ["interfaces", index, "umem", "headroom"],
      `headroom ${headroom} is too large: ${sum} = ${total} bytes, chunk_size is ${chunkSize}: expected 0 to ${room} bytes`,
    );
  }
}

function checkWorkersExist(value: unknown, workers: WorkerCount, report: Report): void {
  const expected = workers.count === 1 ? "0 or hash" : `0 to ${workers.count - 1}, or hash`;
  for (const [index, rule] of listAt(value, "steering").entries()) {
    const worker = at(rule, "worker");
    // Ids no process can have are refused by the schema.
    if (typeof worker !== "number" || !Number.isInteger(worker) || worker < workers.count || worker >= MAX_WORKERS) {
      continue;
    }
    report(
      ["steering", index, "worker"],
      `worker ${worker} does not exist: expected ${expected}, since ${workers.because}`,
    );
  }
}

interface PortOwner {
  readonly rule: number;
  readonly path: Path;
}

function checkPorts(file: YamlFile, report: Report): void {
  const claims = new PortClaims<PortOwner>();
  for (const [rule, entry] of listAt(file.value, "steering").entries()) {
    for (const { ports, step } of portItems(at(entry, "ports"))) {
      const path = ["steering", rule, "ports", ...step];
      for (const clash of claims.claim(ports, { rule, path })) report(path, describeClash(file, rule, clash));
    }
  }
}

function describeClash(file: YamlFile, rule: number, { ports, owner }: Clash<PortOwner>): string {
  const what = rangeText(ports);
  const [are, belong] = ports.first === ports.last ? ["is", "belongs"] : ["are", "belong"];
  const line = `line ${lineOf(file, owner.path)}`;
  if (owner.rule === rule) {
    return `${what} of ${ruleLabel(file, rule)} ${are} listed twice: expected once, ${line} has ${
      are === "is" ? "it" : "them"
    }`;
  }
  return `${what} of ${ruleLabel(file, rule)} already ${belong} to ${
    ruleLabel(file, owner.rule)
  } on ${line}: expected each port once`;
}

function rangeText({ first, last }: PortRange): string {
  return first === last ? `port ${first}` : `ports ${first}-${last}`;
}

function ruleLabel(file: YamlFile, rule: number): string {
  const name = at(file.value, "steering", rule, "name");
  return typeof name === "string" ? `rule ${show(name)}` : `rule number ${rule + 1}`;
}

function lineOf(file: YamlFile, path: Path): number {
  return file.position(file.place(path).start).line;
}
