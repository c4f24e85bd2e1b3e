#!/usr/bin/env python3
"""Both kinds of gateway and grpc-proxy before the same servers, ours and Go's in turn: members found by SRV records, the listener of
--metrics-addr, reads that must not go back in time.

usage: beside.py [CASE...]; CETCD_ETCD is the binary, Go etcd as in tests/cli. Needs root, unshare and dnsmasq. Exit code 77: something is
missing."""
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import etcdproc
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
        for case in [globals()[n] for n in sys.argv[1:]] or [srv, metrics, ordering]:
            want, got = case(GO, server, tls), case(OURS, server, tls)
            differ = [(w, g) for w, g in zip(want, got) if w != g]
            wrong += len(differ)
            print("%s %s: %d answers, %d differ" % ("FAILED" if differ else "ok    ", case.__name__, len(want), len(differ)))
            for w, g in differ:
                print("  go   %r\n  ours %r" % (w, g))
    subprocess.run(["rm", "-rf", FOLDER])
    sys.exit(1 if wrong else 0)


main()
