#!/usr/bin/env python3
"""CPU time of one `etcdctl get k`, from exec to exit: ours against Go's, by turns, with the same server.

usage: bench/ctl.py [--ours bin/etcdctl] [--go build-oracle/etcdctl] [--server bin/etcd] [--runs 200]

Prints user + system time of a run in ms: the mean of the middle half, so that a busy machine does not count, and the ratio."""
import argparse
import os
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))

import etcdproc


def cpu_ms(binary, arguments, devnull):
    actions = [(os.POSIX_SPAWN_DUP2, devnull, 1)]
    env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
    pid = os.posix_spawn(binary, [binary] + arguments, env, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit("%s %s: status %d" % (binary, " ".join(arguments), status))
    return (usage.ru_utime + usage.ru_stime) * 1e3


def middle(values):
    values = sorted(values)
    quarter = len(values) // 4
    part = values[quarter:len(values) - quarter]
    return sum(part) / len(part)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.path.join(TOP, "bin", "etcdctl"))
    p.add_argument("--go", default=etcdproc.oracle("etcdctl"))
    p.add_argument("--server", default=os.path.join(TOP, "bin", "etcd"))
    p.add_argument("--runs", type=int, default=200)
    args = p.parse_args()
    if not args.go:
        print("no etcdctl of Go: make oracle")
        sys.exit(etcdproc.SKIPPED)
    binaries = [("Go", args.go), ("ours", args.ours)]
    devnull = os.open(os.devnull, os.O_WRONLY)
    with etcdproc.Server(os.path.abspath(args.server)) as server:
        words = ["--endpoints=" + server.target]
        cpu_ms(binaries[0][1], words + ["put", "k", "v"], devnull)
        times = {name: [] for name, _ in binaries}
        for _ in range(args.runs):
            for name, binary in binaries:
                times[name].append(cpu_ms(binary, words + ["get", "k"], devnull))
    go, ours = middle(times["Go"]), middle(times["ours"])
    print("etcdctl get k: Go %.2f ms, ours %.2f ms of CPU time a run (%d runs each): 1/%.1f" % (go, ours, args.runs, go / ours))


main()
