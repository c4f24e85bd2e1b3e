"""Runs the same commands against two servers and compares what they answer.

A section is a function of a Transcript; each of its calls adds a line of what was asked and lines of what came
back, with what may differ between two right servers (times, sizes, generated ids) replaced by a mark."""
import base64
import difflib
import json
import re

import grpc

from etcdapi import Api, method, rpc
from etcdproc import Server, get

# Values that two right servers need not share.
VOLATILE = {"raft_index": "<index>", "raft_applied_index": "<index>", "db_size": "<size>", "db_size_in_use": "<size>",
            "raftIndex": "<index>", "raftAppliedIndex": "<index>", "dbSize": "<size>", "dbSizeInUse": "<size>"}


def text(value):
    """bytes as in Python, without the b."""
    return repr(value)[1:] if isinstance(value, bytes) else str(value)


def show(message):
    """One line of a message: fields in order of number, nested ones in braces, volatile ones marked. Members are
    sorted by id, and ids of new members differ from run to run, so that they are shown by URL."""
    parts = []
    for field, value in message.ListFields():
        values = value if field.label == field.LABEL_REPEATED else [value]
        if field.name == "members":
            parts.append("by_id:%s" % (list(values) == sorted(values, key=lambda m: m.ID)))
            values = sorted(values, key=lambda m: list(m.peerURLs))
        elif field.name == "keys" and field.type == field.TYPE_BYTES:
            values = sorted(values)             # a lease's, in no particular order
        for v in values:
            if field.name in VOLATILE:
                v = VOLATILE[field.name]
            elif field.type == field.TYPE_MESSAGE:
                v = "{" + show(v) + "}"
            elif field.type == field.TYPE_ENUM:
                e = field.enum_type.values_by_number.get(v)
                v = e.name if e else v
            elif field.type == field.TYPE_BYTES:
                v = "<%d bytes>" % len(v) if len(v) > 200 else text(v)
            parts.append("%s:%s" % (field.name, v))
    return " ".join(parts)


