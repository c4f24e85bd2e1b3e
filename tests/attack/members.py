#!/usr/bin/env python3
"""Attacks on a peer port, and by a member: what is not of this cluster, malformed, huge, slow or without end is refused; memory stays below
a bound, nothing is left on the disk, and clients are served meanwhile.

usage: members.py [--ours ETCD] [--only NAME]"""
import argparse
import os
import re
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time

from victim import MB, Bystander, Memory, certificates, client_context
import etcdproc

try:
    import grpc                                 # noqa: only asked for
    import etcdapi                              # noqa
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

ATTACKS = {}


def attack(bound_mb, tls=False):
    def add(f):
        ATTACKS[f.__name__] = (f, bound_mb, tls)
        return f
    return add


class Target:
    """A member alone, and what it says of itself."""
    def __init__(self, server, tls):
        self.server, self.tls = server, tls
        head, _ = self.ask(b"GET /members HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.cluster = re.search(rb"X-Etcd-Cluster-ID: *([0-9a-f]+)", head, re.I).group(1)

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.server.peer_port), 10)
        return client_context(()).wrap_socket(s) if self.tls else s

    def ask(self, data, seconds=8):
        """(head, body) of an answer; ("", "") if the connection ends without."""
        s = self.connect()
        s.settimeout(seconds)
        try:
            for at in range(0, len(data), 65536):
                s.sendall(data[at:at + 65536])
        except OSError:
            pass
        got = b""
        try:
            while True:
                more = s.recv(65536)
                if not more:
                    break
                got += more
                if re.search(rb"content-length: *0\r\n", got, re.I) or b" 204 " in got[:20]:
                    break
        except OSError:
            pass
        s.close()
        head, _, body = got.partition(b"\r\n\r\n")
        return head, body

    def headers(self, cluster=None):
        return (b"Host: x\r\nX-Server-From: b\r\nX-Server-Version: 3.7.1\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: " +
                (cluster or self.cluster) + b"\r\nX-PeerURLs: http://127.0.0.1:1\r\n")

    def post(self, path, body, cluster=None, length=None, seconds=8):
        return self.ask(b"POST " + path + b" HTTP/1.1\r\n" + self.headers(cluster) + b"Connection: close\r\nContent-Length: %d\r\n\r\n" %
                        (len(body) if length is None else length) + body, seconds)

    def member_id(self):
        import json
        return json.loads(self.ask(b"GET /members HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[1])[0]["id"]

    def left_behind(self):
        snap = os.path.join(self.server.dir, "member", "snap")
        return [f for f in os.listdir(snap) if f.startswith("tmp") or f.endswith(".snap.db")]


def status(answer):
    return answer[0].split(b" ")[1].decode() if answer[0] else "closed"


def varint(n):
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(kind, to, sender=0xb, more=b""):
    return field(1, kind) + field(2, to) + field(3, sender) + more


def expect(got, wanted, what):
    assert got in wanted, "%s: %s, wanted one of %s" % (what, got, wanted)


# ---- from outside ----

@attack(16)
def strangers(t):
    """Another cluster, no versions, unknown members, wrong addresses."""
    me = t.member_id()
    expect(status(t.post(b"/raft", message(8, me), cluster=b"1")), ["412"], "another cluster's message")
    expect(status(t.post(b"/raft/snapshot", b"", cluster=b"1")), ["412"], "another cluster's snapshot")
    expect(status(t.ask(b"POST /raft HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")), ["412"], "no headers at all")
    expect(status(t.post(b"/raft", message(8, 12345))), ["500", "closed"], "a message for somebody else")
    for kind in (b"msgapp", b"message"):
        got = t.ask(b"GET /raft/stream/" + kind + b"/b HTTP/1.1\r\n" + t.headers() + b"X-Raft-To: %x\r\nConnection: close\r\n\r\n" % me)
        expect(status(got), ["404"], "a stream for a stranger")
    for path in (b"/raft/stream/", b"/raft/stream/msgapp/", b"/raft/stream/msgapp/zz", b"/raft/stream/other/b", b"/raft/../members", b"/" + b"a" * 60000):
        got = status(t.ask(b"GET " + path + b" HTTP/1.1\r\n" + t.headers() + b"Connection: close\r\n\r\n"))
        expect(got, ["404", "431", "400", "closed"], path[:40])
    return "all refused"


@attack(32)
def rubbish(t):
    """Bodies that do not parse, of every message type, and heads that are none."""
    me, rng = t.member_id(), __import__("random").Random(7)
    for i in range(200):
        body = bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
        if i % 2:
            whole = message(rng.randrange(24), me, more=field(4, rng.randrange(100)) + field(7, body))
            body = whole[:rng.randrange(len(whole))]
        expect(status(t.post(b"/raft", body)), ["400", "500", "204", "closed"], "rubbish %d" % i)
    for head in (b"\0" * 1000, b"POST /raft HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"POST /raft HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                 b"POST /raft HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                 b"POST /raft HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"):
        t.ask(head, 2)
    return "refused"


@attack(96)
def announced(t):
    """500 MB announced a hundred times, a few bytes sent."""
    sockets = []
    for _ in range(100):
        s = t.connect()
        s.sendall(b"POST /raft HTTP/1.1\r\n" + t.headers() + b"Content-Length: 500000000\r\n\r\n" + b"x" * 1000)
        sockets.append(s)
    time.sleep(1)
    return "100 of them"


@attack(256)
def bodies(t):
    """Forty messages of 100 MB at once: one may be as large as a message may be, together they are bounded."""
    def send():
        s = t.connect()
        s.settimeout(5)
        try:
            s.sendall(b"POST /raft HTTP/1.1\r\n" + t.headers() + b"Content-Length: 100000000\r\n\r\n")
            for _ in range(99 * 16):
                s.sendall(b"x" * 65536)
            time.sleep(2)
        except OSError:
            pass
        s.close()
    threads = [threading.Thread(target=send, daemon=True) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return "4 GB"


@attack(32)
def small_calls(t):
    """Bodies for the other endpoints, too large or never finished."""
    for path in (b"/leases", b"/leases/internal", b"/members/promote/1"):
        expect(status(t.post(path, b"x" * 100000)), ["413", "400"], path)
        expect(status(t.post(path, b"x" * 100, length=60000)), ["408", "400", "closed"], path)
    return "413, 408"


@attack(32)
def snapshots(t):
    """Snapshots that are none."""
    me = t.member_id()
    metadata = field(2, 100) + field(3, 1)
    good = message(7, me, more=field(4, 5) + field(9, field(1, b"{}") + field(2, metadata)))

    def send(body, length=None):
        return status(t.post(b"/raft/snapshot", body, length=length))
    expect(send(struct.pack(">Q", 1 << 60) + b"x"), ["400"], "a head of an exabyte")
    expect(send(struct.pack(">Q", 65 << 20) + b"x"), ["400"], "a head of 65 MB")
    expect(send(struct.pack(">Q", 10) + b"x" * 10), ["400"], "a head that does not parse")
    expect(send(b"abc"), ["400"], "three bytes")
    expect(send(struct.pack(">Q", len(message(8, me))) + message(8, me)), ["400"], "a heartbeat")
    expect(send(struct.pack(">Q", len(good)) + good), ["500"], "no database")
    expect(send(struct.pack(">Q", len(good)) + good + b"d" * MB, length=len(good) + 8 + (1 << 40)), ["500", "closed"], "a terabyte that stops")
    begun = []
    for _ in range(20):
        s = t.connect()
        s.sendall(b"POST /raft/snapshot HTTP/1.1\r\n" + t.headers() + b"Content-Length: 1000000000\r\n\r\n" + struct.pack(">Q", len(good)) + good)
        begun.append(s)
    time.sleep(0.5)
    for s in begun:
        s.close()
    time.sleep(1)
    assert not t.left_behind(), "left behind: %s" % t.left_behind()
    return "refused, nothing left behind"


@attack(128)
def connections(t):
    """3,000 connections that say nothing; they are closed after five seconds."""
    sockets = [t.connect() for _ in range(3000)]
    time.sleep(7)
    open_ = 0
    for s in sockets[::10]:
        s.settimeout(0.01)
        try:
            open_ += s.recv(1) != b""
        except socket.timeout:
            open_ += 1
        except OSError:
            pass
    assert not open_, "%d of 300 are still open" % open_
    return "closed"


@attack(32)
def heads(t):
    """Header lines without end."""
    s = t.connect()
    end, sent = time.monotonic() + 10, 0
    try:
        s.sendall(b"GET /version HTTP/1.1\r\n")
        while time.monotonic() < end:
            s.sendall(b"x: " + b"y" * 1000 + b"\r\n")
            sent += 1000
    except OSError:
        return "cut after %d KB" % (sent >> 10)
    raise AssertionError("header lines for ten seconds")


@attack(96, tls=True)
def handshakes(t):
    """Handshakes begun and left, and whole ones."""
    begun = []
    for _ in range(500):
        s = socket.create_connection(("127.0.0.1", t.server.peer_port), 10)
        s.sendall(b"\x16\x03\x01\x02\x00\x01")
        begun.append(s)
    end, count = time.monotonic() + 3, 0
    while time.monotonic() < end:
        t.connect().close()
        count += 1
    return "500 left, %d made" % count


# ---- by a member: we are one of two, and it dials our streams ----

class Member:
    """Answers every stream with what make() gives, and probes, versions and members with what is expected."""
    def __init__(self, make):
        self.make, self.port, self.served = make, etcdproc.free_port(), 0
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.cluster = b"0"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            s.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head:
                more = s.recv(65536)
                if not more:
                    return
                head += more
            found = re.search(rb"X-Etcd-Cluster-ID: *([0-9a-f]+)", head, re.I)
            cluster = found.group(1) if found else b"0"
            line = head.split(b"\r\n")[0]
            if b"/raft/stream/" in line:
                s.sendall(b"HTTP/1.1 200 OK\r\nX-Etcd-Cluster-ID: " + cluster + b"\r\nX-Server-Version: 3.7.1\r\nTransfer-Encoding: chunked\r\n\r\n")
                self.served += 1
                data = self.make(b"msgapp" in line)
                for at in range(0, len(data), 32768):
                    part = data[at:at + 32768]
                    s.sendall(b"%x\r\n" % len(part) + part + b"\r\n")
                time.sleep(0.2)
            elif b"/raft/probing" in line:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"OK\":true}\n")
            else:
                s.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            pass
        finally:
            s.close()


EVIL = {
    "huge length": lambda app: struct.pack(">BQ", 1, 1 << 62) if app else struct.pack(">Q", 1 << 62),
    "600 MB": lambda app: (struct.pack(">BQ", 2, 600 << 20) if app else struct.pack(">Q", 600 << 20)) + b"x" * 100000,
    "entries without end": lambda app: struct.pack(">BQ", 1, 1 << 40) + b"\0" * 8 * 1000 if app else b"",
    "unknown kind": lambda app: b"\x09" + b"z" * 100 if app else struct.pack(">Q", 3) + b"zzz",
    "empty entries": lambda app: struct.pack(">BQ", 1, 1000000) + struct.pack(">Q", 0) * 1000000 if app else struct.pack(">Q", 0) * 100000,
    "heartbeats": lambda app: (b"\0" * 2000000) if app else struct.pack(">Q", 4) + message(8, 0)[:4],
    "text": lambda app: b"GET / HTTP/1.1\r\n\r\n" * 1000,
}


def by_members(binary):
    """Two of three are evil; the third must live, small, and answer what a member without quorum can."""
    failures = 0
    for name, make in EVIL.items():
        evil = [Member(make), Member(make)]
        server = etcdproc.Server(binary)
        server.peer_url = "http://127.0.0.1:%d" % server.peer_port
        server.flags += ["--initial-advertise-peer-urls=" + server.peer_url,
                         "--initial-cluster=n1=%s,e1=http://127.0.0.1:%d,e2=http://127.0.0.1:%d" %
                         (server.peer_url, evil[0].port, evil[1].port)]
        with open(server.log_path, "ab") as log:
            import subprocess
            env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
            server.process = subprocess.Popen(server.args(), stdout=log, stderr=log, env=env, cwd=server.root)
        try:
            end = time.monotonic() + 10
            while time.monotonic() < end and not evil[0].served:
                time.sleep(0.05)
            memory = Memory(server.process.pid)
            time.sleep(2.5)
            assert server.process.poll() is None, "it ended:\n" + server.log_tail()
            assert evil[0].served >= 4, "it does not come back"
            grown = memory.grown()
            assert grown < 96 * MB, "%d MB more" % (grown >> 20)
            print("member %-19s %3d MB before, at most %4d more, bound   96; %d streams" % (name.replace(" ", "_"), memory.before >> 20, grown >> 20,
                                                                                           evil[0].served), flush=True)
        except AssertionError as e:
            failures += 1
            print("member %s FAILED: %s" % (name, e), flush=True)
        finally:
            server.kill()
            for m in evil:
                m.listener.close()
            import shutil
            shutil.rmtree(server.root, True)
    return failures


def play(binary, certs, only):
    failures = 0
    for name, (run, bound_mb, tls) in ATTACKS.items():
        if only and name != only:
            continue
        server = etcdproc.Server(binary)
        scheme = "https" if tls else "http"
        url = "%s://127.0.0.1:%d" % (scheme, server.peer_port)
        server.flags += ["--listen-peer-urls=" + url, "--initial-advertise-peer-urls=" + url, "--initial-cluster=n1=" + url]
        if tls:
            server.flags += ["--peer-cert-file=%s/server.pem" % certs, "--peer-key-file=%s/server-key.pem" % certs]
        with server:
            bystander, t = Bystander(server.target), Target(server, tls)
            memory = Memory(server.process.pid)
            try:
                told = run(t)
                grown = memory.grown()
                bystander.end()
                assert server.process.poll() is None, "the server ended"
                assert grown <= bound_mb * MB, "%d MB more, bound %d" % (grown >> 20, bound_mb)
                print("peer   %-19s %3d MB before, at most %4d more, bound %4d; bystander at most %4d ms; %s" %
                      (name, memory.before >> 20, grown >> 20, bound_mb, bystander.slowest * 1000, told), flush=True)
            except AssertionError as e:
                failures += 1
                print("peer   %s FAILED: %s\n%s" % (name, e, server.log_tail() if server.process.poll() is not None else ""), flush=True)
    return failures


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--only")
    args = p.parse_args()
    if not args.ours:
        print("SKIP: needs a server (CETCD_ETCD)")
        sys.exit(etcdproc.SKIPPED)
    with tempfile.TemporaryDirectory() as certs:
        certificates(certs)
        failures = play(args.ours, certs, args.only)
    if not args.only or args.only == "by_members":
        failures += by_members(args.ours)
    sys.exit(1 if failures else 0)


main()
