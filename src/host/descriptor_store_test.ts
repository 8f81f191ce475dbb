import assert from "node:assert/strict";
import { DescriptorStore, passedDescriptors } from "./descriptor_store.ts";

Deno.test("passedDescriptors() are those of this process, with their names", () => {
  const variables = { LISTEN_PID: "7", LISTEN_FDS: "3", LISTEN_FDNAMES: "one:two" };
  assert.deepEqual(passedDescriptors(variables, 7), [
    { name: "one", fd: 3 },
    { name: "two", fd: 4 },
    { name: "", fd: 5 },
  ]);
  assert.deepEqual(passedDescriptors(variables, 8), []);
  for (const count of ["", "0", "-1", "3x", "1e3"]) {
    assert.deepEqual(passedDescriptors({ ...variables, LISTEN_FDS: count }, 7), [], count);
  }
  assert.deepEqual(passedDescriptors({ LISTEN_PID: "7", LISTEN_FDS: undefined }, 7), []);
});

Deno.test("DescriptorStore has a descriptor kept whatever happens to it, and waits while there is no room", async () => {
  const sent: [string, number | undefined][] = [];
  let refusals = 2;
  const post = {
    send: (message: string, fd?: number) => refusals-- <= 0 && sent.push([message, fd]) > 0,
    [Symbol.dispose]: () => {},
  };
  using store = new DescriptorStore(10, post);
  await store.keep({ name: "a", fd: 5 });
  await store.remove("a");
  assert.deepEqual(sent, [["FDSTORE=1\nFDNAME=a\nFDPOLL=0", 5], ["FDSTOREREMOVE=1\nFDNAME=a", undefined]]);
});
