#!/usr/bin/env python3
"""What bash, zsh and fish make of the words typed so far, with the scripts of "etcdctl completion": the shells are run.

usage: completion.py ETCDCTL

Exit code 77: none of them is installed."""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

# Typed, then what the line becomes, or what is offered.
WORDS = [
    ("etcdctl mem", ["member"]),
    ("etcdctl member ", ["add", "list", "promote", "remove", "update"]),
    ("etcdctl get --cons", ["--consistency"]),
    ("etcdctl -w ta", ["table"]),
    ("etcdctl --write-out=ta", ["table"]),
    ("etcdctl --endpoints x:1 del --pre", ["--prefix", "--prev-kv"]),
    ("etcdctl snapshot save back", ["backup.db"]),
    ("etcdctl completion z", ["zsh"]),
]
SECONDS = 10


class Terminal:
    """An interactive shell on a terminal of its own."""

    def __init__(self, command, folder):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ.update(TERM="dumb", PATH=folder + ":" + os.environ["PATH"], HOME=folder, HISTFILE="/dev/null")
            os.chdir(folder)
            os.execvp(command[0], command)

    def read(self, enough):
        text, end = "", time.time() + SECONDS
        while not enough(text) and time.time() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                text += os.read(self.fd, 65536).decode(errors="replace")
        return text

    def type(self, text, enough):
        os.write(self.fd, text.encode())
        return self.read(enough)

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def clean(text):
    return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]|\x07|\r", "", text)


def offered(text, typed, want):
    """All of want stand as words of their own in what came after the keys."""
    rest = clean(text)
    rest = rest.replace(typed, "", 1) if len(want) > 1 else rest
    return all(re.search(r"(?<![\w-])%s(?![\w-])" % re.escape(w), rest) for w in want)


def interactive(shell, folder):
    setup = {"bash": "PS1=; bind 'set bell-style none' 2>/dev/null; bind 'set show-all-if-ambiguous on'; ",
             "zsh": "PS1=; autoload -Uz compinit; compinit -u -D; "}[shell]
    t = Terminal({"bash": ["bash", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell], folder)
    t.type(setup + "source <(etcdctl completion %s); echo REA''DY\n" % shell, lambda s: "READY" in s)
    for typed, want in WORDS:
        text = t.type(typed + "\t", lambda s: offered(s, typed, want))
        yield typed, want, offered(text, typed, want), clean(text)
        t.type("\x15echo REA''DY\n", lambda s: "READY" in s)
    t.close()


def fish(folder):
    env = dict(os.environ, PATH=folder + ":" + os.environ["PATH"], HOME=folder)
    for typed, want in WORDS:
        text = subprocess.run(["fish", "-c", "etcdctl completion fish | source; complete -C '%s'" % typed], env=env, cwd=folder,
                              capture_output=True, text=True).stdout
        words = [line.split("\t")[0].split("=")[-1] for line in text.splitlines()]
        yield typed, want, words == want, text


def main():
    shells = [s for s in ("bash", "zsh", "fish") if shutil.which(s)]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.abspath(sys.argv[1]), os.path.join(folder, "etcdctl"))
        open(os.path.join(folder, "backup.db"), "w").close()
        for shell in shells:
            for typed, want, ok, text in fish(folder) if shell == "fish" else interactive(shell, folder):
                if not ok:
                    print("%s: %r: wanted %s, came %r" % (shell, typed, want, text))
                    wrong += 1
            print("%s: %d words" % (shell, len(WORDS)))
    return 1 if wrong else 0 if shells else 77


sys.exit(main())
