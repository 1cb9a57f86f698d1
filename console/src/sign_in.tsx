import { useState } from "preact/hooks";

import * as api from "./api";
import { useSpeech } from "./texts";
import { wordsOf } from "./words";

interface Props { wasSignedOut: boolean; done: (session: api.Session) => void }

export function SignIn({ wasSignedOut, done }: Props) {
  const { t } = useSpeech();
  const [problem, setProblem] = useState(wasSignedOut ? t("signInAgain") : "");
  const [isBusy, setIsBusy] = useState(false);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setIsBusy(true);
    try {
      done(await api.signIn(String(form.get("username")), String(form.get("password"))));
    } catch (error) {
      const isWrong = error instanceof api.ProblemError && error.status === 401;
      setProblem(isWrong ? t("wrongPassword") : wordsOf(error, t, "noAnswerOnce"));
      setIsBusy(false);
    }
  };

  return (
    <form class="card sign-in" onSubmit={submit}>
      <h1>{t("signIn")}</h1>
      <label>
        {t("username")}
        <input name="username" autocomplete="username" required maxLength={128} />
      </label>
      <label>
        {t("password")}
        <input name="password" type="password" autocomplete="current-password" required maxLength={1024} />
      </label>
      <p class="problem" role="alert">{problem}</p>
      <button class="main" type="submit" disabled={isBusy}>{t("signIn")}</button>
    </form>
  );
}
