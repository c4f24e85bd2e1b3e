#!/usr/bin/env python3
"""Every flag of etcd with values right and wrong, as a flag, as its variable, in the file, and in pairs of these: what the program says
and how it ends, ours against Go's.

usage: flag_values.py [--ours ETCD] [--go ETCD] [--values N] [FLAG...]

The flags are the rows of src/server/flag_rows.h. --values bounds the values tried of each (default: all). A run ends, if nothing was
refused, at a peer URL that cannot be bound. Exit code 77 without Go etcd."""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "unit", "server"))

import etcdproc
from make_config_golden import UNBINDABLE, normal

NUMBERS = ["0", "x", "1", "-1", "", "1.5", "0x10", "99999999999999999999", "1_000", "+1", "010", "0b11", " 1", "1e3", "4294967296"]
URLS = ["", "x", "http://127.0.0.1:1", "https://127.0.0.1:1", "http://127.0.0.1:1,", "http://localhost:1", "HTTP://127.0.0.1:1",
        "http://[::1]:1", "http://127.0.0.1:99999", "unix://a:1", "unix:///tmp/a", "http://127.0.0.1:1/", "http://u:p@127.0.0.1:1",
        "http://127.0.0.1:1?x", "http://127.0.0.1:1, http://127.0.0.1:2", "http://127.0.0.1:2,http://127.0.0.1:1", "ftp://127.0.0.1:1",
        "http://a b:1", "http://127.0.0.1:1#x", "http://%zz:1", "http://:1", "http://127.0.0.1:", "127.0.0.1:1"]
LISTS = ["", "a", "a,b", ",", "a,,b", "b,a,b", " a", "a=b"]
SPECIAL = {
    "log-level": ["debug", "WARN", "warning", "Error", "dpanic", "panic", "fatal", "", "info ", "trace"],
    "log-format": ["json", "console", "JSON", ""],
    "log-outputs": ["stdout", "stderr", "default", "stderr,stdout", "stderr,default", "systemd/journal", "/nonexistent/x", "", "a.log,b.log"],
    "logger": ["zap", "ZAP", "capnslog", ""],
    "metrics": ["basic", "extensive", "x", ""],
    "auto-compaction-mode": ["periodic", "revision", "Periodic", ""],
    "auto-compaction-retention": ["1", "1h", "x", "", "-1", "0"],
    "initial-cluster-state": ["new", "existing", "New", ""],
    "initial-cluster": ["default=http://localhost:2380", "a=http://b:1", "a", "a=", "=http://b:1", "a=http://b", "a=http://b:1,a=http://c:1", "", ","],
    "initial-advertise-peer-urls": URLS, "advertise-client-urls": URLS,
    "tls-min-version": ["TLS1.2", "TLS1.3", "TLS1.1", "tls1.2", ""], "tls-max-version": ["TLS1.2", "TLS1.3", "TLS1.4", ""],
    "feature-gates": ["AllAlpha=true", "AllBeta=false", "LeaseCheckpoint=true", "LeaseCheckpoint=true,LeaseCheckpointPersist=true", "X=true",
                      "LeaseCheckpoint", "LeaseCheckpoint=", "LeaseCheckpoint=1", ",", "StopGRPCServiceOnDefrag=true", "=true",
                      "InitialCorruptCheck=true, CompactHashCheck=true", "TxnModeWriteWithSharedBuffer=false", "FastLeaseKeepAlive=false"],
    "discovery-fallback": ["exit", "proxy", "", "Exit"], "v2-deprecation": ["write-only", "write-only-drop-data", "gone", "not-yet", ""],
    "cipher-suites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "x", ""],
    "log-rotation-config-json": ["{}", "x", '{"maxsize": 1}', '{"maxsize": "x"}', '{"bogus": 1}', ""],
    "cors": ["*", "http://a:1", "http://a:1,http://b:2", "a", "", "*,http://a:1"],
    "host-whitelist": ["*", "a", "a,b", ""],
    "distributed-tracing-sampling-rate": ["1000000", "1000001"] + NUMBERS,
}
VALUES = {
    "BOOL": ["true", "x", "false", "1", "", "T", "yes", "TRUE", "tRue", "on", "0"],
    "UINT": NUMBERS, "UINT32": NUMBERS, "UINT64": NUMBERS, "INT": NUMBERS, "INT64": NUMBERS,
    "DURATION": ["1s", "x", "0", "5", "", "-1s", "1.5s", "1h2m", ".5s", "1s1", "9999999999h", "1e3s", "1 s", "0s", "1us", "1\u00b5s"],
    "STR": ["x", "", "a b", "\u00e9", "a\"b", "-x", "a=b"],
    "URL": URLS, "URLS": URLS,
    "ANY": LISTS,
}


