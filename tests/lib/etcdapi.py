"""A plain gRPC client for etcd: every method by name, messages made from proto/*.proto.

    api = Api("127.0.0.1:2379")                              Api(target, ca=PEM, pair=(certificate, key)): over TLS, all of them bytes
    api.call("KV/Range", rpc.RangeRequest(key=b"a"))         -> the response message, or grpc.RpcError
    api.stream("Watch/Watch")                                -> Stream: send(message), next(seconds), close()

Needs python3-grpcio, python3-protobuf and protoc; without them import raises ImportError."""
import atexit
import importlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading

import grpc

PROTO_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")
PROTOS = ["auth", "health", "kv", "otlp", "rpc", "v3election", "v3lock"]


def _load_protos():
    protoc = shutil.which("protoc")
    if not protoc:
        raise ImportError("protoc is missing")
    out = tempfile.mkdtemp(prefix="etcdapi")
    atexit.register(shutil.rmtree, out, True)
    subprocess.run([protoc, "-I", PROTO_DIR, "--python_out", out] + [p + ".proto" for p in PROTOS], check=True)
    sys.path.insert(0, out)
    return {p: importlib.import_module(p + "_pb2") for p in PROTOS}


_modules = _load_protos()
rpc, kv, auth = _modules["rpc"], _modules["kv"], _modules["auth"]
election, lock, health, otlp = _modules["v3election"], _modules["v3lock"], _modules["health"], _modules["otlp"]
_files = {"Lock": lock, "Election": election, "Health": health}


def method(name):
    """"KV/Range" -> (path, request class, response class)"""
    service, m = name.split("/")
    module = _files.get(service, rpc)
    descriptor = module.DESCRIPTOR.services_by_name[service].methods_by_name[m]
    path = "/%s/%s" % (module.DESCRIPTOR.services_by_name[service].full_name, m)
    find = lambda d: getattr(_modules[d.file.name.split("/")[-1][:-6]], d.name)
    return path, find(descriptor.input_type), find(descriptor.output_type)


class Stream:
    """A bidirectional stream: requests from a queue, responses into one."""

    def __init__(self, channel, path, response_class, metadata):
        self._requests, self._responses = queue.Queue(), queue.Queue()
        call = channel.stream_stream(path, lambda m: m.SerializeToString(), response_class.FromString)
        self._call = call(iter(self._requests.get, None), metadata=metadata)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for response in self._call:
                self._responses.put(response)
            self._responses.put(None)
        except grpc.RpcError as e:
            self._responses.put(e)

    def send(self, message):
        self._requests.put(message)

    def next(self, seconds=5):
        """The next response; None at the end of the stream or of the time; an RpcError is returned, not raised."""
        try:
            return self._responses.get(timeout=seconds)
        except queue.Empty:
            return None

    def close_send(self):
        self._requests.put(None)

    def close(self):
        self._requests.put(None)
        self._call.cancel()


class Api:
    def __init__(self, target, token=None, metadata=(), ca=None, pair=(None, None)):
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
                   ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        if ca:
            self.channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, pair[1], pair[0]), options)
        else:
            self.channel = grpc.insecure_channel(target, options)
        self.metadata = list(metadata) + ([("token", token)] if token else [])

    def with_token(self, token):
        other = Api.__new__(Api)
        other.channel, other.metadata = self.channel, [("token", token)]
        return other

    def call(self, name, request, timeout=20):
        path, _, response_class = method(name)
        f = self.channel.unary_unary(path, lambda m: m.SerializeToString(), response_class.FromString)
        return f(request, timeout=timeout, metadata=self.metadata)

    def future(self, name, request, timeout=30):
        path, _, response_class = method(name)
        f = self.channel.unary_unary(path, lambda m: m.SerializeToString(), response_class.FromString)
        return f.future(request, timeout=timeout, metadata=self.metadata)

    def raw(self, path, data=b"", timeout=20):
        return self.channel.unary_unary(path)(data, timeout=timeout, metadata=self.metadata)

    def server_stream(self, name, request, timeout=20):
        path, _, response_class = method(name)
        f = self.channel.unary_stream(path, lambda m: m.SerializeToString(), response_class.FromString)
        return f(request, timeout=timeout, metadata=self.metadata)

    def stream(self, name):
        path, _, response_class = method(name)
        return Stream(self.channel, path, response_class, self.metadata)

    def close(self):
        self.channel.close()
