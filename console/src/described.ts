/** What the API says about itself, asked for once. */
import { get, ProblemError } from "./api";

interface Described { components?: { schemas?: Record<string, { properties?: Record<string, unknown> }> } }

let described: Promise<Described> | undefined;

function forget(error: unknown): Described {
  if (error instanceof ProblemError && error.status === 404) return {};
  described = undefined;
  throw error;
}

/**
 * Whether a submission to this API may have the field. The API describes itself unless its operator forbids it. Throws
 * where it cannot be asked now.
 */
export async function takes(field: string): Promise<boolean> {
  described ??= get<Described>("openapi.json").catch(forget);
  const schemas = Object.values((await described).components?.schemas ?? {});
  return schemas.some(({ properties }) => properties && "hook_url" in properties && field in properties);
}
