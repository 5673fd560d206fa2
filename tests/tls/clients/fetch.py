"""Asks for /hello?$MARKER and prints the body.  usage: fetch.py http.client|asyncio HOST PORT"""
import asyncio
import http.client
import os
import sys

PATH = "/hello?" + os.environ["MARKER"]


def by_http_client(host, port):
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    for _ in range(3):
        connection.request("GET", PATH)
        body = connection.getresponse().read()
    return body


async def by_asyncio(host, port):
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {PATH} HTTP/1.0\r\n\r\n".encode())
    reply = await reader.read()
    writer.close()
    await writer.wait_closed()
    return reply.split(b"\r\n\r\n", 1)[1]


if sys.argv[1] == "asyncio":
    answer = asyncio.run(by_asyncio(*sys.argv[2:]))
else:
    answer = by_http_client(*sys.argv[2:])
sys.stdout.write(answer.decode())
