/** The endpoints for administrators. Points in time are in seconds since the epoch. */
import { ask, get, type State } from "../api";
import type { Loaded } from "../pages";

export interface Finished { succeeded: number; failed: number; cancelled: number }

export interface Lane { priority: number; waiting: number; oldest_waiting_at?: number; running: number }

export interface Queue {
  at: number;
  waiting: number;
  oldest_waiting_at?: number;
  retrying: number;
  states: Partial<Record<State, number>>;
  lanes: Lane[];
  last_hour: Finished;
  hours: { since: number; finished: Finished }[];
}

export interface WorkersTask {
  task_uuid: string;
  state: State;
  progress?: number;
  name?: string;
  user: string;
  since: number;
}

export interface Worker {
  worker_id: string;
  at: number;
  version: string;
  device: string;
  slots: number;
  running: number;
  default_model: string;
  models: string[];
  warm_models: string[];
  tasks?: WorkersTask[];
}

export interface Failures {
  codes: { error_code: string; count: number; last_at: number; last_task_uuid: string }[];
  hours: { since: number; codes: Record<string, number> }[];
}

export interface UserCounts { user: string; queued: number; running: number; finished: Finished }

export type Kind = "task" | "result" | "callback" | "redelivery" | "deletion" | "batch" | "hook test" | "undecodable";

export interface Summary {
  id: string;
  written_at: number;
  kind: Kind;
  task_uuid?: string;
  run?: number;
  name?: string;
  user?: string;
  error_code: string;
  reason: string;
  tries: number;
  first_error?: string;
  last_error?: string;
  origin: string;
  replayed_as?: number;
}

export interface Letter extends Summary {
  headers: { name: string; value: string }[];
  message?: unknown;
  excerpt?: string;
  size_bytes: number;
}

export interface Replayed {
  id: string;
  result: "replayed" | "would_be_replayed" | "already_replayed" | "outdone" | "refused" | "unknown";
  run?: number;
  outdone_by?: string;
  reason?: string;
}

// The api takes up to 100 at once. Smaller portions show sooner how far it is.
const AT_ONCE = 25;

export const queue = () => get<Queue>("queue");

export const workers = async () => (await get<{ workers: Worker[] }>("workers")).workers;

export const failures = () => get<Failures>("failures");

export const users = () => get<{ users: UserCounts[]; left_out: number }>("users");

/** Returns the address of the newest letters. */
export function lettersAddress(withReplayed: boolean, code: string): string {
  const query = new URLSearchParams({ limit: "50" });
  if (withReplayed) query.set("all", "true");
  if (code) query.set("code", code);
  return `/dead-letters?${query}`;
}

/** `next` is an address that `lettersAddress` or an earlier page has named, which begins with a slash. */
export async function letters(next: string): Promise<Loaded<Summary>> {
  const { letters: rows, next: following } = await get<{ letters: Summary[]; next?: string }>(next.slice(1));
  return { rows, next: following };
}

export const letter = (id: string) => get<Letter>(`dead-letters/${id}`);

/** Calls `done` with what became of each portion. A repetition replays nothing twice. */
export async function replay(ids: string[], again: boolean, done: (told: Replayed[]) => void): Promise<void> {
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    const body = JSON.stringify({ ids: ids.slice(from, from + AT_ONCE), again });
    done((await ask<{ letters: Replayed[] }>("POST", "dead-letters/replay", "letters", { body })).letters);
  }
}
