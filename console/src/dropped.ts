/** What people drop on the form: files, links and texts. */

/** What is read of a browser's `DataTransfer`. */
export interface Dropped { types: readonly string[]; getData: (type: string) => string }

export const hasFiles = ({ types }: Pick<Dropped, "types">): boolean => types.includes("Files");

/** Whether there may be an address in it: what exactly is dropped can be read only at the end. */
export function mayHaveAddress({ types }: Pick<Dropped, "types">): boolean {
  return types.includes("text/uri-list") || types.includes("text/plain");
}

/** Returns the first link, or the text if that is an address; undefined where there is none. */
export function addressIn(dropped: Dropped): string | undefined {
  // A list of links may have comments.
  const links = dropped.getData("text/uri-list").split(/\r?\n/).filter((line) => !line.startsWith("#"));
  return [...links, dropped.getData("text/plain")].map((text) => text.trim()).find(isAddress);
}

function isAddress(text: string): boolean {
  return /^https?:\/\/\S+$/i.test(text) && URL.canParse(text);
}

/** A file of which nothing can be read. */
export class Unreadable extends Error {}

/** Throws Unreadable for a folder, a file without a byte, and one that was moved or changed since it was chosen. */
export async function checkReadable(file: Blob): Promise<void> {
  const first = await file.slice(0, 1).arrayBuffer().catch(() => undefined);
  if (!first?.byteLength) throw new Unreadable("nothing can be read of the file");
}
