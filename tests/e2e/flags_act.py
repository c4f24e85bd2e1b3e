#!/usr/bin/env python3
"""Flags that no other test shows to act: each is given to Go's etcd and to ours, and what it changes must be the same, and a change.

usage: flags_act.py [CASE...]; CETCD_ETCD is ours, Go etcd as in run.py. Exit code 77: one is missing."""
import glob
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "attack")]
import etcdproc
import h2
from etcdcluster import Cluster, wait
from etcdproc import Server

BINARIES = {"go": etcdproc.oracle("etcd"), "ours": os.environ["CETCD_ETCD"]}
CTL = etcdproc.oracle("etcdctl")
if not BINARIES["go"] or not CTL:
    print("SKIP: no Go etcd to compare with: make oracle")
    sys.exit(etcdproc.SKIPPED)
CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def refused(kind, *flags, say, seconds=15):
    """Whether it ends by itself, and says that."""
    s = Server(BINARIES[kind], flags)
    with open(s.log_path, "ab") as log:
        s.process = subprocess.Popen(s.args(), stdout=log, stderr=log, cwd=s.root)
    try:
        code = s.process.wait(seconds)
    except subprocess.TimeoutExpired:
        s.kill()
        code = "runs"
    with open(s.log_path) as f:
        said = say in f.read()
    shutil.rmtree(s.root, True)
    return code != 0 and code != "runs", said


@case
def grpc_gateway(kind):
    """--enable-grpc-gateway"""
    got = []
    for flag in ("true", "false"):
        with Server(BINARIES[kind], ["--enable-grpc-gateway=" + flag]) as s:
            got.append([etcdproc.get(s.port, path, "POST", b"{}")[0] for path in ("/v3/maintenance/status", "/v3/cluster/member/list", "/v3/nothing")] +
                       [etcdproc.get(s.port, "/version")[0]])
    assert got[0] != got[1], got
    return got


@case
def keepalive(kind):
    """--grpc-keepalive-interval, --grpc-keepalive-timeout: a silent client is pinged and, without an answer, left."""
    got = []
    for flags in (["--grpc-keepalive-interval=1s", "--grpc-keepalive-timeout=1s"], []):
        with Server(BINARIES[kind], flags) as s:
            c = h2.Conn(s.port)
            kinds = [f[0] for f in c.frames(5)]
            got.append((h2.PING in kinds, c.alive()))
    assert got == [(True, False), (False, True)], got
    return got


@case
def keepalive_min_time(kind):
    """--grpc-keepalive-min-time: three pings of a client within it are too many."""
    got = []
    for minimum in ("1ms", "1h"):
        with Server(BINARIES[kind], ["--grpc-keepalive-min-time=" + minimum]) as s:
            c = h2.Conn(s.port)
            c.request("/etcdserverpb.Watch/Watch", b"", end=False)      # without a stream the limit is two hours
            for i in range(6):
                c.send(h2.frame(h2.PING, 0, 0, b"12345678"))
                time.sleep(0.1)
            goaway = [f[3] for f in c.frames(1) if f[0] == h2.GOAWAY]
            got.append([(g[7], g[8:]) for g in goaway])
    assert got == [[], [(11, b"too_many_pings")]], got
    return got


@case
def log_rotation(kind):
    """--enable-log-rotation, --log-rotation-config-json: a file of 1 MB at most, two old ones kept."""
    got = []
    for compress in ("false", "true"):
        folder = tempfile.mkdtemp(prefix="etcdlog")
        path = os.path.join(folder, "etcd.log")
        with Server(BINARIES[kind], ["--log-outputs=" + path, "--enable-log-rotation",
                                     '--log-rotation-config-json={"maxsize":1,"maxbackups":2,"compress":%s}' % compress]) as s:
            cluster = "%016x" % 1
            text = ("POST /raft HTTP/1.1\r\nHost: a\r\nX-Server-From: %s\r\nX-Etcd-Cluster-Id: %s\r\nX-Server-Version: 3.7.1\r\n"
                    "X-Min-Cluster-Version: 3.0.0\r\nContent-Length: 0\r\n\r\n" % ("f" * 900, cluster)).encode()
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and len({p[:-3] if p.endswith(".gz") else p for p in glob.glob(folder + "/etcd-*")}) < 2:
                with socket.create_connection(("127.0.0.1", s.peer_port)) as c:
                    for _ in range(200):
                        c.sendall(text)
                        if not c.recv(4096):
                            break
            time.sleep(1)
            old = sorted(os.path.basename(p) for p in glob.glob(folder + "/etcd-*"))
            large = [os.path.getsize(p) > 1 << 20 for p in glob.glob(folder + "/*")]
        got.append((len(old), sorted({re.sub(r"\d", "0", n) for n in old}), any(large)))
        shutil.rmtree(folder, True)
    assert got[0][0] == 2 and got[0] != got[1], got
    return got


