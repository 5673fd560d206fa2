#!/usr/bin/env python3
"""A clear-text server: what comes up to a newline goes back.  early_server.py PORT blocking|forking|polling"""
import os
import select
import signal
import socket
import sys


def serve(conn):
    data = b""
    while not data.endswith(b"\n"):
        more = conn.recv(65536)
        if not more:
            break
        data += more
    conn.sendall(data)
    conn.close()


def polling(listener):
    """Asks poll(2) before each call: what nobody reports is never read."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    listener.setblocking(False)
    conns = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                conn = listener.accept()[0]
                conn.setblocking(False)
                conns[conn.fileno()] = (conn, b"")
                poll.register(conn, select.POLLIN)
                continue
            conn, data = conns[fd]
            try:
                more = conn.recv(100)
            except BlockingIOError:
                continue
            except OSError:
                more = b""
            conns[fd] = (conn, data + more)
            if not more or more.endswith(b"\n"):
                poll.unregister(fd)
                del conns[fd]
                conn.setblocking(True)
                if more:
                    conn.sendall(data + more)
                conn.close()


def main():
    listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=100)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if sys.argv[2] == "polling":
        polling(listener)
    while True:
        conn = listener.accept()[0]
        try:
            if sys.argv[2] != "forking":
                serve(conn)
            elif os.fork() == 0:
                serve(conn)
                os._exit(0)
            else:
                conn.close()
        except OSError as error:
            print(error, file=sys.stderr)


main()
