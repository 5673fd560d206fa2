"""Connects an unmodified program, under tapsrun, to one bad peer after another.  usage: refuse.py WORK SERVER_NETNS

For each peer: connect(2) fails as it should, blocking and not; standard error has exactly one line, with the peer,
the reason, and the rule's file and line; and the peer gets nothing of what the program then tries to send."""
import concurrent.futures
import ctypes
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
import authority as ca  # noqa: E402
import bad  # noqa: E402
from ssl import TLSVersion  # noqa: E402

WORK, NETNS = sys.argv[1:3]
MARKER = os.environ["MARKER"]
TAPSRUN = os.environ["TAPSRUN"]
HOST, ADDRESS = "v4only.test", "192.0.2.11"
FIRST_PORT = 9100
CLONE_NEWNET = 0x40000000

# --- what the peers are made of --------------------------------------------------------------------------------

good = ca.Authority(WORK, "good")
other = ca.Authority(WORK, "other")
key = ca.new_key(os.path.join(WORK, "leaf.key"))


def names(*names_):
    return "subjectAltName=" + ",".join(names_) + "\n"


FINE = names("DNS:" + HOST, "IP:" + ADDRESS)
made = {
    "fine": good.issue("fine", FINE, key=key),
    "expired": good.issue("expired", FINE, key=key, start=-20, end=-1),
    "early": good.issue("early", FINE, key=key, start=2),
    "stranger": other.issue("stranger", FINE, key=key),
    "elsewhere": good.issue("elsewhere", names("DNS:elsewhere.test"), key=key),
    "wide": good.issue("wide", names("DNS:*.test"), key=key),
    "star": good.issue("star", names("DNS:*"), key=key),
    "stars": good.issue("stars", names("DNS:*.*.test"), key=key),
    "partial": good.issue("partial", names("DNS:v4*.test"), key=key),
    "below": good.issue("below", names("DNS:*.example.test"), key=key),
    "common": good.issue("common", "keyUsage=digitalSignature\n", key=key, subject="/CN=" + HOST),
    "names_only": good.issue("names_only", names("DNS:" + HOST), key=key),
    "ip_as_name": good.issue("ip_as_name", names("DNS:" + ADDRESS), key=key),
    "other_ip": good.issue("other_ip", names("IP:192.0.2.12"), key=key),
    "client_only": good.issue("client_only", FINE + "extendedKeyUsage=clientAuth\n", key=key),
    "critical": good.issue("critical", FINE + "1.2.3.4.5.6=critical,DER:0500\n", key=key),
    "staple": good.issue("staple", FINE + "tlsfeature=status_request\n", key=key),
    "sha1": good.issue("sha1", FINE, key=key, md="sha1"),
    "revoked": good.issue("revoked", FINE, key=key),
}
weak_key = ca.new_key(os.path.join(WORK, "weak.key"), "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
made["weak"] = good.issue("weak", FINE, key=weak_key)
made["tampered"] = ca.tampered(os.path.join(WORK, "tampered.pem"), made["fine"])
request = ca.run("openssl", "req", "-new", "-key", key, "-subj", "/O=test", "-config", good.path("conf"))
made["self"] = os.path.join(WORK, "self.pem")
ca.run("openssl", "x509", "-req", "-signkey", key, "-days", "9", "-extfile", good.write("self.ext", FINE), "-out",
       made["self"], data=request)
good.revoke(made["revoked"])


def below(name, extensions, leaf=FINE):
    """A chain by way of an intermediate with these extensions."""
    between = ca.Authority(WORK, name, parent=good, extensions=extensions)
    return ca.bundle(os.path.join(WORK, name + ".chain"), between.issue("leaf", leaf, key=key), between.pem)


CA = "basicConstraints=critical,CA:true"
made["no_ca"] = below("no_ca", "basicConstraints=critical,CA:false\n")
made["constrained"] = below("constrained", CA + "\nnameConstraints=critical,permitted;DNS:example.test\n")
between = ca.Authority(WORK, "short", parent=good, extensions=CA + ",pathlen:0\nkeyUsage=keyCertSign\n")
deeper = ca.Authority(WORK, "deeper", parent=between, extensions=CA + "\nkeyUsage=keyCertSign\n")
made["too_long"] = ca.bundle(os.path.join(WORK, "too_long.chain"), deeper.issue("leaf", FINE, key=key), deeper.pem,
                             between.pem)
made["incomplete"] = deeper.path("leaf.pem")

crl = good.crl("crl.pem")
old_crl = good.crl("old.pem", "-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z")
other_crl = other.crl("crl.pem")
staple_revoked = good.staple("revoked.der", made["revoked"])
staple_good = good.staple("good.der", made["fine"])
good_pin = "sha256/" + "A" * 43 + "="
psk = good.write("psk", "00112233445566778899aabbccddeeff")


def server(name, change=None, leaf_key=None):
    return bad.tls(bad.context(made[name], leaf_key or key, change))


def mutated(mutation):
    return bad.tls(bad.context(made["fine"], key, bad.versions(TLSVersion.TLSv1_3)), mutation)


class Command:
    """A server that is a command."""

    def __init__(self, *arguments):
        self.arguments = arguments


def s_server(name, *more):
    return Command("-cert", made[name], "-key", key, "-quiet", *more)


TRUST = f'trust = "{good.pem}"; '
BOTH = 'allowedSecurityProtocols = ( "TLS1.2", "TLS1.3" ); '
QUICK = "handshakeTimeout = 400; "
HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
HELLO_HEAD = bad.record(22, b"\x02\x00\x00\x50\x03\x03")
ALERT = bad.record(21, b"\x02\x28")

# name, peer, security, error of connect(2), what the reason says[, host]
CASES = [
    ("expired", server("expired"), "", "EPROTO", "certificate expired on"),
    ("not yet valid", server("early"), "", "EPROTO", "not valid before"),
    ("self-signed", server("self"), "", "EPROTO", "self-signed"),
    ("wrong authority", server("stranger"), "", "EPROTO", "no trusted authority issued.*other"),
    ("wrong name", server("elsewhere"), "", "EPROTO", "is for elsewhere.test, not for v4only.test"),
    ("wildcard over a top-level domain", server("wide"), "", "EPROTO", r"is for \*\.test, not for"),
    ("wildcard alone", server("star"), "", "EPROTO", "not for v4only.test"),
    ("two wildcards", server("stars"), "", "EPROTO", "not for v4only.test"),
    ("part of a label", server("partial"), "", "EPROTO", "not for v4only.test"),
    ("wildcard over two labels", server("below"), "", "EPROTO", "not for a.b.example.test", "a.b.example.test"),
    ("wildcard over none", server("below"), "", "EPROTO", "not for example.test", "example.test"),
    ("name only in CN", server("common"), "", "EPROTO", "no subject alternative name"),
    ("address without SAN", server("names_only"), "", "EPROTO", "not for 192.0.2.11", ADDRESS),
    ("address as a DNS name", server("ip_as_name"), "", "EPROTO", "not for 192.0.2.11", ADDRESS),
    ("another address", server("other_ip"), "", "EPROTO", "no subject alternative name|not for 192.0.2.11", ADDRESS),
    ("peerName is another", server("fine"), 'peerName = "db.example.com"; ', "EPROTO", "not for db.example.com"),
    ("for clients only", server("client_only"), "", "EPROTO", "another purpose"),
    ("unknown critical extension", server("critical"), "", "EPROTO", "critical extension"),
    ("weak key", server("weak", leaf_key=weak_key), "", "EPROTO", "weak key"),
    ("SHA-1 signature", server("sha1"), "", "EPROTO", "weak"),
    ("signature changed", server("tampered"), "", "EPROTO", "signature|no trusted authority"),
    ("issuer is no authority", server("no_ca"), "", "EPROTO", "no certificate authority|may not issue"),
    ("name outside of the constraints", server("constrained"), "", "EPROTO", "constraints|may not issue|invalid"),
    ("path too long", server("too_long"), "", "EPROTO", "constraints|may not issue|invalid"),
    ("intermediate missing", server("incomplete"), "", "EPROTO", "no trusted authority"),
    ("revoked by the list", server("revoked"), f'crl = "{crl}"; ', "EPROTO", "revoked"),
    ("list out of date", server("fine"), f'crl = "{old_crl}"; ', "EPROTO", "list|CRL|revocation"),
    ("list of another authority", server("fine"), f'crl = "{other_crl}"; ', "EPROTO", "list|CRL|revocation"),
    ("revoked by the staple", s_server("revoked", "-status_file", staple_revoked), "", "EPROTO", "revoked"),
    ("staple of another certificate", s_server("revoked", "-status_file", staple_good), "", "EPROTO", "OCSP|staple"),
    ("required staple missing", server("fine"), 'ocsp = "required"; ', "EPROTO", "OCSP|staple"),
    ("must-staple certificate without", server("staple"), "", "EPROTO", "OCSP|staple"),
    ("key is not pinned", server("fine"), f'pinnedServerCertificate = "{good_pin}"; ', "EPROTO", "pinned"),
    ("verifier refuses", server("fine"), 'verifier = "exit 1"; ', "EPROTO", "verifier"),
    ("verifier hangs", server("fine"), 'verifier = "exec sleep 30"; verifierTimeout = 300; ', "EPROTO", "verifier"),
    ("TLS 1.2 only", server("fine", bad.versions(TLSVersion.TLSv1_2)), "", "EPROTO", "version|alert"),
    ("TLS 1.1 only", server("fine", bad.versions(TLSVersion.TLSv1_1)), BOTH, "EPROTO", "version|alert"),
    ("TLS 1.0 only", server("fine", bad.versions(TLSVersion.TLSv1)), BOTH, "EPROTO", "version|alert"),
    ("TLS 1.3 only, TLS 1.2 wanted", server("fine", bad.versions(TLSVersion.TLSv1_3)),
     'allowedSecurityProtocols = "TLS1.2"; ', "EPROTO", "version|alert"),
    ("no cipher suite in common", s_server("fine", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
     'ciphersuite = "TLS_AES_128_GCM_SHA256"; ', "EPROTO", "alert|cipher suite"),
    ("no group in common", s_server("fine", "-groups", "P-521"), 'supportedGroup = "x25519"; ', "EPROTO",
     "alert|group"),
    ("another protocol (ALPN)", s_server("fine", "-alpn", "h2"), 'alpn = "http/1.1"; ', "EPROTO", "ALPN|protocol"),
    ("no protocol (ALPN)", server("fine"), 'alpn = "http/1.1"; ', "EPROTO", "ALPN|protocol"),
    ("client certificate missing, TLS 1.2", s_server("fine", "-Verify", "1", "-tls1_2"),
     'allowedSecurityProtocols = "TLS1.2"; ', "EPROTO", "alert"),
    ("certificate where a key is shared", server("fine"),
     f'preSharedKey = ( {{ identity = "me"; key = "{psk}"; }} ); ', "EPROTO", ""),
    ("another shared key", Command("-nocert", "-psk", "ffeeddccbbaa99887766554433221100", "-psk_identity", "me",
                                   "-quiet"),
     f'preSharedKey = ( {{ identity = "me"; key = "{psk}"; }} ); ', "EPROTO", ""),
    ("clear text", bad.says(HTTP), "", "EPROTO", 'does not speak TLS: it sent "HTTP/1.1 400'),
    ("a mail server's greeting", bad.says(b"220 mx.test ESMTP\r\n", first=True), "", "EPROTO", "does not speak TLS"),
    ("STARTTLS refused", bad.says(b"220 mx.test ESMTP\r\n", b"454 TLS not available\r\n", first=True), "", "EPROTO",
     "does not speak TLS"),
    ("an SSH banner", bad.says(b"SSH-2.0-OpenSSH_9.2\r\n", first=True), "", "EPROTO", "does not speak TLS"),
    ("garbage", bad.says(bytes(range(128, 256)) * 8), "", "EPROTO", "does not speak TLS"),
    ("zeros", bad.says(b"\0" * 100), "", "EPROTO", "does not speak TLS"),
    ("oversized record", bad.says(b"\x16\x03\x03\xff\xff" + b"x" * 65535), "", "EPROTO", ""),
    ("empty record", bad.says(bad.record(22, b"")), "", "EPROTO|ECONNRESET", ""),
    ("half a hello", bad.says(HELLO_HEAD), "", "ECONNRESET", "closed"),
    ("no hello but an alert", bad.says(ALERT), "", "EPROTO", "alert 40"),
    ("goodbye before hello", bad.says(bad.record(21, b"\x01\x00")), "", "EPROTO|ECONNRESET", ""),
    ("warnings for ever", bad.says(bad.record(21, b"\x01\x70") * 500), "", "EPROTO|ECONNRESET", ""),
    ("cipher changes for ever", bad.says(bad.record(20, b"\x01") * 500), "", "EPROTO|ECONNRESET", ""),
    ("data before the handshake", bad.says(bad.record(23, b"hello there")), "", "EPROTO", ""),
    ("our own hello", bad.echoes, "", "EPROTO", ""),
    ("SSL 3.0", bad.answers_hello(version=0x0300, suite=0x0035, extensions=b""), BOTH, "EPROTO", "version|"),
    ("downgraded hello", bad.answers_hello(suite=0xc02b, extensions=b"\xff\x01\x00\x01\x00",
                                           random=b"R" * 24 + b"DOWNGRD\x01"), BOTH, "EPROTO", ""),
    ("suite that was not offered", bad.answers_hello(suite=0x1399), "", "EPROTO", ""),
    ("no key share", bad.answers_hello(), "", "EPROTO", ""),
    ("bit flipped in the hello", mutated(bad.flip(60)), "", "EPROTO", ""),
    ("bit flipped in the certificate", mutated(bad.flip(500)), "", "EPROTO", "decrypted|"),
    ("cut within the flight", bad.cut(300)(bad.context(made["fine"], key)), "", "ECONNRESET", "closed|reset"),
    ("closed at once", bad.closes, "", "ECONNRESET", "closed|reset"),
    ("closed after the hello", bad.closes_after_hello, "", "ECONNRESET", "closed|reset"),
    ("reset at once", bad.resets, "", "ECONNRESET", ""),
    ("reset after the hello", bad.resets_after_hello, "", "ECONNRESET", ""),
    ("reset within the flight", bad.resets_within(HELLO_HEAD), "", "ECONNRESET", ""),
    ("silence", bad.stays_silent, QUICK, "ETIMEDOUT", "not finished in time"),
    ("silence within the flight", bad.stalls_after(HELLO_HEAD), QUICK, "ETIMEDOUT", "not finished in time"),
    ("a byte at a time", bad.drips(bad.record(22, b"\x02" * 100), 0.1), QUICK, "ETIMEDOUT", "not finished in time"),
    ("nobody listens", None, "", "ECONNREFUSED", "Connection refused"),
    ("nobody answers", None, "", "ETIMEDOUT", "timed out", "alldead.test"),
    ("both families, wrong name", server("elsewhere"), "", "EPROTO", "not for healthy.test", "healthy.test"),
]

# What goes wrong once the handshake is over, for the client at least: with TLS 1.3 the server judges the client's
# certificate then (RFC 8446 §4.4.2).  connect(2) succeeds, and read(2) fails, with a line that says why.
LATE = [
    ("client certificate missing", s_server("fine", "-Verify", "1"), "", "EPROTO", "alert"),
    ("client certificate of another authority", s_server("fine", "-Verify", "1", "-verify_return_error", "-CAfile",
                                                         good.pem),
     f'clientCertificate = ( {{ certificate = "{other.issue("she", FINE, key=key)}"; key = "{key}"; }} ); ', "EPROTO",
     "alert"),
    ("client certificate expired", s_server("fine", "-Verify", "1", "-verify_return_error", "-CAfile", good.pem),
     f'clientCertificate = ( {{ certificate = "{made["expired"]}"; key = "{key}"; }} ); ', "EPROTO", "alert"),
    ("clear text behind the handshake", bad.tls_then(bad.context(made["fine"], key), HTTP), "", "EPROTO", "TLS|record"),
    ("a record that was never encrypted", bad.tls_then(bad.context(made["fine"], key), bad.record(23, b"x" * 100)), "",
     "EPROTO", "decrypt"),
    ("an alert in clear", bad.tls_then(bad.context(made["fine"], key), ALERT), "", "EPROTO", ""),
]

# --- running them ----------------------------------------------------------------------------------------------


def enter(path):
    with open(path, encoding="ascii") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), path)


