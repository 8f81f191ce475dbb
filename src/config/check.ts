/**
 * Checks that no single key can make: what must be unique, what must exist, what must fit together.
 *
 * They work on the file as it is, so that they also find what is wrong beside a value that the schema refuses; whatever
 * has the wrong shape is passed over here, since the schema reports it.
 *
 * @module
 */

import { MAGLEV_ENTRIES, MAX_BACKENDS, MAX_FORWARDS } from "../steering/forward_table.ts";
import { actionWord, REACHING_WORKERS, staysInKernel } from "./actions.ts";
import { captureFamily, capturePath, DEFAULT_CAPTURE_DIRECTORY, isInDirectory, MAX_CAPTURES } from "./capture.ts";
import { readBackend } from "./backend.ts";
import { checkGuards } from "./guard_check.ts";
import { KEEPING, TRANSLATING } from "./forward.ts";
import { DEFAULT_TABLE_SIZE, DEFAULT_TRANSLATION_PORTS } from "./forwarding.ts";
import { checkRanges } from "./range_check.ts";
import { PortClaims, portItems, type PortRange, readPorts } from "./ports.ts";
import { FULL_FRAME, MAX_WORKERS, roomFor, XDP_PACKET_HEADROOM } from "./schema.ts";
import { type Addresses, commonAddress, MAX_ADDRESS_LISTS, textOf } from "../steering/addresses.ts";
import { readAddresses } from "./addresses.ts";
import { show } from "./wording.ts";
import { type Finding, listAt, type Path, type Place, valueAt, type YamlFile } from "./yaml_file.ts";

/** What the checks across keys have found. */
export interface CrossCheck {
  readonly findings: readonly Finding[];
  /** How many workers the file asks for; undefined where it does not say so properly. */
  readonly workerCount: number | undefined;
}

/** Checks what concerns more than one key. `cpuCount` is what `workers.count: auto` means without `cpus`. */
export function crossCheck(file: YamlFile, cpuCount: number): CrossCheck {
  const findings: Finding[] = [];
  const report: Report = ({ start, end }, message) => void findings.push({ start, end, message });
  const workers = countWorkers(file.value, cpuCount);
  checkNames(file, "interfaces", "interface", report);
  checkHeadrooms(file, report);
  if (workers !== undefined) {
    checkCpus(file, workers, report);
    checkWorkersExist(file, workers, report);
    checkForwarding(file, workers, report);
  }
  checkNames(file, "steering", "rule", report);
  checkPorts(file, report);
  checkNames(file, "lists", "list", report);
  checkGuards(file, report);
  checkCaptures(file, report);
  checkDeliveries(file, report);
  return { findings, workerCount: workers?.count };
}

type Report = (place: Place, message: string) => void;

function at(value: unknown, ...path: (string | number)[]): unknown {
  return valueAt(value, path);
}

interface WorkerCount {
  readonly count: number;
  /** CPUs listed. */
  readonly cpus: number;
  /** Where the count comes from, in words. */
  readonly because: string;
}

function countWorkers(value: unknown, cpuCount: number): WorkerCount | undefined {
  const count = at(value, "workers", "count") ?? "auto";
  const cpus = listAt(value, "workers", "cpus").length;
  if (count !== "auto") {
    const valid = typeof count === "number" && Number.isInteger(count) && count >= 1 && count <= MAX_WORKERS;
    return valid ? { count, cpus, because: `workers.count is ${count}` } : undefined;
  }
  if (cpus > 0) return { count: cpus, cpus, because: `workers.cpus lists ${cpus}` };
  const auto = Math.min(Math.max(cpuCount, 1), MAX_WORKERS);
  return { count: auto, cpus, because: `workers.count is auto, ${auto} on this machine` };
}

function checkCpus(file: YamlFile, { count, cpus }: WorkerCount, report: Report): void {
  if (cpus === 0 || cpus === count) return;
  const message = `cpus lists ${cpus} but count is ${count}: expected one CPU per worker, or count auto`;
  report(file.place(["workers", "cpus"]), message);
}

