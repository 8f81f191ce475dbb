/**
 * `/v1/ports`: which port goes where, and moving ports from rule to rule.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { listPorts, type PortsOrder, readOrder, readPortList, setPorts, unsetPorts } from "../config/remap.ts";
import type { Applied } from "../appliance/steering.ts";
import { type Answer, HttpError, json, readBody } from "./answers.ts";
import type { HttpOptions } from "./wire.ts";

/** What a change of ports answers. */
export interface PortsChanged extends Applied {
  /** True when the configuration file now says the same. */
  readonly saved: boolean;
}

/** GET: every port of every rule in force. */
export function list({ appliance, reloader }: HttpOptions): Answer {
  return json({ generation: appliance.steering.generation, ports: listPorts(reloader.config.steering) });
}

/** POST `{ ports, worker, action?, rule?, save? }`: gives ports to a rule. */
export async function set({ reloader }: HttpOptions, _: URLSearchParams, request: IncomingMessage): Promise<Answer> {
  const { save, ...order } = await readOrderBody(request);
  const change = readOrder(order, reloader.config);
  const applied = await reloader.changeRules((rules) => setPorts(rules, change), save);
  return json({ ...applied, saved: save } satisfies PortsChanged);
}

/** DELETE `?ports=7777,9090[&save=true]`: takes ports out of their rules. */
export async function unset({ reloader }: HttpOptions, query: URLSearchParams): Promise<Answer> {
  const save = query.get("save") === "true";
  const ports = readPortList(query.get("ports") ?? "");
  const applied = await reloader.changeRules((rules) => unsetPorts(rules, ports), save);
  return json({ ...applied, saved: save } satisfies PortsChanged);
}

const KEYS = ["ports", "worker", "action", "rule", "save"];

async function readOrderBody(request: IncomingMessage): Promise<PortsOrder & { readonly save: boolean }> {
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder().decode(await readBody(request)));
  } catch (error) {
    if (error instanceof SyntaxError) throw new HttpError(400, `the body is not JSON: ${error.message}`);
    throw error;
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new HttpError(400, `the body is no JSON object: expected one with ${KEYS.join(", ")}`);
  }
  const unknown = Object.keys(body).filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) {
    throw new HttpError(400, `unknown key ${JSON.stringify(unknown[0])}: expected ${KEYS.join(", ")}`);
  }
  const { save = false, ...order } = body as PortsOrder & { readonly save?: unknown };
  if (typeof save !== "boolean") throw new HttpError(400, 'the value of "save" is not true or false');
  return { ...order, save };
}
