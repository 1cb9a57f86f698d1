"""The bodies of the request to try a receiver, and of its answer."""

from pydantic import BaseModel, Field


class HookTestRequest(BaseModel):
    """The body of `POST /hooks/test`."""

    hook_url: str = Field(description="the receiver's address", examples=["https://example.com/hook"])


class HookTestResult(BaseModel):
    """What came of the example. Nothing of the receiver's answer but its status is kept."""

    webhook_id: str = Field(description="the header `webhook-id` of the example")
    delivered: bool = Field(description="whether the receiver took it, by a status of 2xx")
    status: int | None = Field(default=None, description="the receiver's HTTP status, if it answered")
    took_s: float
    error_code: str | None = None
    error_message: str | None = None
