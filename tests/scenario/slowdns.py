"""A DNS server (UDP) that takes its time.

usage: slowdns.py ADDRESS ZONE-FILE.  Lines of the zone: NAME TYPE MILLISECONDS ANSWER, where TYPE is A or AAAA,
and ANSWER is an address, `none` (no data), `never`, `nxdomain`, `servfail` or `refused`.  Several lines for a
name and type make one answer, sent after the first line's time.  Other names do not exist.
"""
import ipaddress
import socket
import struct
import sys
import threading

TYPES = {1: "A", 28: "AAAA"}
CODES = {"servfail": 2, "nxdomain": 3, "refused": 5}


def read_zone(path):
    zone = {}
    with open(path) as lines:
        for line in lines:
            name, kind, ms, answer = line.split()
            zone.setdefault((name, kind), (int(ms), []))[1].append(answer)
    return zone


def question(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    return ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])[0], at + 5


def reply(query, end, kind, answers):
    code = next((CODES[a] for a in answers if a in CODES), 0)
    records = [ipaddress.ip_address(a).packed for a in answers if a not in CODES and a != "none"]
    packet = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0) + query[12:end]
    for record in records:
        packet += struct.pack(">HHHIH", 0xC00C, kind, 1, 60, len(record)) + record
    return packet


def main():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((sys.argv[1], 53))
    zone = read_zone(sys.argv[2])
    print("ready", flush=True)
    while True:
        query, client = s.recvfrom(4096)
        name, kind, end = question(query)
        exists = any(known == name for known, _ in zone)
        ms, answers = zone.get((name, TYPES.get(kind)), (0, ["none" if exists else "nxdomain"]))
        if "never" not in answers:
            threading.Timer(ms / 1000, s.sendto, (reply(query, end, kind, answers), client)).start()


main()