class Peer:
    """Serves one case, and remembers what it was sent."""

    def __init__(self, port, serve):
        self.port, self.heard, self.process = port, b"", None
        self.log = os.path.join(WORK, f"peer-{port}.log")
        if isinstance(serve, Command):
            self.start(serve)
        elif serve:
            listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=16)
            threading.Thread(target=self.accept, args=(listener, serve), daemon=True).start()

    def start(self, command):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["openssl", "s_server", "-accept", str(self.port), *command.arguments],
                                            stdin=subprocess.PIPE, stdout=log, stderr=log)

    def accept(self, listener, serve):
        while True:
            connection, _ = listener.accept()
            connection.settimeout(bad.PATIENCE)
            threading.Thread(target=self.serve, args=(connection, serve), daemon=True).start()

    def serve(self, connection, serve):
        try:
            with connection:
                self.heard += serve(connection)
        except OSError:
            pass

    def was_told(self):
        if not self.process:
            return self.heard
        with open(self.log, "rb") as log:
            return log.read()


def write_rules(path, rules):
    """Each rule on a line of its own: its number is part of what is checked."""
    hosts = ", ".join(f'{{ name = "{name}"; address = "{ADDRESS}"; }}' for name in ("a.b.example.test", "example.test"))
    with open(path, "w", encoding="ascii") as out:
        out.write(f"hosts = ( {hosts} );\nrules = (\n" + ",\n".join(rules) + "\n);\n")


