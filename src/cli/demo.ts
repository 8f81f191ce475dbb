export function demo(_options: { json?: boolean; entry: URL }): Promise<void> {
  throw new Error("wip");
}
