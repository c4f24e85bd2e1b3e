#!/usr/bin/env python3
"""Every command of etcdctl with every flag, form of output and number of arguments: command lines are made from the
help of Go's etcdctl, run with both, and compared as run.py does.

usage: matrix.py [--ctl ETCDCTL] [--server ETCD] [--crossed ETCD] [--print] [--all] [SECTION...]

Sections: help, formats, arguments, flags, globals, keys, down, refused. A command that SAMPLES does not know fails the
test. Options as in run.py; exit code 77 (skipped) when one of the programs is missing."""
import os
import re
import shlex
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import run

FORMATS = ("simple", "fields", "json", "protobuf", "table", "xml")
FLAG = re.compile(r"^ +(?:-(\w), )?--([a-z][\w-]*)(?: (\w+))?(?:  +.*?(?:\(default (\[[^]]*\]|\"[^\"]*\"|[^)\"]+)\))?)?$", re.M)
COMMAND = re.compile(r"^  ([a-z][a-z-]*) +[A-Za-z]", re.M)

# What is done before each section.
SETUP = """# advertise
T := echo 2
$ etcdctl put foo bar; etcdctl put foo2 'two words'; etcdctl put other x; etcdctl del other
$ etcdctl user add u:p; etcdctl role add r; etcdctl user grant-role u r; etcdctl role grant-permission r readwrite foo goo
L := etcdctl lease grant 500 | cut -d' ' -f2
ME := etcdctl endpoint status -w json | sed 's/.*"member_id":\\([0-9]*\\).*/\\1/' | xargs printf '%x'
"""

# What a lock or a candidate leaves goes at once, not when its time is over: revisions are compared.
NO_LEASES = "; etcdctl lease list | grep -v -e found -e $L | xargs -r -n1 etcdctl lease revoke >/dev/null"

# A line that works, for each command; {} is where more goes. Those that go on are told to end.
SAMPLES = {
    "alarm disarm": "etcdctl alarm disarm {}",
    "alarm list": "etcdctl alarm list {}",
    "auth disable": "etcdctl auth disable {}",
    "auth enable": "etcdctl auth enable {}",
    "auth status": "etcdctl auth status {}",
    "check datascale": "etcdctl check datascale --load=none {}",
    "check perf": "etcdctl check perf --load=none {}",
    "compaction": "etcdctl put z z -w json | grep -o 'revision\":[0-9]*' | cut -d: -f2 | xargs -I@ etcdctl compaction @ {}",
    "completion": "etcdctl completion bash {} | wc -c | grep -c '....'",
    "defrag": "etcdctl defrag {}",
    "del": "etcdctl put gone x >/dev/null; etcdctl del gone {}",
    "downgrade cancel": "etcdctl downgrade cancel {}",
    # Refused: the server makes 3.6 of its version within seconds of the other.
    "downgrade enable": "etcdctl downgrade enable 3.5 {}",
    "downgrade validate": "etcdctl downgrade validate 3.6 {}",
    "elect": "timeout -s INT $T etcdctl elect 'e{0}' v {0} | LC_ALL=C sed -E 's/\"Lease\" : [0-9a-f]+|0.{{8}}j/LEASE/; s/\"key\":\"[^\"]*/KEY/; s/[0-9a-f]{{16}}|(\\\\x[36][0-9a-f]){{16}}/ID/'" + NO_LEASES,
    "endpoint hashkv": "etcdctl endpoint hashkv {}",
    "endpoint health": "etcdctl endpoint health {}",
    "endpoint status": "etcdctl endpoint status {}",
    "get": "etcdctl get foo {}",
    "lease grant": "etcdctl lease grant 100 {}",
    "lease keep-alive": "timeout -s INT $T etcdctl lease keep-alive $L {}",
    "lease list": "etcdctl lease list {} | head -c 21",
    "lease revoke": "etcdctl lease grant 50 | cut -d' ' -f2 | xargs -I@ etcdctl lease revoke @ {}",
    "lease timetolive": "etcdctl lease timetolive $L {} | sed 's/remaining([0-9]*/remaining(/; s/\"ttl\":[0-9]*/ttl/; s/\"TTL\" : .*/TTL/'",
    # A name of its own for each: where the form is refused, the lock stays for ten seconds.
    "lock": "timeout -s INT $T etcdctl lock 'l{0}' {0} | LC_ALL=C sed -E 's/\"Lease\" : [0-9a-f]+|0.{{8}}j/LEASE/; s/\"key\":\"[^\"]*/KEY/; s/[0-9a-f]{{16}}|(\\\\x[36][0-9a-f]){{16}}/ID/'" + NO_LEASES,
    "make-mirror": "timeout -s INT $T etcdctl make-mirror $EP --prefix=fo --dest-prefix=mm/ {}",
    # Within a second the id would be that of the one that was just removed, which is refused.
    "member add": "sleep 1.1; etcdctl member add l1 --learner --peer-urls=http://127.0.0.1:23899 {} | "
                  "sed 's/\"\\(l1=[^,]*\\),\\(n1=[^\"]*\\)\"/\"\\2,\\1\"/; s/\"members\".*//'; "
                  "etcdctl member list | grep unstarted | cut -d, -f1 | xargs -r etcdctl member remove >/dev/null",
    "member list": "etcdctl member list {}",
    "member promote": "etcdctl member promote $ME {}",
    "member remove": "etcdctl member remove 1234 {}",
    "member update": "etcdctl member update $ME --peer-urls=http://127.0.0.1:2380 {}",
    "move-leader": "etcdctl move-leader $ME {}",
    "options": "etcdctl options {}",
    "put": "etcdctl put foo3 bar {}",
    "role add": "etcdctl role add r2 {}; etcdctl role delete r2 >/dev/null",
    "role delete": "etcdctl role add r3 >/dev/null; etcdctl role delete r3 {}",
    "role get": "etcdctl role get r {}",
    "role grant-permission": "etcdctl role grant-permission r read k {}",
    "role list": "etcdctl role list {}",
    "role revoke-permission": "etcdctl role grant-permission r read k >/dev/null; etcdctl role revoke-permission r k {}",
    "snapshot save": "rm -f s.db; etcdctl snapshot save s.db {}; ls s.db*",
    "txn": "printf 'mod(\"foo\") > \"0\"\\n\\nput t 1\\nget foo\\ndel t\\n\\n\\n' | etcdctl txn {}",
    "user add": "etcdctl user add u2:p {}; etcdctl user delete u2 >/dev/null",
    "user delete": "etcdctl user add u3:p >/dev/null; etcdctl user delete u3 {}",
    "user get": "etcdctl user get u {}",
    "user grant-role": "etcdctl user grant-role u r {}",
    "user list": "etcdctl user list {}",
    "user passwd": "printf 'a\\na\\n' | etcdctl user passwd u {}",
    "user revoke-role": "etcdctl user grant-role u r >/dev/null; etcdctl user revoke-role u r {}",
    "version": "etcdctl version {}",
    "watch": "timeout -s INT $T etcdctl watch foo --rev=1 {}",
}