FIRST_LINE = 3  # of the rules


def attempt(config, *arguments):
    return subprocess.run(["timeout", "-k", "1", "20", TAPSRUN, "-c", config, os.path.join(WORK, "attempt"), *arguments],
                          capture_output=True, text=True, check=False)


def faults(done, peer, case, rule):
    """What is wrong with one attempt."""
    error, reason = case[3:5]
    connects = re.findall(r"^connect (\S+)$", done.stdout, re.M)
    lines = done.stderr.splitlines()
    if not connects or not all(re.fullmatch(error, one) for one in connects):
        yield f"connect says {connects}"
    if re.search(r"^(send|read) bytes$", done.stdout, re.M):
        yield "something could be sent or read"
    if MARKER.encode() in peer.was_told():
        yield "the peer was told"
    if len(lines) != 1:
        yield f"{len(lines)} lines: {lines}"
        return
    said = re.fullmatch(r"tapsrun: (?:(\S+), )?(\S+):(\d+): (.+) \(rule (\S+)\)", lines[0])
    if not said:
        yield f"the line is [{lines[0]}]"
    elif said[5] != rule or int(said[3]) != peer.port:
        yield f"peer or rule is another: {lines[0]}"
    elif not re.search(reason, said[4]):
        yield f"the reason is [{said[4]}]"


