import type { Demo } from "./api";
import { Icon } from "./icons";
import { useSpeech } from "./texts";

/** What is seen before the first song: how it goes, and a song to try it with where the API has one. */
export function Welcome({ demo, tryDemo }: { demo?: Demo | null; tryDemo: () => void }) {
  const { t } = useSpeech();
  const steps = [
    ["drop", t("welcomeSend"), t("welcomeSendMore")],
    ["watch", t("welcomeWatch"), t("welcomeWatchMore")],
    ["listen", t("welcomeListen"), t("welcomeListenMore")],
  ] as const;
  return (
    <section class="card welcome" aria-labelledby="welcome">
      <h2 id="welcome">{t("welcome")}</h2>
      <ol>
        {steps.map(([icon, name, more]) => (
          <li key={icon}>
            <Icon name={icon} />
            <h3>{name}</h3>
            <p>{more}</p>
          </li>
        ))}
      </ol>
      {demo && (
        <div class="demo">
          <button class="main" type="button" onClick={tryDemo}>{t("tryDemo")}</button>
          <p class="hint">{demo.label}</p>
        </div>
      )}
    </section>
  );
}
