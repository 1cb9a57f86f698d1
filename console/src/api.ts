/** The public API, from the page's own origin. Addresses are relative to the page, which may be below a prefix. */
import { bodyOf, fieldsOf, type Choices, type Submission } from "./choices.ts";
import { EventReader } from "./event_reader.ts";
import type { Loaded } from "./pages.ts";
import { ProblemError, problemOf, said } from "./problem.ts";

export { isAway, isUnanswered, ProblemError } from "./problem.ts";

export type State =
  | "queued" | "downloading" | "preparing" | "separating" | "uploading" | "delivering"
  | "succeeded" | "failed" | "cancelled";

export interface Stem { url: string; sha256: string; bytes: number; duration_s: number }

export interface UsedModel { name: string; runtime?: string | null; precision?: string | null }

export interface Output {
  format: string;
  sample_rate_hz: number;
  bit_depth?: number | null;
  bitrate_kbps?: number | null;
  normalize?: string | null;
}

export interface Result {
  stems: Record<string, Stem>;
  model: string;
  device: string;
  gain: number;
  expires_at?: number | null;
  models?: UsedModel[] | null;
  output?: Output | null;
  version?: string | null;
}

/** Points in time are in seconds since the epoch. */
export interface Task {
  task_uuid: string;
  state: State;
  progress?: number;
  run: number;
  user: string;
  audio?: string;
  file_name?: string;
  label?: string;
  hook_host?: string;
  submitted_at: number;
  updated_at: number;
  times: Partial<Record<State, number>>;
  queue_place?: number;
  queue_eta_s?: number;
  next_try_at?: number;
  choices?: Choices;
  metadata?: Record<string, unknown>;
  priority?: number;
  error_code?: string;
  error_message?: string;
  result?: Result;
  deleted_at?: number;
}

export interface Preset { name: string; description: string; stems: string[]; speed?: number }

export interface Model { name: string; stems: string[]; is_default: boolean; speed?: number }

/** A song of the operator's to try the page with. */
export interface Demo { url: string; label: string }

export interface Session { user: string | null; is_admin: boolean; demo?: Demo | null }

export interface Delivery {
  run: number;
  try_number: number;
  started_at: number;
  took_s: number;
  status?: number;
  error_message?: string;
  next_try_at?: number;
  redelivery_requested_at?: number;
}

// Other origins cannot send this header. With it, a 401 opens no window of the browser.
const OURS = { "X-UVR-CSRF": "1" };

let whenSignedOut = () => {};

export function onSignedOut(then: () => void): void {
  whenSignedOut = then;
}

let signIns = 0;

/** Returns a function that tells of the session's end, unless somebody signs in before: that is another session. */
function sessionNow(): () => void {
  const begun = signIns;
  return () => begun === signIns && whenSignedOut();
}

export async function send(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  const tellEnd = sessionNow();
  let answer: Response;
  try {
    answer = await fetch(path, { ...init, method, headers: { ...OURS, ...init.headers } });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ProblemError(0, "");
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && path !== "session") tellEnd();
  throw problemOf(answer.status, await textOf(answer), answer.headers.get("Retry-After"));
}

/** Throws as for no answer where the connection breaks off within it. */
function textOf(answer: Response): Promise<string> {
  return answer.text().catch(() => Promise.reject(new ProblemError(0, "")));
}

/** Returns what a success says, which has the field `named`. */
export async function ask<T>(method: string, path: string, named?: keyof T, init?: RequestInit): Promise<T> {
  return said<T>(await textOf(await send(method, path, init)), named);
}

export const get = <T>(path: string, named?: keyof T) => ask<T>("GET", path, named);

export const session = () => get<Session>("session", "user");

/** Throws unless `user` is still the one who is signed in: another tab may have changed that, and its cookie is ours. */
export async function checkUser(user: string): Promise<void> {
  const tellEnd = sessionNow();
  if ((await session()).user === user) return;
  tellEnd();
  throw new ProblemError(401, "");
}

