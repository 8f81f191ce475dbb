/**
 * What everybody is told of a configuration file that is refused.
 *
 * @module
 */

const READ_BY_OTHERS = 0o004;

/**
 * The message, or its place alone where others may not read the file: any user of the box reads the list of problems
 * and the log over TCP, and a mistake is shown with its line. Who asks for a reload is told all.
 */
export function toldRefusal(file: string, message: string): string {
  const places = message.split("\n").filter((line) => line.startsWith(`${file}:`)).flatMap((line) => {
    const place = /^:\d+:\d+: /.exec(line.slice(file.length));
    return place === null ? [] : [`${file}${place[0]}`];
  });
  if (places.length === 0 || isForOthers(file)) return message;
  return places.map((place) =>
    `${place}a mistake, not shown since others may not read the file: xdpsteer check ${file}`
  )
    .join("\n");
}

function isForOthers(file: string): boolean {
  try {
    return (Deno.statSync(file).mode! & READ_BY_OTHERS) !== 0;
  } catch {
    return false;
  }
}
