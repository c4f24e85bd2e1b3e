#!/usr/bin/env python3
"""etcdctl du and top, which etcd has not: their numbers against what Go's etcdctl says of the same server.

usage: beyond.py [--ctl ETCDCTL] [--server ETCD]

--ctl defaults to $CETCD_ETCDCTL, --server to Go's etcd (CETCD_ORACLE, make oracle). Exit code 77: one is missing."""
import argparse
import base64
import collections
import json
import os
import pty
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

KEYS = 3000
MEMORY_KIB_MAX = 48 * 1024


class Gate:
    """Passes connections on, but those that ask for /metrics only when every gate has one: whoever asks one after the other
    waits in vain."""
    all = []
    full = threading.Event()

    def __init__(self, port):
        self.port, self.asked = port, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        Gate.all.append(self)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, a):
        first = a.recv(4096)
        if first.startswith(b"GET"):
            self.asked = True
            if all(g.asked for g in Gate.all):
                Gate.full.set()
            Gate.full.wait()
        b = socket.create_connection(("127.0.0.1", self.port))
        b.sendall(first)
        threading.Thread(target=self.copy, args=(a, b), daemon=True).start()
        self.copy(b, a)

    def copy(self, source, sink):
        try:
            while data := source.recv(4096):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Beyond:
    def __init__(self, ctl, go_ctl, server):
        self.ctl, self.go_ctl, self.server = os.path.abspath(ctl), go_ctl, server
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        self.env["ETCDCTL_ENDPOINTS"] = server.target

    def run(self, *args, ctl=None, endpoints=None):
        env = dict(self.env, ETCDCTL_ENDPOINTS=endpoints or self.server.target)
        p = subprocess.run([ctl or self.ctl, *args], env=env, capture_output=True, text=True, timeout=60)
        return p.returncode, p.stdout, p.stderr

    def check(self, what, want, got):
        if want != got:
            print("%s: expected %r, got %r" % (what, want, got))
            sys.exit(1)

    def fill(self):
        rng = random.Random(1)
        for i in range(0, KEYS, 100):
            ops = "".join('put "%s" "%s"\n' % ("".join(rng.choice(["/", "a", "b", "c"]) for _ in range(rng.randint(1, 12))) + str(i + k),
                                                "v" * rng.randint(0, 200)) for k in range(100))
            p = subprocess.run([self.go_ctl, "txn"], env=self.env, input="\n" + ops + "\n\n", capture_output=True, text=True)
            self.check("filling", "SUCCESS", p.stdout.split("\n")[0] or p.stderr)

    # ---- du: added up anew from all keys, in another way ----

    def naive(self, prefix, depth):
        _, out, _ = self.run("get", prefix, "--prefix", "-w", "json", ctl=self.go_ctl)
        sums = collections.defaultdict(lambda: [0, 0])
        for kv in json.loads(out).get("kvs", []):
            key, size = base64.b64decode(kv["key"]).decode(), len(base64.b64decode(kv.get("value", "")))
            rest, levels = key[len(prefix):], [prefix]
            while len(levels) <= depth and (m := re.match(r"[\s\S][^/]*/", rest)):
                levels.append(levels[-1] + m.group())
                rest = rest[m.end():]
            for level in levels:
                sums[level][0] += 1
                sums[level][1] += len(key) + size
        return {k: tuple(v) for k, v in sums.items()}

    def du_adds_up(self):
        for prefix in ("", "/", "/a", "a/", "b"):
            for depth in (0, 1, 2, 5):
                code, out, err = self.run("du", prefix, "--depth=%d" % depth)
                rows = [line.split("\t") for line in out.splitlines()]
                self.check("du %s --depth %d" % (prefix, depth), (0, self.naive(prefix, depth)),
                           (code, {path: (int(keys), int(size)) for size, keys, path in rows}))
                self.check("the prefix is last", prefix, rows[-1][2])
                levels = json.loads(self.run("du", prefix, "--depth=%d" % depth, "-w", "json")[1])["levels"]
                self.check("as JSON", rows, [[str(l["bytes"]), str(l["keys"]), l["path"]] for l in levels])

    def du_in_bounded_memory(self):
        for i in range(60):
            p = subprocess.Popen([self.ctl, "put", "big/%d" % i], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=self.env)
            p.communicate(b"x" * 1000000)
        with open(os.devnull, "w") as null:
            p = subprocess.Popen([self.ctl, "du", "big"], env=self.env, stdout=null)
            _, status, usage = os.wait4(p.pid, 0)
        self.check("code", 0, status)
        if usage.ru_maxrss > MEMORY_KIB_MAX:
            self.check("memory of du over 60 MB, KiB", "<= %d" % MEMORY_KIB_MAX, usage.ru_maxrss)
        print("  du of 60 MB in %.1f MB of memory" % (usage.ru_maxrss / 1e3))

    def du_refuses(self):
        self.check("two prefixes", 128, self.run("du", "a", "b")[0])
        self.check("depth", 128, self.run("du", "--depth=-1")[0])
        self.check("form", 4, self.run("du", "-w", "protobuf")[0])
        code, out, err = self.run("du", "--command-timeout=200ms", "x", endpoints="127.0.0.1:1")
        self.check("no server", (1, "", "Error: context deadline exceeded"), (code, out, err.splitlines()[-1]))

    # ---- top ----

    def top_agrees_with_status(self):
        code, out, _ = self.run("top", "-w", "json", "--interval=300ms", "--cluster=false")
        top = json.loads(out)["members"][0]
        status = json.loads(self.run("endpoint", "status", "-w", "json", ctl=self.go_ctl)[1])[0]["Status"]
        self.check("code", 0, code)
        self.check("status", (status["header"]["member_id"], status["raftTerm"], status["dbSize"], "leader", 0),
                   (top["id"], top["term"], top["db_bytes"], top["role"], top["lag"]))
        self.check("version", status["version"], top["version"])

    def top_counts_writes(self):
        stop = threading.Event()

        def write():
            while not stop.is_set():
                self.run("put", "/hot/spot/%d" % time.time_ns(), "x" * 50)
                self.run("put", "/cold/%d/x" % (time.time_ns() % 1000 * 1000), "")

        t = threading.Thread(target=write)
        t.start()
        before = time.time()
        out = self.run("top", "-w", "json", "--interval=2s")[1]
        stop.set()
        t.join()
        self.check("once takes one interval", True, 2 <= time.time() - before < 10)
        top = json.loads(out)
        member, first = top["members"][0], top["prefixes"][0]
        self.check("hottest", "/hot/spot/", first["prefix"])
        self.check("bytes are those of key and value", first["writes"] * (50 + len("/hot/spot/") + 19), first["bytes"])
        self.check("rates", True, member["puts_per_s"] > 1 and member["requests_per_s"] > member["puts_per_s"] / 2)
        self.check("p99", True, 0 < member["request_p99_s"] < 5 and 0 < member["fsync_p99_s"] < 5)

    def top_tells_who_is_down(self):
        code, out, _ = self.run("top", "--cluster=false", "--interval=300ms", endpoints=self.server.target + ",127.0.0.1:1")
        self.check("code", 1, code)
        self.check("down", True, "members 1/2 up" in out and "127.0.0.1:1  down" in re.sub(" +", "  ", out))
        self.check("why", True, "connection refused" in out)

    def top_asks_all_at_once(self):
        gates = [Gate(self.server.port) for _ in range(5)]
        _, out, err = self.run("top", "--cluster=false", "--interval=5s", "-w", "json", endpoints=",".join(g.endpoint for g in gates))
        members = json.loads(out)["members"]
        self.check("all have their figures", 5, sum(m.get("requests_per_s") is not None for m in members))

    def top_on_a_terminal(self):
        pid, fd = pty.fork()
        if not pid:
            os.execve(self.ctl, [self.ctl, "top", "--interval=300ms"], dict(self.env, TERM="xterm"))
        text, end = b"", time.time() + 10
        while text.count(b"members 1/1 up") < 3 and time.time() < end:
            text += os.read(fd, 65536)
        self.check("drawn again and again", True, text.count(b"\x1b[H") >= 3)
        os.write(fd, b"q")
        try:
            while more := os.read(fd, 65536):
                text += more
        except OSError:
            pass
        self.check("code", 0, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        self.check("the screen is given back", True, text.endswith(b"\x1b[?25h\x1b[?1049l"))

    def top_interrupted(self):
        p = subprocess.Popen([self.ctl, "top", "--interval=30s"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        p.send_signal(signal.SIGINT)
        self.check("once, interrupted", ("", "Error: interrupted\n"), p.communicate(timeout=5))
        self.check("code", 5, p.returncode)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ctl", default=os.environ.get("CETCD_ETCDCTL"))
    p.add_argument("--server", default=etcdproc.oracle("etcd"))
    args = p.parse_args()
    go_ctl = etcdproc.oracle("etcdctl")
    if not args.ctl or not args.server or not go_ctl:
        print("SKIP: etcdctl of ours (CETCD_ETCDCTL), Go's or a server (make oracle) is missing")
        sys.exit(etcdproc.SKIPPED)
    with etcdproc.Server(os.path.abspath(args.server)) as server:
        server.flags.append("--advertise-client-urls=" + server.endpoint)
        server.kill()
        server.start()
        b = Beyond(args.ctl, go_ctl, server)
        b.fill()
        for test in (b.du_adds_up, b.du_in_bounded_memory, b.du_refuses, b.top_agrees_with_status, b.top_counts_writes,
                     b.top_tells_who_is_down,
                     b.top_asks_all_at_once, b.top_on_a_terminal, b.top_interrupted):
            test()
            print("passed " + test.__name__)


main()
