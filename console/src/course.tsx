import { useEffect, useState } from "preact/hooks";

import type { Task } from "./api";
import { periodsOf } from "./course_times";
import { duration, FINAL, momentAfter } from "./format";
import { useSpeech } from "./texts";

/** Returns the time in seconds since the epoch, each second anew while `isRunning`. */
function useNow(isRunning: boolean): number {
  const [now_s, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    if (!isRunning) return;
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, [isRunning]);
  return now_s;
}

/** How long the task was in which state: a bar, and the same as a table. */
export function Course({ task }: { task: Task }) {
  const { t, language } = useSpeech();
  const isFinal = FINAL.has(task.state);
  const periods = periodsOf(task, isFinal, useNow(!isFinal));
  const whole_s = periods.length ? periods.at(-1)!.to_s - periods[0]!.from_s : 0;
  return (
    <section class="card" aria-labelledby="course">
      <h2 id="course">{t("course")}</h2>
      <div class="bar" aria-hidden="true">
        {periods.filter(({ share }) => share > 0).map(({ state, share }) => (
          <span key={state} class={`part ${state}`} style={{ flexGrow: share }} title={t(`state_${state}`)} />
        ))}
      </div>
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="course">
        <table>
          <thead>
            <tr>
              <th scope="col">{t("state")}</th>
              <th scope="col">{t("entered")}</th>
              <th scope="col">{t("lasted")}</th>
            </tr>
          </thead>
          <tbody>
            {periods.map(({ state, from_s, to_s, isNow }) => (
              <tr key={state}>
                <th scope="row"><span class={`dot ${state}`} />{t(`state_${state}`)}</th>
                <td><time>{momentAfter(from_s, task.submitted_at, language)}</time></td>
                <td>{FINAL.has(state) ? "" : duration(to_s - from_s, language)}{isNow && ` ${t("soFar")}`}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">{t("altogether")}</th>
              <td />
              <td>{duration(whole_s, language)}</td>
            </tr>
          </tfoot>
        </table>
      </div>
    </section>
  );
}
