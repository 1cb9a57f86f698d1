/** The list of tasks without its looks: how new pages join it, and which rows are in sight. */
import type { Task } from "./api";
import { type Loaded, withNewestPage, withOlderPage } from "./pages.ts";

export interface Filter {
  /** Words of the label, the file's name or the address. */
  search: string;
  state: string;
  /** Days of the browser's time zone, as `2026-11-29`; both are part of the span. */
  from: string;
  to: string;
}

export const NO_FILTER: Filter = { search: "", state: "", from: "", to: "" };

export function isFiltered(filter: Filter): boolean {
  return Object.values(filter).some((value) => value.trim() !== "");
}

/** Returns the address of the newest tasks that `filter` lets through. */
export function addressOf(filter: Filter, limit: number): string {
  const given = {
    limit: String(limit),
    search: filter.search.trim(),
    state: filter.state,
    submitted_since: filter.from && String(midnight_s(filter.from, 0)),
    submitted_before: filter.to && String(midnight_s(filter.to, 1)),
  };
  return `/tasks?${new URLSearchParams(Object.entries(given).filter(([, value]) => value))}`;
}

function midnight_s(day: string, later_days: number): number {
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year!, month! - 1, date! + later_days).getTime() / 1000;
}

/** Whether `task` comes after `other` in a list whose newest task is the first. */
export function isAfter(task: Task, other: Task): boolean {
  if (task.submitted_at !== other.submitted_at) return task.submitted_at < other.submitted_at;
  return task.task_uuid < other.task_uuid;
}

/** Returns the list with its newest page as it is now. */
export const withNewest = (known: Loaded<Task> | undefined, page: Loaded<Task>) => withNewestPage(known, page, isAfter);

/** Returns the list with the page that follows it. */
export const withOlder = (known: Loaded<Task>, page: Loaded<Task>) => withOlderPage(known, page, isAfter);

/** Returns the list with newer words of tasks that are in it. */
export function withChanged(known: Loaded<Task>, changed: Task[]): Loaded<Task> {
  const byId = new Map(changed.map((task) => [task.task_uuid, task]));
  return { ...known, rows: known.rows.map((task) => byId.get(task.task_uuid) ?? task) };
}

export interface Rows { first: number; end: number }

const STEP_ROWS = 8;

/**
 * Returns the rows that are drawn: those in sight and a few around them, in steps, so that most scrolling draws
 * nothing. `top_px` is how far the list's beginning is above the window's, negative while it is below.
 */
export function rowsInSight(top_px: number, window_px: number, row_px: number, count: number): Rows {
  const seen = Math.floor(top_px / row_px / STEP_ROWS) * STEP_ROWS;
  const first = Math.min(Math.max(0, seen - STEP_ROWS), Math.max(0, count - 1));
  const end = seen + Math.ceil(window_px / row_px / STEP_ROWS) * STEP_ROWS + 2 * STEP_ROWS;
  return { first, end: Math.min(count, Math.max(end, first)) };
}
