#!/usr/bin/env python3
"""Both kinds of gateway and grpc-proxy before the same servers, ours and Go's in turn: members found by SRV records, the listener of
--metrics-addr, reads that must not go back in time, TLS for clients and for members, limits, pings, certificates made at the start.

usage: beside.py [CASE...]; CETCD_ETCD is the binary, Go etcd as in tests/cli. Needs root, unshare and dnsmasq. Exit code 77: something is
missing."""
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "attack")]
import etcdproc
import h2
import nameserver
from etcdcluster import Cluster, wait

OURS, GO, CTL = os.environ["CETCD_ETCD"], etcdproc.oracle("etcd"), etcdproc.oracle("etcdctl")
if not GO or not CTL:
    nameserver.skip("no Go etcd to compare with: make oracle")
nameserver.inside_namespaces("PROXY_INSIDE")
FOLDER = tempfile.mkdtemp(prefix="etcdproxies")
CERTS = """
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 9
openssl req -newkey rsa:2048 -nodes -keyout server-key.pem -out server.csr -subj /CN=
printf 'subjectAltName=DNS:secure.test,DNS:one.secure.test,IP:127.0.0.1' > ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out server.pem -days 9 -extfile ext
for n in client gone; do
openssl req -newkey rsa:2048 -nodes -keyout $n-key.pem -out $n.csr -subj /CN=$n
openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out $n.pem -days 9 -extfile ext
done
touch index.txt; echo 01 > number
printf '[ca]\ndefault_ca = it\n[it]\ndatabase = index.txt\ncrlnumber = number\ncertificate = ca.pem\nprivate_key = ca-key.pem\ndefault_md = sha256\ndefault_crl_days = 9\n' > ca.conf
openssl ca -config ca.conf -revoke gone.pem
openssl ca -config ca.conf -gencrl -out gone.crl
openssl crl -in gone.crl -outform DER -out gone.der
"""


class Front:
    """A proxy; what it said when it did not start."""

    def __init__(self, binary, kind, *flags):
        self.port = etcdproc.free_port()
        self.log = os.path.join(FOLDER, "front.log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([binary, kind, "start", "--listen-addr=127.0.0.1:%d" % self.port, *flags], stdout=log, stderr=log, cwd=FOLDER)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def ctl(self, *words):
        """Result of etcdctl through it; tried again while it is starting."""
        end = time.monotonic() + 5
        while True:
            p = subprocess.run([CTL, "--endpoints=127.0.0.1:%d" % self.port, "--command-timeout=1s", "--dial-timeout=1s", *words], capture_output=True,
                               text=True, cwd=FOLDER)
            if p.returncode == 0 or time.monotonic() > end or self.process.poll() is not None:
                break
            time.sleep(0.05)
        err = [line for line in p.stderr.splitlines() if not line.startswith("{")]
        return p.returncode, p.stdout, err, self.process.poll()


def srv(binary, server, tls):
    """gateway and grpc-proxy find what the records name."""
    got = []
    for kind in ("gateway", "grpc-proxy"):
        for flags in (["--discovery-srv=one.test"], ["--discovery-srv=named.test", "--discovery-srv-name=blue"], ["--discovery-srv=named.test"],
                      ["--discovery-srv=plain.test"], ["--discovery-srv=nobody.test"], ["--discovery-srv=one.test", "--insecure-discovery"],
                      ["--discovery-srv=one.test", "--endpoints=127.0.0.1:1"]):
            if kind == "grpc-proxy" and "nobody.test" not in flags[0]:
                flags = flags + ["--advertise-client-url=127.0.0.1:1"]
            with Front(binary, kind, *flags) as f:
                code, out, err, ended = f.ctl("get", "who")
                got.append((kind, flags, code, out if ended is None else "", ended))
    for flags in (["--discovery-srv=secure.test", "--cacert=ca.pem", "--cert=server.pem", "--key=server-key.pem"], ["--discovery-srv=secure.test"]):
        with Front(binary, "grpc-proxy", "--advertise-client-url=127.0.0.1:1", *flags) as f:
            code, out, err, ended = f.ctl("get", "who")
            got.append(("grpc-proxy", flags, code, out, ended))
    return got


def fetch(url):
    context = ssl._create_unverified_context()
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, context=context, timeout=5) as r:
                return r.status, r.headers.get("Content-Type").split(";")[0]
        except urllib.error.HTTPError as e:
            return e.code, e.headers.get("Content-Type").split(";")[0]
        except OSError as e:
            last = type(e.reason).__name__ if isinstance(e, urllib.error.URLError) else type(e).__name__
            time.sleep(0.05)
    return last


