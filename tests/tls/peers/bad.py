"""Peers that misbehave: each is a function of the accepted socket, and returns what the application sent."""
import os
import socket
import ssl
import struct
import time

PATIENCE = 5  # seconds
HEAD = 5      # of a record

# --- TLS that is well done but for what the certificate or the version is ------------------------------------


def context(chain, key, change=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    if change:
        change(made)
    made.load_cert_chain(chain, key)
    return made


def versions(low, high=None):
    def change(made):
        made.minimum_version = low
        made.maximum_version = high or low
    return change


def tls(made, mutate=lambda data, flight: data):
    """A server; mutate(bytes, number of the flight) has the last word on what is sent, None ends it."""
    def serve(sock):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = made.wrap_bio(incoming, outgoing, server_side=True)
        return converse(sock, session, incoming, outgoing, mutate)
    return serve


def converse(sock, session, incoming, outgoing, mutate):
    flight, step, said = 0, session.do_handshake, b""
    while True:
        try:
            result, blocked = step(), False
            if step == session.do_handshake:
                step = lambda: session.read(65536)  # noqa: E731
            elif not result:
                return said
            else:
                said += result
        except ssl.SSLWantReadError:
            blocked = True
        except ssl.SSLError:
            blocked, step = False, None
        data = outgoing.read()
        if data:
            data = mutate(data, flight)
            flight += 1
            if data is None:
                return said
            sock.sendall(data)
        if step is None:
            drain(sock)
            return said
        if blocked:
            more = sock.recv(65536)
            if not more:
                return said
            incoming.write(more)


def tls_then(made, data):
    """A handshake as it should be, and these bytes behind it, as they are."""
    def serve(sock):
        with made.wrap_socket(sock, server_side=True) as session:
            os.write(session.fileno(), data)
            with socket.socket(fileno=session.detach()) as bare:
                bare.settimeout(PATIENCE)
                return drain(bare)
    return serve


def drain(sock):
    """Until the other side has enough; so that nothing we sent is lost in a reset."""
    heard = b""
    try:
        while data := sock.recv(65536):
            heard += data
    except OSError:
        pass
    return heard


# --- no TLS, or broken ---------------------------------------------------------------------------------------


def record(kind, body, version=0x0303):
    return struct.pack("!BHH", kind, version, len(body)) + body


def hello(sock):
    """Reads the ClientHello."""
    data = b""
    while len(data) < HEAD or len(data) < HEAD + struct.unpack("!H", data[3:5])[0]:
        more = sock.recv(65536)
        if not more:
            return data
        data += more
    return data


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return b""


def says(*answers, first=False):
    """Sends bytes after the ClientHello, or before, whatever it is."""
    def serve(sock):
        heard = b"" if first else hello(sock)
        for answer in answers:
            sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        return heard + drain(sock)
    return serve


def stays_silent(sock):
    return drain(sock)


def stalls_after(answer):
    def serve(sock):
        heard = hello(sock)
        sock.sendall(answer)
        return heard + drain(sock)
    return serve


def drips(answer, pause):
    def serve(sock):
        hello(sock)
        try:
            for byte in answer:
                sock.sendall(bytes([byte]))
                time.sleep(pause)
        except OSError:
            pass
        return b""
    return serve


def closes(sock):
    return b""


def closes_after_hello(sock):
    hello(sock)
    return b""


def resets(sock):
    return reset(sock)


def resets_after_hello(sock):
    hello(sock)
    return reset(sock)


def resets_within(answer):
    def serve(sock):
        hello(sock)
        sock.sendall(answer)
        time.sleep(0.05)
        return reset(sock)
    return serve


def echoes(sock):
    heard = hello(sock)
    sock.sendall(heard)
    return drain(sock)


def server_hello(client_hello, version=0x0303, suite=0x1301, random=None, extensions=b"\x00\x2b\x00\x02\x03\x04"):
    """A ServerHello that fits the ClientHello, without a key share."""
    length = client_hello[HEAD + 38]
    session = client_hello[HEAD + 39:HEAD + 39 + length]
    body = struct.pack("!H", version) + (random or b"R" * 32) + bytes([len(session)]) + session
    body += struct.pack("!HB", suite, 0) + struct.pack("!H", len(extensions)) + extensions
    return record(22, b"\x02" + struct.pack("!I", len(body))[1:] + body)


def answers_hello(**fields):
    def serve(sock):
        sock.sendall(server_hello(hello(sock), **fields))
        sock.shutdown(socket.SHUT_WR)
        return drain(sock)
    return serve


def flip(position, flight=0):
    """A mutation: one bit of a flight."""
    def mutate(data, number):
        if number != flight:
            return data
        changed = bytearray(data)
        changed[position] ^= 1
        return bytes(changed)
    return mutate


def cut(size, flight=0):
    """A mutation: the connection ends within a flight."""
    def serve_cut(made):
        def serve(sock):
            def mutate(data, number):
                if number != flight:
                    return data
                sock.sendall(data[:size])
                return None
            return tls(made, mutate)(sock)
        return serve
    return serve_cut
