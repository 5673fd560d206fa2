"""Certificates as a test wants them: good ones, and ones with a single fault, by the openssl command."""
import base64
import datetime
import os
import re
import subprocess

CONFIG = """
[ca]
default_ca = this
[this]
database = {folder}/index
new_certs_dir = {folder}
serial = {folder}/serial
crlnumber = {folder}/crlnumber
default_md = sha256
default_days = 30
default_crl_days = 5
policy = any
unique_subject = no
copy_extensions = none
[any]
organizationName = optional
commonName = optional
[req]
distinguished_name = any
prompt = no
"""


def run(*command, data=None):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.decode()}")
    return done.stdout


def moment(days):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return when.strftime("%Y%m%d%H%M%SZ")


def from_pem(pem):
    return base64.b64decode(re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END", pem, re.S)[1])


def to_pem(der):
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


class Authority:
    """A CA in a folder of its own: NAME.pem, NAME.key."""

    def __init__(self, folder, name, parent=None, extensions="basicConstraints=critical,CA:true\n"
                 "keyUsage=keyCertSign,cRLSign,digitalSignature\n"):
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder, exist_ok=True)
        for file, text in ("index", ""), ("serial", "1000\n"), ("crlnumber", "10\n"), \
                ("conf", CONFIG.format(folder=self.folder)):
            self.write(file, text)
        self.key = new_key(self.path("key"))
        if parent:
            self.pem = parent.issue(name, extensions, key=self.key, subject="/CN=" + name)
        else:
            self.pem = self.path("pem")
            self.write("extensions", extensions)
            request = run("openssl", "req", "-new", "-key", self.key, "-subj", "/CN=" + name, "-config",
                          self.path("conf"))
            run("openssl", "x509", "-req", "-signkey", self.key, "-days", "30", "-extfile", self.path("extensions"),
                "-out", self.pem, data=request)

    def path(self, file):
        return os.path.join(self.folder, file)

    def write(self, file, text):
        with open(self.path(file), "w", encoding="ascii") as out:
            out.write(text)
        return self.path(file)

    def issue(self, name, extensions, key=None, subject="/O=test", start=-1, end=20, md="sha256"):
        """Returns the path of the certificate; its key is NAME.key unless there is one."""
        key = key or new_key(self.path(name + ".key"))
        extension_file = self.write(name + ".ext", extensions)
        request = self.path(name + ".csr")
        run("openssl", "req", "-new", "-key", key, "-subj", subject, "-config", self.path("conf"), "-out", request)
        run("openssl", "ca", "-batch", "-config", self.path("conf"), "-cert", self.path("pem") if not
            hasattr(self, "pem") else self.pem, "-keyfile", self.key, "-in", request, "-notext", "-startdate",
            moment(start), "-enddate", moment(end), "-md", md, "-extfile", extension_file, "-out",
            self.path(name + ".pem"))
        return self.path(name + ".pem")

    def revoke(self, pem):
        run("openssl", "ca", "-config", self.path("conf"), "-cert", self.pem, "-keyfile", self.key, "-revoke", pem)

    def crl(self, name, *more):
        run("openssl", "ca", "-config", self.path("conf"), "-cert", self.pem, "-keyfile", self.key, "-gencrl", "-out",
            self.path(name), *more)
        return self.path(name)

    def staple(self, name, pem, *more):
        """An OCSP response for the certificate."""
        run("openssl", "ocsp", "-issuer", self.pem, "-cert", pem, "-no_nonce", "-reqout", self.path("request"))
        run("openssl", "ocsp", "-reqin", self.path("request"), "-index", self.path("index"), "-rsigner", self.pem,
            "-rkey", self.key, "-CA", self.pem, "-respout", self.path(name), *(more or ("-ndays", "5")))
        return self.path(name)


def new_key(path, *kind):
    run("openssl", "genpkey", *(kind or ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")), "-out", path)
    return path


def bundle(path, *files):
    """One PEM file of several."""
    with open(path, "w", encoding="ascii") as out:
        for file in files:
            with open(file, encoding="ascii") as one:
                out.write(one.read())
    return path


def tampered(path, source):
    """The certificate with another signature."""
    with open(source, encoding="ascii") as one:
        der = bytearray(from_pem(one.read()))
    der[-1] ^= 1
    with open(path, "w", encoding="ascii") as out:
        out.write(to_pem(bytes(der)))
    return path
