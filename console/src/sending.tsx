import { useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";
import { Unreadable } from "./dropped";
import { momentAfter } from "./format";
import { unlessStopped } from "./pause";
import { useSpeech, type Speech } from "./texts";
import { mayPass, untilTaken, type Wait } from "./tries";
import { wordsOf } from "./words";

/** Returns once the API has the song. `progress` is called with 0 to 1. */
export type Send = (key: string, progress: (part: number) => void, stop: AbortSignal) => Promise<unknown>;

/** A song on its way to the API. It leaves the list once it is queued. */
export interface Sending {
  /** Makes one task of all that arrives with it. */
  key: string;
  name: string;
  /** The size of the song's file; 0 for a link. */
  bytes: number;
  part: number;
  wait?: Wait;
  problem: string;
  /** Whether sending it again may help. */
  mayPass: boolean;
  stop: AbortController;
  send: Send;
}

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

  const isSending = sending.some((one) => !one.problem);
  useEffect(() => (isSending ? askBeforeLeaving() : undefined), [isSending]);

  const change = (key: string, changed: Partial<Sending>) =>
    setSending((all) => all.map((one) => (one.key === key ? { ...one, ...changed } : one)));
  const dismiss = (key: string) => setSending((all) => all.filter((one) => one.key !== key));

  const run = async (one: Sending, turn: Promise<unknown>) => {
    const { key, name, bytes, stop } = one;
    const send = async () => {
      await api.checkUser(user);
      stop.signal.throwIfAborted();
      return one.send(key, (part) => change(key, { part }), stop.signal);
    };
    try {
      await unlessStopped(turn, stop.signal);
      await untilTaken(send, { bytes, stop: stop.signal, tell: (wait) => change(key, { wait }), isThere });
      onWay.current.delete(one);
      setSaid(t("queued", { name }));
      dismiss(key);
      submitted();
    } catch (error) {
      // The session is over, and so is this page: the song is one of the rest.
      if (error instanceof api.ProblemError && error.status === 401) return;
      onWay.current.delete(one);
      const isStopped = stop.signal.aborted;
      const problem = isStopped ? t("stopped", { name }) : failure(error, name, t);
      change(key, { problem, mayPass: isStopped || mayPass(error) });
    }
  };
  const start = (name: string, bytes: number, send: Send, key: string) => {
    const one: Sending = { key, name, bytes, part: 0, problem: "", mayPass: false, stop: new AbortController(), send };
    onWay.current.add(one);
    // One at a time: several at once would take as long, and all of them would be late.
    const before = turn.current;
    const done = run(one, before);
    turn.current = before.then(() => done);
    return one;
  };
  const submit = (name: string, bytes: number, send: Send) => {
    const one = start(name, bytes, send, api.newKey());
    setSending((all) => [...all, one]);
  };
  /** Sends with the key of before, as the song may have arrived after all. */
  const again = ({ name, bytes, send, key }: Sending) => {
    const one = start(name, bytes, send, key);
    setSending((all) => all.map((other) => (other.key === key ? one : other)));
  };
  return { sending, said, submit, again, dismiss };
}

function failure(error: unknown, name: string, t: Speech["t"]): string {
  if (error instanceof Unreadable) return t("unreadable", { name });
  return `${name}: ${api.isUnanswered(error) ? t("brokeOff") : wordsOf(error, t)}`;
}

/** Has the browser ask before the page is left, until the returned function is called. */
function askBeforeLeaving(): () => void {
  const ask = (event: BeforeUnloadEvent) => {
    event.preventDefault();
    event.returnValue = true; // for browsers that ask for this only
  };
  addEventListener("beforeunload", ask);
  return () => removeEventListener("beforeunload", ask);
}

function isThere(): Promise<boolean> {
  return api.session().then(() => true, () => false);
}

interface RowProps { one: Sending; again: (one: Sending) => void; dismiss: (key: string) => void }

export function SendingRow({ one, again, dismiss }: RowProps) {
  const { t } = useSpeech();
  if (one.problem)
    return (
      <li>
        <p class="problem" role="alert">{one.problem}</p>
        <span class="ways">
          {one.mayPass && <button type="button" onClick={() => again(one)}>{t("sendAgain")}</button>}
          <button type="button" onClick={() => dismiss(one.key)}>{t("dismiss")}</button>
        </span>
      </li>
    );
  const name = t("sending", { name: one.name });
  return (
    <li>
      <span class="name">{name}</span>
      {one.wait ? <Waiting wait={one.wait} /> : <progress aria-label={name} max={1} value={one.part} />}
      <button type="button" onClick={() => one.stop.abort()}>{t("stop")}</button>
    </li>
  );
}

function Waiting({ wait: { words, until_s } }: { wait: Wait }) {
  const { t, language } = useSpeech();
  if (until_s === undefined) return <p role="status">{t("noAnswer")}</p>;
  const time = momentAfter(until_s, Date.now() / 1000, language);
  return <p role="status">{t("noRoom", { problem: words, time })}</p>;
}
