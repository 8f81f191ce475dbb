/** What lists hold as their files and pages change. */
import assert from "node:assert/strict";
import { FakeTimers } from "../../tests/support/fake_timers.ts";
import { withFolder } from "../../tests/support/folder.ts";
import type { SourceList } from "../steering/guard.ts";
import { ListContents } from "./list_contents.ts";

const LIST: SourceList = {
  ...{ name: "a", entries: [], file: null, url: null, interval: 3600, onBadLine: "skip", widePrefixes: false },
};

class Followed {
  readonly timers = new FakeTimers();
  changes = 0;
  reports = 0;
  readonly contents: ListContents;

  constructor(directory: string) {
    const onChange = (): void => void this.changes++;
    this.contents = new ListContents({ directory, onChange, onReport: () => this.reports++, timers: this.timers });
  }

  sizeOf(list: SourceList): number {
    return this.contents.of(list).reduce((sum, { size }) => sum + size, 0);
  }

  /** Time passes, and what is read in it. */
  async until(what: () => boolean, stepMs = 100): Promise<void> {
    for (let step = 0; step < 3000 && !what(); step++) {
      await this.timers.pass(stepMs);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.ok(what());
  }
}

Deno.test("a file is read when its list is opened, and again when it changes; a bad one changes nothing", async () => {
  await withFolder(async (folder) => {
    const list = { ...LIST, file: `${folder}/list`, onBadLine: "refuse" } as const;
    await Deno.writeTextFile(list.file, "192.0.2.1\n192.0.2.2\n");
    const followed = new Followed(folder);
    const { contents } = followed;
    await contents.open([list]);
    assert.equal(followed.sizeOf(list), 2);
    await contents.open([list]);
    const before = followed.changes;
    await Deno.writeTextFile(list.file, "192.0.2.1\n192.0.2.2\n192.0.2.3\n");
    await followed.until(() => followed.sizeOf(list) === 3);
    assert.equal(followed.changes, before + 1);
    for (
      const [bad, expected] of [["192.0.2.1\nx\n", /line 2 is not a prefix/], [
        undefined,
        /list does not exist/,
      ]] as const
    ) {
      if (bad === undefined) await Deno.remove(list.file);
      else await Deno.writeTextFile(list.file, bad);
      await followed.until(() => expected.test(contents.reports([list])[0]!.error));
      assert.deepEqual([followed.sizeOf(list), followed.changes], [3, before + 1]);
      assert.notEqual(contents.reports([list])[0]!.successMs, null);
    }
    contents.keep([]);
    assert.deepEqual([contents.reports([list]), followed.timers.count], [[], 0]);
  });
});

Deno.test("a page that fails is asked again after a minute, whatever its interval; a good one after its interval", async () => {
  await withFolder(async (folder) => {
    let requests = 0;
    let answer = (): Response => new Response("192.0.2.1\n192.0.2.1\n");
    await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
      requests++;
      return answer();
    });
    const list = { ...LIST, url: `http://127.0.0.1:${server.addr.port}/list` };
    const followed = new Followed(folder);
    await followed.contents.open([list]);
    await followed.until(() => followed.sizeOf(list) === 2, 0);
    answer = () => new Response("", { status: 503 });
    await followed.timers.pass(3_599_000);
    assert.equal(requests, 1);
    await followed.until(() => followed.contents.reports([list])[0]!.error.includes("503"), 1000);
    assert.deepEqual([requests, followed.sizeOf(list)], [2, 2]);
    await followed.timers.pass(55_000);
    assert.equal(requests, 2);
    answer = () => new Response("0.0.0.0/0\n198.51.100.0/24\n");
    await followed.until(() => followed.contents.reports([list])[0]!.error === "", 1000);
    const [report] = followed.contents.reports([list]);
    assert.deepEqual([requests, followed.sizeOf(list), report!.badLines], [3, 1, 1], "it does not ban the world");
    followed.contents.keep([]);

    // The next start has the copy, read in the same way, before the server has answered.
    answer = () => new Response("", { status: 503 });
    const again = new Followed(folder);
    await again.contents.open([list]);
    assert.equal(again.sizeOf(list), 1);
    await again.until(() => again.contents.reports([list])[0]!.error !== "", 0);
    assert.notEqual(again.contents.reports([list])[0]!.successMs, null);
    again.contents.keep([]);
  });
});
