/**
 * Ethernet frames as they are, past the kernel's stack: what somebody forges.
 *
 * @module
 */
import { Program } from "./programs.ts";

const SEND = `
import json, socket, sys
device, count, frames = json.loads(sys.argv[1])
frames = [bytes.fromhex(frame) for frame in frames]
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((device, 0))
for number in range(count): sender.send(frames[number % len(frames)])
`;

/**
 * Sends frames out of an interface of a namespace.
 *
 * @param count Of all together, which are sent in turn. Default: each once.
 */
export async function sendFrames(
  namespace: string,
  device: string,
  frames: readonly Uint8Array[],
  count = frames.length,
): Promise<void> {
  const input = JSON.stringify([device, count, frames.map((frame) => frame.toHex())]);
  await using program = Program.run(namespace, ["/usr/bin/python3", "-c", SEND, input]);
  await program.result();
}
