#!/usr/bin/env python3
"""A snapshot of 1 GiB: memory that etcdctl takes, and that etcdutl finds the file whole.

usage: bench/snapshot.py [--ctl bin/etcdctl] [--utl bin/etcdutl] [--server bin/etcd] [--megabytes 1074]

Needs about 3 GiB of disk for that time. Prints size, seconds, and the peak of resident memory of `snapshot save`; exit code 1
if that is more than 32 MiB."""
import argparse
import os
import subprocess
import sys
import time

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))

import etcdproc

MEMORY_KIB_MAX = 32 * 1024
VALUE = 1 << 20


def fill(ctl, server, megabytes):
    """Random values, so that nothing of the file is a hole or equal."""
    for i in range(0, megabytes, 8):
        puts = [subprocess.Popen([ctl, "--endpoints=" + server.target, "put", "k%d" % k], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
                for k in range(i, min(i + 8, megabytes))]
        for p in puts:
            p.communicate(os.urandom(VALUE - 1024))
            if p.returncode:
                sys.exit("put: exit code %d" % p.returncode)


def peak_kib(command):
    """The highest VmHWM seen; ru_maxrss would count what this program had when it forked."""
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while p.poll() is None:
        try:
            with open("/proc/%d/status" % p.pid) as f:
                peak = max([peak] + [int(line.split()[1]) for line in f if line.startswith("VmHWM")])
        except OSError:
            pass
        time.sleep(0.02)
    return p.returncode, peak


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ctl", default=os.path.join(TOP, "bin", "etcdctl"))
    p.add_argument("--utl", default=os.path.join(TOP, "bin", "etcdutl"))
    p.add_argument("--server", default=os.path.join(TOP, "bin", "etcd"))
    p.add_argument("--megabytes", type=int, default=1074)
    args = p.parse_args()
    with etcdproc.Server(os.path.abspath(args.server), ["--quota-backend-bytes=8589934592", "--snapshot-count=100"]) as server:
        fill(args.ctl, server, args.megabytes)
        path = os.path.join(server.root, "big.db")
        start = time.time()
        code, peak = peak_kib([args.ctl, "--endpoints=" + server.target, "snapshot", "save", path])
        seconds = time.time() - start
        if code:
            sys.exit("snapshot save: exit code %d" % code)
        status = subprocess.run([args.utl, "snapshot", "status", path], capture_output=True, text=True)
        print("snapshot of %.3f GiB in %.1f s, at most %.1f MiB of memory (limit %d)" %
              (os.path.getsize(path) / 2**30, seconds, peak / 1024, MEMORY_KIB_MAX / 1024))
        print("status: " + (status.stdout or status.stderr).strip())
    sys.exit(1 if status.returncode or peak > MEMORY_KIB_MAX else 0)


main()