@case
def socket_reuse(kind):
    """--socket-reuse-port: a second process may listen on the same ports."""
    got = []
    for flags in ([], ["--socket-reuse-port=true"], ["--socket-reuse-port=true", "--socket-reuse-address=true"]):
        with Server(BINARIES[kind], flags) as first:
            second = Server(BINARIES[kind], flags)
            second.port, second.peer_port, second.endpoint = first.port, first.peer_port, first.endpoint
            with open(second.log_path, "ab") as log:
                second.process = subprocess.Popen(second.args(), stdout=log, stderr=log, cwd=second.root)
            ready = lambda: second.process.poll() is not None or "ready to serve client requests" in open(second.log_path).read()
            wait(ready, 20, "starts or ends")
            with open(second.log_path) as f:
                text = f.read()
            got.append((second.process.poll(), "address already in use" in text, "configuring socket options" in text))
            second.kill()
            shutil.rmtree(second.root, True)
    assert got[0][0] and got[1][0] is None, got
    return got


@case
def no_fsync(kind):
    """--unsafe-no-fsync"""
    if not shutil.which("strace"):
        return "no strace here"
    got = []
    for flags in ([], ["--unsafe-no-fsync"]):
        with Server(BINARIES[kind], flags) as s:
            trace = os.path.join(s.root, "trace")
            p = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range,io_uring_enter", "-o", trace, "-p",
                                  str(s.process.pid)], stderr=subprocess.PIPE)
            time.sleep(1)
            for i in range(20):
                s.ctl("put", "k", "v")
            time.sleep(0.5)
            p.terminate()
            p.wait()
            with open(trace) as f:
                got.append(len(re.findall(r"\bf(?:data)?sync\(", f.read())) >= 20)
    assert got == [True, False], got
    return got


@case
def election_ticks(kind):
    """--initial-election-tick-advance: whether members that see each other skip most of the first election timeout."""
    got = []
    for flag in ("true", "false"):
        c = Cluster([kind] * 3, BINARIES, ["--initial-election-tick-advance=" + flag, "--election-timeout=3000", "--heartbeat-interval=100"])
        try:
            c.start()
            log = "".join(m.log() for m in c)
            got.append("fast-forwarding" in log)
        finally:
            c.close()
    assert got == [True, False], got
    return got


@case
def write_timeout(kind):
    """--raft-write-timeout: a member that takes nothing is given up after that time, not before."""
    got = []
    for flags in ([], ["--raft-write-timeout=60s", "--raft-read-timeout=60s"]):
        c = Cluster([kind] * 3, BINARIES, flags)
        try:
            c.start()
            still = c.followers()[0]
            other = next(m for m in c if m is not still)
            still.pause()
            text = "x" * 500000
            end = time.monotonic() + 12
            cut = False
            while time.monotonic() < end and not cut:
                for m in c:
                    if m is not still:
                        try:
                            m.put("k", text)
                        except Exception:
                            pass
                cut = any("lost TCP streaming connection" in m.log() or "sending buffer is full" in m.log() and "i/o timeout" in m.log() or
                          "write: " in m.log() or "closed TCP streaming connection with remote peer" in m.log() for m in c if m is not still)
            got.append(cut)
            still.resume()
        finally:
            c.close()
    assert got == [True, False], got
    return got


@case
def read_timeout(kind):
    """--raft-read-timeout: an idle connection to the peer port is closed after that time."""
    got = []
    for flags in ([], ["--raft-read-timeout=60s"]):
        with Server(BINARIES[kind], flags) as s:
            with socket.create_connection(("127.0.0.1", s.peer_port)) as c:
                c.settimeout(8)
                try:
                    got.append(c.recv(100))
                except socket.timeout:
                    got.append("open")
    assert got == [b"", "open"], got
    return got


CERTS = """
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 9
for n in m1 m2 client; do
openssl req -newkey rsa:2048 -nodes -keyout $n-key.pem -out $n.csr -subj /CN=$n
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:'$n'.test\n' > ext
openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out $n.pem -days 9 -extfile ext
done
openssl req -x509 -newkey rsa:2048 -nodes -keyout other-key.pem -out other.pem -subj /CN=other -days 9
touch index.txt; echo 01 > number
cat > ca.conf <<EOF
[ca]
default_ca = it
[it]
database = index.txt
crlnumber = number
certificate = ca.pem
private_key = ca-key.pem
default_md = sha256
default_crl_days = 9
EOF
openssl ca -config ca.conf -gencrl -out none.crl
openssl ca -config ca.conf -revoke m2.pem
openssl ca -config ca.conf -gencrl -out m2.crl
for n in none m2; do openssl crl -in $n.crl -outform DER -out $n.der; done
"""


def certificates():
    folder = tempfile.mkdtemp(prefix="etcdcerts")
    subprocess.run(["sh", "-e", "-c", CERTS], cwd=folder, check=True, capture_output=True)
    return folder


