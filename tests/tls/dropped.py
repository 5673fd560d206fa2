"""Gives something up, then connects and sends.  usage: dropped.py HOW ADDRESS PORT FOLDER

setuid: is another user.  exec: likewise, and is executed anew.  chroot: sees FOLDER only.  Prints "sent" or the
error."""
import errno
import os
import socket
import sys

how, address, port, folder = sys.argv[1:5]
if how in ("setuid", "exec"):
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
if how == "exec":
    os.execv(sys.executable, [sys.executable, __file__, "as-it-is", address, port, folder])
if how == "chroot":
    os.chroot(folder)
try:
    with socket.socket() as connection:
        connection.settimeout(10)
        connection.connect((address, int(port)))
        connection.sendall(f"{how} {os.environ['MARKER']}\n".encode())
    print("sent")
except OSError as error:
    print(errno.errorcode[error.errno])
