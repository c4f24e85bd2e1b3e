#!/usr/bin/env python3
"""Writes config_golden.txt: what Go etcd v3.7.1 says to wrong (and some right) flags, variables and files.

usage: make_config_golden.py PATH-OF-GO-ETCD > config_golden.txt

A record is: "> words" (variables and flags, split at spaces), "| text" lines for the configuration
file, "exit N" (or "exit run" if the server went on to start), then what came on stderr: log lines without ts,
caller and stacktrace; of an exit with 2 only the first line, for the usage that follows is our own."""
import os
import re
import subprocess
import sys
import tempfile

UNBINDABLE = "--listen-peer-urls=http://203.0.113.1:1"

ARGS = """
--bogus
--bogus=1
-name
---x
-=x
--name= {u}
--heartbeat-interval=x
--heartbeat-interval=-1
--heartbeat-interval=0
--heartbeat-interval=99999999999999999999
--heartbeat-interval 300
--heartbeat-interval 0x10 --election-timeout=0
--election-timeout=0
--election-timeout=400
--election-timeout=60000
--pre-vote=x
--pre-vote=
--pre-vote false
--warning-apply-duration=1
--max-concurrent-streams=x
--max-concurrent-streams=5000000000
--max-concurrent-streams=-1
--quota-backend-bytes=1.5
--initial-cluster-state=bad
--initial-cluster-state=
--discovery-fallback=x
--discovery-fallback=proxy
--v2-deprecation=not-yet
--v2-deprecation=write-only,bad
--listen-peer-urls=127.0.0.1:2380
--listen-peer-urls=http://a:1
--listen-peer-urls=http://example.com:2380
--listen-client-urls=http://127.0.0.1:1
--listen-client-urls=http://127.0.0.1
--listen-client-urls=http://127.0.0.1:1/x
--listen-client-http-urls=http://b:1
--listen-metrics-urls=http://b:1
--initial-advertise-peer-urls=http://:1
--advertise-client-urls=http://:1
--discovery-token=x
--discovery-endpoints=x
--discovery-endpoints=x --discovery-token=y --initial-cluster=a=http://b:1
--discovery-endpoints=x,,y --discovery-token=y
--discovery-srv=x --initial-cluster=a=http://b:1
--auto-compaction-mode=x
--auto-compaction-mode=
--enable-distributed-tracing --distributed-tracing-sampling-rate=-1
--enable-distributed-tracing --distributed-tracing-sampling-rate=1000001
--feature-gates=X=true
--feature-gates=LeaseCheckpoint
--feature-gates=LeaseCheckpoint=x
--feature-gates=LeaseCheckpointPersist=true
--feature-gates=LeaseCheckpoint=true --compact-hash-check-time=0s
--compact-hash-check-time=0s
--compact-hash-check-time=-1m
--tls-min-version=x
--tls-max-version=x
--tls-min-version=TLS1.3 --tls-max-version=TLS1.2
--tls-min-version=TLS1.3 --cipher-suites=a
--cors=x
--cors=
--logger=capnslog
--logger=x
--log-outputs=stderr,default
--log-format=x
--logger=a"b
--auto-compaction-mode=a"b
--tls-min-version=a"b
--log-level= --heartbeat-interval=0
--log-level=warning --heartbeat-interval=0
--log-outputs=/nonexistent/a/b
--log-format=console --heartbeat-interval=0
--log-level=WARN --heartbeat-interval=0
--log-level=error --heartbeat-interval=0
foo
--name=x foo
-- foo
- foo
--discovery=x
--discovery-proxy=x
--config-file=/nonexistent/c.yml
--name=a --name=b --heartbeat-interval=0
--v --vv=3 --snapshot --heartbeat-interval=0
--name=n1 --compact-hash-check-time=0s
--max-snapshots=3 --v2-deprecation=write-only --heartbeat-interval=0
--name=n1 {u} --max-snapshots=3 --max-wals=0 --data-dir=d --memory-mlock=false
ETCD_HEARTBEAT_INTERVAL=x
ETCD_PRE_VOTE=x
ETCD_LISTEN_CLIENT_URLS=xx
ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:1
ETCD_INITIAL_CLUSTER_STATE=bad
ETCD_MAX_CONCURRENT_STREAMS=-1
ETCD_NAME=x --name=y
ETCD_NAME=x --name=x
ETCD_BOGUS=1 --heartbeat-interval=0
ETCD_VERSION=1 --heartbeat-interval=0
ETCD_DISCOVERY=1 --heartbeat-interval=0
ETCD_NAME= --name=x --heartbeat-interval=0
ETCD_FEATURE_GATES=X=true
ETCD_HEARTBEAT_INTERVAL=0
ETCD_SNAPSHOT=1 --heartbeat-interval=0
ETCD_RAFT_READ_TIMEOUT=1s --heartbeat-interval=0
ETCD_INITIAL_CLUSTER=n1=http://203.0.113.1:1, ETCD_NAME=n1 ETCD_INITIAL_ADVERTISE_PEER_URLS=http://203.0.113.1:1 {u}
ETCD_NAME=n1 ETCD_DATA_DIR=d ETCD_LISTEN_PEER_URLS=https://203.0.113.1:1 ETCD_PEER_AUTO_TLS=true ETCDCTL_API=3
ETCD_CONFIG_FILE=/nonexistent/c.yml ETCD_BOGUS=1
"""