def metrics(binary, server, tls):
    """--metrics-addr, plain and with the certificate for clients; several pages of each."""
    got = []
    for scheme, flags in (("http", []), ("https", ["--cert-file=server.pem", "--key-file=server-key.pem"]), ("https", ["--auto-tls"])):
        port = etcdproc.free_port()
        with Front(binary, "grpc-proxy", "--endpoints=" + server.target, "--advertise-client-url=127.0.0.1:1",
                   "--metrics-addr=%s://127.0.0.1:%d" % (scheme, port), *flags):
            for path in ("/metrics", "/health", "/proxy/metrics", "/proxy/health", "/version", "/nothing", "/debug/vars"):
                got.append((scheme, flags, path, fetch("%s://127.0.0.1:%d%s" % (scheme, port, path))))
    for address in ("ftp://127.0.0.1:1", "127.0.0.1:1", "https://127.0.0.1:0"):
        with Front(binary, "grpc-proxy", "--endpoints=" + server.target, "--metrics-addr=" + address) as f:
            for _ in range(40):
                if f.process.poll() is not None:
                    break
                time.sleep(0.05)
            got.append((address, f.process.poll()))
    return got


def ordering(binary, server, tls):
    """A serializable read of a member that is behind what was read before is not passed on; without the flag it is."""
    got = []
    for flags in (["--experimental-serializable-ordering"], []):
        cluster = Cluster(["go"] * 3, {"go": GO})
        try:
            cluster.start()
            a, b, c = cluster.leader(), *cluster.followers()
            targets = ["127.0.0.1:%d" % m.port for m in (a, b, c)]
            with Front(binary, "grpc-proxy", "--endpoints=" + ",".join(targets), "--advertise-client-url=127.0.0.1:1", *flags) as f:
                cluster.leader().put("k", "old")
                wait(lambda: c.get("k", serializable=True) == "old", 10, "all have it")
                c.pause()                       # it does not see what comes
                a.put("k", "new")
                first = f.ctl("get", "k")       # of the quorum
                a.kill()
                b.kill()
                c.resume()
                time.sleep(1)
                second = f.ctl("get", "k", "--consistency=s")
                third = f.ctl("get", "other", "--consistency=s")
                got.append((flags, first[:2], second[:3], third[:3]))
        finally:
            cluster.close()
    return got


def shake(port, *words):
    """What openssl s_client agrees on: version and cipher, or none."""
    for _ in range(100):
        p = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-brief", *words], input="", capture_output=True, text=True,
                           cwd=FOLDER, timeout=20)
        if "errno=111" not in p.stderr and "Connection refused" not in p.stderr:
            break
        time.sleep(0.05)
    return re.findall(r"Protocol version: (\S+)", p.stderr), re.findall(r"Ciphersuite: (\S+)", p.stderr)


