#!/usr/bin/env python3
"""Runs lists of command lines with Go's etcdctl and with ours, and compares what comes out.

usage: run.py [--ctl ETCDCTL] [--server ETCD] [--crossed ETCD] [--print] [--all] FILE...

--ctl defaults to $CETCD_ETCDCTL; Go's etcdctl, and Go's etcd as server unless --server names another one, come from
$CETCD_ORACLE or build-oracle (make oracle). Both sides run against servers of the same kind, each with a fresh
directory for each file. With --crossed, a server of ours, Go's etcdctl talks to that one and ours to --server: neither
program has met the other's partner, and what comes out must be the same all the same. stdout, stderr and exit code are
compared after normalise.py. Exit code 77 (skipped) when one of the programs is missing. --print shows what ours
printed, --all every difference, not only the first ten.

A file: lines that begin with "$ " are run by sh, with etcdctl in the PATH and its endpoint in ETCDCTL_ENDPOINTS (EP
holds it as well). "NAME := command" puts what a command prints into a variable of the lines that follow. A line
"# differs: reason" before a command says that the two are not the same, and why; it is run and counted. "# server:
flags" at the top adds flags to the servers, "# advertise" makes them advertise the address they listen on, "# tls" gives
them a second address with TLS, TLS, and a folder certs with ca.pem, other-ca.pem, client.pem and their keys."""
import argparse
import concurrent.futures
import difflib
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import etcdproc
import normalise

LINE_SECONDS = 30


class Line:
    def __init__(self, command, variable=None, differs=None):
        self.command, self.variable, self.differs = command, variable, differs


class Script:
    def __init__(self, name, text):
        self.name = name
        self.flags, self.advertise, self.tls, self.lines = [], False, False, []
        differs = None
        for line in text.split("\n"):
            if line.startswith("# server:"):
                self.flags += line[9:].split()
            elif line.startswith("# advertise"):
                self.advertise = True
            elif line.startswith("# tls"):
                self.tls = True
            elif line.startswith("# differs:"):
                differs = line[10:].strip()
            elif line.startswith("$ "):
                self.lines.append(Line(line[2:], differs=differs))
                differs = None
            elif " := " in line and not line.startswith("#"):
                variable, command = line.split(" := ", 1)
                self.lines.append(Line(command, variable=variable.strip()))


def read_script(path):
    with open(path) as f:
        return Script(os.path.splitext(os.path.basename(path))[0], f.read())


CERTS = """
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 9
openssl req -x509 -newkey rsa:2048 -nodes -keyout other-ca-key.pem -out other-ca.pem -subj /CN=other -days 9
for n in server client; do
openssl req -newkey rsa:2048 -nodes -keyout $n-key.pem -out $n.csr -subj /CN=$n
printf 'subjectAltName=IP:127.0.0.1\n' > ext
openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out $n.pem -days 9 -extfile ext
done
"""


def add_tls(server, env):
    folder = os.path.join(server.root, "certs")
    os.mkdir(folder)
    subprocess.run(["sh", "-e", "-c", CERTS], cwd=folder, check=True, capture_output=True)
    env["TLS"] = "127.0.0.1:%d" % etcdproc.free_port()
    server.flags += ["--listen-client-urls=%s,https://%s" % (server.endpoint, env["TLS"]),
                     "--cert-file=certs/server.pem", "--key-file=certs/server-key.pem",
                     "--trusted-ca-file=certs/ca.pem", "--client-cert-auth"]


class Side:
    """One etcdctl with a server of its own; run() gives (stdout, stderr, code) of every line, normalised."""

    def __init__(self, ctl, server, script):
        self.server = etcdproc.Server(server, script.flags)
        if script.advertise:
            self.server.flags.append("--advertise-client-urls=" + self.server.endpoint)
        bin_dir = os.path.join(self.server.root, "bin")
        os.mkdir(bin_dir)
        os.symlink(os.path.abspath(ctl), os.path.join(bin_dir, "etcdctl"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        self.env.update(PATH=bin_dir + ":" + os.environ["PATH"], ETCDCTL_ENDPOINTS=self.server.target,
                        EP=self.server.target, LC_ALL="C")
        self.script = script
        if script.tls:
            add_tls(self.server, self.env)

    def run(self):
        names = normalise.Names(self.server, self.env.get("TLS", "<TLS>"))
        out = []
        with self.server:
            for line in self.script.lines:
                p = subprocess.run(["bash", "-c", line.command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.env, cwd=self.server.root, timeout=LINE_SECONDS)
                if line.variable:
                    self.env[line.variable] = p.stdout.decode().strip()
                    continue
                out.append((names.clean(p.stdout), names.clean_errors(p.stderr), p.returncode))
        return out


def show(result):
    stdout, stderr, code = result
    lines = ["  " + l for l in stdout.split("\n")[:-1]]
    if stdout and not stdout.endswith("\n"):
        lines.append("  " + stdout.split("\n")[-1] + "<no newline>")
    lines += ["  2> " + l for l in stderr.split("\n") if l]
    if code:
        lines.append("  (exit %d)" % code)
    return lines


def compare(script, go_ctl, args):
    """The number of lines that differ and should not."""
    limit = 100000 if args.all else 10
    pairs = (go_ctl, args.crossed or args.server), (args.ctl, args.server)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        go, ours = pool.map(lambda side: side.run(), [Side(ctl, os.path.abspath(server), script) for ctl, server in pairs])
    equal = known = different = 0
    for line, a, b in zip([l for l in script.lines if not l.variable], go, ours):
        if args.print:
            print("$ " + line.command)
            print("\n".join(show(b)))
        if a == b:
            equal += 1
            if line.differs:
                print("$ %s\n  is the same by now, but said to differ: %s" % (line.command, line.differs))
                different += 1
        elif line.differs:
            known += 1
        else:
            different += 1
            if different <= limit:
                print("$ " + line.command)
                print("\n".join(list(difflib.unified_diff(show(a), show(b), "go", "ours", lineterm="", n=2))[2:]))
    print("%s: %d lines, %d equal, %d differ, %d differ for a known reason" %
          (script.name, len(go), equal, different, known))
    return different


def arguments(names=()):
    """Of the command line, and Go's etcdctl. names: what may be asked for, none of it being all; empty: files."""
    p = argparse.ArgumentParser()
    p.add_argument("--ctl", default=os.environ.get("CETCD_ETCDCTL"))
    p.add_argument("--server", default=etcdproc.oracle("etcd"))
    p.add_argument("--crossed")
    p.add_argument("--print", action="store_true")
    p.add_argument("--all", action="store_true")
    p.add_argument("files", nargs="*" if names else "+")
    args = p.parse_args()
    if unknown := set(args.files) - set(names or args.files):
        p.error("unknown: %s" % ", ".join(unknown))
    go_ctl = etcdproc.oracle("etcdctl")
    for what, found in (("etcdctl of ours (CETCD_ETCDCTL)", args.ctl), ("Go etcdctl (make oracle)", go_ctl),
                        ("server (make oracle)", args.server)):
        if not found:
            print("SKIP: no " + what)
            sys.exit(etcdproc.SKIPPED)
    return args, go_ctl


def main():
    args, go_ctl = arguments()
    sys.exit(1 if sum(compare(read_script(f), go_ctl, args) for f in args.files) else 0)


if __name__ == "__main__":
    main()
