#!/usr/bin/env python3
"""A clear-text client that sends a message and wants it back (early_peer.c), in many ways.

early.py HOST PORT COUNT WAY SIZE [SOURCE-ADDRESS | PAUSE]: for each of COUNT connections a line,
"ok" or the name of the error.
"""
import errno
import os
import select
import socket
import sys
import threading
import time

MARKER = os.environ.get("MARKER", "marker").encode()
PATIENCE = 12
SIZE = int(sys.argv[5])
polls = 0


def message(size, number):
    text = b"%08d%s %d " % (size, MARKER, number)
    return (text + (MARKER + b" ") * (size // len(MARKER) + 1))[:size]


def connected(way, host, port, source):
    info = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0]
    sock = socket.socket(info[0])
    if source:
        sock.bind((source, 0))
    sock.settimeout(PATIENCE)
    if way == "fast_open":
        sock.settimeout(None)
        sock.sendto(b"%08d" % SIZE, socket.MSG_FASTOPEN, info[4])
    elif way in NON_BLOCKING:
        sock.setblocking(False)
        result = sock.connect_ex(info[4])
        if result not in (0, errno.EINPROGRESS):
            raise OSError(result, os.strerror(result))
        ready(sock, select.POLLOUT)
        result = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result:
            raise OSError(result, os.strerror(result))
    else:
        sock.settimeout(None)
        sock.connect(info[4])
    return sock


def ready(sock, events):
    global polls
    poll = select.poll()
    poll.register(sock, events)
    polls += 1
    if not poll.poll(PATIENCE * 1000):
        raise OSError(errno.ETIME, "no event")


def receive(sock, size):
    data = b""
    while len(data) < size:
        try:
            more = sock.recv(1 << 20)
        except BlockingIOError:
            ready(sock, select.POLLIN)
            continue
        if not more:
            break
        data += more
    return data


def expect(sock, want):
    got = receive(sock, len(want))
    if got != want:
        raise OSError(errno.EILSEQ, f"{len(got)} of {len(want)} bytes")


def blocking(sock, data):
    sock.sendall(data)
    expect(sock, data)


def fast_open(sock, data):
    """The first bytes came with the connect."""
    sock.sendall(data[8:])
    expect(sock, data)


def pieces(sock, data):
    """Small writes, one after the other."""
    for at in range(0, len(data), 1000):
        sock.send(data[at:at + 1000])
    expect(sock, data)


def polling(sock, data):
    left = data
    while left:
        ready(sock, select.POLLOUT)
        try:
            left = left[sock.send(left):]
        except BlockingIOError:
            pass
    expect(sock, data)
    if polls > 2000:
        raise OSError(errno.ELOOP, f"{polls} polls")


def edges(sock, data):
    """Both directions by epoll's edges: who was refused is told once."""
    epoll = select.epoll()
    epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    left, got, writable, readable = data, b"", True, False
    while len(got) < len(data):
        while left and writable:
            try:
                left = left[sock.send(left):]
            except BlockingIOError:
                writable = False
        while readable and len(got) < len(data):
            try:
                more = sock.recv(65536)
                if not more:
                    raise OSError(errno.EPIPE, "end")
                got += more
            except BlockingIOError:
                readable = False
        if len(got) == len(data):
            break
        events = epoll.poll(PATIENCE)
        if not events:
            raise OSError(errno.ETIME, f"no event, {len(left)} left, {len(got)} got")
        writable |= bool(events[0][1] & (select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR))
        readable |= bool(events[0][1] & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR))
    if got != data:
        raise OSError(errno.EILSEQ, "other bytes")


def out_edges(sock, data):
    """Hears of "writable" alone, by edges, until all is sent."""
    epoll = select.epoll()
    epoll.register(sock, select.EPOLLOUT | select.EPOLLET)
    left = data
    while left:
        try:
            left = left[sock.send(left):]
        except BlockingIOError:
            if not epoll.poll(PATIENCE):
                raise OSError(errno.ETIME, f"no edge, {len(left)} left")
    expect(sock, data)


