"""Sends lines over TLS, one a connection, and expects each back.  usage: unblocked.py HOST PORT CA COUNT DELAY

DELAY: so many seconds between the connection and the handshake.  Prints how many came back."""
import socket
import ssl
import sys
import time

host, port, authority, count, delay = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
back = 0
for number in range(int(count)):
    line = b"line %d\n" % number
    try:
        with socket.create_connection((host, int(port)), timeout=20) as bare:
            time.sleep(float(delay))
            with context.wrap_socket(bare, server_hostname=host) as stream:
                stream.sendall(line)
                back += stream.makefile("rb").readline() == line
    except OSError as error:
        sys.stderr.write(f"{number}: {error}\n")
print(back)
