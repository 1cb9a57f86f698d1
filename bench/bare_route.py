"""A bare submission route, which part `submit` compares the api with: `python -m bench.bare_route`

The route is the least that a service with FastAPI and Kafka can do. It checks one user by `HTTPBasic` and
constant-time comparisons, and reads the body into a pydantic model. It sends one record to Kafka and answers
once every in-sync replica has the record. The producer is kafka-python's with `acks="all"` and idempotent, as
the api's own. The confirmation comes to the event loop by a future: the usual `def` route, which waits in a
thread, is slower. uvicorn runs with the options of the api: h11 and asyncio, without an access log.

What the api does to be fast is not here: the route is written as FastAPI's and kafka-python's documentation
show. FastAPI finds the route and checks the answer, and each record goes to Kafka as soon as it can.

The route logs nothing, limits nothing, and checks no address, size, time or cross-site request. It knows no
Idempotency-Key, and nothing reads its records, while the api keeps a view of its tasks.
"""

import asyncio
import os
import secrets
from typing import Annotated
from uuid import UUID, uuid4

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from kafka import KafkaProducer
from pydantic import BaseModel

_TIMEOUT_S = 10
_TOPIC = os.environ["KAFKA_TASK_TOPIC"]

app = FastAPI()
producer = KafkaProducer(
    bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"], acks="all", enable_idempotence=True, linger_ms=0
)


class Submission(BaseModel):
    audio: str
    hook_url: str | None = None


class Task(Submission):
    task_uuid: UUID


class Queued(BaseModel):
    message: str = "Task has been queued for processing"
    status: str = "queued"
    task_uuid: UUID


def signed_in(given: HTTPBasicCredentials) -> bool:
    right_name = secrets.compare_digest(given.username.encode(), b"admin")
    right_password = secrets.compare_digest(given.password.encode(), b"password")
    return right_name and right_password


@app.post("/generate")
async def generate(
    submission: Submission, credentials: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]
) -> Queued:
    if not signed_in(credentials):
        raise HTTPException(401)
    task = Task(task_uuid=uuid4(), **submission.model_dump())
    loop = asyncio.get_running_loop()
    confirmed: asyncio.Future[None] = loop.create_future()
    sent = producer.send(_TOPIC, task.model_dump_json().encode(), key=str(task.task_uuid).encode())
    sent.add_callback(lambda _: loop.call_soon_threadsafe(confirmed.set_result, None))
    sent.add_errback(lambda error: loop.call_soon_threadsafe(confirmed.set_exception, error))
    await asyncio.wait_for(confirmed, _TIMEOUT_S)
    return Queued(task_uuid=task.task_uuid)


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    return {"ok": True}


if __name__ == "__main__":
    producer.partitions_for(_TOPIC)
    uvicorn.run(
        app,
        port=int(os.environ["HEALTH_PORT"]),
        http="h11",
        loop="asyncio",
        ws="none",
        access_log=False,
        log_level="warning",
    )
