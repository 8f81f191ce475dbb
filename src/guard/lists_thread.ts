/**
 * The thread that reads lists and builds them for the XDP program: a million lines take a second or two, and each time
 * that they are put in their place an RCU grace period, for which nobody else is to wait.
 *
 * @module
 */
import { clearSources, type SourceMaps } from "../bpf/source_maps.ts";
import { messageOf, SteerError } from "../errors.ts";
import type { SourceList } from "../steering/guard.ts";
import { type BuildOrder, buildSources } from "./build.ts";
import { ListContents } from "./list_contents.ts";
import type { FromLists, ToLists } from "./messages.ts";

/** Says that it is there, and does what it is told, one thing after the other. */
export function serveAsLists(scope: DedicatedWorkerGlobalScope): void {
  const post = (message: FromLists): void => scope.postMessage(message);
  let maps: SourceMaps | undefined;
  let contents: ListContents | undefined;
  let inForce: readonly SourceList[] = [];
  let last: Promise<void> = Promise.resolve();
  const tell = (): void => post({ type: "reports", reports: contents!.reports(inForce) });
  const build = async (order: BuildOrder): Promise<void> => {
    await contents!.open(order.lists);
    buildSources(maps!, order, (list) => contents!.of(list));
  };
  const answer = (id: number, work: () => void | Promise<void>): void => {
    last = last.then(work).then(
      () => post({ type: "done", id }),
      (error) => {
        const hint = error instanceof SteerError ? error.hint : undefined;
        post({ type: "done", id, error: { message: messageOf(error), ...hint === undefined ? {} : { hint } } });
      },
    );
  };
  scope.onmessage = ({ data }: MessageEvent<ToLists>) => {
    if (data.type === "begin") {
      maps = data.maps;
      contents = new ListContents({
        directory: data.directory,
        onChange: () => post({ type: "changed" }),
        onReport: tell,
      });
    } else if (data.type === "build") answer(data.id, () => build(data.order));
    else if (data.type === "clear") answer(data.id, () => clearSources(maps!, data.place));
    else {
      inForce = data.lists;
      contents!.keep(inForce);
      tell();
    }
  };
  post({ type: "ready" });
}
