"""socket.create_connection(), then an HTTP request for /hello.  usage: create.py HOST PORT"""
import socket
import sys
import time

start = time.monotonic()
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
except OSError as e:
    print("errno", e.errno, "connect %d" % ((time.monotonic() - start) * 1000), file=sys.stderr)
    sys.exit(1)
print("connect %d" % ((time.monotonic() - start) * 1000), file=sys.stderr)
s.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
while data := s.recv(4096):
    sys.stdout.buffer.write(data)
