/**
 * Runs stages beside each other, in the order of what they need.
 *
 * @module
 */

export interface Node {
  readonly name: string;
  /** Stages that must have succeeded before this one starts. */
  readonly after?: readonly string[];
  /** Stages that must have ended before this one starts, whatever came of them. */
  readonly afterEnd?: readonly string[];
  /** True if nothing may run beside it. */
  readonly alone?: boolean;
}

export interface Hooks<S extends Node> {
  /** Runs a stage. @returns whether it succeeded. */
  readonly run: (stage: S) => Promise<boolean>;
  /** Called instead of `run` if a stage cannot run, because `cause` failed or could not run itself. */
  readonly cannotRun: (stage: S, cause: string) => void;
  /** Aborted: no further stage starts. */
  readonly signal?: AbortSignal;
}

/**
 * Runs all stages, at most `lanes` at once. The first in the list goes first; one that runs alone waits until no other
 * is left.
 *
 * @throws {Error} for a stage that waits for itself, or for one that is not in the list.
 */
export async function schedule<S extends Node>(stages: readonly S[], lanes: number, hooks: Hooks<S>): Promise<void> {
  checkOrder(stages);
  const waiting = new Set(stages);
  const running = new Map<S, Promise<void>>();
  const outcomes = new Map<string, boolean>();
  const fits = (stage: S): boolean => stage.alone ? running.size === 0 : running.size < lanes;
  const isReady = ({ after = [], afterEnd = [] }: S): boolean =>
    [...after, ...afterEnd].every((name) => outcomes.has(name));

  while (waiting.size > 0 && !hooks.signal?.aborted) {
    const ready = [...waiting].filter(isReady);
    const doomed = ready.find(({ after = [] }) => after.some((name) => !outcomes.get(name)));
    if (doomed !== undefined) {
      waiting.delete(doomed);
      outcomes.set(doomed.name, false);
      hooks.cannotRun(doomed, doomed.after!.find((name) => !outcomes.get(name))!);
      continue;
    }
    const others = ready.filter(({ alone }) => !alone);
    const isLast = [...waiting].every(({ alone }) => alone);
    const next = others.find(fits) ?? (isLast || others.length === 0 ? ready.find(fits) : undefined);
    if (next === undefined) {
      await Promise.race(running.values());
      continue;
    }
    waiting.delete(next);
    const done = hooks.run(next).then((success) => {
      outcomes.set(next.name, success);
      running.delete(next);
    });
    running.set(next, done);
  }
  await Promise.all(running.values());
}

/** The chosen stages and all that they need, in the order of the list. They wait for no other. */
export function withNeeded<S extends Node>(stages: readonly S[], chosen: readonly S[]): S[] {
  const wanted = new Set<string>();
  const add = ({ name, after = [] }: Node): void => {
    if (wanted.has(name)) return;
    wanted.add(name);
    for (const needed of stages.filter((stage) => after.includes(stage.name))) add(needed);
  };
  chosen.forEach(add);
  return stages.filter(({ name }) => wanted.has(name)).map((stage) => ({
    ...stage,
    ...(stage.afterEnd === undefined ? {} : { afterEnd: stage.afterEnd.filter((name) => wanted.has(name)) }),
  }));
}

function checkOrder(stages: readonly Node[]): void {
  const byName = new Map(stages.map((stage) => [stage.name, stage]));
  if (byName.size < stages.length) throw new Error("Two stages have the same name");
  const settled = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (settled.has(name)) return;
    if (path.includes(name)) throw new Error(`Stages wait for each other: ${[...path, name].join(" -> ")}`);
    const stage = byName.get(name);
    if (stage === undefined) throw new Error(`"${path.at(-1)}" waits for "${name}", which is not in the list`);
    for (const needed of [...stage.after ?? [], ...stage.afterEnd ?? []]) visit(needed, [...path, name]);
    settled.add(name);
  };
  for (const { name } of stages) visit(name, []);
}
