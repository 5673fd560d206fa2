"""Two connections at once, each of whose peers is looked at for a second.  usage: verifiers.py HOST PORT

Prints whether the second connect(2) came back at once, and how both ended."""
import errno
import os
import select
import socket
import sys
import time

peer = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_STREAM)[0]


def begin():
    connection = socket.socket(peer[0])
    connection.setblocking(False)
    began = time.monotonic()
    assert connection.connect_ex(peer[4]) == errno.EINPROGRESS
    return connection, time.monotonic() - began


first, _ = begin()
time.sleep(0.4)
second, took = begin()
print("at once" if took < 0.3 else f"after {took:.1f} s")
for connection in first, second:
    select.select([], [connection], [], 10)
    error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    print(errno.errorcode[error] if error else "connected")
    if not error:
        connection.sendall(f"{os.environ['MARKER']}\n".encode())