function checkNames(file: YamlFile, section: string, noun: string, report: Report): void {
  const lines = new Map<string, number>();
  for (const [index, entry] of listAt(file.value, section).entries()) {
    const name = at(entry, "name");
    if (typeof name !== "string") continue;
    const place = file.usePlace([section, index, "name"]);
    const line = lines.get(name);
    if (line === undefined) lines.set(name, file.position(place.start).line);
    else report(place, `${noun} name ${show(name)} is used twice: expected another, line ${line} has it already`);
  }
}

/** A chunk holds the kernel's headroom, ours, and a full frame. */
function checkHeadrooms(file: YamlFile, report: Report): void {
  for (const [index, entry] of listAt(file.value, "interfaces").entries()) {
    const headroom = at(entry, "umem", "headroom");
    const chunkSize = at(entry, "umem", "chunk_size") ?? 2048;
    if (typeof headroom !== "number" || !Number.isInteger(headroom)) continue;
    if ((chunkSize !== 2048 && chunkSize !== 4096) || headroom <= roomFor(chunkSize)) continue;
    const sum = `${XDP_PACKET_HEADROOM} (kernel) + ${headroom} + ${FULL_FRAME} (frame)`;
    const fault = `${sum} = ${XDP_PACKET_HEADROOM + headroom + FULL_FRAME} bytes, and chunk_size is ${chunkSize}`;
    report(
      file.place(["interfaces", index, "umem", "headroom"]),
      `headroom ${headroom} is too large: ${fault}: expected 0 to ${roomFor(chunkSize)} bytes`,
    );
  }
}

function checkWorkersExist(file: YamlFile, { count, because }: WorkerCount, report: Report): void {
  const expected = count === 1 ? "0 or hash" : `0 to ${count - 1}, or hash`;
  for (const [index, rule] of listAt(file.value, "steering").entries()) {
    const worker = at(rule, "worker");
    // What cannot be an id on any machine is the schema's business.
    const possible = typeof worker === "number" && Number.isInteger(worker) && worker < MAX_WORKERS;
    if (!possible || worker < count) continue;
    const place = file.place(["steering", index, "worker"]);
    report(place, `worker ${worker} does not exist: expected ${expected}, since ${because}`);
  }
}

/** Keys that say something with one kind of mode only. */
function checkModes(file: YamlFile, forwarding: readonly (readonly [number, unknown])[], report: Report): void {
  const [translating, keeping] = [TRANSLATING, KEEPING].map((modes) => modes.join(" or "));
  for (const [index, rule] of forwarding) {
    const forward = at(rule, "action", "forward");
    const refuse = (key: string, message: string): void => {
      if (at(forward, key) === undefined) return;
      report(file.keyPlace(["steering", index, "action", "forward", key]), `${key} is for mode ${message}`);
    };
    if (keepsAddresses(rule)) {
      refuse(
        "answers",
        `${translating}: expected no answers with mode ${keeping}, whose answers do not come through here`,
      );
      refuse("passive", `${translating}, whose answers come through here: expected health, or mode ${translating}`);
      if (at(forward, "source") !== "box") {
        const expected = `expected no source with mode ${keeping}, where backends see the client anyway`;
        refuse("source", `${translating}: ${expected}`);
      }
      if (at(forward, "client_address") === "none") continue;
      const why = "where backends see the client's own address";
      refuse("client_address", `${translating}: expected none with mode ${keeping}, ${why}`);
      continue;
    }
    refuse("remap_port", `${keeping}: expected a port with each backend of mode ${translating}, and no remap_port`);
    const mode = at(forward, "mode");
    // What is no mode is the schema's business.
    if (mode !== undefined && !TRANSLATING.includes(String(mode))) continue;
    refuse("tunnel", `${keeping}: expected mode: ${keeping} beside it`);
    const told = at(forward, "client_address");
    if (at(forward, "source") !== "client" || told === undefined || told === "none") continue;
    const place = file.keyPlace(["steering", index, "action", "forward", "client_address"]);
    report(place, "client_address is for source box: expected none with source client, which the backend sees");
  }
}

function keepsAddresses(rule: unknown): boolean {
  return KEEPING.includes(String(at(rule, "action", "forward", "mode")));
}

