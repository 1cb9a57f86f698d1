import type { Summary } from "./api";

/** Whether a letter comes after another one in a list whose newest letter is the first, as the API orders them. */
export function isAfter(letter: Summary, other: Summary): boolean {
  if (letter.written_at !== other.written_at) return letter.written_at < other.written_at;
  const [partition, offset] = placeOf(letter);
  const [otherPartition, otherOffset] = placeOf(other);
  return partition === otherPartition ? offset < otherOffset : partition < otherPartition;
}

function placeOf({ id }: Summary): [partition: number, offset: number] {
  const [partition, offset] = id.split("/").map(Number);
  return [partition!, offset!];
}
