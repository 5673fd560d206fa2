"""Nobody reads the standard error, and it is full.  usage: unheard.py HOST PORT

Prints how a refused connection ends, and whether the next connect(2) comes back at once."""
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
    connection.connect_ex(peer[4])
    return connection


unread, full = os.pipe()
os.set_blocking(full, False)
try:
    while os.write(full, bytes(4096)):
        pass
except BlockingIOError:
    os.set_blocking(full, True)
if len(sys.argv) < 4:
    os.set_inheritable(unread, True)
    os.dup2(full, 2)
    os.execv(sys.executable, [sys.executable, *sys.argv, "again"])
first = begin()
if not select.select([], [first], [], 5)[1]:
    print("no end")
    os._exit(1)
print(errno.errorcode[first.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
began = time.monotonic()
begin()
print("at once" if time.monotonic() - began < 1 else "later")
os._exit(0)
