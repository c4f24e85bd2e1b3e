#!/usr/bin/env python3
"""What etcdctl does when something breaks: an endpoint dies, a disk is full, a user gives up.

usage: faults.py [--ctl ETCDCTL] [--server ETCD]

--ctl defaults to $CETCD_ETCDCTL, --server to Go's etcd (CETCD_ORACLE, make oracle). Exit code 77: one is missing."""
import argparse
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

MEGABYTE = 1000 * 1000
MEMORY_KIB_MAX = 32 * 1024


class Pipe:
    """Passes one connection on, as slowly as it is told; freeze() lets it hang, close() cuts it."""

    def __init__(self, port, bytes_per_s):
        self.target, self.rate = port, bytes_per_s
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sockets, self.frozen = [], False
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        a = self.listener.accept()[0]
        b = socket.create_connection(("127.0.0.1", self.target))
        self.sockets = [a, b]
        threading.Thread(target=self.copy, args=(a, b, 0), daemon=True).start()
        self.copy(b, a, self.rate)

    def copy(self, source, sink, rate):
        try:
            while data := source.recv(4096):
                while self.frozen:
                    time.sleep(0.1)
                sink.sendall(data)
                if rate:
                    time.sleep(len(data) / rate)
        except OSError:
            pass

    def freeze(self):
        self.frozen = True

    def close(self):
        self.frozen = False
        for s in self.sockets + [self.listener]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


