"""A TLS client that sends its standard input and prints what comes to the end.  usage: talk.py HOST PORT AUTHORITY"""
import socket
import ssl
import sys

context = ssl.create_default_context(cafile=sys.argv[3])
connection = context.wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20),
                                 server_hostname=sys.argv[1], suppress_ragged_eofs=False)
connection.sendall(sys.stdin.buffer.read())
while data := connection.recv(65536):
    sys.stdout.buffer.write(data)
