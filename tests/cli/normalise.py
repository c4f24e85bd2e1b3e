"""What may differ between two runs that are the same, and what stands for it.

- ids: every hexadecimal word of 16 digits and every decimal number of 18 to 20 digits that is not the cluster's or the
  member's becomes <id1>, <id2>, … in order of appearance within a file; so the same id has the same name.
- the address of the server and its ports: <EP>, <TLS>, <PEER>; its directory: <DIR>.
- durations with a unit of time behind "took": <took>; sizes of the database file, which depend on when it was
  committed, and the raft index and term, which a slow election moves: <size>, <index> in the output of endpoint status. A table that holds a duration loses its
  widths.
- lines of endpoint health come as the members answered: sorted.
- stderr: log lines (JSON) are left out, and so is the usage text behind a flag error, for its words are our own.
- help: what follows "Usage:" on stdout is reduced to the names of commands and flags in it, in order of names,
  without those of ours that etcd has not.
- a text message of protobuf is printed by Go with one or two blanks, by the build's chance: always one here.
- raw protobuf bytes become their hexadecimal form, as all bytes that are no UTF-8."""
import re

NAME = re.compile(r"^ +(?:-\w, )?(--[a-z][\w-]*)|^  ([a-z][a-z-]*) +[A-Za-z]", re.M)

OURS = {"du", "top"}  # commands that etcd has not


def reduce_help(text):
    head, usage = text.split("Usage:", 1)
    names = sorted({a or b for a, b in NAME.findall(usage)} - {"--help"} - OURS)
    return "<help>\n" + "".join("%s\n" % n for n in names)


# In decimal or hexadecimal; one of sixteen begins with a zero, which is left out or a space
ID = r"\b\d{18,20}\b|\b[0-9a-f]{16}\b|(?<= ) [0-9a-f]{15}\b|\b[0-9a-f]{15}\b"


class Names:
    def __init__(self, server, tls):
        self.server, self.tls, self.ids = server, tls, {}

    def id(self, m):
        word = m.group(0)
        number = int(word) if len(word) > 16 else int(word, 16)
        number &= 2 ** 64 - 1
        return "<id%d>" % self.ids.setdefault(number, len(self.ids) + 1)

    def clean(self, data):
        data = data.replace(self.server.target.encode(), b"<EP>")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.hex()
        if "\x00" in text or "\x12" in text:
            text = data.hex()
        s = self.server
        text = text.replace(self.tls, "<TLS>").replace(s.target, "<EP>").replace(s.root, "<DIR>")
        text = re.sub(r"(?<![0-9a-f])%d(?![0-9a-f])" % s.peer_port, "<PEER>", text)
        text = re.sub(ID, self.id, text)
        text = re.sub(r"([Tt]ook\b[\"= :.]*)[\d.]+(ns|µs|ms|s|m)\b", r"\1<took>", text)
        text = re.sub(r"│ [ \d.]+(ms|µs|s) │", "│ <took> │", text)
        text = re.sub(r" +alarm:", " alarm:", text)
        text = re.sub(r"(\d+ [kM]?B, ){2}\d+%", "<size>, <size>, <size>", text)
        text = re.sub(r"│ +[\d.]+ [kM]?B │ +[\d.]+ [kM]?B │ +\d+% │", "│ <size> │ <size> │ <size> │", text)
        text = re.sub(r"(db[sS]ize(?:InUse)?\"|\"DBSize(?:InUse)?\" ):? ?:? ?\d+", r"\1:<size>", text)
        text = re.sub(r"(\"?raft_?(?:Applied)?(?:Index|Term|term)\"?|\"Raft(?:AppliedIndex|Index|Term)\" ) ?: ?\d+",
                      r"\1:<index>", text)
        text = re.sub(r"(true|false), (true|false), \d+, \d+, \d+,", r"\1, \2, <index>, <index>, <index>,", text)
        lines = text.splitlines(True)
        if all("healthy: " in line for line in lines):
            text = "".join(sorted(lines))
        if "<took>" in text:
            text = re.sub("─+", "─", re.sub(" +", " ", text))
        if "Usage:\n" in text:
            text = reduce_help(text)
        return text

    def clean_errors(self, data):
        text = "".join(l + "\n" for l in self.clean_log(data).split("\n") if l and not l.startswith('{"level":'))
        return text

    def clean_log(self, data):
        text = data.decode(errors="replace")
        if "Usage:\n" in text:
            start = text.index("Usage:\n")
            text = text[:start] + "".join(l + "\n" for l in text[start:].split("\n") if l.startswith("Error: "))
        if text.startswith("stty:"):
            text = re.sub(r"^stty:.*\n", "", text, flags=re.M)
        s = self.server
        text = text.replace(self.tls, "<TLS>").replace(s.target, "<EP>").replace(s.root, "<DIR>")
        text = re.sub(ID, self.id, text)
        return re.sub(r"([Tt]ook\b[\"= :.]*)[\d.]+(ns|µs|ms|s|m)\b", r"\1<took>", text)