def tls_flags(binary, server, tls):
    """What clients must show and may use; which members are believed."""
    to, got = ["--endpoints=" + server.target, "--advertise-client-url=127.0.0.1:1"], []
    own = ["--cert-file=server.pem", "--key-file=server-key.pem"]
    mine = ["--cert=client.pem", "--key=client-key.pem", "--cacert=ca.pem"]
    for flags, words in ((own, ["--cacert=ca.pem"]), (own, []), (own + ["--trusted-ca-file=ca.pem"], ["--cacert=ca.pem"]),
                         (own + ["--trusted-ca-file=ca.pem"], mine),
                         (own + ["--trusted-ca-file=ca.pem", "--client-crl-file=gone.der"], mine),
                         (own + ["--trusted-ca-file=ca.pem", "--client-crl-file=gone.der"],
                          ["--cert=gone.pem", "--key=gone-key.pem", "--cacert=ca.pem"])):
        with Front(binary, "grpc-proxy", *to, *flags) as f:
            got.append((flags, words, f.ctl("get", "who", *words)[:2]))
    for flags in (["--tls-min-version=TLS1.3"], ["--tls-max-version=TLS1.2"], ["--tls-max-version=TLS1.2", "--listen-cipher-suites=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"],
                  ["--tls-min-version=TLS1.1"], ["--listen-cipher-suites=NONE"]):
        with Front(binary, "grpc-proxy", *to, *own, *flags) as f:
            code = f.ctl("get", "who", "--cacert=ca.pem")[0::3]
            agreed = () if f.process.poll() is not None else (shake(f.port, "-tls1_2"), shake(f.port, "-tls1_3"))
            got.append((flags, code, [versions + (ciphers if "suites" in flags[-1] else []) for versions, ciphers in agreed]))
    for flags in (["--cert=server.pem", "--key=server-key.pem", "--cacert=ca.pem"], ["--cert=server.pem", "--key=server-key.pem"],
                  ["--insecure-skip-tls-verify"], ["--cert=client.pem", "--key=client-key.pem", "--cacert=ca.pem"]):
        with Front(binary, "grpc-proxy", "--endpoints=https://127.0.0.1:%d" % tls, "--advertise-client-url=127.0.0.1:1", *flags) as f:
            got.append((flags, f.ctl("get", "who")[0::3]))
    return got


def auto_tls(binary, server, tls):
    """--auto-tls, --data-dir, --self-signed-cert-validity"""
    folder, got = tempfile.mkdtemp(dir=FOLDER), []
    with Front(binary, "grpc-proxy", "--endpoints=" + server.target, "--advertise-client-url=127.0.0.1:1", "--auto-tls", "--data-dir=" + folder,
               "--self-signed-cert-validity=3") as f:
        got.append(f.ctl("get", "who", "--insecure-skip-tls-verify", "--insecure-transport=false")[:2])
        files = sorted(os.path.relpath(os.path.join(d, n), folder) for d, _, names in os.walk(folder) for n in names)
        got.append(files)
        cert = next((n for n in files if n.endswith("cert.pem")), None)
        p = subprocess.run(["openssl", "x509", "-in", os.path.join(folder, cert or "none"), "-noout", "-enddate"], capture_output=True, text=True)
        got.append(int((p.stdout.split() or ["0"] * 4)[-2]) - time.gmtime().tm_year)
    return got


def limits(binary, server, tls):
    """--max-send-bytes, --max-recv-bytes, --max-concurrent-streams"""
    got = []
    with open(os.path.join(FOLDER, "large"), "w") as f:
        f.write("x" * 20000)
    server.ctl("put", "large", stdin=b"x" * 20000)
    for flags in ([], ["--max-send-bytes=10000"], ["--max-recv-bytes=10000"], ["--max-send-bytes=9000", "--max-recv-bytes=10000"]):
        with Front(binary, "grpc-proxy", "--endpoints=" + server.target, "--advertise-client-url=127.0.0.1:1", *flags) as f:
            if f.ctl("get", "who")[3] is not None:
                got.append((flags, f.process.poll(), open(f.log).read().splitlines()[-1]))
                continue
            with open(os.path.join(FOLDER, "large")) as stdin:
                put = subprocess.run([CTL, "--endpoints=127.0.0.1:%d" % f.port, "put", "l2"], stdin=stdin, capture_output=True, text=True).returncode
            get = subprocess.run([CTL, "--endpoints=127.0.0.1:%d" % f.port, "get", "large"], capture_output=True, text=True).returncode
            got.append((flags, put, get))
    for flags in ([], ["--max-concurrent-streams=3"]):
        with Front(binary, "grpc-proxy", "--endpoints=" + server.target, "--advertise-client-url=127.0.0.1:1", *flags) as f:
            f.ctl("get", "who")
            settings = [p for kind, _, _, p in h2.Conn(f.port).frames(1) if kind == h2.SETTINGS and p]
            values = dict(struct.unpack(">HI", settings[0][i:i + 6]) for i in range(0, len(settings[0]), 6)) if settings else {}
            got.append((flags, values.get(3, 1 << 32) == 3))
    return got


