#!/usr/bin/env python3
"""ETCD_ROOT_PASSWORD: what a new cluster, a running one and one of other members make of it, and that nobody sees it.

usage: root_password.py [--ours ETCD] [--ctl ETCDCTL] [--go ETCD]      Go etcd may be missing: one case is skipped"""
import argparse
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
from etcdcluster import Cluster, wait

PASSWORD = "correct-horse-battery-staple"
VARIABLE = "ETCD_ROOT_PASSWORD"
ARGS = None


def ctl(m, *args, user=None):
    """(exit code, all that was printed)"""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
    command = [ARGS.ctl, "--endpoints=" + m.url, "--command-timeout=5s"] + (["--user=" + user] if user else []) + list(args)
    r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, timeout=30)
    return r.returncode, r.stdout.decode()


def expect(what, got, code, text=""):
    assert got[0] == code and text in got[1], "%s: exit code %d, %r" % (what, got[0], got[1])
    print("ok: " + what)


def secured(m, password=PASSWORD):
    expect("%s: nobody writes without a user" % m.name, ctl(m, "put", "a", "b"), 1, "user name is empty")
    expect("%s: nor with another password" % m.name, ctl(m, "put", "a", "b", user="root:other"), 2, "authentication failed")
    expect("%s: root does" % m.name, ctl(m, "put", "a", "b", user="root:" + password), 0, "OK")


def reads_of(pid, needle):
    """Places in the memory of a process where needle stands. A sanitizer keeps what was freed, and its shadow is too large to be read."""
    if etcdproc.is_sanitized(ARGS.ours):
        return []
    found, part = [], bytearray(16 << 20)       # one buffer: the store's mapping is a TiB of address space
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            span, rights = line.split()[:2]
            if "r" not in rights or "[v" in line:
                continue
            begin, end = (int(x, 16) for x in span.split("-"))
            for at in range(begin, end, len(part)):
                try:
                    n = os.preadv(mem.fileno(), [memoryview(part)[:end - at]], at)
                except OSError:
                    continue
                if part.find(needle, 0, n) >= 0:
                    found.append(line.split()[-1])
    return found


def unseen(m):
    with open("/proc/%d/environ" % m.process.pid, "rb") as f:
        assert PASSWORD.encode() not in f.read(), "the password is in /proc/PID/environ"
    assert PASSWORD not in m.log(), "the password is in the log"
    found = reads_of(m.process.pid, PASSWORD.encode())
    assert not found, "the password is in memory: %s" % found
    print("ok: %s: the password is not in the environment, the log, or memory" % m.name)


def logins_leave_nothing(m):
    """Neither of gRPC nor of the gateway, of a password that is set and one that is asked."""
    secret = "bob\u00e4-secret-0123456789"
    expect("user add", ctl(m, "user", "add", "bob:" + secret, user="root:" + PASSWORD), 0)
    for body in (json.dumps({"name": "bob", "password": secret}), json.dumps({"name": "bob", "password": secret}, ensure_ascii=False)):
        status, _, answer = etcdproc.get(m.port, "/v3/auth/authenticate", "POST", body.encode())
        assert status == 200 and b"token" in answer, answer
    expect("a wrong one", ctl(m, "get", "a", user="bob:wrong-" + secret), 2)
    found = reads_of(m.process.pid, secret.encode()) + reads_of(m.process.pid, secret.encode("unicode_escape").replace(b"\\xe4", b"\\u00e4"))
    assert not found, "a password is left in memory: %s" % found
    assert reads_of(m.process.pid, b"/v3/auth/authenticate"), "the search finds nothing at all"
    print("ok: logins leave no password in memory")


def given(m, password=PASSWORD):
    m.env[VARIABLE] = password
    return m


def one():
    c = Cluster(["ours"], {"ours": ARGS.ours}, ["--bcrypt-cost=4"])
    try:
        m = given(c[0])
        m.start().wait_ready()
        unseen(m)
        secured(m)
        unseen(m)
        logins_leave_nothing(m)
        m.stop()
        given(m, "another").start().wait_ready()
        secured(m)
        print("ok: a later password is not looked at")
    finally:
        c.close()


def empty():
    c = Cluster(["ours"], {"ours": ARGS.ours}, ["--bcrypt-cost=4"])
    try:
        m = given(c[0], "")
        m.start().wait_ready()
        expect("an empty one is none", ctl(m, "put", "a", "b"), 0, "OK")
        for args in (("user", "add", "root:before"), ("role", "add", "root"), ("user", "grant-role", "root", "root")):
            expect(" ".join(args), ctl(m, *args), 0)
        m.stop()
        given(m).start().wait_ready()
        secured(m, "before")
        print("ok: a root user that is there keeps its password")
        m.stop()
        given(m, "x" * 73).start()
        wait(m.ready, 10, "with authentication on a bad password does not matter")
        m.stop()
    finally:
        c.close()


def refused():
    c = Cluster(["ours"], {"ours": ARGS.ours}, ["--bcrypt-cost=4"])
    try:
        given(c[0], "x" * 73).start()
        assert c[0].wait_exit() == 1 and "longer than 72 bytes" in c[0].log(), c[0].log_tail()
        print("ok: 73 bytes are refused at the start")
    finally:
        c.close()


def closed(m, metrics_port):
    """Its client port answers nothing, its metrics port says why."""
    with socket.create_connection(("127.0.0.1", m.port), 2) as s:
        s.settimeout(1)
        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert not s.recv(1), "the client port serves"
        except socket.timeout:
            pass
    status, _, body = etcdproc.get(metrics_port, "/readyz")
    assert status == 503 and b"[-]auth_enabled failed" in body, (status, body)
    assert etcdproc.get(metrics_port, "/livez")[0] == 200
    assert etcdproc.get(metrics_port, "/health")[0] == 503


def three():
    c = Cluster(["ours"] * 3, {"ours": ARGS.ours}, ["--bcrypt-cost=4"])
    try:
        metrics = etcdproc.free_port()
        for m in c:
            given(m)
        c[0].start(more=["--listen-metrics-urls=http://127.0.0.1:%d" % metrics])
        wait(lambda: "client ports stay closed" in c[0].log(), 15, "a line says that it waits")
        closed(c[0], metrics)
        print("ok: without a quorum the client port stays closed, and metrics say why")
        c[1].start()
        c[2].start()
        for m in c:
            m.wait_ready()
        assert etcdproc.get(metrics, "/readyz?verbose") [2].count(b"[+]") == 4, "the check stays"
        for m in c:
            secured(m)
            assert PASSWORD not in m.log(), "the password is in the log"
    finally:
        c.close()


def mixed():
    """A leader of Go's knows nothing of the variable."""
    if not ARGS.go:
        print("SKIP: mixed, needs Go etcd (make oracle)")
        return
    c = Cluster(["go", "go", "ours"], {"ours": ARGS.ours, "go": ARGS.go}, ["--bcrypt-cost=4"])
    try:
        given(c[2])
        c[0].start()
        c[1].start()
        c[0].wait_ready()
        assert c.leader().kind == "go"
        c[2].start()
        began = time.monotonic()
        c[2].wait_ready()
        assert time.monotonic() - began > 3, "a follower is to leave it to its leader for a while"
        for m in c:
            secured(m)
        print("ok: among members of Go's, ours enables authentication by itself")
    finally:
        c.close()


def main():
    global ARGS
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--ctl", default=os.environ.get("CETCD_ETCDCTL"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    ARGS = p.parse_args()
    one()
    empty()
    refused()
    three()
    mixed()


main()
