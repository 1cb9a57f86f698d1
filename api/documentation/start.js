// A file of its own, because the page's Content-Security-Policy forbids scripts inside the page.
SwaggerUIBundle({
  url: "openapi.json", // relative: the api may stand behind a path prefix of a proxy
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // the validator's badge would come from another host
});
