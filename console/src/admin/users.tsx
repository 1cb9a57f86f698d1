import { useSpeech } from "../texts";
import { Empty, Heading, Instead } from "./admin";
import * as api from "./api";
import { number } from "./format";
import { useWatched } from "./watch";

const EVERY_MS = 10000;

/** Who has how many tasks. */
export function UsersPage() {
  const { t, language } = useSpeech();
  const { found, problem } = useWatched(api.users, EVERY_MS);
  const cell = (count: number, kind = "") => (
    <td class={`number ${count ? kind : "zero"}`}>{number(count, language)}</td>
  );
  return (
    <article>
      <Heading>{t("users")}</Heading>
      <p class="hint">{t("usersHint")}</p>
      <Instead isThere={found !== undefined} problem={problem} />
      {found?.users.length === 0 && <Empty title={t("noUsers")} />}
      {found && found.users.length > 0 && (
        <div class="card scroll" tabIndex={0} role="group" aria-label={t("users")}>
          <table class="wide users">
            <thead>
              <tr>
                <th scope="col">{t("user")}</th>
                <th scope="col" class="number">{t("queuedTasks")}</th>
                <th scope="col" class="number">{t("running")}</th>
                <th scope="col" class="number">{t("doneTasks")}</th>
                <th scope="col" class="number">{t("failedTasks")}</th>
                <th scope="col" class="number">{t("cancelledTasks")}</th>
              </tr>
            </thead>
            <tbody>
              {found.users.map((one) => (
                <tr key={one.user}>
                  <th scope="row">{one.user || "–"}</th>
                  {cell(one.queued)}
                  {cell(one.running, "some")}
                  {cell(one.finished.succeeded, "good")}
                  {cell(one.finished.failed, "bad")}
                  {cell(one.finished.cancelled)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found && found.left_out > 0 && <p class="hint">{t("leftOut", { count: number(found.left_out, language) })}</p>}
    </article>
  );
}
