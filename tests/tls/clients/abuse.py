"""Clients that no server wants: silent ones that stay, and ones that break off.  usage: abuse.py HOST PORT SECONDS

Prints "there" once they are all there."""
import socket
import struct
import sys
import time

host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
HELLO = bytes.fromhex("16030100f8010000f40303") + b"half of a hello"
kept = []


def dial():
    return socket.create_connection((host, port), timeout=5)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


for _ in range(5):
    reset(dial())
    dial().close()
    for data in b"GET / HTTP/1.0\r\n\r\n", bytes(range(256)), b"\x15\x03\x03\x00\x02\x02\x28", HELLO:
        with dial() as connection:
            connection.sendall(data)
    kept.append(dial())
    kept.append(dial())
    kept[-1].sendall(HELLO)
print("there", flush=True)
time.sleep(seconds)
