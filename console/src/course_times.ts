import type { State, Task } from "./api";

/** A state of a task, from `from_s` to `to_s` (seconds since the epoch). `share` is its part of the whole, 0 to 1. */
export interface Period { state: State; from_s: number; to_s: number; share: number; isNow: boolean }

/** Returns the states that the task was in, in their order; the last state of a task on its way lasts until `now_s`. */
export function periodsOf(task: Pick<Task, "times">, isFinal: boolean, now_s: number): Period[] {
  const entered = (Object.entries(task.times) as [State, number][]).sort((a, b) => a[1] - b[1]);
  const last = entered.at(-1);
  if (!last) return [];
  const until_s = isFinal ? last[1] : Math.max(now_s, last[1]);
  const whole_s = until_s - entered[0]![1];
  return entered.map(([state, from_s], place) => {
    const to_s = entered[place + 1]?.[1] ?? until_s;
    const share = whole_s > 0 ? (to_s - from_s) / whole_s : 0;
    return { state, from_s, to_s, share, isNow: !isFinal && place === entered.length - 1 };
  });
}
