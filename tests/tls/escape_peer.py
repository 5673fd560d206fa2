"""A peer for the escapes.  usage: escape_peer.py PORT LOG [CERTIFICATE KEY]

The first line of a connection is "NAME MODE".  Mode `echo` sends everything back, and at the client's end "end";
mode `cut` answers "part" and drops the connection without ending TLS.  How the client ended is logged: "NAME
clean", "NAME cut", "NAME error"."""
import socket
import ssl
import sys
import threading

port, log = int(sys.argv[1]), open(sys.argv[2], "a", buffering=1)
context = None
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[3:5])


def echo(stream, rest):
    data = rest
    while True:
        if data:
            stream.sendall(data)
        data = stream.recv(65536)
        if not data:
            return


def converse(stream, raw):
    line = b""
    while not line.endswith(b"\n"):
        byte = stream.recv(1)
        if not byte:
            return "nobody", "clean"
        line += byte
    name, mode = line.decode().split()
    if mode == "cut":
        stream.sendall(b"part\n")
        raw.shutdown(socket.SHUT_WR)
        return name, "told"
    try:
        echo(stream, b"")
    except (ssl.SSLEOFError, ConnectionResetError):
        return name, "cut"
    stream.sendall(b"end\n")
    return name, "clean"


def serve(connection):
    connection.settimeout(30)
    name, how = "somebody", "error"
    try:
        stream = connection
        if context:
            stream = context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False)
        name, how = converse(stream, connection if not context else stream)
        if context and how == "clean":
            stream.unwrap()
        stream.close()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
    log.write(f"{name} {how}\n")


listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
