import { useEffect, useRef, useState } from "preact/hooks";

import * as api from "./api";
import { FINAL, duration, momentAfter } from "./format";
import { keepLooking } from "./looking";
import { useSpeech } from "./texts";
import { wordsOf } from "./words";

const LOOK_MS = 2000;
const LOOKS = 30;
const RARE_MS = 15_000;
const RECENT_S = 60;

/** What became of the callback, with its body, and a button that has it sent again. */
export function Callback({ task, host }: { task: api.Task; host: string }) {
  const { t } = useSpeech();
  const [tries, setTries] = useState<api.Delivery[]>();
  const [redeliveries, setRedeliveries] = useState(0);
  const [said, setSaid] = useState("");
  const isBusy = useRef(false);
  const isOver = FINAL.has(task.state);
  const hasSeenEnd = useRef(!isOver);

  // A task that is over has no events, and its tries may become known after its end. They are asked for just after the end
  // until the run has one, and after a redelivery, for a minute each, while retries are due, and while the API is away.
  // Other tasks without a try have none to come: nobody is told of their end, or their tries are forgotten.
  useEffect(() => {
    let looks = 0;
    const waitAfter_ms = (found: api.Delivery[]) => {
      // The browser's clock may be wrong, so what the page has seen counts as well.
      const isRecent = hasSeenEnd.current || Date.now() / 1000 - task.updated_at < RECENT_S;
      const isExpected = redeliveries > 0 || (isRecent && !found.some((one) => one.run === task.run));
      if (isExpected && looks < LOOKS) return LOOK_MS;
      return found.at(-1)?.next_try_at === undefined ? undefined : RARE_MS;
    };
    const look = async (isLeft: () => boolean) => {
      looks++;
      try {
        const found = await api.deliveries(task.task_uuid);
        if (isLeft()) return undefined;
        setTries(found);
        return isOver ? waitAfter_ms(found) : undefined;
      } catch (error) {
        return isOver && api.isAway(error) ? RARE_MS : undefined;
      }
    };
    return keepLooking(look, RARE_MS);
  }, [task.task_uuid, task.updated_at, redeliveries]);

  const sendAgain = async () => {
    // A second click would have it sent twice.
    if (isBusy.current) return;
    isBusy.current = true;
    try {
      await api.redeliver(task.task_uuid);
      setSaid(t("redelivering"));
    } catch (error) {
      setSaid(wordsOf(error, t, "noAnswerUnclear"));
    }
    isBusy.current = false;
    setRedeliveries((count) => count + 1);
  };

  return (
    <section class="card" aria-labelledby="callback">
      <h2 id="callback">{t("callback")}</h2>
      <p>{t("callbackTo", { host })}</p>
      {tries?.length === 0 && <p>{t("noTries")}</p>}
      {tries && tries.length > 0 && <Tries tries={tries} since={task.submitted_at} />}
      {isOver && !task.deleted_at && (
        <>
          <details>
            <summary>{t("callbackBody")}</summary>
            <p class="hint">{t("callbackBodyHint")}</p>
            <pre tabIndex={0}>{JSON.stringify(bodyOf(task), null, 2)}</pre>
          </details>
          <div class="actions">
            <button type="button" onClick={sendAgain}>{t("redeliver")}</button>
            <p class="said" role="status">{said}</p>
          </div>
        </>
      )}
    </section>
  );
}

function Tries({ tries, since }: { tries: api.Delivery[]; since: number }) {
  const { t, language } = useSpeech();
  return (
    <div class="scroll" tabIndex={0} role="group" aria-labelledby="callback">
      <table>
        <thead>
          <tr>
            <th scope="col">{t("tryNumber")}</th>
            <th scope="col">{t("entered")}</th>
            <th scope="col">{t("lasted")}</th>
            <th scope="col">{t("answer")}</th>
            <th scope="col">{t("nextTryAt")}</th>
          </tr>
        </thead>
        <tbody>
          {tries.map((one) => (
            <tr key={`${one.run} ${one.redelivery_requested_at ?? ""} ${one.try_number}`}>
              <th scope="row">
                {one.try_number}
                {one.redelivery_requested_at !== undefined && ` · ${t("asRedelivery")}`}
                {one.run > 1 && ` · ${t("run", { run: one.run })}`}
              </th>
              <td><time>{momentAfter(one.started_at, since, language)}</time></td>
              <td>{duration(one.took_s, language)}</td>
              <td class={isGood(one) ? "good" : "problem"}>{one.status ?? one.error_message ?? ""}</td>
              <td>{one.next_try_at ? <time>{momentAfter(one.next_try_at, since, language)}</time> : ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function isGood({ status }: api.Delivery): boolean {
  return status !== undefined && status >= 200 && status < 300;
}

/** A success is called back with the task's result, and a failure with these fields. */
function bodyOf({ task_uuid, result, error_message, error_code, label, metadata }: api.Task): object {
  return result ?? {
    task_uuid, status: "failed", error_message, error_code, label, metadata,
  };
}
