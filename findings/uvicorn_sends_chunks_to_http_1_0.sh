#!/usr/bin/env bash
# uvicorn 0.54.0 with httptools 0.9.0 answers an HTTP/1.0 request with Transfer-Encoding: chunked if the application
# gives no Content-Length (a streamed answer). RFC 9112, 6.1 forbids it: to a client of HTTP/1.0 the sizes of the chunks
# are content. With h11 0.16.0 the same application's answer ends with the connection, as it must. http="auto", the
# default, prefers httptools where it is installed. What to do: say http="h11", or give a Content-Length.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 h11==0.16.0 httptools==0.9.0
cat > "$work/show.py" <<'END'
import asyncio

import uvicorn


async def app(scope, receive, send):
    assert scope["http_version"] == "1.0"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"words"})


async def answer(http):
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="warning", http=http))
    served = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    server.should_exit = True
    await served
    return b"transfer-encoding: chunked" in head.lower(), body


async def main():
    seen = {http: await answer(http) for http in ("h11", "httptools", "auto")}
    print(seen)
    chunked = (True, b"5\r\nwords\r\n0\r\n\r\n")
    assert seen == {"h11": (False, b"words"), "httptools": chunked, "auto": chunked}


asyncio.run(main())
END
"$work/venv/bin/python" "$work/show.py"
