import type * as api from "./api";
import { moment } from "./format";
import { useSpeech } from "./texts";

/** What was submitted, chosen and used. */
export function Used({ task }: { task: api.Task }) {
  const { t, language } = useSpeech();
  const result = task.result;
  return (
    <section class="card" aria-labelledby="used">
      <h2 id="used">{t("used")}</h2>
      <dl>
        {task.audio && <><dt>{t("source")}</dt><dd>{task.file_name ?? task.audio}</dd></>}
        <dt>{t("user")}</dt><dd>{task.user}</dd>
        <dt>{t("submitted")}</dt><dd>{moment(task.submitted_at, language)}</dd>
        {result && (
          <>
            <dt>{t("model")}</dt><dd>{modelsOf(result).join(", ")}</dd>
            <dt>{t("device")}</dt><dd>{result.device}</dd>
            {result.output && <><dt>{t("output")}</dt><dd>{outputOf(result.output)}</dd></>}
            <dt>{t("gain")}</dt><dd>{result.gain}</dd>
            {result.version && <><dt>{t("version")}</dt><dd>{result.version}</dd></>}
          </>
        )}
      </dl>
      {(task.choices || task.metadata) && (
        <details>
          <summary>{t("chosen")}</summary>
          <pre>{JSON.stringify({ ...task.choices, metadata: task.metadata }, null, 2)}</pre>
        </details>
      )}
    </section>
  );
}

function modelsOf(result: api.Result): string[] {
  if (!result.models?.length) return [result.model];
  return result.models.map(({ name, runtime, precision }) => {
    const how = [runtime, precision].filter(Boolean).join(", ");
    return how ? `${name} (${how})` : name;
  });
}

function outputOf({ format, sample_rate_hz, bit_depth, bitrate_kbps, normalize }: api.Output): string {
  return [
    format,
    `${sample_rate_hz} Hz`,
    bit_depth && `${bit_depth} bit`,
    bitrate_kbps && `${bitrate_kbps} kbit/s`,
    normalize,
  ].filter(Boolean).join(", ");
}
