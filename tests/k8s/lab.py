"""A real Kubernetes on this machine: what the scenarios need of the lab's scripts (K8S_LAB), of kubectl and of helm."""
import base64
import contextlib
import fcntl
import http.client
import json
import os
import re
import ssl
import subprocess
import tempfile
import time

LAB = os.environ.get("K8S_LAB", "../shared/k8s-lab")
STATE = os.environ.get("K8S_LAB_STATE", "/var/lib/k8s-lab")
LOCK = os.environ.get("K8S_LAB_LOCK", "/tmp/lab.lock")


class Failed(Exception):
    pass


def check(holds, what):
    if not holds:
        raise Failed(what)


def wait_for(seconds, what, condition, every=0.5):
    """The first true value of condition(); an exception of ours or of a program counts as not yet."""
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (Failed, subprocess.SubprocessError, OSError, http.client.HTTPException, ValueError, KeyError) as e:
            last = e
        if time.monotonic() > end:
            raise Failed("not within %d s: %s%s" % (seconds, what, " (%s)" % last if last else ""))
        time.sleep(every)


def run(*command, stdin=None, timeout=120, fails=False, env=None):
    """Standard output of a program that must succeed, or whatever it says and its code with fails."""
    done = subprocess.run([str(c) for c in command], input=stdin, text=True, timeout=timeout, env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if fails:
        return done.returncode, done.stdout + done.stderr
    if done.returncode:
        raise Failed("%s: exit code %d\n%s" % (" ".join(map(str, command)), done.returncode, (done.stdout + done.stderr)[-2000:]))
    return done.stdout


class Api:
    """One connection to the API server, as its administrator."""

    def __init__(self):
        text = open(os.path.join(STATE, "kubeconfig")).read()
        field = lambda name: re.search(r"^\s*%s:\s*(\S+)" % name, text, re.M).group(1)
        data = lambda name: base64.b64decode(field(name + "-data")).decode()
        self.context = ssl.create_default_context(cadata=data("certificate-authority"))
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(data("client-certificate") + data("client-key"))
            f.flush()
            self.context.load_cert_chain(f.name)
        self.host, self.port = re.match(r"https://([^:]+):(\d+)", field("server")).groups()
        self.connection = None

    def connect(self, timeout):
        return http.client.HTTPSConnection(self.host, int(self.port), context=self.context, timeout=timeout)

    def __call__(self, method, path, body=None, kind="application/json", timeout=60):
        """(status, object); a broken connection raises and is made anew by the next call."""
        if self.connection is None:
            self.connection = self.connect(timeout)
        try:
            self.connection.request(method, path, json.dumps(body) if body is not None else None,
                                    {"Content-Type": kind, "Accept": "application/json"})
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.connection.close()
            self.connection = None
            raise


class Lab:
    def __init__(self, programs, **options):
        """programs: directory with `etcd`, the store of the API server. Options: members, tls, nodes, api_args."""
        self.programs = os.path.abspath(programs)
        self.options = options
        self.environment = dict(os.environ)

    def script(self, name, *arguments, timeout=300):
        return run(os.path.join(LAB, name), *arguments, timeout=timeout)

    def up(self):
        o = self.options
        arguments = ["--etcd-bin", self.programs, "--nodes", o.get("nodes", 0), "--etcd-members", o.get("members", 1)]
        arguments += ["--etcd-tls"] if o.get("tls") else []
        for a in o.get("api_args", ()):
            arguments += ["--api-arg", a]
        # no pipes: the daemons would keep them open
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run([os.path.join(LAB, "up"), *map(str, arguments)], stdout=out, stderr=subprocess.STDOUT, timeout=400)
            out.seek(0)
            said = out.read()
        check(done.returncode == 0, "up: " + said[-2000:])
        for name, value in re.findall(r"^export (\w+)=(.*)$", said, re.M):
            self.environment[name] = value.replace("$PATH", os.environ["PATH"])

    def down(self):
        run(os.path.join(LAB, "down"), "--purge", timeout=120)

    def control(self, *arguments):
        """`ctl`: its daemons must not hold our pipes."""
        done = subprocess.run([os.path.join(LAB, "ctl"), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        check(done.returncode == 0, "ctl " + " ".join(arguments))

    def node(self, *arguments):
        done = subprocess.run([os.path.join(LAB, "node"), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=200)
        check(done.returncode == 0, "node " + " ".join(arguments))

    def kubectl(self, *arguments, **options):
        return run("kubectl", *arguments, env=self.environment, **options)

    def helm(self, *arguments, **options):
        return run("helm", *arguments, env=self.environment, **options)

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def etcdctl(self, *arguments, **options):
        """Against the store itself."""
        endpoints = open(os.path.join(STATE, "etcd-servers")).read().strip()
        tls = []
        if endpoints.startswith("https"):
            pki = os.path.join(STATE, "pki")
            tls = ["--cacert", pki + "/ca.crt", "--cert", pki + "/etcd-client.crt", "--key", pki + "/etcd-client.key"]
        return run(os.path.join(self.programs, "etcdctl"), "--endpoints", endpoints, *tls, *arguments, **options)


@contextlib.contextmanager
def lab(programs, **options):
    """Up, with whatever a killed one left cleared away, and down again however the block ends. One at a time on a machine."""
    with open(LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        one = Lab(programs, **options)
        try:
            one.up()
            yield one
        finally:
            one.down()