export async function signIn(username: string, password: string): Promise<Session> {
  const found = await ask<Session>("POST", "session", "user", { body: JSON.stringify({ username, password }) });
  signIns++;
  return found;
}

export async function signOut(): Promise<void> {
  await send("DELETE", "session");
}

export const models = async () => (await get<{ models: Model[] }>("models")).models;

export const presets = async () => (await get<{ presets: Preset[] }>("presets")).presets;

/** `next` is the address that an earlier page has named, which begins with a slash. */
export async function tasks(next: string): Promise<Loaded<Task>> {
  const { tasks: rows, next: following } = await get<{ tasks: Task[]; next?: string }>(next.replace(/^\//, ""));
  return { rows, next: following };
}

export const task = (id: string) => get<Task>(`tasks/${id}`);

export const deliveries = async (id: string) =>
  (await get<{ deliveries: Delivery[] }>(`tasks/${id}/deliveries`)).deliveries;

export const redeliver = (id: string) => send("POST", `tasks/${id}/redeliver`);

export const upload = (id: string) => get<{ state: string }>(`uploads/${id}`);

export const cancel = (id: string) => send("POST", `tasks/${id}/cancel`);

export const remove = (id: string) => send("DELETE", `tasks/${id}`);

export interface Peaks { resolutions: { points_per_s: number; stems: Record<string, string> }[] }

export const peaks = (id: string) => get<Peaks>(`tasks/${id}/peaks.json`);

export const archiveAddress = (id: string) => `tasks/${id}/archive.zip`;

/** A key for one submission, so that a repetition makes no second task. */
export function newKey(): string {
  // `randomUUID` exists on https and loopback only.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

interface Submitted { task_uuid: string }

export async function submitLink(audio: string, submission: Submission, key: string, signal: AbortSignal): Promise<string> {
  const init = { body: bodyOf(audio, submission), headers: { "Idempotency-Key": key }, signal };
  return (await ask<Submitted>("POST", "generate", "task_uuid", init)).task_uuid;
}

/** `progress` is called with 0 to 1. */
export async function submitFile(
  file: File,
  submission: Submission,
  key: string,
  progress: (part: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const form = new FormData();
  for (const [name, value] of fieldsOf(submission)) form.append(name, value);
  form.append("audio", file);
  const tellEnd = sessionNow();
  const { status, text, retryAfter } = await posted(form, key, progress, signal);
  if (status === 401) tellEnd();
  if (status !== 200) throw problemOf(status, text, retryAfter);
  return said<Submitted>(text, "task_uuid").task_uuid;
}

interface Answer { status: number; text: string; retryAfter: string | null }

/** `fetch` does not tell how much has been sent. */
function posted(form: FormData, key: string, progress: (part: number) => void, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open("POST", "generate");
    request.setRequestHeader("X-UVR-CSRF", "1");
    request.setRequestHeader("Idempotency-Key", key);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () => {
      const { status, responseText: text } = request;
      resolve({ status, text, retryAfter: request.getResponseHeader("Retry-After") });
    };
    request.onerror = () => reject(new ProblemError(0, ""));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

const broken = { done: false, value: undefined } as const;

// The API writes a comment each 15 s. A connection that brings nothing for so long has died unnoticed.
const SILENCE_MS = 45_000;

/** Calls `seen` with the task now and after each change. Returns when the task is over or the stream breaks. */
export async function follow(id: string, seen: (task: Task) => void, signal: AbortSignal): Promise<void> {
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  // An EventSource can send no header.
  const answer = await send("GET", `tasks/${id}/events`, { signal: either });
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const stream = new EventReader();
  for (;;) {
    const timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const { value, done } = await reader.read().catch(() => broken).finally(() => clearTimeout(timer));
    if (done) return;
    if (value === undefined) throw new ProblemError(0, "");
    for (const data of stream.read(value)) seen(JSON.parse(data) as Task);
  }
}