class Transcript:
    def __init__(self, server, api):
        self.server, self.api, self.lines, self.ids = server, api, [], {}

    def say(self, line):
        # Go's protobuf puts a no-break space, or one blank more, by chance of the build.
        line = re.sub(r"(memberID:\d+) +", r"\1 ", line.replace("\u00a0", " ").replace("\\u00a0", " "))
        # A deadline that Go's server notices before its own gateway does.
        line = line.replace("stream terminated by RST_STREAM with error code: CANCEL", "context deadline exceeded")
        for known, mark in self.ids.items():
            line = line.replace(known, mark)
        self.lines.append(line)

    def title(self, line):
        self.lines += ["", "# " + line]

    def mark(self, value, name):
        """From now on this generated value is shown by name."""
        self.ids[str(value)] = "<%s>" % name

    def error(self, e):
        self.say("   error %s: %s" % (e.code().name, e.details()))

    def call(self, method_name, request=None, api=None, timeout=20, **fields):
        """A unary call, shown; the response or None."""
        request = request if request is not None else method(method_name)[1](**fields)
        self.say("%s %s" % (method_name, show(request)))
        try:
            response = (api or self.api).call(method_name, request, timeout)
            self.say("   " + show(response))
            return response
        except grpc.RpcError as e:
            self.error(e)
            return None

    def error_of(self, name, request):
        """A call that is not shown: its error, or None."""
        try:
            self.api.call(name, request)
        except grpc.RpcError as e:
            return e

    def future(self, name, request):
        """A unary call that goes on by itself; result() waits for it."""
        self.say("%s %s ..." % (name, show(request)))
        return self.api.future(name, request)

    def result(self, future, seconds=10):
        try:
            self.say("   ... " + show(future.result(seconds)))
        except grpc.FutureTimeoutError:
            self.say("   ... still waiting")
        except grpc.RpcError as e:
            self.error(e)

    def raw(self, path, data=b""):
        self.say("%s %r" % (path, data))
        try:
            self.say("   %r" % self.api.raw(path, data))
        except grpc.RpcError as e:
            self.error(e)

    def server_stream(self, name, request, summary=show):
        self.say("%s %s" % (name, show(request)))
        try:
            for response in self.api.server_stream(name, request):
                self.say("   " + summary(response))
        except grpc.RpcError as e:
            self.error(e)

    def receive(self, stream, count=1, seconds=5, in_order=True):
        """Shows the next messages of a stream; what does not come in time is said too. Watchers of one stream have no order among each other."""
        got, lines = [], []
        for _ in range(count):
            response = stream.next(seconds)
            got.append(response)
            if isinstance(response, grpc.RpcError):
                self.error(response)
            else:
                lines.append("   nothing" if response is None else "   " + show(response))
                if in_order:
                    self.say(lines.pop())
        for line in sorted(lines):
            self.say(line)
        return got

    def ctl(self, *args, stdin=None, both=True):
        """An etcdctl command line; its output and exit code. JSON log lines on stderr are left out."""
        self.say("$ etcdctl " + " ".join(args))
        p = self.server.ctl(*args, stdin=stdin)
        for line in p.stdout.decode("utf-8", "backslashreplace").splitlines():
            self.say("   " + self.normal(line))
        for line in p.stderr.decode("utf-8", "backslashreplace").splitlines():
            if not line.startswith("{") and both:
                self.say("   ! " + self.normal(line))
        self.say("   = %d" % p.returncode)
        return p.stdout

    def normal(self, line):
        line = re.sub(r'"(raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":\d+', r'"\1":"<n>"', line)
        line = re.sub(r'"took":"[^"]*"', '"took":"<t>"', line)
        line = re.sub(r"took = [0-9.]+\S*s", "took = <t>", line)
        line = re.sub(r"took [0-9.]+\S*s", "took <t>", line)
        line = line.replace(self.server.target, "<endpoint>").replace(str(self.server.port), "<port>")
        return line.replace(self.server.root, "<root>")

    def http(self, path, method="GET", body=None, headers=None, show_headers=(), show_body=True):
        self.say("%s %s %s" % (method, path, body if body is not None else ""))
        status, got, data = get(self.server.port, path, method, body, headers)
        headers = ("Content-Type",) + tuple(show_headers)
        self.say("   %d %s" % (status, " ".join("%s=%s" % (h, got.get(h)) for h in headers)))
        if show_body and path.startswith("/v3"):
            self.say("   " + json.dumps(self.stable(json.loads(data)), sort_keys=True))
        elif show_body:
            self.say("   " + self.normal(repr(in_order(path, data))[1:]))
        return data

    def gateway(self, path, body, **headers):
        """A JSON call; the answer is compared as JSON, for blanks in it mean nothing."""
        self.say("POST /v3/%s %s" % (path, json.dumps(body) if not isinstance(body, str) else body))
        status, got, data = get(self.server.port, "/v3/" + path, "POST",
                                body if isinstance(body, str) else json.dumps(body), headers)
        # on an error etcd's gateway has it in some runs and not in others
        metadata = got.get("Grpc-Metadata-Content-Type") if status == 200 else None
        self.say("   %d %s %s" % (status, got.get("Content-Type"), metadata))
        for line in data.decode("utf-8", "replace").splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                self.say("   text " + repr(line))
                continue
            self.say("   " + json.dumps(self.stable(value), sort_keys=True))
        return data

    def stable(self, value):
        if isinstance(value, dict):
            return {k: VOLATILE[k] if k in VOLATILE else self.stable(v) for k, v in value.items()}
        return [self.stable(v) for v in value] if isinstance(value, list) else value


def in_order(path, data):
    """The lines of the health checks come in no particular order."""
    if not path.startswith(("/readyz", "/livez")):
        return data
    lines = data.split(b"\n")
    checks = sorted(line for line in lines if line.startswith(b"["))
    return b"\n".join(checks + [line for line in lines if not line.startswith(b"[")])


def b64(s):
    return base64.b64encode(s if isinstance(s, bytes) else s.encode()).decode()


def record(binary, section, flags=()):
    """A section's flags: a list, or a function of the server, whose ports they may need."""
    server, more = Server(binary, flags), getattr(section, "flags", [])
    server.flags += more(server) if callable(more) else more
    with server:
        t = Transcript(server, Api(server.target))
        try:
            section(t)
        except Exception:
            print("\n".join(t.lines[-12:]) + "\n" + server.log_tail())
            raise
        finally:
            t.api.close()
        return t.lines


def compare(section, ours, go):
    """Lines of the difference, Go's marked -, ours +; empty when equal."""
    want, got = record(go, section), record(ours, section)
    return list(difflib.unified_diff(want, got, "go", "ours", n=8, lineterm="")), len(want)
