"""The OpenAPI document, and the page that shows it: Swagger UI from files that the api serves itself."""