LONG = {name for name, sample in SAMPLES.items() if "timeout" in sample}

VALUES = {
    None: ["", "=true", "=false", "=1", "=F", "=maybe", "=", " false"],
    "int": ["=1", " 1", "=-1", "=0x10", "=010", "=1_0", "=+1", "=x", "=", "", "=99999999999999999999", "=1.5"],
    "uint": ["=1", " 1", "=-1", "=0x10", "=x", "=", "", "=99999999999999999999"],
    "string": ["=x", " x", "=", ""],
    "strings": ["=$EP,$EP", " $EP", "=", "", "=,", "='\"$EP\",$EP'", "='\"'"],
    "duration": ["=1s", " 1s", "=500ms", "=1m30s", "=-1s", "=0", "=5", "=x", "=", "", "=1.5s", "=1h1x", "=.5s", "=1us", "=1µs",
                 "=9999999h"],
}


class Go:
    """The tree of commands, as Go's etcdctl tells it."""

    def __init__(self, ctl):
        self.ctl = ctl
        self.leaves, self.groups = [], [""]
        self.walk([])

    def help(self, words):
        return subprocess.run([self.ctl, *words, "--help"], capture_output=True, text=True, check=True).stdout

    def walk(self, words):
        text = self.help(words)
        children = [c for c in COMMAND.findall(text.split("Usage:")[1].split("Flags:")[0]) if c not in ("help", "etcdctl")]
        if children and words:
            self.groups.append(" ".join(words))
        for c in children:
            self.walk(words + [c])
        if not children:
            self.leaves.append(" ".join(words))

    def flags(self, name):
        """(letter, name, type, default) of the command's own flags; type None: a boolean."""
        text = subprocess.run([self.ctl, "options"], capture_output=True, text=True).stdout if name == "options" else self.help(name.split())
        return [f for f in FLAG.findall(text) if f[1] != "help"]


def facts(ctl, words):
    """What --help says of flags, and its exit code."""
    p = subprocess.run([ctl, *words], capture_output=True, text=True)
    return sorted(FLAG.findall(p.stdout)), p.stderr, p.returncode


