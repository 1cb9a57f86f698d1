// A file of its own, because the page's Content-Security-Policy forbids scripts inside the page.

const find = (document, names) => names.reduce((found, name) => found?.[name], document);

const namesIn = (reference) =>
  reference.slice(2).split("/").map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));

// Return `value` with what its references name in their places, except for one below what it names itself.
function complete(document, value, base, above = []) {
  if (Array.isArray(value)) return value.map((item) => complete(document, item, base, above));
  if (value === null || typeof value !== "object") return value;
  const reference = value.$ref;
  if (reference?.startsWith?.("#/")) {
    if (above.includes(reference)) return value;
    const named = find(document, namesIn(reference));
    return { ...complete(document, named, base, [...above, reference]), $$ref: base + reference };
  }
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([name, inner]) => [name, complete(document, inner, base, above)]));
}

// Swagger UI's own function gives the same. For each operation that is unfolded it takes a second, in which it
// reads the whole document again.
const quick = () => ({
  fn: {
    resolveSubtree: async (document, path, { baseDoc }) => ({
      spec: complete(document, find(document, path), baseDoc) ?? null,
      errors: [],
    }),
  },
});

window.ui = SwaggerUIBundle({
  url: "openapi.json", // relative: the api may stand behind a path prefix of a proxy
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // the validator's badge would come from another host
  plugins: [quick],
});