/** Translation ports belong to no rule, and every worker needs some; all tables together have a bound. */
function checkForwarding(file: YamlFile, { count }: WorkerCount, report: Report): void {
  const rules = [...listAt(file.value, "steering").entries()];
  const forwarding = rules.filter(([, rule]) => at(rule, "action", "forward") !== undefined);
  if (forwarding.length === 0) return;
  const size = at(file.value, "forwarding", "table_size") ?? DEFAULT_TABLE_SIZE;
  const most = Math.min(MAX_FORWARDS, Math.floor(MAGLEV_ENTRIES / (2 * Number(size))));
  const [tooMany] = forwarding[most] ?? [];
  if (tooMany !== undefined) {
    const message = `rule number ${most + 1} that forwards: expected at most ${most} with table_size ${size}`;
    report(file.place(["steering", tooMany, "action"]), message);
  }
  checkBackends(file, forwarding, Number(size), report);
  checkModes(file, forwarding, report);
  checkRanges(file, forwarding, report);
  if (forwarding.every(([, rule]) => keepsAddresses(rule))) return;
  const given = at(file.value, "forwarding", "ports");
  const range = readPorts(given ?? DEFAULT_TRANSLATION_PORTS);
  if (typeof range === "string") return;
  const place = given === undefined ? undefined : file.place(["forwarding", "ports"]);
  if (place !== undefined && range.last - range.first + 1 < count) {
    report(place, `ports ${show(given)} are fewer than the ${count} workers: expected at least one each`);
  }
  for (const [rule, entry] of rules) {
    for (const { ports, step } of portItems(at(entry, "ports"))) {
      if (ports.last < range.first || ports.first > range.last) continue;
      const taken = `${range.first}-${range.last}`;
      const here = `${portText(ports)} of ${ruleText(file, rule)} overlap${ports.first === ports.last ? "s" : ""}`;
      const message = `${here} the translation ports ${taken}: expected others, or others as forwarding.ports`;
      report(file.usePlace(["steering", rule, "ports", ...step]), message);
    }
  }
}

/** All backends together have a bound, and those of one rule have an entry each in its table. */
function checkBackends(
  file: YamlFile,
  forwarding: readonly (readonly [index: number, rule: unknown])[],
  tableSize: number,
  report: Report,
): void {
  const known = new Set<string>();
  for (const [index, rule] of forwarding) {
    const path = ["steering", index, "action", "forward", "to"];
    const backends = listAt(rule, "action", "forward", "to");
    if (backends.length > tableSize) {
      const message = `to lists ${backends.length} backends and table_size is ${tableSize}: expected no more backends`;
      report(file.place(path), message);
    }
    for (const [number, backend] of backends.entries()) {
      const text = typeof backend === "string" ? backend : at(backend, "address");
      const name = typeof text === "string" ? readBackend(text)?.name : undefined;
      if (name === undefined || known.has(name)) continue;
      if (known.add(name).size !== MAX_BACKENDS + 1) continue;
      const message = `backend number ${known.size} of all rules: expected at most ${MAX_BACKENDS} different ones`;
      report(file.usePlace([...path, number]), message);
    }
  }
}

/** Only packets that reach a worker can be captured, and each capture has its files to itself. */
function checkCaptures(file: YamlFile, report: Report): void {
  const lines = new Map<string, number>();
  const directory = at(file.value, "capture", "directory") ?? DEFAULT_CAPTURE_DIRECTORY;
  let captures = 0;
  for (const [rule, entry] of listAt(file.value, "steering").entries()) {
    const capture = at(entry, "capture");
    if (capture === undefined) continue;
    const path = ["steering", rule, "capture"];
    if (++captures === MAX_CAPTURES + 1) {
      report(file.place(path), `capture number ${captures}: expected at most ${MAX_CAPTURES} rules with a capture`);
    }
    const action = at(entry, "action");
    if (staysInKernel(action)) {
      const why = `expected ${REACHING_WORKERS}, since only their packets reach a worker`;
      report(file.place(path), `capture is not possible with action ${show(actionWord(action))}: ${why}`);
    }
    const name = capturePath(capture);
    if (name === undefined) continue;
    const place = file.usePlace(typeof capture === "string" ? path : [...path, "file"]);
    if (typeof directory === "string" && name.startsWith("/") && !isInDirectory(name, directory)) {
      const expected = `expected a file in capture.directory, ${show(directory)}, or another directory there`;
      report(place, `capture file ${show(name)} is outside of the directory for captures: ${expected}`);
    }
    const line = lines.get(captureFamily(name));
    if (line === undefined) {
      lines.set(captureFamily(name), file.position(place.start).line);
    } else {
      const message = `capture file ${show(name)} gets into the way of that on line ${line}`;
      report(place, `${message}: expected a file for each rule`);
    }
  }
}