def section_help(go, args):
    """Not a list of lines: the same flags, letters, types and presets, on stdout, exit code 0, whichever way help is asked for."""
    wrong = 0
    for name in go.leaves + go.groups:
        words = name.split()
        for ask in ([*words, "--help"], [*words, "-h"], ["help", *words]) + (([*words],) if name in go.groups + ["options"] else ()):
            want, got = facts(go.ctl, ask), facts(args.ctl, ask)
            if want != got:
                wrong += 1
                print("etcdctl %s: only Go has %s, only ours %s, code %d, stderr %r" %
                      (" ".join(ask), set(want[0]) - set(got[0]), set(got[0]) - set(want[0]), got[2], got[1]))
    print("help: %d commands, %d wrong" % (len(go.leaves + go.groups), wrong))
    return wrong


def lines(flag, values):
    letter, name, kind, _ = flag
    words = ["--%s%s" % (name, v) for v in values]
    return words + (["-%s%s" % (letter, v) for v in values] + ["-%sx" % letter] if letter else [])


def section_formats(go):
    for name in go.leaves:
        if name == "options":
            continue
        for more in ["-w " + f for f in FORMATS] + ["--hex"] + ["--hex -w " + f for f in FORMATS[1:5]]:
            # Upstream's client cannot marshal that one, and says so with an address in memory.
            # What member add returns is in the order of ids, which are drawn.
            if name not in ("lease revoke", "member add") or "protobuf" not in more:
                yield SAMPLES[name].format(more)


def bare(name):
    """The command alone. Those that might go on are told to end; the checks take a minute each, but for a load that there is not."""
    ends = "timeout -s INT $T " if name in LONG else ""
    return "%setcdctl %s%s" % (ends, name, " --load=none" if name.startswith("check ") else "")


def section_arguments(go):
    for name in go.leaves + go.groups:
        if name == "options":
            continue
        for count in range(5):
            yield "%s %s </dev/null" % (bare(name), "a " * count)
        for more in ("-- a b", "--none", "-z", "''"):
            yield "%s %s </dev/null" % (bare(name), more)


def section_flags(go):
    last = []
    for name in go.leaves:
        for flag in [] if name in ("options", "check perf", "check datascale") else go.flags(name):
            for word in lines(flag, VALUES[flag[2] or None]):
                # Upstream's client names the preset of another command in place of the value.
                if (name, flag[1]) == ("member list", "consistency") and word[-1] in "x=":
                    continue
                # A voter that never starts takes the quorum away: nothing works after it.
                if (name, word.lower()) in (("member add", "--learner=false"), ("member add", "--learner=f")):
                    last.append(SAMPLES[name].format(word))
                    continue
                yield SAMPLES[name].format(word)
    for name in ("check perf", "check datascale"):
        for flag in go.flags(name):
            for word in lines(flag, VALUES[flag[2] or None]):
                yield "etcdctl %s %s" % (name, word if flag[1] == "load" else "--load=none " + word)
    yield from last[:1]


# Upstream's list is a line of CSV, and a name that is none is not looked up; here the one is no address, the other not found.
NOT_THE_SAME = ["--endpoints='\"'", "-d="]


def section_globals(go):
    for flag in go.flags("options"):
        variable = "ETCDCTL_" + flag[1].upper().replace("-", "_")
        limit = "" if flag[1] == "command-timeout" else " --command-timeout=700ms"
        for word in lines(flag, VALUES[flag[2] or None]):
            unset = "env -u ETCDCTL_ENDPOINTS " if flag[1] in ("endpoints", "discovery-srv") else ""
            if word in NOT_THE_SAME:
                continue
            quiet = " 2>/dev/null" if flag[1] == "debug" and "maybe" not in word else ""
            yield "%setcdctl %s get foo%s%s" % (unset, word, limit, quiet)
            yield "%setcdctl get foo%s %s%s" % (unset, limit, word, quiet)
        for value in VALUES[flag[2] or None]:
            # Upstream's client has taken the time by then: the variable of this one changes nothing for it.
            if value[:1] == "=" and flag[1] != "command-timeout" and "--%s%s" % (flag[1], value) not in NOT_THE_SAME:
                yield "env %s%s etcdctl get foo%s%s" % (variable, value, limit, " 2>/dev/null" if flag[1] == "debug" else "")
        yield "env %s=true etcdctl --%s=true get foo%s" % (variable, flag[1], limit)
    for name in go.leaves:
        if name != "options":
            yield "(%s) 2>/dev/null" % SAMPLES[name].format("--debug")


KEYS = ["''", "' '", r"$'\xff\xfe'", r"$'a\nb'", r"$'a\tb'", r"$'\x01\x7f'", "'\"q\"'", r"'back\slash'", "'<&>'", "ü✓", r"$'\xc3'",
        r"$'\xe2\x80\xa8'", "-", "%s", "a=b", r"$'\xf0\x9f\x98\x80'", r"$'\xed\xa0\x80'", "$(printf 'x%.0s' {1..3000})"]


