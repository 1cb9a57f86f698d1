"""The OpenAPI document as one page to read: no script, nothing from another host.

The pages that FastAPI brings load their scripts from a public CDN, which would run them on an origin where
browsers hold users' credentials.
"""

import base64
import hashlib
import json
from html import escape
from typing import Any

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{background:#f4f4f4;padding:.7rem;overflow:auto}h2{border-top:1px solid #ccc;padding-top:1rem}
td{vertical-align:top;padding:.1rem 1rem .1rem 0}"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'"


def render(document: dict[str, Any]) -> str:
    """HTML."""
    title = escape(document["info"]["title"])
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1><p>{escape(document['info']['description'])}</p>",
        "<p>For programs: <a href=openapi.json>openapi.json</a></p>",
    ]
    for path, methods in document["paths"].items():
        parts += [_operation(document, path, method, what) for method, what in methods.items()]
    return "\n".join(parts)


def _operation(document: dict[str, Any], path: str, method: str, what: dict[str, Any]) -> str:
    sign_in = " Needs credentials (HTTP Basic)." if what.get("security") else ""
    text = [
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>",
        f"<p><b>{escape(what.get('summary', ''))}.</b> {escape(what.get('description', ''))}{sign_in}</p>",
    ]
    if headers := what.get("parameters"):
        text.append(_table("Headers", [(h["name"], h.get("description", "")) for h in headers]))
    if body := what.get("requestBody"):
        schema = _resolve(document, body["content"]["application/json"]["schema"])
        fields = [(name, field.get("description", "")) for name, field in schema["properties"].items()]
        text.append(_table("Body: " + body["description"], fields))
    text.append("<h3>Answers</h3>")
    for status, answer in what["responses"].items():
        text.append(f"<p><b>{escape(status)}</b> {escape(answer['description'])}</p>")
        for content in answer.get("content", {}).values():
            if "example" in content:
                text.append(f"<pre>{escape(json.dumps(content['example'], indent=2))}</pre>")
    return "\n".join(text)


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td><code>{escape(name)}</code><td>{escape(text)}" for name, text in rows)
    return f"<h3>{escape(title)}</h3><table>{cells}</table>"


def _resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