FILES = r"""
name: 5
name: [a]
name: {a: b}
name: true
heartbeat-interval: "5"
heartbeat-interval: -5
heartbeat-interval: 1.5
heartbeat-interval: +300
v2-deprecation: 5
heartbeat-interval: 1e2
heartbeat-interval: 0x10
heartbeat-interval: 99999999999999999999
quota-backend-bytes: abc
pre-vote: "true"
pre-vote: yes
pre-vote: 1
warning-apply-duration: 10s
warning-apply-duration: 1.5
warning-apply-duration: 1000000
log-outputs: stderr
log-outputs: [1]
log-outputs: [stderr, default]
cipher-suites: a
client-transport-security: a
client-transport-security: {cert-file: 5}
client-transport-security: {client-cert-auth: 5}
client-transport-security: {allowed-cn: a}
peer-transport-security: a
peer-transport-security:
peer-transport-security: {auto-tls: 5}
socket-options: {reuse-port: 5}
socket-options: 5
discovery-config: 5
discovery-config: {client: {endpoints: a}}
discovery-config: {client: {dial-timeout: a}}
discovery-config: {client: {secure: {insecure-transport: 3}}}
discovery-config: {token: [a]}
discovery-config: {token: a}
max-concurrent-streams: 5000000000
max-concurrent-streams: "a"
max-learners: a
max-wals: -1
snapshot-count: a
a: b: c
[a
"a
- a
5
a: &x b\nc: *y
\ta: b
a: 1\na: 2
name: x\nheartbeat-interval: y\nauto-tls: 3\npre-vote: 3
listen-client-urls: 127.0.0.1:2379
listen-peer-urls: http://b
advertise-client-urls: http://a
feature-gates: X=true
feature-gates: StopGRPCServiceOnDefrag
feature-gates: StopGRPCServiceOnDefrag=true
cors: 5
host-whitelist: [a]
host-whitelist: "a,b"
Name: 7
name: ~
name: "5"
name: 2001-01-01
initial-cluster-state: bad
initial-cluster-state: existing
unknown-key: {a: b}
self-signed-cert-validity: 0
v2-deprecation: write-only\nmax-snapshots: 5
v2-deprecation: not-yet
name: n1\nlisten-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
log-level: warn\nheartbeat-interval: 0
{"name": "n1", "heartbeat-interval": 50}
"""


def normal(line):
    line = re.sub(r'"ts":"[^"]*",', "", line)
    line = re.sub(r'"caller":"[^"]*",', "", line)
    line = re.sub(r',"stacktrace":".*?"}$', "}", line)
    line = re.sub(r"^[0-9TZ:.+-]+\t(\w+)\t[^\t]*\t", r"\1\t", line)
    return line


def record(etcd, words, text):
    env = {w.split("=", 1)[0]: w.split("=", 1)[1] for w in words.split() if re.match(r"ETCD", w)}
    args = [w for w in words.split() if not re.match(r"ETCD", w)]
    with tempfile.TemporaryDirectory() as d:
        if text is not None:
            with open(os.path.join(d, "c.yml"), "w") as f:
                f.write(text)
        p = subprocess.run(["etcd"] + args, executable=etcd, env=env, cwd=d, stderr=subprocess.PIPE, text=True,
                           timeout=20)
    print("> " + words)
    for line in (text or "").splitlines():
        print("| " + line)
    lines, run = [], False
    for line in p.stderr.splitlines():
        if '"msg":"Initialize and start etcd server"' in line or '"msg":"discovery failed"' in line:
            run = True
            break
        lines.append(normal(line))
    print("exit %s" % ("run" if run else p.returncode))
    for line in lines[:1] if p.returncode == 2 else lines:
        print(line)


def main():
    etcd = os.path.abspath(sys.argv[1])
    print("# Written by make_config_golden.py from etcd v3.7.1; do not edit.")
    for words in ARGS.strip().splitlines():
        record(etcd, words.replace("{u}", UNBINDABLE), None)
    for text in FILES.strip().splitlines():
        text = text.replace("\\n", "\n").replace("\\t", "\t") + "\n"
        unbindable = "listen-peer-urls: http://203.0.113.1:1\n"
        if text[0] not in '[-"5{\t' and "listen-peer-urls" not in text:
            text += unbindable
        if text[0] == "{":
            text = text[:-2] + ', "listen-peer-urls": "http://203.0.113.1:1"}\n'
        record(etcd, "--config-file=c.yml", text)


if __name__ == "__main__":
    main()
