/**
 * Talking to a running xdpsteer over its control socket.
 *
 * @module
 */
import { request } from "node:http";
import { messageOf, SteerError } from "../errors.ts";

/** GET over the control socket. @throws {SteerError} when nothing answers there. */
export function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(
        new SteerError(`Cannot reach xdpsteer at "${socketPath}": ${messageOf(error)}`, {
          hint: "is it running? another control.socket is named with --socket",
        }),
      );
    request({ socketPath, path }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => text += part);
      response.on("error", fail);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new SteerError(`xdpsteer answers ${response.statusCode}: ${text.trim()}`));
      });
    }).on("error", fail).end();
  });
}
