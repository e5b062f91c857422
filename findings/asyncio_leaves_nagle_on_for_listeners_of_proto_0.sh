#!/usr/bin/env bash
# asyncio (CPython 3.11) turns Nagle's algorithm off (TCP_NODELAY) only where sock.proto is IPPROTO_TCP, and an accepted
# socket has the proto of its listener. socket.socket(AF_INET, SOCK_STREAM) and socket.create_server() make listeners of
# proto 0. So uvicorn 0.54.0 and websockets 17.4, given such a listener, leave TCP_NODELAY off: the second of two writes
# (the body behind the head of any HTTP answer, the second of two WebSocket messages) waits about 40 ms for the peer's
# delayed ACK. uvicorn makes such a listener itself for --workers and --reload (Config.bind_socket), not for a plain
# host and port. What to do: socket.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), or uvloop 0.23.0, which always sets it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 websockets==17.4 uvloop==0.23.0
cat > "$work/show.py" <<'END'
import asyncio
import http.client
import socket
import statistics
import time

import uvicorn
import uvloop
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

HERE = ("127.0.0.1", 0)


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
    for part in (b"one", b"two"):
        await send({"type": "http.response.body", "body": part, "more_body": part == b"one"})


def config():
    return uvicorn.Config(app, *HERE, lifespan="off", log_level="warning", http="h11")


def listener(proto):
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, proto)
    made.bind(HERE)
    made.listen()
    return made


def nodelay(connections):
    (one,) = connections
    return one.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def ask(client):
    times = []
    for _ in range(60):
        begun = time.perf_counter()
        client.request("GET", "/")
        client.getresponse().read()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


async def over_http(given):
    server = uvicorn.Server(config())
    served = asyncio.create_task(server.serve(sockets=[given] if given else None))
    while not server.started:
        await asyncio.sleep(0.01)
    client = http.client.HTTPConnection(*server.servers[0].sockets[0].getsockname())
    seen = await asyncio.to_thread(ask, client), nodelay(server.server_state.connections)
    client.close()
    server.should_exit = True
    await served
    return seen


async def twice(websocket):
    async for message in websocket:
        await websocket.send(message)
        await websocket.send(message)


async def over_websocket(given):
    times = []
    async with serve(twice, sock=given) as server, connect("ws://%s:%d" % given.getsockname()) as client:
        for _ in range(60):
            begun = time.perf_counter()
            await client.send("message")
            await client.recv()
            await client.recv()
            times.append(time.perf_counter() - begun)
        return statistics.median(times), nodelay(server.connections)


def show(name, median, option):
    print(f"{name}: TCP_NODELAY {option}, median {median * 1000:.1f} ms")
    return option


async def main():
    seen = {
        "http, host and port": await over_http(None),
        "http, IPPROTO_TCP": await over_http(listener(socket.IPPROTO_TCP)),
        "http, proto 0": await over_http(listener(0)),
        "http, create_server": await over_http(socket.create_server(HERE)),
        "http, bind_socket": await over_http(config().bind_socket()),
        "websocket, IPPROTO_TCP": await over_websocket(listener(socket.IPPROTO_TCP)),
        "websocket, proto 0": await over_websocket(listener(0)),
    }
    assert [show(name, *one) for name, one in seen.items()] == [1, 1, 0, 0, 0, 1, 0]
    assert seen["http, proto 0"][0] > 3 * seen["http, IPPROTO_TCP"][0]
    assert seen["websocket, proto 0"][0] > 3 * seen["websocket, IPPROTO_TCP"][0]


asyncio.run(main())
assert show("http, proto 0, uvloop", *uvloop.run(over_http(listener(0)))) == 1
END
"$work/venv/bin/python" "$work/show.py"
