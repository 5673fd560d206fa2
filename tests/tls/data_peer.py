"""A peer for data.c.  usage: data_peer.py PORT LOG [CERTIFICATE KEY]

The first line of a connection is its name.  If that begins with "more" or "cork" all that comes is counted, and
logged at the end: "NAME BYTES bytes, N records"; with "echo" in it the first byte is answered.  Else lines are
orders: "give N [MS N]…" sends so many bytes, after so many milliseconds more; "end" ends."""
import socket
import ssl
import sys
import threading
import time


class Channel:
    """TLS over memory, so that records can be counted."""

    def __init__(self, raw, context):
        self.raw, self.records, self.rest = raw, 0, b""
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_side=True)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.step()
        self.put()

    def put(self):
        data = self.out.read()
        if data:
            self.raw.sendall(data)

    def step(self):
        self.put()
        data = self.raw.recv(65536)
        if not data:
            self.into.write_eof()
        self.into.write(data)
        self.count(data)

    def count(self, data):
        self.rest += data
        while len(self.rest) >= 5:
            size = 5 + int.from_bytes(self.rest[3:5], "big")
            if len(self.rest) < size:
                break
            # The goodbye looks like application data: 2 bytes, 1 for the type, 16 for the tag.
            self.records += self.rest[0] == 23 and size != 5 + 19
            self.rest = self.rest[size:]

    def recv(self, n):
        while True:
            try:
                return self.tls.read(n)
            except ssl.SSLWantReadError:
                self.step()
            except ssl.SSLZeroReturnError:
                return b""

    def sendall(self, data):
        self.tls.write(data)
        self.put()

    def close(self):
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.put()
        self.raw.close()


def line_of(stream):
    line = b""
    while not line.endswith(b"\n"):
        byte = stream.recv(1)
        if not byte:
            return None
        line += byte
    return line.decode().split()


def count(stream, name):
    total = 0
    while True:
        data = stream.recv(65536)
        if not data:
            break
        if total == 0 and "echo" in name:
            stream.sendall(b"!")
        total += len(data)
    # One of them was the handshake's last, one the name's.
    return f"{name} {total} bytes, {getattr(stream, 'records', 0) - 2} records"


def obey(stream):
    while (order := line_of(stream)) and order[0] != "end":
        for i, number in enumerate(order[1:]):
            if i % 2:
                time.sleep(int(number) / 1000)
            elif number == "end":
                return
            else:
                stream.sendall(b"z" * int(number))


def serve(raw, context, log):
    raw.settimeout(20)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        stream = Channel(raw, context) if context else raw
        name = line_of(stream)[0]
        if name.startswith(("more", "cork")):
            said = count(stream, name)
            stream.close()
            log.write(said + "\n")
        else:
            obey(stream)
            stream.close()
    except OSError as error:
        log.write(f"error {error}\n")


def main():
    context, log = None, open(sys.argv[2], "a", buffering=1)
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[3:5])
    listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0], context, log), daemon=True).start()


main()
