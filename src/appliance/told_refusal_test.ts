import assert from "node:assert/strict";
import { withFolder } from "../../tests/support/folder.ts";
import { toldRefusal } from "./told_refusal.ts";

Deno.test("toldRefusal() shows mistakes with their place alone, where others may not read the file", async () => {
  await withFolder(async (folder) => {
    const file = `${folder}/steering.yaml`;
    await Deno.writeTextFile(file, "root:$6$secret:1\n");
    const message =
      `${file}:1:6: unknown key "$6$secret"\nroot:$6$secret:1\n     ^\n${file}:2:1: missing key "version"`;
    await Deno.chmod(file, 0o644);
    assert.equal(toldRefusal(file, message), message);
    await Deno.chmod(file, 0o640);
    const lines = toldRefusal(file, message).split("\n");
    assert.equal(lines.length, 2);
    assert.match(lines[0]!, /steering\.yaml:1:6: a mistake, not shown .*: xdpsteer check \//);
    assert.match(lines[1]!, /steering\.yaml:2:1: a mistake/);
    assert.equal(
      toldRefusal(file, "rings cannot change while xdpsteer runs"),
      "rings cannot change while xdpsteer runs",
    );
    assert.equal(toldRefusal(`${file}.gone`, message.replaceAll(file, `${file}.gone`)).includes("secret"), false);
  });
});
