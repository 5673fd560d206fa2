"""Takes what is sent, with TLS or without, and writes it to a file.  usage: sink.py PORT FILE [CERTIFICATE KEY]"""
import socket
import ssl
import sys
import threading

port, file = int(sys.argv[1]), sys.argv[2]
context = None
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[3:5])
log = open(file, "ab", buffering=0)


def serve(connection):
    try:
        with context.wrap_socket(connection, server_side=True) if context else connection as stream:
            stream.settimeout(20)
            while data := stream.recv(65536):
                log.write(data)
    except OSError as error:
        sys.stderr.write(f"{error}\n")


listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
