#!/usr/bin/env bash
# httptools 0.9.0 hands on the white space behind a header's value, which is no part of the value (RFC 9110, 5.5) and
# which h11 0.16.0 takes off. So the same application under the same uvicorn 0.54.0 sees other values as soon as
# httptools is installed (http="auto", the default, prefers it), and an exact comparison of, say, a token fails.
# White space before the value both take off. What to do: say http="h11", or strip before comparing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 h11==0.16.0 httptools==0.9.0
cat > "$work/show.py" <<'END'
import asyncio

import uvicorn


async def app(scope, receive, send):
    body = repr(dict(scope["headers"])[b"x-value"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def seen(http):
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="warning", http=http))
    served = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Value: \t one two \t \r\n\r\n")
    answer = await reader.read()
    writer.close()
    server.should_exit = True
    await served
    return answer.decode().rpartition("\r\n\r\n")[2]


async def main():
    values = {http: await seen(http) for http in ("h11", "httptools", "auto")}
    print(values)
    assert values == {"h11": r"b'one two'", "httptools": r"b'one two \t '", "auto": r"b'one two \t '"}


asyncio.run(main())
END
"$work/venv/bin/python" "$work/show.py"
