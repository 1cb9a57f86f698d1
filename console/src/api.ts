/** The public API, from the page's own origin. Addresses are relative to the page, which may be below a prefix. */

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
  choices?: Record<string, unknown>;
  error_code?: string;
  error_message?: string;
  result?: Result;
  deleted_at?: number;
}

export interface Page { tasks: Task[]; next?: string }

export interface Preset { name: string; description: string; stems: string[]; speed?: number }

export interface Session { user: string | null; is_admin: boolean }

export interface Delivery { run: number; try_number: number; started_at: number; status?: number; error_message?: string }

/** An answer that is an error, in the words of the API. `status` is 0 where there was no answer. */
export class ProblemError extends Error {
  constructor(readonly status: number, detail: string, readonly code?: string) {
    super(detail);
  }
}

// Other origins cannot send this header. With it, a 401 opens no window of the browser.
const OURS = { "X-UVR-CSRF": "1" };

let whenSignedOut = () => {};

export function onSignedOut(then: () => void): void {
  whenSignedOut = then;
}

function problemOf(status: number, text: string): ProblemError {
  let body: { detail?: string; error_code?: string } = {};
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's own page.
  }
  return new ProblemError(status, body.detail ?? `HTTP ${status}`, body.error_code);
}

export async function send(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { ...init, method, headers: { ...OURS, ...init.headers } });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ProblemError(0, "");
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && path !== "session") whenSignedOut();
  throw problemOf(answer.status, await answer.text());
}

export async function get<T>(path: string): Promise<T> {
  return (await send("GET", path)).json() as Promise<T>;
}

export const session = () => get<Session>("session");

export async function signIn(username: string, password: string): Promise<Session> {
  return (await send("POST", "session", { body: JSON.stringify({ username, password }) })).json();
}

export async function signOut(): Promise<void> {
  await send("DELETE", "session");
}

export const presets = async () => (await get<{ presets: Preset[] }>("presets")).presets;

/** `next` is the address that an earlier page has named, which begins with a slash. */
export const tasks = (next = "/tasks?limit=30") => get<Page>(next.replace(/^\//, ""));

export const task = (id: string) => get<Task>(`tasks/${id}`);

export const deliveries = async (id: string) =>
  (await get<{ deliveries: Delivery[] }>(`tasks/${id}/deliveries`)).deliveries;

export const cancel = (id: string) => send("POST", `tasks/${id}/cancel`);

export const remove = (id: string) => send("DELETE", `tasks/${id}`);

export interface Peaks { resolutions: { points_per_s: number; stems: Record<string, string> }[] }

export const peaks = (id: string) => get<Peaks>(`tasks/${id}/peaks.json`);

export const archiveAddress = (id: string) => `tasks/${id}/archive.zip`;

export interface Choices { preset?: string; format?: string }

/** A key for one submission, so that a repetition makes no second task. */
export function newKey(): string {
  // `randomUUID` exists on https and loopback only.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function submitLink(audio: string, choices: Choices, key: string): Promise<string> {
  const body = {
    audio,
    ...(choices.preset && { preset: choices.preset }),
    ...(choices.format && { output: { format: choices.format } }),
  };
  const answer = await send("POST", "generate", { body: JSON.stringify(body), headers: { "Idempotency-Key": key } });
  return ((await answer.json()) as { task_uuid: string }).task_uuid;
}

/** `progress` is called with 0 to 1. `fetch` does not tell how much has been sent. */
export function submitFile(
  file: File,
  choices: Choices,
  key: string,
  progress: (part: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const form = new FormData();
  if (choices.preset) form.append("preset", choices.preset);
  if (choices.format) form.append("output", JSON.stringify({ format: choices.format }));
  form.append("audio", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "generate");
    request.setRequestHeader("X-UVR-CSRF", "1");
    request.setRequestHeader("Idempotency-Key", key);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () => {
      if (request.status === 200) return resolve(JSON.parse(request.responseText).task_uuid);
      if (request.status === 401) whenSignedOut();
      reject(problemOf(request.status, request.responseText));
    };
    request.onerror = () => reject(new ProblemError(0, ""));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** Calls `seen` with the task now and after each change. Returns when the task is over or the stream breaks. */
export async function follow(id: string, seen: (task: Task) => void, signal: AbortSignal): Promise<void> {
  // An EventSource can send no header.
  const answer = await send("GET", `tasks/${id}/events`, { signal });
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value.replaceAll("\r", "")).split("\n\n");
    rest = events.pop() ?? "";
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
      if (data.length) seen(JSON.parse(data.join("\n")) as Task);
    }
  }
}
