import { useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";
import { useSpeech } from "./texts";
import { wordsOf } from "./words";

/** A song on its way to the API. It leaves the list once it is queued. */
export interface Sending { key: string; name: string; part: number; waits: boolean; problem: string; stop: AbortController }

const RETRY_MS = 3000;
const MOST_BROKEN = 3;

type Send = (one: Sending, progress: (part: number) => void) => Promise<string>;

/**
 * The songs on their way as `user`, and how another one joins them. `submitted` is called for each that is queued. When the
 * caller leaves the page, as at the session's end, nothing more is sent, and `stopped` is called with the names of the rest.
 */
export function useSending(user: string, submitted: () => void, stopped: (names: string[]) => void) {
  const { t } = useSpeech();
  const [sending, setSending] = useState<Sending[]>([]);
  const [said, setSaid] = useState("");
  const turn = useRef<Promise<void>>(Promise.resolve());
  const onWay = useRef(new Set<Sending>());
  useEffect(() => () => {
    const rest = [...onWay.current].filter((one) => !one.stop.signal.aborted);
    // Whoever signs in next would be their user.
    rest.forEach((one) => one.stop.abort());
    if (rest.length) stopped(rest.map((one) => one.name));
  }, []);

  const change = (key: string, changed: Partial<Sending>) =>
    setSending((all) => all.map((one) => (one.key === key ? { ...one, ...changed } : one)));
  const dismiss = (key: string) => setSending((all) => all.filter((one) => one.key !== key));

  const submit = (name: string, send: Send) => {
    const one: Sending = { key: api.newKey(), name, part: 0, waits: false, problem: "", stop: new AbortController() };
    setSending((all) => [...all, one]);
    onWay.current.add(one);
    const sendOne = async () => {
      await api.checkUser(user);
      one.stop.signal.throwIfAborted();
      return send(one, (part) => change(one.key, { part }));
    };
    // One at a time: several at once would take as long, and all of them would be late.
    turn.current = turn.current.then(async () => {
      try {
        await untilAnswered(one, sendOne, (waits) => change(one.key, { waits }));
        onWay.current.delete(one);
        setSaid(t("queued", { name }));
        dismiss(one.key);
        submitted();
      } catch (error) {
        // The session is over, and so is this page: the song is one of the rest.
        if (error instanceof api.ProblemError && error.status === 401) return;
        onWay.current.delete(one);
        const isStopped = one.stop.signal.aborted;
        const words = isUnanswered(error) ? t("brokeOff") : wordsOf(error, t);
        change(one.key, { problem: isStopped ? t("stopped", { name }) : `${name}: ${words}` });
      }
    });
  };
  return { sending, said, submit, dismiss };
}

/** Sends again while the API is away or starts. The key makes one task of all that arrive. Throws what else goes wrong. */
async function untilAnswered(one: Sending, send: () => Promise<string>, tell: (waits: boolean) => void): Promise<void> {
  let broken = 0;
  for (;;) {
    one.stop.signal.throwIfAborted();
    try {
      await send();
      return;
    } catch (error) {
      if (!api.isAway(error)) throw error;
      // An API that is there and breaks off refuses what is sent, such as a file that is too large for its proxy.
      if (isUnanswered(error) && (await isThere())) broken++;
      if (broken === MOST_BROKEN) throw error;
    }
    tell(true);
    await new Promise<void>((resolve) => {
      setTimeout(resolve, RETRY_MS);
      one.stop.signal.addEventListener("abort", () => resolve());
    });
    tell(false);
  }
}

function isUnanswered(error: unknown): boolean {
  return error instanceof api.ProblemError && error.status === 0;
}

function isThere(): Promise<boolean> {
  return api.session().then(() => true, () => false);
}

export function SendingRow({ one, dismiss }: { one: Sending; dismiss: (key: string) => void }) {
  const { t } = useSpeech();
  if (one.problem)
    return (
      <li>
        <p class="problem" role="alert">{one.problem}</p>
        <button type="button" onClick={() => dismiss(one.key)}>{t("dismiss")}</button>
      </li>
    );
  const name = t("sending", { name: one.name });
  return (
    <li>
      <span class="name">{name}</span>
      {one.waits ? <p role="status">{t("noAnswer")}</p> : <progress aria-label={name} max={1} value={one.part} />}
      <button type="button" onClick={() => one.stop.abort()}>{t("stop")}</button>
    </li>
  );
}
