#!/usr/bin/env python3
"""TLS, flag by flag: what is accepted and what is refused, by openssl s_client, curl and etcdctl, on the client port and on the peer port; the
same against Go etcd, where it is there, and the answers are compared.

usage: matrix.py [--ours ETCD] [--ctl ETCDCTL] [--go ETCD] [--only NAME]

A case is a set of flags and a list of clients; each gets a word: ok, refused, or what the handshake settled on."""
import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
from authority import Authority, Odd

ARGS = None


class Server:
    """One member with any listeners; the environment holds nothing of etcd."""
    def __init__(self, binary, root, flags, client="https", peer="http"):
        self.root = tempfile.mkdtemp(prefix="s", dir=root)
        self.dir, self.log_path = os.path.join(self.root, "data"), os.path.join(self.root, "log")
        self.port, self.peer_port = etcdproc.free_port(), etcdproc.free_port()
        self.client_url = "%s://127.0.0.1:%d" % (client, self.port) if "://" not in client else client
        self.peer_url = "%s://127.0.0.1:%d" % (peer, self.peer_port)
        args = [binary, "--name=n1", "--data-dir=" + self.dir, "--listen-client-urls=" + self.client_url, "--advertise-client-urls=" +
                self.client_url.split(",")[0], "--listen-peer-urls=" + self.peer_url, "--initial-advertise-peer-urls=" + self.peer_url,
                "--initial-cluster=n1=" + self.peer_url] + flags
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(args, stdout=log, stderr=log, env=env, cwd=self.root)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def ready(self, seconds=15):
        """False: it ended instead."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            if "ready to serve client requests" in self.log():
                return True
            time.sleep(0.02)
        raise AssertionError("neither ready nor ended:\n" + self.log()[-2000:])

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


def run(*args, stdin=None, seconds=10, env=None):
    try:
        return subprocess.run(list(args), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                              env=dict({k: v for k, v in os.environ.items() if not k.startswith("ETCD")}, **(env or {})))
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(args, 124, b"timed out", b"")


# ---- clients: each returns a word ----

def ctl(s, ca, cert=None, name="put", more=(), endpoint=None):
    """etcdctl puts: ok or refused."""
    args = [ARGS.ctl, "--endpoints=" + (endpoint or s.client_url.split(",")[0]), "--command-timeout=2s", "--dial-timeout=2s"] + list(more)
    if ca:
        args.append("--cacert=" + ca)
    if cert:
        args += ["--cert=" + cert[0], "--key=" + cert[1]]
    r = run(*args, "put", "a", "b")
    return "ok" if r.returncode == 0 else "refused"


def curl(port, ca, cert=None, path="/version", more=(), scheme="https", host="127.0.0.1"):
    args = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--max-time", "5"] + list(more)
    if ca:
        args += ["--cacert", ca]
    if cert:
        args += ["--cert", cert[0], "--key", cert[1]]
    r = run(*args, "%s://%s:%d%s" % (scheme, host, port, path))
    return r.stdout.decode().strip() if r.returncode == 0 else "refused"


def s_client(port, *more, cert=None, read=True):
    """Protocol and suite, or refused. With TLS 1.3 a refusal of the client's certificate comes behind the handshake: a request shows it."""
    args = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-ign_eof"] + list(more)
    if cert:
        args += ["-cert", cert[0], "-key", cert[1]]
    r = run(*args, stdin=b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", seconds=6)
    text = r.stdout.decode(errors="replace")
    if read and "HTTP/1.1 " not in text:
        return "refused"
    suite = re.search(r"New, (\S+), Cipher is (\S+)", text)
    alpn = re.search(r"ALPN protocol: (\S+)", text)
    return "%s %s%s" % (suite.group(1), suite.group(2), " " + alpn.group(1) if alpn else "") if suite else "refused"


def three(s, ca, cert=None):
    """What each of the three clients gets."""
    return "%s %s %s" % (ctl(s, ca, cert), curl(s.port, ca, cert).split(" ")[0], "refused" if s_client(s.port, cert=cert) == "refused" else "ok")


def refusals(s):
    """What the server's log says of those it turned away, each text once. Serial numbers and lookups of names differ; which of the faults of a
    handshake comes first is the library's."""
    time.sleep(0.2)
    said = set()
    for line in s.log().split("\n"):
        if "rejected connection on" not in line or '"level":"warn"' not in line:
            continue
        v = json.loads(line)
        error = re.sub(r"serial [0-9a-f]+ ", "serial X ", v["error"])
        error = re.sub(r"(DNSNames \[[^]]*\]).*", r"\1", error)
        error = re.sub(r"(has expired or is not yet valid|unknown authority).*", r"\1", error)
        error = re.sub(r"read tcp \S+->\S+: ", "", error)
        said.add((v["msg"], v["server-name"], v.get("ip-addresses"), v.get("dns-names"), error).__repr__())
    return sorted(said)


CASES = []

# Where ours is to differ: (case, name) -> why.
KNOWN = {
    ("alpn", "http/1.1"): "Go's knows h2 alone and lets http/1.1 pass without a word; ours names it",
}


def case(f):
    CASES.append(f)
    return f


def flags_of(a, **more):
    return ["--cert-file=" + a.server[0], "--key-file=" + a.server[1]] + ["--%s=%s" % (k.replace("_", "-"), v) for k, v in more.items()]


def starts(binary, root, flags, **more):
    """Go's may serve, and end a moment later."""
    with Server(binary, root, flags, **more) as s:
        if s.ready():
            time.sleep(0.5)
        return "starts" if s.process.poll() is None else "refused to start"


# ---- client port ----

@case
def certificate_and_key(binary, a, root):
    with Server(binary, root, flags_of(a)) as s:
        yield "starts", s.ready()
        yield "right CA", ctl(s, a.ca)
        yield "another CA", ctl(s, a.other.ca)
        yield "no CA", ctl(s, None)
        yield "insecure-skip-tls-verify", ctl(s, None, more=["--insecure-skip-tls-verify"])
        yield "wrong host", curl(s.port, a.ca, host="other.test", more=["--resolve", "other.test:%d:127.0.0.1" % s.port])
        yield "SAN by name", curl(s.port, a.ca, host="localhost")
        yield "plain http", curl(s.port, None, scheme="http")
        yield "curl h2", curl(s.port, a.ca, more=["--http2"])
        yield "curl h1", curl(s.port, a.ca, more=["--http1.1"])
        yield "a client certificate that nobody asked for", ctl(s, a.ca, a.client)
    yield "no key", starts(binary, root, ["--cert-file=" + a.server[0]])
    yield "no certificate", starts(binary, root, ["--key-file=" + a.server[1]])
    yield "neither", starts(binary, root, [])
    yield "key of another", starts(binary, root, ["--cert-file=" + a.server[0], "--key-file=" + a.client[1]])
    yield "no such file", starts(binary, root, ["--cert-file=/nowhere", "--key-file=" + a.server[1]])


@case
def client_cert_auth(binary, a, root):
    for name, more in (("trusted CA", {"trusted_ca_file": a.ca}), ("and client-cert-auth", {"trusted_ca_file": a.ca, "client_cert_auth": "true"})):
        with Server(binary, root, flags_of(a, **more)) as s:
            yield name, s.ready()
            yield "its certificate", three(s, a.ca, a.client)
            yield "none", three(s, a.ca)
            yield "another CA's", three(s, a.ca, a.other.client)
            yield "expired", three(s, a.ca, a.expired)
            yield "not yet valid", three(s, a.ca, a.early)
            yield "for servers only", three(s, a.ca, a.server_only)
            yield "self-signed", three(s, a.ca, a.self_signed)
            yield "by an intermediate, chain sent", three(s, a.ca, a.below)
            for tls in ("-tls1_2", "-tls1_3"):
                yield tls + " with", s_client(s.port, tls, cert=a.client) != "refused"
                yield tls + " without", s_client(s.port, tls)
            yield "curl with", curl(s.port, a.ca, a.client)
            yield "curl without", curl(s.port, a.ca)


@case
def allowed_names(binary, a, root):
    for flag in ("client-cert-allowed-hostname",):
        for allowed, who in (("client.test", "a.san"), ("*.test", "a.san"), ("deep.wild.test", "a.wild"), ("wild.test", "a.wild"), ("127.0.0.9", "a.ip"),
                             ("127.0.0.1", "a.ip"), ("client", "a.client")):
            with Server(binary, root, flags_of(a, trusted_ca_file=a.ca, client_cert_auth="true") + ["--%s=%s" % (flag, allowed)]) as s:
                yield "%s for %s" % (allowed, who), s.ready() and three(s, a.ca, getattr(a, who[2:]))
    with Server(binary, root, flags_of(a, trusted_ca_file=a.ca, client_cert_auth="true") + ["--client-cert-allowed-hostname=other.test,client.test"]) as s:
        yield "second of two", s.ready() and three(s, a.ca, a.san)
        yield "none of two", three(s, a.ca, a.wild)


@case
def san_of_clients(binary, a, root):
    """The address of the client against its certificate's SAN."""
    with Server(binary, root, flags_of(a, trusted_ca_file=a.ca)) as s:
        yield "starts", s.ready()
        yield "own address", three(s, a.ca, a.local)
        yield "another's address", three(s, a.ca, a.ip)


@case
def crl(binary, a, root):
    for form, path in (("DER", a.crl_der),):
        with Server(binary, root, flags_of(a, trusted_ca_file=a.ca) + ["--client-crl-file=" + path]) as s:
            yield form, s.ready()
            yield "not listed", three(s, a.ca, a.client)
            yield "listed", three(s, a.ca, a.revoked)
            yield "listed, curl", curl(s.port, a.ca, a.revoked)
    http = etcdproc.free_port()
    with Server(binary, root, flags_of(a, trusted_ca_file=a.ca) + ["--client-crl-file=" + a.crl_der,
                                                                 "--listen-client-http-urls=https://127.0.0.1:%d" % http]) as s:
        yield "http listener of its own", s.ready()
        yield "grpc, listed (CVE-2026-59818)", three(s, a.ca, a.revoked)
        yield "http, listed", curl(http, a.ca, a.revoked)
        yield "grpc, not listed", three(s, a.ca, a.client)
        yield "http, not listed", curl(http, a.ca, a.client)


@case
def versions(binary, a, root):
    for more in ({}, {"tls_min_version": "TLS1.3"}, {"tls_max_version": "TLS1.2"}, {"tls_min_version": "TLS1.2", "tls_max_version": "TLS1.3"}):
        with Server(binary, root, flags_of(a, **more)) as s:
            yield "%s" % more, s.ready()
            for v in ("-tls1_1", "-tls1_2", "-tls1_3"):
                yield v, s_client(s.port, v, "-cipher", "DEFAULT@SECLEVEL=0") != "refused"
    for more in ({"tls_min_version": "TLS1.1"}, {"tls_min_version": "TLS1.3", "tls_max_version": "TLS1.2"}, {"tls_max_version": "1.3"}):
        yield "%s" % more, starts(binary, root, flags_of(a, **more))


@case
def cipher_suites(binary, a, root):
    suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    with Server(binary, root, flags_of(a, cipher_suites=suite)) as s:
        yield "starts", s.ready()
        yield "that one", s_client(s.port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
        yield "another", s_client(s.port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384")
        yield "1.3 has its own", s_client(s.port, "-tls1_3") != "refused"
    with Server(binary, root, flags_of(a)) as s:
        yield "by default", s.ready()
        for name in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"):
            yield name, s_client(s.port, "-tls1_2", "-cipher", name)
        for weak in ("RC4-SHA", "DES-CBC3-SHA", "AES128-SHA", "NULL-SHA256", "ADH-AES128-SHA"):
            yield weak, s_client(s.port, "-tls1_2", "-cipher", weak + "@SECLEVEL=0")
    yield "no such suite", starts(binary, root, flags_of(a, cipher_suites="TLS_NONE"))
    yield "with 1.3 alone", starts(binary, root, flags_of(a, cipher_suites=suite, tls_min_version="TLS1.3"))


@case
def alpn(binary, a, root):
    with Server(binary, root, flags_of(a)) as s:
        yield "starts", s.ready()
        for offer in ("h2", "http/1.1", "h2,http/1.1", "http/1.1,h2"):
            yield offer, s_client(s.port, "-alpn", offer, read=False).split(" ")[-1]


@case
def auto_tls(binary, a, root):
    with Server(binary, root, ["--auto-tls"]) as s:
        yield "starts", s.ready()
        yield "skipping verification", ctl(s, None, more=["--insecure-skip-tls-verify"])
        yield "without", ctl(s, None)
        fixtures = os.path.join(s.dir, "fixtures", "client")
        yield "files", sorted(os.listdir(fixtures))
        yield "of modes", [oct(stat.S_IMODE(os.stat(p).st_mode)) for p in (s.dir, os.path.join(fixtures, "key.pem"))]
        cert = os.path.join(fixtures, "cert.pem")
        text = run("openssl", "x509", "-in", cert, "-noout", "-text", "-nameopt", "RFC2253").stdout.decode()
        yield "subject", re.search(r"Subject: (.*)", text).group(1)
        yield "key", re.search(r"NIST CURVE: (\S+)", text).group(1)
        yield "for", re.search(r"Extended Key Usage: *\n *(.*)", text).group(1)
        yield "SAN", re.search(r"Subject Alternative Name: *\n *(.*)", text).group(1)
        days = run("openssl", "x509", "-in", cert, "-noout", "-checkend", str(364 * 86400)).returncode, \
            run("openssl", "x509", "-in", cert, "-noout", "-checkend", str(366 * 86400)).returncode
        yield "a year", days
        with open(cert) as f:
            kept = f.read()
        s.stop()
    with Server(binary, root, ["--auto-tls", "--self-signed-cert-validity=3", "--data-dir=" + s.dir]) as again:
        yield "again", again.ready()
        with open(cert) as f:
            yield "the same files", f.read() == kept
    with Server(binary, root, ["--auto-tls", "--self-signed-cert-validity=3"]) as s:
        yield "of three years", s.ready()
        cert = os.path.join(s.dir, "fixtures", "client", "cert.pem")
        yield "they are", [run("openssl", "x509", "-in", cert, "-noout", "-checkend", str(d * 86400)).returncode for d in (1094, 1096)]
    yield "of none", starts(binary, root, ["--auto-tls", "--self-signed-cert-validity=0"])
    with Server(binary, root, ["--auto-tls"] + flags_of(a)) as s:
        yield "beside certificates", s.ready() and ctl(s, a.ca)


@case
def mixed_listeners(binary, a, root):
    tls, plain, sock = etcdproc.free_port(), etcdproc.free_port(), os.path.join(root, "c.sock")
    urls = "https://127.0.0.1:%d,http://127.0.0.1:%d,http://127.0.0.1:%d" % (tls, tls, plain)
    with Server(binary, root, flags_of(a, trusted_ca_file=a.ca, client_cert_auth="true"), client=urls) as s:
        yield "starts", s.ready()
        yield "https, certificate", ctl(s, a.ca, a.client, endpoint="https://127.0.0.1:%d" % tls)
        yield "https, none", ctl(s, a.ca, endpoint="https://127.0.0.1:%d" % tls)
        yield "http on the same", ctl(s, None, endpoint="http://127.0.0.1:%d" % tls)
        yield "http", ctl(s, None, endpoint="http://127.0.0.1:%d" % plain)
    for scheme in ("unix", "unixs"):
        with Server(binary, root, flags_of(a), client="%s://%s" % (scheme, sock)) as s:
            yield scheme, s.ready()
            yield "curl through it", curl(80, a.ca, host="localhost", scheme="https" if scheme == "unixs" else "http", more=["--unix-socket", sock])


@case
def hosts_and_origins(binary, a, root):
    with Server(binary, root, ["--host-whitelist=good.test", "--cors=http://page.test"], client="http") as s:
        yield "starts", s.ready()
        for host in ("good.test", "bad.test", "127.0.0.1", "localhost", "good.test.bad.test", "GOOD.test"):
            yield "Host: " + host, curl(s.port, None, scheme="http", more=["-H", "Host: " + host])
        for origin in ("http://page.test", "http://other.test"):
            r = run("curl", "-s", "-D", "-", "-o", "/dev/null", "-H", "Host: good.test", "-H", "Origin: " + origin, "http://127.0.0.1:%d/version" % s.port)
            yield "Origin: " + origin, re.findall(r"(?i)access-control-allow-origin: *(\S+)", r.stdout.decode())
    with Server(binary, root, flags_of(a) + ["--host-whitelist=good.test"]) as s:
        yield "https is not asked", s.ready() and curl(s.port, a.ca, more=["-H", "Host: bad.test"])


# ---- peer port ----

def peer_flags(a, **more):
    return ["--peer-cert-file=" + a.server[0], "--peer-key-file=" + a.server[1]] + ["--peer-%s=%s" % (k.replace("_", "-"), v) for k, v in more.items()]


@case
def refused_in_words(binary, a, root):
    """One client, one fault, one line of the log: on both ports."""
    plain = {"client": "http", "peer": "https"}
    sound = [("none", None), ("another CA's", a.other.client), ("expired", a.expired), ("for servers only", a.server_only), ("self-signed", a.self_signed)]
    for where, flags, more, port in (("client", flags_of, {}, lambda s: s.port), ("peer", peer_flags, plain, lambda s: s.peer_port)):
        path = "/members" if where == "peer" else "/version"
        ask = lambda s, cert, *args: curl(port(s), a.ca, cert, path=path, more=["--http1.1"] + list(args))
        for name, cert in sound:
            with Server(binary, root, flags(a, trusted_ca_file=a.ca), **more) as s:
                yield "%s: starts" % where, s.ready()
                ask(s, cert)
                yield "%s: %s" % (where, name), refusals(s)
        with Server(binary, root, flags(a, trusted_ca_file=a.ca), **more) as s:
            yield "%s: starts" % where, s.ready()
            for name, cert in (("another's address", a.ip), ("a name and another's address", a.elsewhere), ("a name that is not there", a.named)):
                ask(s, cert)
                yield "%s: %s" % (where, name), refusals(s)
            curl(port(s), None, a.ip, path=path, host="localhost", more=["-k", "--http1.1"])
            yield "%s: SNI" % where, refusals(s)
            curl(port(s), None, scheme="http", path=path)
            yield "%s: no TLS" % where, refusals(s)
            s_client(port(s), "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
            yield "%s: an old version" % where, refusals(s)
            s_client(port(s), "-tls1_2", "-cipher", "AES128-SHA@SECLEVEL=0")
            yield "%s: no suite" % where, refusals(s)
        with Server(binary, root, flags(a, trusted_ca_file=a.ca) + ["--%s-crl-file=%s" % (where, a.crl_der)], **more) as s:
            yield "%s: starts" % where, s.ready()
            ask(s, a.revoked)
            yield "%s: revoked" % where, refusals(s)
        name = "client-cert" if where == "client" else "peer-cert"
        with Server(binary, root, flags(a, trusted_ca_file=a.ca) + ["--%s-allowed-hostname=other.test" % name], **more) as s:
            yield "%s: starts" % where, s.ready()
            ask(s, a.san)
            yield "%s: another name" % where, refusals(s)
    with Server(binary, root, peer_flags(a, trusted_ca_file=a.ca, cert_allowed_cn="other"), **plain) as s:
        yield "peer: starts", s.ready()
        peer(s, a, a.client)
        yield "peer: another CN", refusals(s)


@case
def peer_versions_and_suites(binary, a, root):
    plain = {"client": "http", "peer": "https"}
    suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    for more in ([], ["--tls-min-version=TLS1.3"], ["--tls-max-version=TLS1.2"]):
        with Server(binary, root, peer_flags(a) + more, **plain) as s:
            yield "%s" % more, s.ready()
            for v in ("-tls1_1", "-tls1_2", "-tls1_3"):
                yield v, s_client(s.peer_port, v, "-cipher", "DEFAULT@SECLEVEL=0") != "refused"
    with Server(binary, root, peer_flags(a) + ["--cipher-suites=" + suite], **plain) as s:
        yield "a suite", s.ready()
        yield "that one", s_client(s.peer_port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
        yield "another", s_client(s.peer_port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384")
    yield "no such suite", starts(binary, root, peer_flags(a) + ["--cipher-suites=TLS_NONE"], **plain)
    yield "with 1.3 alone", starts(binary, root, peer_flags(a) + ["--cipher-suites=" + suite, "--tls-min-version=TLS1.3"], **plain)


@case
def other_listeners(binary, a, root):
    """--listen-metrics-urls and --listen-client-http-urls with https: the client port's files and rules."""
    for extra in ("metrics", "client-http"):
        port = etcdproc.free_port()
        url = "--listen-%s-urls=https://127.0.0.1:%d" % (extra, port)
        with Server(binary, root, flags_of(a, trusted_ca_file=a.ca) + ["--client-crl-file=" + a.crl_der, url]) as s:
            yield extra, s.ready()
            for name in ("client", "revoked", "expired", "server_only", "ip"):
                yield name, curl(port, a.ca, getattr(a, name), path="/health")
            yield "none", curl(port, a.ca, path="/health")
            yield "another CA's", curl(port, a.ca, a.other.client, path="/health")
            yield "plain", curl(port, None, scheme="http", path="/health")
            for v in ("-tls1_1", "-tls1_2", "-tls1_3"):
                yield v, s_client(port, v, "-cipher", "DEFAULT@SECLEVEL=0", cert=a.client) != "refused"
        with Server(binary, root, flags_of(a, trusted_ca_file=a.ca, tls_min_version="TLS1.3") +
                    ["--client-cert-allowed-hostname=client.test", url]) as s:
            yield extra + ", 1.3 and a name", s.ready()
            yield "that name", curl(port, a.ca, a.san, path="/health")
            yield "another", curl(port, a.ca, a.wild, path="/health")
            yield "1.2", s_client(port, "-tls1_2", cert=a.san)
        yield extra + " without certificates", starts(binary, root, [url], client="http")


@case
def odd_chains(binary, a, root):
    """What crypto/x509 accepts of chains is accepted, and no more."""
    odd = Odd(tempfile.mkdtemp(prefix="odd", dir=root) + "/ca")
    plain = {"client": "http", "peer": "https"}
    for where, flags, more, port, versions in (("client", flags_of, {}, lambda s: s.port, ("-tls1_2", "-tls1_3")),
                                               ("peer", peer_flags, plain, lambda s: s.peer_port, ("-tls1_3",))):
        with Server(binary, root, flags(a, trusted_ca_file=odd.trusted), **more) as s:
            yield "%s: starts" % where, s.ready()
            for name, cert in odd.certs.items():
                yield "%s: %s" % (where, name), [s_client(port(s), v, cert=cert) != "refused" for v in versions]
    with Server(binary, root, flags_of(a, trusted_ca_file=odd.mid)) as s:
        yield "an authority below another alone: starts", s.ready()
        yield "by it", ctl(s, a.ca, odd.certs["below what is trusted"])
        yield "by the one above", ctl(s, a.ca, odd.certs["for any use"])


def peer(s, a, cert=None):
    """curl, and openssl with both versions of TLS; the peer port is none of etcdctl's."""
    return [curl(s.peer_port, a.ca, cert, path="/members", more=["--http1.1"]).split(" ")[0]] + \
        [s_client(s.peer_port, v, cert=cert) != "refused" for v in ("-tls1_2", "-tls1_3")]


@case
def peer_certificates(binary, a, root):
    plain = {"client": "http", "peer": "https"}
    with Server(binary, root, peer_flags(a), **plain) as s:
        yield "starts", s.ready()
        yield "no certificate asked for", peer(s, a)
        yield "another CA", curl(s.peer_port, a.other.ca, path="/members", more=["--http1.1"])
    for name, more in (("trusted CA", {"trusted_ca_file": a.ca}), ("and client-cert-auth", {"trusted_ca_file": a.ca, "client_cert_auth": "true"})):
        with Server(binary, root, peer_flags(a, **more), **plain) as s:
            yield name, s.ready()
            for who in ("client", "local", "ip", "server_only", "expired", "self_signed"):
                yield who, peer(s, a, getattr(a, who))
            yield "none", peer(s, a)
            yield "another CA's", peer(s, a, a.other.client)
    with Server(binary, root, peer_flags(a, trusted_ca_file=a.ca) + ["--peer-skip-client-san-verification"], **plain) as s:
        yield "SAN skipped", s.ready()
        yield "another's address", peer(s, a, a.ip)
    with Server(binary, root, peer_flags(a, trusted_ca_file=a.ca, cert_allowed_cn="client,third"), **plain) as s:
        yield "allowed CN", s.ready()
        yield "that one", peer(s, a, a.client)
        yield "another", peer(s, a, a.second)
    with Server(binary, root, peer_flags(a, trusted_ca_file=a.ca, cert_allowed_hostname="client.test") + ["--peer-skip-client-san-verification"], **plain) as s:
        yield "allowed host", s.ready()
        yield "that one", peer(s, a, a.san)
        yield "another", peer(s, a, a.client)
    with Server(binary, root, peer_flags(a, trusted_ca_file=a.ca, crl_file=a.crl_der), **plain) as s:
        yield "CRL", s.ready()
        yield "not listed", peer(s, a, a.client)
        yield "listed", peer(s, a, a.revoked)
    with Server(binary, root, peer_flags(a, trusted_ca_file=a.ca, client_cert_file=a.client[0], client_key_file=a.client[1]), **plain) as s:
        yield "certificate of its own for dialling", s.ready()
    yield "CN and host", starts(binary, root, peer_flags(a, cert_allowed_cn="x", cert_allowed_hostname="y"), **plain)
    yield "no certificate", starts(binary, root, [], **plain)
    yield "no key", starts(binary, root, ["--peer-cert-file=" + a.server[0]], **plain)


@case
def certificates_for_dialling(binary, a, root):
    """A certificate for servers only serves; it takes another to dial with: a member its peers, Go's gateway its own port."""
    serving = ["--cert-file=" + a.server_alone[0], "--key-file=" + a.server_alone[1], "--trusted-ca-file=" + a.ca, "--client-cert-auth"]
    with Server(binary, root, serving + ["--client-cert-file=" + a.client[0], "--client-key-file=" + a.client[1]]) as s:
        yield "client-cert-file", s.ready()
        yield "serves", three(s, a.ca, a.client)
        yield "gateway", run("curl", "-s", "--max-time", "5", "--cacert", a.ca, "--cert", a.client[0], "--key", a.client[1], "-o", "/dev/null",
                             "-w", "%{http_code}", "-d", '{"key":"YQ=="}', s.client_url + "/v3/kv/range").stdout.decode()
    yield "without its key", starts(binary, root, serving + ["--client-cert-file=" + a.client[0]])
    yield "without its certificate", starts(binary, root, serving + ["--client-key-file=" + a.client[1]])
    serving = ["--peer-cert-file=" + a.server_alone[0], "--peer-key-file=" + a.server_alone[1], "--peer-trusted-ca-file=" + a.ca, "--peer-client-cert-auth"]
    peers = {"client": "http", "peer": "https"}
    yield "a member without its key", starts(binary, root, serving + ["--peer-client-cert-file=" + a.client[0]], **peers)
    yield "a member without its certificate", starts(binary, root, serving + ["--peer-client-key-file=" + a.client[1]], **peers)
    for name, more in (("peer-client-cert-file", ["--peer-client-cert-file=" + a.client[0], "--peer-client-key-file=" + a.client[1]]), ("none", [])):
        ports = [etcdproc.free_port(), etcdproc.free_port()]
        both = ["--initial-cluster=" + ",".join("m%d=https://127.0.0.1:%d" % (i, p) for i, p in enumerate(ports))]
        with contextlib.ExitStack() as stack:
            members = [stack.enter_context(Server(binary, root, serving + more + both + ["--name=m%d" % i] + ["--%s=https://127.0.0.1:%d" % (f, p) for f in (
                "listen-peer-urls", "initial-advertise-peer-urls")], **peers)) for i, p in enumerate(ports)]
            end, met = time.monotonic() + (20 if more else 4), False
            while time.monotonic() < end and not met:
                met = all("ready to serve client requests" in m.log() for m in members)
                time.sleep(0.05)
            yield "two members with " + name, met


@case
def names_in_the_file(binary, a, root):
    """Keys of the YAML file that have no flag, and the same as flags have."""
    for side, listen in (("client", {"client": "https", "peer": "http"}), ("peer", {"client": "http", "peer": "https"})):
        for key, value, right, wrong in (("allowed-cn", "[client]", a.client, a.second), ("allowed-hostname", "[client.test]", a.san, a.wild)):
            probe = Server(binary, root, ["--version"], **listen)
            probe.stop()
            path = os.path.join(root, "%s-%s.yml" % (side, key))
            with open(path, "w") as f:
                f.write("name: n1\ndata-dir: %s\nlisten-client-urls: %s\nadvertise-client-urls: %s\nlisten-peer-urls: %s\n"
                        "initial-advertise-peer-urls: %s\ninitial-cluster: n1=%s\n%s-transport-security:\n  cert-file: %s\n  key-file: %s\n"
                        "  trusted-ca-file: %s\n  client-cert-auth: true\n  %s: %s\n" % (probe.dir, probe.client_url, probe.client_url, probe.peer_url,
                        probe.peer_url, probe.peer_url, side, a.server[0], a.server[1], a.ca, key, value))
            with Server(binary, root, ["--config-file=" + path], **listen) as s:
                s.port, s.peer_port, s.client_url = probe.port, probe.peer_port, probe.client_url
                started = s.ready()
                yield "%s: %s" % (side, key), started
                for name, cert in (("right", right), ("wrong", wrong), ("none", None)):
                    yield name, started and (three(s, a.ca, cert) if side == "client" else peer(s, a, cert))


@case
def peer_auto_tls(binary, a, root):
    with Server(binary, root, ["--peer-auto-tls"], client="http", peer="https") as s:
        yield "starts", s.ready()
        fixtures = os.path.join(s.dir, "fixtures", "peer")
        yield "files", sorted(os.listdir(fixtures))
        yield "mode", oct(stat.S_IMODE(os.stat(os.path.join(fixtures, "key.pem")).st_mode))
        yield "serves", curl(s.peer_port, None, path="/members", more=["-k", "--http1.1"])


# ---- ours alone ----

def s_client_session(s, version, saved, cert, write):
    """A request with a session that is saved or taken up again: what s_client printed."""
    return run("openssl", "s_client", "-connect", "127.0.0.1:%d" % s.port, version, "-sess_out" if write else "-sess_in", saved, "-ign_eof",
               "-cert", cert[0], "-key", cert[1], stdin=b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").stdout


def expired_sessions(binary, a, root):
    """A session lives no longer than the certificate that began it."""
    when = lambda t: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(t))
    end = time.time() + 4
    short = a.leaf("short", dates=(when(end - 86400), when(end)))
    with Server(binary, root, flags_of(a, trusted_ca_file=a.ca)) as s:
        assert s.ready()
        saved = {v: os.path.join(root, "short" + v) for v in ("-tls1_2", "-tls1_3")}
        for v in saved:
            assert b"HTTP/1.1 200" in s_client_session(s, v, saved[v], short, True)
            assert b"Reused, TLSv1" in s_client_session(s, v, saved[v], short, False)
        time.sleep(max(0, end + 1.5 - time.time()))
        for v in saved:
            out = s_client_session(s, v, saved[v], short, False)
            assert b"HTTP/1.1 200" not in out, "%s: an expired certificate is let in again:\n%s" % (v, out.decode(errors="replace")[-600:])
            print("ok: %s: a session ends with its client's certificate" % v)


def names_of_servers(binary, a, root):
    """A server's names are those of its SAN, a common name is none: for our etcdctl as for Go's."""
    nameless = a.leaf("localhost")
    with Server(binary, root, ["--cert-file=" + nameless[0], "--key-file=" + nameless[1]]) as s:
        assert s.ready()
        for tool in (ARGS.ctl, etcdproc.oracle("etcdctl")):
            ask = lambda *how: run(tool, "--endpoints=https://localhost:%d" % s.port, "--command-timeout=1s", *how, "get", "a").returncode
            assert ask("--insecure-skip-tls-verify") == 0, "%s does not reach the server" % tool
            assert ask("--cacert=" + a.ca), "%s takes a common name for the server's" % tool
        print("ok: a common name is no server's name")


def ours_alone(binary, a, root):
    """Resumption, the limit of a handshake, an existing directory's mode."""
    expired_sessions(binary, a, root)
    names_of_servers(binary, a, root)
    with Server(binary, root, flags_of(a)) as s:
        assert s.ready()
        for v in ("-tls1_2", "-tls1_3"):
            saved = os.path.join(root, "session" + v)
            run("openssl", "s_client", "-connect", "127.0.0.1:%d" % s.port, v, "-sess_out", saved, "-ign_eof",
                stdin=b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            r = run("openssl", "s_client", "-connect", "127.0.0.1:%d" % s.port, v, "-sess_in", saved, "-ign_eof",
                    stdin=b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"Reused, TLSv1" in r.stdout and b"HTTP/1.1 200" in r.stdout, r.stdout[-500:]
            print("ok: %s: sessions are resumed" % v)
        idle = socket.create_connection(("127.0.0.1", s.port))
        began = time.monotonic()
        idle.settimeout(15)
        assert idle.recv(1) == b"" and 9 < time.monotonic() - began < 12
        print("ok: a handshake has ten seconds")
    left = os.path.join(root, "open")
    os.mkdir(left, 0o755)
    with Server(binary, root, flags_of(a) + ["--data-dir=" + left]) as s:
        assert s.ready() and ("not recommended" in s.log() or "permission" in s.log()), s.log()[-800:]
        modes = {os.path.relpath(os.path.join(d, f), left): stat.S_IMODE(os.stat(os.path.join(d, f)).st_mode)
                 for d, dirs, files in os.walk(left) for f in dirs + files}
        wide = {f: oct(m) for f, m in modes.items() if m & 0o077}
        assert not wide, "others may look into %s" % wide
        print("ok: %d files and directories are the owner's alone" % len(modes))


def main():
    global ARGS
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--ctl", default=os.environ.get("CETCD_ETCDCTL") or etcdproc.oracle("etcdctl"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("--only")
    ARGS = p.parse_args()
    if not ARGS.ours or not ARGS.go or not ARGS.ctl or not shutil.which("openssl") or not shutil.which("curl"):
        print("SKIP: needs a server (CETCD_ETCD), etcdctl, openssl, curl, and Go etcd to compare with (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    failed = count = 0
    with tempfile.TemporaryDirectory(prefix="tls") as root:
        a = Authority(os.path.join(root, "ca"))
        for f in CASES:
            if ARGS.only and f.__name__ != ARGS.only:
                continue
            for (name, got), (_, want) in zip(f(ARGS.ours, a, root), f(ARGS.go, a, root)):
                count += 1
                known = KNOWN.get((f.__name__, name))
                failed += got != want and not known
                print("%s%s: %s: %s%s" % ("" if got == want or known else "DIFFERS ", f.__name__, name, got,
                                          "" if got == want else "   Go: %s%s" % (want, known and " (%s)" % known or "")), flush=True)
        if ARGS.only in (None, "ours_alone"):
            ours_alone(ARGS.ours, a, root)
    print("%d answers, %d differ" % (count, failed))
    sys.exit(1 if failed else 0)


main()
