/** A list that comes in pages, the newest entries first, and how new pages join it. */

export interface Loaded<T> {
  rows: T[];
  /** The address of the page that follows. */
  next?: string;
}

/** Whether an entry comes after another one in the list. */
export type IsAfter<T> = (entry: T, other: T) => boolean;

/**
 * Returns the list with its newest page as it is now. Entries that the page should have and has not are gone.
 *
 * Where the page and the list have no entry in common, entries between the two may be unknown: the list begins anew. A
 * page that is not the last and has no entries says nothing: all that it would have are left out.
 */
export function withNewestPage<T>(known: Loaded<T> | undefined, page: Loaded<T>, isAfter: IsAfter<T>): Loaded<T> {
  const last = page.rows.at(-1);
  if (!known || !page.next) return page;
  if (!last) return known.rows.length ? known : page;
  const newest = known.rows[0];
  const meets = newest !== undefined && !isAfter(newest, last);
  if (!meets) return page;
  return { rows: [...page.rows, ...known.rows.filter((entry) => isAfter(entry, last))], next: known.next };
}

/** Returns the list with the page that follows it. */
export function withOlderPage<T>(known: Loaded<T>, page: Loaded<T>, isAfter: IsAfter<T>): Loaded<T> {
  const last = known.rows.at(-1);
  const following = last ? page.rows.filter((entry) => isAfter(entry, last)) : page.rows;
  return { rows: [...known.rows, ...following], next: page.next };
}
