/**
 * Can this machine steer packets, and how well: every check there is, or those that explain why a call failed.
 *
 * @module
 */
import { parseConfig } from "../config/parse.ts";
import type { Config, InterfaceConfig, WorkersConfig } from "../config/schema.ts";
import { messageOf } from "../errors.ts";
import { hasEthernetHeaders, interfaceFacts } from "../ffi/interface_facts.ts";
import { interfaceIndex } from "../ffi/libc.ts";
import { LOSS_CHECKS } from "../host/interface_checks.ts";
import { listDevices } from "../host/devices.ts";
import { missingCapabilities } from "../host/privileges.ts";
import { ADDRESSES_CHECK } from "./addresses.ts";
import { ANSWERS_CHECK, BACKENDS_CHECK } from "./backends.ts";
import { DELIVERY_CHECK } from "./delivery.ts";
import { ATTACHED_CHECK, isOccupied } from "./attached.ts";
import { RULE_CHECKS } from "../host/rule_checks.ts";
import { type Circumstances, ok, problem, type Verdict, warning } from "../host/question.ts";
import { type Finding, finding } from "./finding.ts";
import { INTERFACE_CHECKS, isUp } from "./interface.ts";
import { listFindings } from "./lists.ts";
import { MACHINE_CHECKS } from "./machine.ts";
import { PROCESS_CHECKS } from "./memory.ts";
import { CPU_CHECK, NUMA_CHECK } from "./placement.ts";
import { NATIVE, probeInterface } from "./probe.ts";

export type { Finding } from "./finding.ts";

const OF_THE_MACHINE = [
  ...MACHINE_CHECKS,
  ...PROCESS_CHECKS,
  CPU_CHECK,
  ADDRESSES_CHECK,
  BACKENDS_CHECK,
  ANSWERS_CHECK,
  DELIVERY_CHECK,
  ...RULE_CHECKS,
];
const OF_AN_INTERFACE = [...INTERFACE_CHECKS, ...LOSS_CHECKS, NUMA_CHECK, ATTACHED_CHECK];

const EXISTS = { check: "interface.exists", explains: ["ENODEV", "ENXIO"] } as const;

export interface Examination {
  /** The interfaces to look at, with the settings they have. */
  readonly interfaces: readonly InterfaceConfig[];
  /** The workers of a configuration, where there is one. */
  readonly workers?: WorkersConfig | undefined;
  /** The rules of a configuration, where there is one. */
  readonly rules?: Circumstances["rules"];
  /** The lists of a configuration, where there is one. */
  readonly lists?: Config["lists"] | undefined;
  /** Whether to try out what their drivers can do. */
  readonly probe: boolean;
}

/** Looks at everything; the machine first, then interface by interface. */
export async function examine({ interfaces, workers, rules, lists = [], probe }: Examination): Promise<Finding[]> {
  const circumstances: Circumstances = { interfaces, workers, rules, starting: false };
  const findings = OF_THE_MACHINE.flatMap((check) => run(check, () => check.look(circumstances)));
  findings.push(...await listFindings(lists));
  for (const config of interfaces) {
    findings.push(...interfaceFindings(config, circumstances, () => true));
    if (interfaceIndex(config.name) === 0) continue;
    const tried = await tryOut(config, probe);
    findings.push(...tried);
    // What only generic mode has to fear is not asked of an interface that is to have native XDP, and has none.
    if (config.attach === "generic" || !tried.some(isFallback)) continue;
    const generic = interfaceFindings({ ...config, attach: "generic" }, circumstances, () => true);
    const known = new Set(findings.map(({ check, interface: name }) => `${check} ${name}`));
    findings.push(...generic.filter(({ check, interface: name }) => !known.has(`${check} ${name}`)));
  }
  return findings;
}

function isFallback({ check, status }: Finding): boolean {
  return check === NATIVE.check && status === "warning";
}

/** What is wrong that makes a call fail with `code` while an xdpsteer of this configuration starts. Tries nothing. */
export function explain(code: string, config: Config): Finding[] {
  const { interfaces, workers } = config;
  const circumstances: Circumstances = { interfaces, workers, rules: config, starting: true };
  const explains = (check: { readonly explains: readonly string[] }): boolean => check.explains.includes(code);
  return [
    ...OF_THE_MACHINE.filter(explains).flatMap((check) => run(check, () => check.look(circumstances))),
    ...interfaces.flatMap((config) => interfaceFindings(config, circumstances, explains)),
  ].filter(({ status }) => status !== "ok");
}

/** An interface with the settings it has where a configuration says nothing but its name. */
export function withDefaults(name: string): InterfaceConfig {
  const text = "version: 1\ninterfaces: [{ name: any }]\n";
  const [defaults] = parseConfig(text, { file: "defaults", cpuCount: 1 }).interfaces;
  return { ...defaults!, name };
}

/** Every interface that is up and leads out of the machine, or into a namespace. */
export function interfacesThatAreUp(): string[] {
  return listDevices().names.filter((name) => name !== "lo" && isUp(name));
}

function interfaceFindings(
  config: InterfaceConfig,
  circumstances: Circumstances,
  wanted: (check: { readonly explains: readonly string[] }) => boolean,
): Finding[] {
  const { name } = config;
  if (interfaceIndex(name) === 0) return wanted(EXISTS) ? [finding({ ...EXISTS, interface: name }, absent())] : [];
  return OF_AN_INTERFACE.filter(wanted).flatMap((check) => run(check, () => check.look(config, circumstances), name));
}

function absent(): Verdict {
  return problem(`there is no such interface in this network namespace: there are ${listDevices().names.join(", ")}`);
}

async function tryOut(config: InterfaceConfig, probe: boolean): Promise<Finding[]> {
  const { name } = config;
  const part = { check: "interface.probe", interface: name, explains: [] } as const;
  const skipped = (why: string): Finding[] => [finding(part, ok(`native XDP and zero-copy were not tried: ${why}`))];
  if (!probe) return skipped(`xdpsteer doctor --interface ${name} tries them`);
  try {
    if (missingCapabilities().length > 0) return skipped("this process lacks capabilities");
    if (!isUp(name)) return skipped("the interface is down");
    if (!hasEthernetHeaders(interfaceFacts(name)!)) return skipped("its packets have no Ethernet header");
    if (isOccupied(name)) return skipped("a program is attached");
    return await probeInterface(config);
  } catch (error) {
    return [finding(part, unknown(error))];
  }
}

/** Runs one check. What it cannot find out is not known, which is worth a warning; the others still run. */
function run(
  { check, explains }: Pick<Finding, "check" | "explains">,
  look: () => Verdict | undefined,
  name?: string,
): Finding[] {
  let verdict: Verdict | undefined;
  try {
    verdict = look();
  } catch (error) {
    verdict = unknown(error);
  }
  const part = { check, explains, ...(name === undefined ? {} : { interface: name }) };
  return verdict === undefined ? [] : [finding(part, verdict)];
}

function unknown(error: unknown): Verdict {
  return warning(`cannot be checked: ${messageOf(error)}`);
}