def judge(case, peer, config, rule):
    host = case[5] if len(case) > 5 else HOST
    for mode in [], ["wait"]:
        done = attempt(config, host, str(peer.port), *mode)
        wrong = "; ".join(faults(done, peer, case, rule))
        name = f"refused: {case[0]}{', not blocking' if mode else ''}"
        sys.stdout.write(f"not ok {name} # {wrong}\n" if wrong else f"ok {name}\n")
        sys.stdout.flush()
        if not mode:
            REASONS.append((case[0], done.stderr.strip()))


def judge_late(case, peer, config, rule):
    for mode in [], ["wait"]:
        done = attempt(config, HOST, str(peer.port), *mode)
        said = re.findall(r"^(connect|read) (\S+)$", done.stdout, re.M)
        wrong = ""
        if said != [("connect", "done"), ("read", case[3])]:
            wrong = f"says {said}"
        elif MARKER.encode() in peer.was_told():
            wrong = "the peer was told"
        elif not re.fullmatch(rf"tapsrun: {re.escape(ADDRESS)}:{peer.port}: .*({case[4]}).* "
                              rf"\(rule {re.escape(rule)}\)\n", done.stderr):
            wrong = f"standard error is [{done.stderr}]"
        name = f"refused late: {case[0]}{', not blocking' if mode else ''}"
        sys.stdout.write(f"not ok {name} # {wrong}\n" if wrong else f"ok {name}\n")
        sys.stdout.flush()