def greeted(sock, data):
    """The peer speaks first: nothing is sent before."""
    expect(sock, b"greetings")
    blocking(sock, data)


def poll_greeted(sock, data):
    ready(sock, select.POLLIN)
    expect(sock, b"greetings")
    polling(sock, data)


def select_greeted(sock, data):
    if not select.select([sock], [], [], PATIENCE)[0]:
        raise OSError(errno.ETIME, "no event")
    expect(sock, b"greetings")
    blocking(sock, data)


def half_closed(sock, data):
    sock.sendall(data)
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
    expect(sock, data)
    if sock.recv(1):
        raise OSError(errno.EILSEQ, "more than was sent")


def closed(sock, data):
    """Sent and closed: all of it must arrive (the peer's log tells)."""
    sock.sendall(data)
    if data == message(len(data), 0):
        expect(sock, data)
    else:
        sock.close()


def sent(sock, data):
    """Nothing comes back."""
    sock.sendall(data)
    time.sleep(0.3)


def tail(sock, data):
    """What comes back of the early bytes is the peer's affair."""
    sock.sendall(data + b"\n")
    time.sleep(0.2)
    sock.sendall(b"tail\n")
    got = b""
    while not got.endswith(b"tail\n"):
        more = receive(sock, 1)
        if not more:
            raise OSError(errno.EPIPE, "end")
        got += more


def lines(sock, data):
    """The whole ends with a newline, and so does nothing before it."""
    blocking(sock, data[:-1] + b"\n")


def forgetful(sock, data):
    """Sent, and then something else is done: the handshake goes on all the same."""
    sock.sendall(data)
    time.sleep(0.7)
    expect(sock, data)


def late(sock, data):
    time.sleep(0.3)
    blocking(sock, data)


def threads(sock, data):
    """One thread waits for the answer before the other sends."""
    failed = []

    def reader():
        try:
            expect(sock, data)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=reader)
    thread.start()
    time.sleep(0.003)
    sock.sendall(data)
    thread.join()
    if failed:
        raise failed[0]


def forked(sock, data):
    """The parent sends the first half, its child the second, the parent receives."""
    half = len(data) // 2
    sock.sendall(data[:half])
    child = os.fork()
    if child == 0:
        try:
            sock.sendall(data[half:])
            os._exit(0)
        except OSError:
            os._exit(1)
    os.waitpid(child, 0)
    expect(sock, data)


def escaped(sock, data):
    """In the middle of it a relay takes the connection over."""
    if data == message(len(data), 0):
        return blocking(sock, data)
    half = len(data) // 2
    sock.sendall(data[:half])
    os.dup2(sock.fileno(), 0)
    sock.sendall(data[half:])
    expect(sock, data)
    os.close(0)
    os.open("/dev/null", os.O_RDONLY)


NON_BLOCKING = {"polling", "edges", "out_edges", "poll_greeted"}


def main():
    global polls
    host, port, count, way, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], SIZE
    extra = sys.argv[6] if len(sys.argv) > 6 else ""
    for number in range(count):
        polls = 0
        try:
            data = message(size, number)
            sock = connected(way, host, port, extra if "." in extra and number else None)
            globals()[way](sock, data)
            # The tickets are behind the answer.
            time.sleep(0.05)
            if sock.fileno() >= 0:
                sock.setblocking(False)
                try:
                    sock.recv(1)
                except BlockingIOError:
                    pass
                sock.close()
            print("ok", flush=True)
        except OSError as error:
            print(errno.errorcode.get(error.errno, error.errno), error.strerror if error.errno == errno.EILSEQ or
                  error.errno == errno.ETIME else "", flush=True)
        if extra.isdigit():
            time.sleep(int(extra))


main()
