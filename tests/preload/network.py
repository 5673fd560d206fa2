"""The network of the preload tests: two hosts, a cable, a name server, and addresses that never answer.

The calling process is the client and must have network, mount and process namespaces of its own (`isolate`).
The server is a second network namespace.  All of it ends with the first process of the process namespace.
"""

import os
import pathlib
import subprocess
import sys
import time

PORT = 7000
SLOW, DEAD = PORT + 8, PORT + 9

# name: addresses.  A and AAAA records; getaddrinfo(3) sorts them, with the first one here in front.
NAMES = {
    "well": ["2001:db8::10", "192.0.2.200"],
    "well4": ["192.0.2.200"],
    "dead6": ["2001:db8::66", "192.0.2.200"],
    "refuse6": ["2001:db8::77", "192.0.2.200"],
    "dead4": ["192.0.2.3", "192.0.2.200"],
    "mixed": ["192.0.2.3", "fd00::10"],
    "refuse4": ["192.0.2.5", "fd00::10"],
}
# The client has no address of fd00::/8: the label of its source differs, and IPv4 sorts first (RFC 6724 §6,
# rule 5).
CLIENT = ["192.0.2.2/24", "2001:db8::2/64"]
# The dead IPv4 address shares 31 bits with the client's: it sorts before the good one (RFC 6724, rule 9).
SERVER = ["192.0.2.3/24", "192.0.2.5/24", "192.0.2.200/24", "2001:db8::10/64", "2001:db8::66/64", "2001:db8::77/64",
          "fd00::10/64"]

LOSSES = f"""
table inet losses {{
    set again4 {{ type ipv4_addr . inet_service; flags dynamic, timeout; timeout 5s; }}
    set again6 {{ type ipv6_addr . inet_service; flags dynamic, timeout; timeout 5s; }}
    chain input {{
        type filter hook input priority 0;
        ip daddr 192.0.2.3 meta l4proto tcp drop
        ip6 daddr 2001:db8::66 meta l4proto tcp drop
        ip daddr 192.0.2.5 meta l4proto tcp reject with tcp reset
        ip6 daddr 2001:db8::77 meta l4proto tcp reject with tcp reset
        tcp dport {DEAD} drop
        udp dport {DEAD} drop
        tcp dport {SLOW} tcp flags & (syn | ack) == syn jump slow
    }}
    chain slow {{
        ip saddr . tcp sport @again4 delete @again4 {{ ip saddr . tcp sport }} accept
        ip6 saddr . tcp sport @again6 delete @again6 {{ ip6 saddr . tcp sport }} accept
        meta nfproto ipv4 add @again4 {{ ip saddr . tcp sport }} drop
        add @again6 {{ ip6 saddr . tcp sport }} drop
    }}
}}
"""

SYSCTLS = {
    "net.ipv4.tcp_fastopen": "3",
    "net.ipv4.tcp_syn_retries": "1",
    "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv4.ip_local_port_range": "10000 65000",
    "net.ipv4.tcp_tw_reuse": "1",
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv6.icmp.ratelimit": "0",
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
}


def build_tree():
    top = pathlib.Path(__file__).resolve().parent.parent.parent
    for candidate in (os.environ.get("TAPS_BUILD"), top / "build", top):
        if candidate and (pathlib.Path(candidate) / "Makefile").exists():
            return pathlib.Path(candidate).resolve()
    return pathlib.Path(os.environ.get("TAPS_BUILD") or top / "build")


def shim():
    ret = pathlib.Path(os.environ.get("TAPS_SHIM") or build_tree() / ".libs" / "libtaps-shim.so")
    if not ret.exists():
        sys.exit(f"{ret} is not there")
    return str(ret.resolve())


def isolate(argv):
    """Starts the script again in namespaces of its own, unless it is there; returns in the inner one."""
    if os.environ.pop("PRELOAD_NETWORK", None):
        return
    if os.geteuid() != 0:
        print("needs root: builds network namespaces")
        sys.exit(77)
    os.environ["PRELOAD_NETWORK"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                          sys.executable, *argv])


def run(*command, text=None):
    subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)


def replace_file(target, text, folder):
    """Puts text in the place of a file, in this mount namespace only."""
    copy = pathlib.Path(folder, target.strip("/").replace("/", "_"))
    copy.write_text(text)
    path = pathlib.Path(target).resolve()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run("mount", "--bind", str(copy), str(path))


def loopback():
    run("ip", "link", "set", "lo", "up")


def build(folder):
    """Builds hosts and names; returns the prefix of a command that runs on the server host."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    server = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
    own = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
        time.sleep(0.01)
    for prefix in ([], server):
        for key, value in SYSCTLS.items():
            run(*prefix, "sysctl", "-q", "-w", f"{key}={value}")
        run(*prefix, "ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "c0", "type", "veth", "peer", "name", "s0", "netns", str(holder.pid))
    for prefix, device, addresses in (([], "c0", CLIENT), (server, "s0", SERVER)):
        run(*prefix, "ip", "link", "set", device, "up")
        for address in addresses:
            flags = ["nodad"] if ":" in address else []
            run(*prefix, "ip", "addr", "add", address, "dev", device, *flags)
        run(*prefix, "nft", "-f", "-", text=LOSSES)
    run("ip", "route", "add", "fd00::/64", "dev", "c0")
    start_names(folder, server)
    return server


def start_names(folder, server):
    """dnsmasq on the server host, and this mount namespace's resolver configuration to go with it."""
    replace_file("/etc/resolv.conf", "nameserver 192.0.2.200\noptions timeout:2 attempts:3\n", folder)
    replace_file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n",
                 folder)
    replace_file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
                 "192.0.2.99 filed.test alias.test\n", folder)
    replace_file("/etc/gai.conf", "", folder)
    # dnsmasq gives the records of one name in the reverse of the order in which it read them.
    records = [f"host-record={name}.test,{address}"
               for name, addresses in NAMES.items() for address in reversed(addresses)]
    config = pathlib.Path(folder, "dnsmasq.conf")
    config.write_text("\n".join(records) + "\n")
    subprocess.Popen([*server, "dnsmasq", "--keep-in-foreground", f"--conf-file={config}", "--no-resolv",
                      "--no-hosts", "--local=/test/", "--local=/arpa/", "--user=root",
                      "--listen-address=192.0.2.200", "--bind-interfaces", "--no-round-robin",
                      "--pid-file=", "--cache-size=0", "--dns-forward-max=5000"])
    end = time.monotonic() + 10
    while subprocess.run(["getent", "ahosts", "well.test"], stdout=subprocess.DEVNULL).returncode != 0:
        if time.monotonic() > end:
            sys.exit("no answer from the name server")
        time.sleep(0.05)