def section_keys(go):
    for k in KEYS:
        yield "etcdctl put -- %s %s" % (k, k)
        for more in ("",) + tuple("-w %s" % f for f in FORMATS[:5]) + ("--hex", "--hex -w json", "--hex -w fields", "--keys-only", "--print-value-only",
                                                                       "--prefix", "--from-key"):
            yield "etcdctl get %s -- %s" % (more, k)
        for f in FORMATS[:4]:
            yield "timeout -s INT $T etcdctl watch --rev=1 --prev-kv -w %s -- %s" % (f, k)
        yield "timeout -s INT $T etcdctl watch --rev=1 --hex -- %s" % k
        yield "timeout -s INT $T etcdctl lock -- %s env | grep -a ETCD_LOCK | LC_ALL=C sed -E 's/[0-9a-f]{16}/ID/'" % k
        yield "timeout -s INT $T etcdctl elect -- %s %s | LC_ALL=C sed -E 's/[0-9a-f]{16}/ID/'" % (k, k)
        yield "etcdctl role add -- %s; etcdctl role grant-permission -- %s read %s; etcdctl role get -- %s" % (k, k, k, k)
        yield "etcdctl role get -w json -- %s" % k
        yield "etcdctl role grant-permission --prefix -- %s write %s; etcdctl role get -- %s" % (k, k, k)
        yield "etcdctl user add --no-password -- %s; etcdctl user grant-role -- %s %s; etcdctl user get -- %s" % (k, k, k, k)
        yield "etcdctl user get --detail -- %s" % k
        yield "etcdctl user get -w json -- %s" % k
        yield "etcdctl user delete -- %s; etcdctl role delete -- %s" % (k, k)
        yield "etcdctl del --prev-kv -w json -- %s" % k
        yield "etcdctl put -- %s %s >/dev/null; etcdctl del --prev-kv -- %s" % (k, k, k)
    yield "etcdctl put --; etcdctl put -- --; etcdctl put -- -- --; etcdctl get -- --; etcdctl del -- --"
    yield "etcdctl put a -- b; etcdctl get a"
    yield "etcdctl put -- a --lease=1; etcdctl get a"
    yield "etcdctl -- get foo"
    yield "etcdctl get --limit 1 foo --keys-only g -w json"
    yield "etcdctl -w json get --limit 1 foo --keys-only g --hex"
    yield "etcdctl --hex get -w=json foo"
    yield "etcdctl get foo -w=json=x"
    yield "etcdctl get foo -w json -w simple --limit 1 --limit 2"
    yield "etcdctl get foo --prefix --prefix=false --keys-only=true --keys-only=false"


def section_down(go):
    """Nobody serves: what each says, and in JSON."""
    for name in go.leaves:
        if name in ("options", "version", "completion", "check perf", "check datascale"):
            continue
        sample = re.sub(r"(?:timeout -s INT \$T )?(\betcdctl )", r"timeout -s INT $T \1--endpoints=127.0.0.1:1 --command-timeout=200ms --dial-timeout=200ms ",
                        SAMPLES[name])
        for f in ("simple", "json"):
            yield "unset ETCDCTL_ENDPOINTS; " + sample.format("-w " + f)


def section_refused(go):
    """Authentication is on: without a name, with a wrong password, and as one who may do little."""
    yield "etcdctl user add root:root; etcdctl user grant-role root root; etcdctl auth enable"
    for name in go.leaves:
        # Upstream's client goes on asking for ever to renew a lease that it may not renew; ours says why and ends.
        if name in ("options", "version", "completion", "auth disable", "check perf", "check datascale", "lease keep-alive"):
            continue
        for user in ("", "--user=u:p", "--user=u:wrong", "--user=none:x"):
            for f in ("simple", "json"):
                yield re.sub(r"(\betcdctl )", r"\1%s " % user, SAMPLES[name]).format("-w " + f)


SECTIONS = ["help", "formats", "arguments", "flags", "globals", "keys", "down", "refused"]


def main():
    args, go_ctl = run.arguments(SECTIONS)
    go = Go(go_ctl)
    unknown = [n for n in go.leaves if n not in SAMPLES]
    if unknown:
        sys.exit("no sample for " + ", ".join(unknown))
    wrong = 0
    for name in args.files or SECTIONS:
        section = globals()["section_" + name]
        if name == "help":
            wrong += section(go, args)
            continue
        wrong += run.compare(run.Script(name, SETUP + "".join("$ %s\n" % l for l in section(go))), go_ctl, args)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