REASONS = []

# --- the other way round: bad clients of a program that listens --------------------------------------------------


def client(change=None, certificate=None, authority=good):
    """A TLS client, as it should be but for these; returns what it could read."""
    def talk(sock):
        made_context = ssl.create_default_context(cafile=good.pem)
        made_context.set_ciphers("DEFAULT:@SECLEVEL=0")
        if change:
            change(made_context)
        if certificate:
            made_context.load_cert_chain(certificate, key)
        with made_context.wrap_socket(sock, server_hostname=HOST) as session:
            session.sendall(b"hello")
            return session.recv(100)
    return talk


def sends(data):
    def talk(sock):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return bad.drain(sock)
    return talk


def hello_of_a_client():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


HALF = hello_of_a_client()[:100]

# name, client, error of read(2), what the reason says
CLIENTS = [
    ("no certificate", client(), "EPROTO", "no certificate"),
    ("certificate of another authority", client(certificate=other.issue("him", FINE, key=key)), "EPROTO",
     "no trusted authority"),
    ("certificate expired", client(certificate=made["expired"]), "EPROTO", "expired"),
    ("certificate for servers", client(certificate=good.issue("server_only", FINE + "extendedKeyUsage=serverAuth\n",
                                                              key=key)), "EPROTO", "another purpose"),
    ("TLS 1.2 only", client(bad.versions(TLSVersion.TLSv1_2)), "EPROTO", "version|cipher suite"),
    ("clear text", sends(b"GET / HTTP/1.0\r\n\r\n"), "EPROTO", "does not speak TLS"),
    ("garbage", sends(bytes(range(256))), "EPROTO", "does not speak TLS"),
    ("half a hello", sends(HALF), "ECONNRESET", "closed"),
    ("an alert", sends(ALERT), "EPROTO", "alert 40"),
    ("nothing", sends(b""), "ECONNRESET", "closed"),
    ("reset", bad.reset, "ECONNRESET", ""),
    ("silence", bad.drain, "ETIMEDOUT", "not finished in time"),
]