def rows():
    """(kind, flag, key) of each row."""
    with open(os.path.join(HERE, "..", "..", "src", "server", "flag_rows.h")) as f:
        text = f.read()
    return re.findall(r'^FLAG\((\w+),\s*\w+,\s*"([^"]*)",\s*"([^"]*)"', text, re.M)


def values_of(kind):
    if "URL" in kind:
        return URLS
    return VALUES.get(kind, LISTS + ["true", "0", "x=true", "all"])


def yaml_of(key, value):
    parts = key.split(".")
    return "".join("  " * i + p + ":\n" for i, p in enumerate(parts[:-1])) + "  " * (len(parts) - 1) + parts[-1] + ": " + value + "\n"


def run(etcd, args, env, text):
    with tempfile.TemporaryDirectory() as d:
        if text is not None:
            with open(os.path.join(d, "c.yml"), "w") as f:
                f.write(text)
            args = ["--config-file=c.yml"] + args
        try:
            p = subprocess.run(["etcd"] + args, executable=etcd, env=env, cwd=d, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, timeout=20)
        except subprocess.TimeoutExpired:
            return "does not end"
    if p.returncode == 2 and b"\npanic: " in b"\n" + p.stderr:
        return "panics"
    lines = []
    # Warnings come once more in Go's, behind the line that says it starts, which higher levels leave out.
    for line in p.stderr.decode(errors="replace").splitlines():
        if any(m in line for m in ("Initialize and start etcd server", "configuring peer listeners", "discovery failed")):
            return "\n".join(["run"] + lines)
        if normal(line) not in lines:
            lines.append(normal(line))
    return "\n".join(["exit %d" % p.returncode] + (lines[:1] if p.returncode == 2 else lines))


def cases(wanted, count):
    """(what, args, env, file)"""
    for kind, flag, key in rows():
        if wanted and flag not in wanted and key not in wanted:
            continue
        if flag in ("config-file", "version"):
            continue
        values = (SPECIAL.get(flag or key) or values_of(kind))[:count]
        bound = "listen-peer-urls" not in (flag, key)
        args = [UNBINDABLE] if bound else []
        variable = "ETCD_" + flag.upper().replace("-", "_")
        for v in values:
            if flag:
                yield "--%s=%s" % (flag, v), args + ["--%s=%s" % (flag, v)], {}, None
                yield "%s=%s" % (variable, v), args, {variable: v}, None
            if key:
                text = yaml_of(key, v) + ("listen-peer-urls: http://203.0.113.1:1\n" if bound else "")
                yield "%s: %s" % (key, v), [], {}, text
        if flag:
            yield "--%s" % flag, args + ["--" + flag], {}, None
            yield "--%s twice" % flag, args + ["--%s=%s" % (flag, values[0]), "--%s=%s" % (flag, values[2])], {}, None
            yield "-%s and variable" % flag, args + ["-%s=%s" % (flag, values[0])], {variable: values[1]}, None
        if flag and key and bound:
            text = yaml_of(key, values[0]) + "listen-peer-urls: http://203.0.113.1:1\n"
            yield "--%s beside a file" % flag, ["--%s=%s" % (flag, values[2])], {variable: values[1]}, text


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("--values", type=int, default=1000)
    p.add_argument("flags", nargs="*")
    args = p.parse_args()
    if not args.ours or not args.go:
        print("SKIP: no server to test (CETCD_ETCD), or no Go etcd to compare with: make oracle")
        sys.exit(etcdproc.SKIPPED)
    ours, go = os.path.abspath(args.ours), os.path.abspath(args.go)
    one = lambda c: (c[0], run(ours, *c[1:]), run(go, *c[1:]))
    total = wrong = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for what, mine, theirs in pool.map(one, cases(args.flags, args.values)):
            total += 1
            # Where Go's panics ours refuses in words.
            if mine != theirs and not (theirs == "panics" and mine.startswith("exit 1\n")):
                wrong += 1
                print("DIFFERS %s\n  Go:   %s\n  ours: %s" % (what, theirs.replace("\n", "\n        "), mine.replace("\n", "\n        ")))
    print("%d runs of each, %d differ" % (total, wrong))
    sys.exit(1 if wrong else 0)


main()