def pings(binary, server, tls):
    """--grpc-keepalive-*: of clients."""
    got = []
    for flags in (["--grpc-keepalive-interval=1s", "--grpc-keepalive-timeout=1s"], []):
        with Front(binary, "grpc-proxy", "--endpoints=" + server.target, "--advertise-client-url=127.0.0.1:1", *flags) as f:
            f.ctl("get", "who")
            c = h2.Conn(f.port)
            got.append((h2.PING in [x[0] for x in c.frames(4)], c.alive()))
    for minimum in ("1ms", "1h"):
        with Front(binary, "grpc-proxy", "--endpoints=" + server.target, "--advertise-client-url=127.0.0.1:1", "--grpc-keepalive-min-time=" + minimum) as f:
            f.ctl("get", "who")
            c = h2.Conn(f.port)
            c.request("/etcdserverpb.Watch/Watch", b"", end=False)
            for _ in range(6):
                c.send(h2.frame(h2.PING, 0, 0, b"12345678"))
                time.sleep(0.1)
            got.append([x[3][8:] for x in c.frames(1) if x[0] == h2.GOAWAY])
    return got


class Silent:
    """A member that accepts a connection, answers SETTINGS and nothing else, and counts pings."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.target = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.pings, self.gone = 0, 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        s.sendall(h2.frame(h2.SETTINGS, 0, 0) + h2.frame(h2.SETTINGS, h2.ACK, 0))
        data = b""
        while more := s.recv(65536):
            data += more
            data = data[len(h2.PREFACE):] if data.startswith(h2.PREFACE) else data
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                self.pings += data[3] == h2.PING and not data[4] & h2.ACK
                data = data[9 + int.from_bytes(data[:3], "big"):]
        self.gone += 1


def member_pings(binary, server, tls):
    """--dial-keepalive-time, --dial-keepalive-timeout, --permit-without-stream: a member that does not answer pings is left. (Without the last
    one etcd's proxy pings as well, for it always has a watch open; ours has not.)"""
    got = []
    for flags in ([], ["--dial-keepalive-time=11s", "--permit-without-stream"],
                  ["--dial-keepalive-time=11s", "--dial-keepalive-timeout=1s", "--permit-without-stream"]):
        m = Silent()
        with Front(binary, "grpc-proxy", "--endpoints=" + m.target, "--advertise-client-url=", *flags) as f:
            f.ctl("get", "who")                 # tries for five seconds: it dials
            time.sleep(15)
            got.append((flags, m.pings > 0, m.gone > 0))
        m.listener.close()
    return got


def main():
    subprocess.run(["sh", "-e", "-c", CERTS], cwd=FOLDER, check=True, capture_output=True)
    server = etcdproc.Server(GO)
    tls = etcdproc.free_port()
    server.flags += ["--listen-client-urls=%s,https://127.0.0.1:%d" % (server.endpoint, tls), "--cert-file=%s/server.pem" % FOLDER,
                     "--key-file=%s/server-key.pem" % FOLDER]
    records = ["--host-record=one.plain.test,127.0.0.1", "--host-record=dead.plain.test,127.0.0.1", "--host-record=one.secure.test,127.0.0.1",
               "--srv-host=_etcd-client._tcp.one.test,one.plain.test,%d" % server.port,
               "--srv-host=_etcd-client._tcp.plain.test,one.plain.test,%d,20,1" % server.port,
               "--srv-host=_etcd-client._tcp.plain.test,dead.plain.test,1,10,1",
               "--srv-host=_etcd-client-blue._tcp.named.test,one.plain.test,%d" % server.port,
               "--srv-host=_etcd-client-ssl._tcp.secure.test,one.secure.test,%d" % tls]
    wrong = 0
    with nameserver.NameServer(FOLDER, records), server:
        server.ctl("put", "who", "it")
        for case in [globals()[n] for n in sys.argv[1:]] or [srv, metrics, ordering, tls_flags, auto_tls, limits, pings, member_pings]:
            want, got = case(GO, server, tls), case(OURS, server, tls)
            differ = [(w, g) for w, g in zip(want, got) if w != g]
            wrong += len(differ)
            print("%s %s: %d answers, %d differ" % ("FAILED" if differ else "ok    ", case.__name__, len(want), len(differ)))
            for w, g in differ:
                print("  go   %r\n  ours %r" % (w, g))
    subprocess.run(["rm", "-rf", FOLDER])
    sys.exit(1 if wrong else 0)


main()
