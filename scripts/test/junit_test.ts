import assert from "node:assert/strict";
import { parseJunit } from "./junit.ts";

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="5" failures="2" errors="0" time="0.026">
    <testsuite name="./tests/x/a_test.ts" tests="5" disabled="0" errors="0" failures="2">
        <testcase name="a &lt;b&gt; &amp; &apos;c&apos; &quot;d&quot;" classname="./tests/x/a_test.ts" time="1.250" line="1" col="6">
            <failure message="Uncaught Error: x &lt; y
line2">Error: x &lt; y
line2</failure>
        </testcase>
        <testcase name="steps &gt; really" classname="./tests/x/a_test.ts" time="0.500" line="2" col="6">
            <failure message="1 test step failed">1 test step failed.</failure>
        </testcase>
        <testcase name="ok" classname="./tests/x/a_test.ts" time="0.000" line="5" col="6">
        </testcase>
        <testcase name="steps &gt; really &gt; one" classname="./tests/x/a_test.ts" time="0.000" line="2" col="52">
        </testcase>
    </testsuite>
</testsuites>`;

Deno.test("a report gives tests with their time and failure, and no steps", () => {
  const file = "tests/x/a_test.ts";
  assert.deepEqual(parseJunit(REPORT), [
    { file, name: `a <b> & 'c' "d"`, seconds: 1.25, failure: "Error: x < y\nline2" },
    { file, name: "steps > really", seconds: 0.5, failure: "1 test step failed." },
    { file, name: "ok", seconds: 0 },
  ]);
  assert.deepEqual(parseJunit(""), []);
});
