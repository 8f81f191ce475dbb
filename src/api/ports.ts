/**
 * `/v1/ports`: which port goes where, and moving ports from rule to rule.
 *
 * @module
 */
import { listPorts, type PortsOrder, readOrder, readPortList, setPorts, unsetPorts } from "../config/remap.ts";
import { without } from "../steering/port_set.ts";
import type { PortRange } from "../steering/rule.ts";
import type { Conditions, Reloaded } from "../appliance/reload_types.ts";
import { ownAmong } from "../host/own_addresses.ts";
import { deliveryFor } from "../observe/problems/find_forwarding.ts";
import type { Backend } from "../steering/forward.ts";
import { HttpError, readObject } from "./answers.ts";
import { conditionsOf, ofGeneration, readSwitch } from "./conditions.ts";
import type { Answer, Question } from "./question.ts";
import type { HttpOptions } from "./wire.ts";

/** What a change of ports answers. */
export interface PortsChanged extends Reloaded {
  /** True when the configuration file now says the same. */
  readonly saved: boolean;
  /** True when nothing was changed: this is what would be. */
  readonly dryRun: boolean;
}

/** What taking ports away answers. */
export interface PortsUnset extends PortsChanged {
  /** Those of the ports that no rule had. */
  readonly notSteered: readonly PortRange[];
}

/** GET: every port of every rule in force. */
export function list({ appliance, reloader }: HttpOptions): Answer {
  const { generation } = appliance.steering;
  return ofGeneration(generation, { generation, ports: listPorts(reloader.config.steering) });
}

/** POST `{ ports, addresses?, worker?, action?, to?, rule?, save? }`: gives ports to a rule. */
export async function set(
  { reloader }: HttpOptions,
  query: URLSearchParams,
  question: Question,
): Promise<Answer> {
  const conditions = conditionsOf(question, query);
  const { save, ...order } = readOrderBody(question);
  const change = readOrder(order, reloader.config);
  refuseOwn(change.forward?.to ?? []);
  const applied = await reloader.changeRules((rules) => setPorts(rules, change), save, conditions);
  return ofGeneration(applied.generation, changed(applied, save, conditions));
}

/** Who names a backend by hand means a host that packets get to: an address of the box itself is none. */
function refuseOwn(backends: readonly Backend[]): void {
  const [own] = ownAmong(backends.map(({ address }) => address));
  const backend = backends.find(({ address }) => address === own);
  if (backend === undefined) return;
  throw new HttpError(
    409,
    `no packet would get to backend ${backend.name}: it is an address of this box; for a program of this box, give ` +
      `the rule ${deliveryFor(backend)} in the file`,
  );
}

/** DELETE `?ports=7777,9090[&ports=…][&save=true]`: takes ports out of their rules. */
export async function unset(
  { reloader }: HttpOptions,
  query: URLSearchParams,
  question: Question,
): Promise<Answer> {
  const conditions = conditionsOf(question, query, ["ports", "save"]);
  const save = readSwitch(query, "save");
  const ports = readPortList(query.getAll("ports").join(","));
  let notSteered: readonly PortRange[] = [];
  const applied = await reloader.changeRules(
    (rules) => {
      notSteered = without(ports, rules.flatMap((rule) => rule.ports));
      return unsetPorts(rules, ports);
    },
    save,
    conditions,
  );
  const change: PortsUnset = { ...changed(applied, save, conditions), notSteered };
  return ofGeneration(applied.generation, change);
}

function changed(applied: Reloaded, save: boolean, { dryRun = false }: Conditions): PortsChanged {
  return { ...applied, saved: save && !dryRun && applied.confirmWithin === undefined, dryRun };
}

const KEYS = ["ports", "addresses", "worker", "action", "to", "rule", "save"];

function readOrderBody({ body }: Question): PortsOrder & { readonly save: boolean } {
  const { save = false, ...order } = readObject(body, KEYS);
  if (typeof save !== "boolean") throw new HttpError(400, 'the value of "save" is not true or false');
  return { ...order, save };
}