/** A packet that keeps its port is not delivered to anybody else than without the rule. */
function checkDeliveries(file: YamlFile, report: Report): void {
  for (const [rule, entry] of listAt(file.value, "steering").entries()) {
    const port = at(entry, "action", "deliver", "port");
    const ports = portItems(at(entry, "ports"));
    if (typeof port !== "number" || ports.length === 0) continue;
    if (!ports.every(({ ports: { first, last } }) => first === port && last === port)) continue;
    const message = `port ${port} is the one that ${ruleText(file, rule)} lists: expected another port, or action pass`;
    report(file.usePlace(["steering", rule, "action", "deliver", "port"]), message);
  }
}

interface PortOwner {
  readonly rule: number;
  readonly path: Path;
}

/** Ports that rules with the same addresses have claimed. */
interface AddressClaims {
  readonly addresses: Addresses;
  readonly claims: PortClaims<PortOwner>;
  /** Whether others have an address in common with these: lists are compared once, however many rules there are. */
  readonly overlaps: Map<AddressClaims, boolean>;
}

function overlap(one: AddressClaims, other: AddressClaims): boolean {
  const known = one.overlaps.get(other) ?? commonAddress(other.addresses, one.addresses) !== undefined;
  one.overlaps.set(other, known);
  return known;
}

function checkPorts(file: YamlFile, report: Report): void {
  const claimed = new Map<string, AddressClaims>();
  let lists = 0;
  for (const [rule, entry] of listAt(file.value, "steering").entries()) {
    const addresses = readAddresses(at(entry, "addresses") ?? "own");
    if (addresses === undefined) continue; // the schema says why
    const key = textOf(addresses);
    let same = claimed.get(key);
    if (same === undefined) {
      claimed.set(key, same = { addresses, claims: new PortClaims(), overlaps: new Map() });
      if (typeof addresses !== "string" && ++lists > MAX_ADDRESS_LISTS) {
        const message = `different list of addresses number ${lists}: expected at most ${MAX_ADDRESS_LISTS}`;
        if (lists === MAX_ADDRESS_LISTS + 1) report(file.place(["steering", rule, "addresses"]), message);
        continue;
      }
    }
    const others = [...claimed.values()].filter((other) => other !== same && overlap(same, other));
    for (const { ports, step } of portItems(at(entry, "ports"))) {
      const path = ["steering", rule, "ports", ...step];
      const clashes = [
        ...same.claims.claim(ports, { rule, path }),
        ...others.flatMap(({ claims }) => claims.clashes(ports)),
      ];
      for (const clash of clashes) {
        const verb = clash.ports.first === clash.ports.last ? "is" : "are";
        const here = `${portText(clash.ports)} of ${ruleText(file, rule)} ${verb}`;
        const { line } = file.position(file.usePlace(clash.owner.path).start);
        const there = `${ruleText(file, clash.owner.rule)} on line ${line}`;
        const theirs = readAddresses(at(file.value, "steering", clash.owner.rule, "addresses") ?? "own")!;
        report(file.usePlace(path), `${here} already in ${there}${overlapText(theirs, addresses)}`);
      }
    }
  }
}

function overlapText(theirs: Addresses, ours: Addresses): string {
  if (theirs === "own" && ours === "own") return ": expected each port once";
  const both = commonAddress(theirs, ours);
  const words = both === "own" ? "own addresses" : both === "any" ? "any address" : `address ${both}`;
  return `, and both are for ${words}: expected each port once for an address`;
}

function portText({ first, last }: PortRange): string {
  return first === last ? `port ${first}` : `ports ${first}-${last}`;
}

function ruleText(file: YamlFile, rule: number): string {
  const name = at(file.value, "steering", rule, "name");
  return typeof name === "string" ? `rule ${show(name)}` : `rule number ${rule + 1}`;
}
