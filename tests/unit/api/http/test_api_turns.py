"""A request whose client is gone when its turn comes: the app does not see it, and no error is logged."""

import asyncio
import logging
from functools import partial

from uvicorn.config import Config
from uvicorn.server import ServerState

from api.http.protocol import GuardedProtocol
from api.http.turns import Turns


def test_a_client_that_is_cut_off_before_its_turn_gets_no_answer_and_no_line_in_the_log(caplog):
    begun: list[str] = []

    async def app(scope, receive, send) -> None:
        begun.append(scope["path"])

    class CutOff(Turns):
        async def take(self, is_piled_up: bool) -> None:
            (protocol,) = server_state.connections
            protocol.transport.close()

    async def run() -> None:
        config = Config(app, ws="none", log_config=None)
        config.load()
        made = partial(GuardedProtocol, config, server_state, {}, turns=CutOff())
        server = await asyncio.get_running_loop().create_server(made, "127.0.0.1")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await reader.read() == b""
        await asyncio.gather(*server_state.tasks)
        writer.close()
        server.close()

    server_state = ServerState()
    with caplog.at_level(logging.INFO):
        asyncio.run(asyncio.wait_for(run(), 20))
    assert begun == []
    assert [record.message for record in caplog.records if record.levelno >= logging.INFO] == []