def next_lines(stream, n):
    return [stream.readline().strip() for _ in range(n)]


def judge_client(case, process, errors, rule):
    before = os.path.getsize(errors)
    got = b""
    with socket.create_connection((ADDRESS, FIRST_PORT - 1), timeout=bad.PATIENCE) as sock:
        try:
            got = case[1](sock)
        except OSError:
            pass
    said = next_lines(process.stdout, 2)
    with open(errors, encoding="utf-8", errors="replace") as log:
        log.seek(before)
        lines = log.read().splitlines()
    if said[0] != "read " + case[2]:
        yield f"read(2) says {said}"
    if said[1] == "send bytes" or MARKER.encode() in got:
        yield "something could be sent"
    if len(lines) != 1:
        yield f"{len(lines)} lines: {lines}"
    elif not re.fullmatch(rf"tapsrun: \S+:\d+: .*({case[3]}).* \(rule {re.escape(rule)}\)", lines[0]):
        yield f"the line is [{lines[0]}]"


def listen():
    config, errors = os.path.join(WORK, "listen.conf"), os.path.join(WORK, "listen.err")
    write_rules(config, [f'{{ match = {{ role = "listen"; }}; security = {{ {TRUST}{QUICK}'
                         'clientAuthentication = "required"; serverCertificate = ( '
                         f'{{ certificate = "{made["fine"]}"; key = "{key}"; }} ); }}; }}'])
    with open(errors, "w", encoding="utf-8") as log:
        process = subprocess.Popen(["nsenter", "--net=" + NETNS, TAPSRUN, "-c", config, os.path.join(WORK, "attempt"),
                                    "listen", str(FIRST_PORT - 1)], stdout=subprocess.PIPE, stderr=log, text=True)
    time.sleep(0.5)
    for case in CLIENTS:
        wrong = "; ".join(judge_client(case, process, errors, f"{config}:{FIRST_LINE}"))
        print(f"not ok refused client: {case[0]} # {wrong}" if wrong else f"ok refused client: {case[0]}", flush=True)
    process.kill()
    process.wait()


def main():
    home = "/proc/self/ns/net"
    config = os.path.join(WORK, "refuse.conf")
    own = os.open(home, os.O_RDONLY)
    enter(NETNS)
    peers = [Peer(FIRST_PORT + i, case[1]) for i, case in enumerate(CASES + LATE)]
    enter(f"/proc/self/fd/{own}")
    write_rules(config, [f'{{ match = {{ port = {peer.port}; role = "initiate"; }}; security = {{ {TRUST}{case[2]}}}; }}'
                         for case, peer in zip(CASES + LATE, peers)])
    time.sleep(0.3)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(judge, case, peer, config, f"{config}:{FIRST_LINE + i}")
                for i, (case, peer) in enumerate(zip(CASES, peers))]
        jobs += [pool.submit(judge_late, case, peers[i], config, f"{config}:{FIRST_LINE + i}")
                 for i, case in enumerate(LATE, len(CASES))]
        for job in jobs:
            job.result()
    for peer in peers:
        if peer.process:
            peer.process.kill()
            peer.process.wait()
    with open(os.path.join(WORK, "reasons"), "w", encoding="utf-8") as out:
        out.writelines(f"{name}: {line}\n" for name, line in REASONS)
    listen()


main()