@case
def peer_tls(kind):
    """--peer-crl-file, --peer-cert-allowed-hostname: who may join the talk. Upstream asks the list about those who dial only, so that two members
    still talk by what the other one dials; ours asks about those it dials as well."""
    folder, got = certificates(), []
    for flags in ([], ["--peer-crl-file=none.der"], ["--peer-crl-file=m2.der"], ["--peer-cert-allowed-hostname=localhost"],
                  ["--peer-cert-allowed-hostname=m1.test"], ["--peer-cert-allowed-hostname=else.test"]):
        c = Cluster([kind] * 2, BINARIES, ["--peer-trusted-ca-file=%s/ca.pem" % folder, "--peer-client-cert-auth"] +
                    [f.replace("=none", "=%s/none" % folder).replace("=m2.der", "=%s/m2.der" % folder) for f in flags])
        try:
            for m in c:
                m.peer_url = m.peer_url.replace("http:", "https:")
                m.flags += ["--peer-cert-file=%s/%s.pem" % (folder, m.name), "--peer-key-file=%s/%s-key.pem" % (folder, m.name)]
            for m in c:
                m.start()
            try:
                wait(lambda: all(m.ready() for m in c), 8, "they find each other")
                got.append((flags, "together"))
            except AssertionError:
                got.append((flags, "apart"))
            if flags == ["--peer-crl-file=m2.der"]:
                assert got[-1][1] == {"go": "together", "ours": "apart"}[kind], got
                got[-1] = "revoked" in c[0].log()
        finally:
            c.close()
    shutil.rmtree(folder, True)
    assert [g if g is True else g[1] for g in got] == ["together", "together", True, "together", "apart", "apart"], got
    return got


@case
def discovery(kind):
    """--discovery-*: the keeper of the registry wants TLS, a certificate, a user."""
    folder, got = certificates(), []
    tls = etcdproc.free_port()
    keeper = Server(BINARIES["go"])
    keeper.flags += ["--listen-client-urls=%s,https://127.0.0.1:%d" % (keeper.endpoint, tls), "--cert-file=%s/m1.pem" % folder,
                     "--key-file=%s/m1-key.pem" % folder, "--trusted-ca-file=%s/ca.pem" % folder, "--client-cert-auth"]
    with keeper:
        for words in (("user", "add", "root:r"), ("user", "grant-role", "root", "root"), ("put", "/_etcd/registry/t/_config/size", "1"),
                      ("auth", "enable")):
            keeper.ctl(*words)
        secure = ["--discovery-cacert=%s/ca.pem" % folder, "--discovery-cert=%s/client.pem" % folder, "--discovery-key=%s/client-key.pem" % folder,
                  "--discovery-insecure-transport=false"]
        right = ["--discovery-user=root", "--discovery-password=r"]
        endpoint = "--discovery-endpoints=https://127.0.0.1:%d" % tls
        plain = "--discovery-endpoints=" + keeper.endpoint
        for what, flags in (("all right", [endpoint] + secure + right),
                            ("user with its password", [endpoint] + secure + ["--discovery-user=root:r"]),
                            ("wrong password", [endpoint] + secure + ["--discovery-user=root", "--discovery-password=x"]),
                            ("no user", [endpoint] + secure),
                            ("no certificate", [endpoint, secure[0], secure[3]] + right),
                            ("another authority", [endpoint, "--discovery-cacert=%s/other.pem" % folder] + secure[1:] + right),
                            ("not verified", [endpoint, "--discovery-insecure-skip-tls-verify"] + secure[1:] + right),
                            ("plain", [plain] + right),
                            ("times", [plain, "--discovery-dial-timeout=1s", "--discovery-request-timeout=2s", "--discovery-keepalive-time=1s",
                                       "--discovery-keepalive-timeout=2s"] + right),
                            ("no file", [endpoint, "--discovery-cacert=/nowhere"] + secure[1:] + right)):
            keeper.ctl("--user=root:r", "del", "/_etcd/registry/t/members/", "--prefix")
            s = Server(BINARIES[kind], ["--discovery-token=t"] + flags)
            args = [a for a in s.args() if not a.startswith("--initial-cluster=")]
            with open(s.log_path, "ab") as log:
                s.process = subprocess.Popen(args, stdout=log, stderr=log, cwd=s.root)
            end = time.monotonic() + 6
            while time.monotonic() < end and s.process.poll() is None and not s.serves():
                time.sleep(0.05)
            with open(s.log_path) as f:
                why = re.search(r"failed to join discovery cluster \(([^()]*)\)", f.read())
            got.append((what, "ended" if s.process.poll() is not None else "serves" if s.serves() else "waits", why and why.group(1)))
            s.kill()
            shutil.rmtree(s.root, True)
    shutil.rmtree(folder, True)
    return got


def main():
    wrong = 0
    for name in sys.argv[1:] or CASES:
        results = {}
        for kind in BINARIES:
            try:
                results[kind] = CASES[name](kind)
            except AssertionError as e:
                results[kind] = "AssertionError: %s" % e
        same = results["go"] == results["ours"] and not str(results["ours"]).startswith("AssertionError")
        wrong += not same
        print("%s %s" % ("ok    " if same else "FAILED", name), flush=True)
        if not same:
            print("  go   %.2000s\n  ours %.2000s" % (results["go"], results["ours"]), flush=True)
    sys.exit(1 if wrong else 0)


main()
