/**
 * Reads the report that `deno test --junit-path` writes.
 *
 * @module
 */

export interface TestResult {
  /** `tests/e2e/top_test.ts`. */
  readonly file: string;
  readonly name: string;
  readonly seconds: number;
  /** What the test failed with; undefined if it passed. */
  readonly failure?: string;
}

const CASE = /<testcase name="([^"]*)" classname="([^"]*)" time="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;
const FAILURE = /<failure message="[^"]*">([\s\S]*?)<\/failure>/;
const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/** The tests of a report, without their steps; none if there is no report, as after a crash. */
export async function readJunit(file: string): Promise<TestResult[]> {
  return parseJunit(await Deno.readTextFile(file).catch(() => ""));
}

export function parseJunit(xml: string): TestResult[] {
  const all = [...xml.matchAll(CASE)].map(([, name, file, time, body = ""]): TestResult => {
    const failure = FAILURE.exec(body)?.[1];
    return {
      file: decode(file!).replace(/^\.\//, ""),
      name: decode(name!),
      seconds: Number(time),
      ...(failure === undefined ? {} : { failure: decode(failure) }),
    };
  });
  // A step is listed as "TEST > STEP", beside its test.
  const isStep = ({ file, name }: TestResult): boolean =>
    all.some((test) => test.file === file && name.startsWith(`${test.name} > `));
  return all.filter((test) => !isStep(test));
}

function decode(text: string): string {
  return text.replaceAll(
    /&(?:#(\d+)|#x([\da-f]+)|(\w+));/gi,
    (whole, decimal, hex, name) =>
      decimal
        ? String.fromCodePoint(Number(decimal))
        : hex
        ? String.fromCodePoint(parseInt(hex, 16))
        : ENTITIES[name] ?? whole,
  );
}
