"""A slow peer that speaks late, and checks how a connection ends.

usage: endings_peer.py listen PORT LOG [CERTIFICATE KEY]   a server: "BYTES clean", "BYTES cut", "BYTES error"
       endings_peer.py ask HOST PORT AUTHORITY             a client: sends a line, half-closes late, says the same

With a certificate the server finishes the handshake when the client has long sent everything and ended: its
tickets come late.  Both read slowly, through a small window, and at last say goodbye themselves."""
import socket
import ssl
import sys
import threading
import time


class Channel:
    """TLS over memory, so that each byte goes when it is told to; or the bytes as they are."""

    def __init__(self, raw, context, **how):
        self.raw = raw
        self.plain = context is None
        if not self.plain:
            self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self.into, self.out, **how)

    def put(self):
        data = self.out.read()
        if data:
            self.raw.sendall(data)

    def take(self):
        data = self.raw.recv(4096)
        if data:
            self.into.write(data)
        else:
            self.into.write_eof()

    def shake(self, before_last):
        while not self.plain:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if self.out.pending:
                    self.put()
                    before_last()
                self.take()
        if not self.plain:
            self.put()

    def read(self):
        """b"" at a clean end."""
        while not self.plain:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.take()
            except ssl.SSLZeroReturnError:
                return b""
        return self.raw.recv(4096)

    def write(self, data):
        if self.plain:
            self.raw.sendall(data)
        else:
            self.tls.write(data)
            self.put()

    def goodbye(self):
        if self.plain:
            self.raw.shutdown(socket.SHUT_WR)
            return
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.put()


def read_slowly(channel):
    total = 0
    while True:
        try:
            data = channel.read()
        except (ssl.SSLError, ConnectionResetError) as error:
            return f"{total} cut ({error})"
        if not data:
            return f"{total} clean"
        total += len(data)
        time.sleep(0.002)


def serve(raw, context, log):
    raw.settimeout(20)
    try:
        channel = Channel(raw, context, server_side=True)
        channel.shake(lambda: time.sleep(0.5))
        if channel.plain:
            time.sleep(0.5)
        said = read_slowly(channel)
        channel.goodbye()
    except OSError as error:
        said = f"error {error}"
    raw.close()
    log.write(said + "\n")


def listen(port, path, certificate):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    log = open(path, "a", buffering=1)
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    listener.bind(("::", port))
    listener.listen(64)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0], context, log), daemon=True).start()


def ask(host, port, authority):
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    raw.settimeout(20)
    raw.connect((host, port))
    channel = Channel(raw, ssl.create_default_context(cafile=authority), server_hostname=host)
    channel.shake(lambda: None)
    channel.write(b"go\n")
    time.sleep(0.5)
    channel.goodbye()
    print(read_slowly(channel))


if sys.argv[1] == "listen":
    listen(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
else:
    ask(sys.argv[2], int(sys.argv[3]), sys.argv[4])
