"""`GET /.well-known/uvr-webhook-keys`: the public keys by which receivers verify callbacks."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.routes.parts import Parts
from api.routes.responses import FORBIDDEN, UNEXPECTED, answer

router = APIRouter(tags=["hooks"])


class WebhookKeys(BaseModel):
    """The keys that callbacks may be signed with, each `whpk_` and 32 bytes in base64 (Ed25519)."""

    keys: tuple[str, ...] = Field(
        description="empty where callbacks have no `v1a` signature; several while one replaces another"
    )


_EXAMPLE = WebhookKeys(keys=("whpk_6AdYCVNGgYLLjfKDuXSZ4cZ1f3wV3dA7pPlqRkQJmlk=",))


@router.get(
    "/.well-known/uvr-webhook-keys",
    summary="Keys that verify callbacks",
    responses={
        200: answer("The keys. No credentials are needed", _EXAMPLE),
        403: FORBIDDEN,
        "default": UNEXPECTED,
    },
)
async def webhook_keys(parts: Parts) -> WebhookKeys:
    """Return the public keys that the operator has set."""
    return WebhookKeys(keys=parts.settings.webhook_public_keys)