class Faults:
    def __init__(self, ctl, server):
        self.ctl, self.server = os.path.abspath(ctl), server
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}

    def start(self, *args, endpoint=None, **more):
        return subprocess.Popen([self.ctl, "--endpoints=" + (endpoint or self.server.target)] + list(args), env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.server.root, text=True, **more)

    def run(self, *args, **more):
        p = self.start(*args, **more)
        out, err = p.communicate(timeout=60)
        return p.returncode, out, err

    def files(self):
        return sorted(f for f in os.listdir(self.server.root) if f.endswith((".db", ".part")))

    def check(self, what, want, got):
        if want != got:
            print("%s: expected %r, got %r" % (what, want, got))
            sys.exit(1)

    # ---- each of them leaves the server as it was ----

    def watch_outlives_its_server(self):
        p = self.start("watch", "w", "--rev=1")
        self.run("put", "w", "before")
        time.sleep(0.5)
        self.server.kill()
        time.sleep(0.5)
        self.server.start()
        self.check("put after the restart", 0, self.run("put", "w", "after")[0])
        time.sleep(2)
        p.send_signal(signal.SIGTERM)
        self.check("watched", "PUT\nw\nbefore\nPUT\nw\nafter\n", p.communicate()[0])

    def lease_outlives_its_server(self):
        lease = self.run("lease", "grant", "6")[1].split()[1]
        p = self.start("lease", "keep-alive", lease)
        time.sleep(0.5)
        self.server.kill()
        time.sleep(1)
        self.server.start()
        time.sleep(8)
        self.check("lease is there", 0, self.run("lease", "keep-alive", "--once", lease)[0])
        p.send_signal(signal.SIGTERM)
        p.communicate()

    def second_endpoint_serves(self):
        dead = "127.0.0.1:1," + self.server.target
        self.check("put", (0, "OK\n"), self.run("put", "e", "x", endpoint=dead)[:2])
        self.check("get", (0, "e\nx\n"), self.run("get", "e", endpoint=dead)[:2])

    def connection_lost_in_a_call(self):
        pipe = Pipe(self.server.port, 400000)
        p = self.start("snapshot", "save", "lost.db", endpoint=pipe.endpoint)
        time.sleep(1)
        pipe.close()
        err = p.communicate(timeout=20)[1]
        self.check("code", 5, p.returncode)
        self.check("files", [], self.files())
        if "Error: could not write snapshot: rpc error: code = Unavailable" not in err:
            self.check("message", "Unavailable", err)

    def interrupted_snapshot(self):
        pipe = Pipe(self.server.port, 400000)
        p = self.start("snapshot", "save", "cut.db", endpoint=pipe.endpoint)
        time.sleep(1)
        self.check("under way", ["cut.db.part"], self.files())
        p.send_signal(signal.SIGINT)
        err = p.communicate(timeout=5)[1]
        pipe.close()
        self.check("code", 5, p.returncode)
        self.check("message", "Error: interrupted; nothing is saved\n", err)
        self.check("files", [], self.files())

    def full_disk(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE, MEGABYTE))

        code, out, err = self.run("snapshot", "save", "full.db", preexec_fn=limit)
        self.check("code", 5, code)
        self.check("message", "Error: could not write snapshot: write full.db.part: file too large\n", err)
        self.check("files", [], self.files())

    def full_file_system(self):
        """A file system of 1 MB of its own, where that is allowed."""
        folder = os.path.join(self.server.root, "small")
        os.mkdir(folder)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True).returncode:
            print("  no right to mount: only the limit of file sizes was tried")
            return
        try:
            code, out, err = self.run("snapshot", "save", "small/full.db")
            left = os.listdir(folder)
        finally:
            subprocess.run(["umount", folder], check=True)
        self.check("code", 5, code)
        self.check("message", "Error: could not write snapshot: write small/full.db.part: no space left on device\n", err)
        self.check("files", [], left)

    def endpoint_dies_in_a_stream(self):
        """The first of two endpoints is cut; what comes later goes over the other."""
        pipe = Pipe(self.server.port, 0)
        p = self.start("watch", "s", endpoint="%s,%s" % (pipe.endpoint, self.server.target))
        time.sleep(0.7)
        self.run("put", "s", "1")
        time.sleep(0.3)
        pipe.close()
        self.run("put", "s", "2")
        time.sleep(1.5)
        self.run("put", "s", "3")
        time.sleep(0.5)
        p.send_signal(signal.SIGTERM)
        self.check("every event once", "PUT\ns\n1\nPUT\ns\n2\nPUT\ns\n3\n", p.communicate(timeout=5)[0])

    def endpoint_hangs_in_a_stream(self):
        """The first of two endpoints says nothing any more, and its connection stays: the pings notice."""
        pipe = Pipe(self.server.port, 0)
        p = self.start("watch", "h", "--keepalive-time=1s", "--keepalive-timeout=1s", endpoint="%s,%s" % (pipe.endpoint, self.server.target))
        time.sleep(0.7)
        self.run("put", "h", "1")
        self.check("first", ["PUT\n", "h\n", "1\n"], [p.stdout.readline() for _ in range(3)])
        pipe.freeze()
        self.run("put", "h", "2")
        self.check("second, of the other endpoint", ["PUT\n", "h\n", "2\n"], [p.stdout.readline() for _ in range(3)])
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=5)
        pipe.close()

    def stopped_server(self):
        """It accepts connections and answers none, as a machine that is out of memory does."""
        self.server.process.send_signal(signal.SIGSTOP)
        try:
            for words in (("get", "k"), ("put", "k", "v"), ("member", "list"), ("lease", "grant", "5"), ("defrag",), ("endpoint", "health")):
                code, out, err = self.run(*words, "--command-timeout=300ms", "--dial-timeout=300ms")
                self.check("code of %s" % words[0], 1, code)
                self.check("message of %s" % words[0], True, "context deadline exceeded" in err and not out)
            code, out, err = self.run("snapshot", "save", "stopped.db", "--command-timeout=300ms")
            self.check("snapshot", (5, "", []), (code, out, self.files()))
        finally:
            self.server.process.send_signal(signal.SIGCONT)
        self.check("goes on", 0, self.run("get", "k")[0])

    def interrupted_commands(self):
        """Exit codes are those of Go's: what has something to give back does so, the rest dies of the signal."""
        lease = self.run("lease", "grant", "60")[1].split()[1]
        for words, want in ((["watch", "k"], -signal.SIGINT), (["watch", "-i"], -signal.SIGINT), (["txn"], -signal.SIGINT), (["put", "k"], -signal.SIGINT),
                            (["lease", "keep-alive", lease], -signal.SIGINT), (["elect", "e", "v"], 0), (["elect", "-l", "e"], 0), (["lock", "l"], 0),
                            (["make-mirror", self.server.target, "--prefix=none", "--dest-prefix=m"], -signal.SIGINT)):
            p = self.start(*words, stdin=subprocess.PIPE)
            time.sleep(1)
            p.send_signal(signal.SIGINT)
            self.check(" ".join(words), want, p.wait(timeout=20))
            self.check("said by " + words[0], "", p.stderr.read())
        self.check("election is given back", "", self.run("get", "e/", "--prefix")[1])

    def interrupted_checks(self):
        """Twice: the second one does not stop the cleaning up."""
        for words in (["check", "datascale", "--load=l"], ["check", "perf"]):
            p = self.start(*words)
            time.sleep(1.5)
            p.send_signal(signal.SIGINT)
            time.sleep(0.05)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=60)
            if words[1] == "datascale":
                self.check("datascale", (5, "Error: interrupted; the keys are deleted again\n"), (p.returncode, err))
            self.check("keys are gone", "", self.run("get", "/etcdctl-check-", "--prefix", "--keys-only")[1])

    def wrong_authority(self):
        """A file that holds no certificate, and one that is not there: said at once, before anything is sent."""
        for name, text in (("none.pem", "no such file or directory"), (os.path.abspath(__file__), "")):
            code, out, err = self.run("get", "k", "--cacert=" + name)
            self.check("code", 128 if text else code, code)
            self.check("message", True, code != 0 and not out and text in err and "Error: " in err)

    def snapshot_in_bounded_memory(self):
        p = self.start("snapshot", "save", "big.db")
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        self.check("code", 0, p.returncode)
        size = os.path.getsize(os.path.join(self.server.root, "big.db"))
        self.check("whole", 32, size % 512)
        if usage.ru_maxrss > MEMORY_KIB_MAX:
            self.check("memory of a snapshot of %d bytes, KiB" % size, "<= %d" % MEMORY_KIB_MAX, usage.ru_maxrss)
        # The least that this can say is what the fork of Python had.
        print("  snapshot of %d MB in at most %.1f MB of memory" % (size / MEGABYTE, usage.ru_maxrss / 1e3))

    def lock_is_given_back(self):
        p = self.start("lock", "l")
        self.check("locked", "l/", p.stdout.readline()[:2])
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=5)
        self.check("code", 0, p.returncode)
        self.check("key is gone", (0, ""), self.run("get", "l", "--prefix")[:2])

    def output_that_nobody_reads(self):
        p = subprocess.run("'%s' --endpoints=%s get k --prefix --limit=5 | head -c 10 >/dev/null" %
                           (self.ctl, self.server.target), shell=True, env=self.env, stderr=subprocess.PIPE, text=True)
        self.check("silent", (0, ""), (p.returncode, p.stderr))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ctl", default=os.environ.get("CETCD_ETCDCTL"))
    p.add_argument("--server", default=etcdproc.oracle("etcd"))
    args = p.parse_args()
    if not args.ctl or not args.server:
        print("SKIP: etcdctl of ours (CETCD_ETCDCTL) or a server (make oracle) is missing")
        sys.exit(etcdproc.SKIPPED)
    with etcdproc.Server(os.path.abspath(args.server)) as server:
        f = Faults(args.ctl, server)
        for i in range(60):
            p = f.start("put", "k%d" % i, stdin=subprocess.PIPE)
            p.communicate("x" * MEGABYTE)
        for test in (f.second_endpoint_serves, f.snapshot_in_bounded_memory, f.connection_lost_in_a_call,
                     f.interrupted_snapshot, f.full_disk, f.full_file_system, f.endpoint_dies_in_a_stream, f.endpoint_hangs_in_a_stream,
                     f.stopped_server, f.wrong_authority, f.lock_is_given_back, f.interrupted_commands, f.interrupted_checks, f.output_that_nobody_reads,
                     f.watch_outlives_its_server, f.lease_outlives_its_server):
            test()
            for name in f.files():
                os.unlink(os.path.join(server.root, name))
            print("passed " + test.__name__)


main()
