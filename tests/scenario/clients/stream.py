"""asyncio.open_connection(), then an HTTP request for /hello.  usage: stream.py HOST PORT"""
import asyncio
import sys
import time


async def main():
    start = time.monotonic()
    reader, writer = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    print("connect %d" % ((time.monotonic() - start) * 1000), file=sys.stderr)
    writer.write(b"GET /hello HTTP/1.0\r\n\r\n")
    sys.stdout.buffer.write(await reader.read())
    writer.close()
    await writer.wait_closed()


try:
    asyncio.run(main())
except OSError as e:
    print(e, file=sys.stderr)
    sys.exit(1)
