// Command oracle runs transcripts on etcd-io/raft itself and writes down what it prints: the expected text of
// ../scenes (commands written by hand) and ../random (commands drawn from a seed).
//
//	go run . ../scenes/*.txt             keep the commands, replace what is expected
//	go run . -random 1 -count 8 ../random    write random-<seed>.txt for seeds 1 to 8
//
// It knows all commands of upstream's interaction tests, and a few more (see extra).
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/rafttest"
	"go.etcd.io/raft/v3/tracker"
)

// gate is a storage whose snapshots may be unavailable for a while.
type gate struct {
	raft.Storage
	closed *bool
}

func (g gate) Snapshot() (*pb.Snapshot, error) {
	if *g.closed {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return g.Storage.Snapshot()
}

type world struct {
	env     *rafttest.InteractionEnv
	options []datadriven.CmdArg // of the nodes that are added next
	closed  map[uint64]*bool
}

func newWorld() *world {
	w := &world{closed: map[uint64]*bool{}}
	w.env = rafttest.NewInteractionEnv(&rafttest.InteractionOpts{
		OnConfig:                     w.onConfig,
		SetRandomizedElectionTimeout: setTimeout,
	})
	return w
}

func setTimeout(n *raft.RawNode, timeout int) {
	r := reflect.ValueOf(n).Elem().FieldByName("raft").Elem().FieldByName("randomizedElectionTimeout")
	*(*int)(unsafe.Pointer(r.UnsafeAddr())) = timeout
}

func (w *world) onConfig(c *raft.Config) {
	for _, a := range w.options {
		n, _ := strconv.ParseUint(a.Vals[0], 10, 64)
		switch a.Key {
		case "max-size-per-msg":
			c.MaxSizePerMsg = n
		case "max-uncommitted-size":
			c.MaxUncommittedEntriesSize = n
		case "max-inflight-bytes":
			c.MaxInflightBytes = n
		case "election-ticks":
			c.ElectionTick = int(n)
		case "disable-proposal-forwarding":
			c.DisableProposalForwarding, _ = strconv.ParseBool(a.Vals[0])
		default:
			panic("unknown option " + a.Key)
		}
	}
	w.closed[c.ID] = new(bool)
	c.Storage = gate{c.Storage, w.closed[c.ID]}
}

func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func message(d datadriven.TestData) *pb.Message {
	m := &pb.Message{To: new(number(d.CmdArgs[0].Key))}
	for _, a := range d.CmdArgs[1:] {
		v := a.Vals[0]
		switch a.Key {
		case "type":
			m.Type = pb.MessageType(pb.MessageType_value[v]).Enum()
		case "from":
			m.From = new(number(v))
		case "term":
			m.Term = new(number(v))
		case "index":
			m.Index = new(number(v))
		case "logterm":
			m.LogTerm = new(number(v))
		case "commit":
			m.Commit = new(number(v))
		case "hint":
			m.RejectHint = new(number(v))
		case "reject":
			m.Reject = new(v == "true")
		case "context":
			m.Context = []byte(v)
		case "entries": // term/index/data
			for _, e := range a.Vals {
				f := strings.SplitN(e, "/", 3)
				m.Entries = append(m.Entries, &pb.Entry{Term: new(number(f[0])), Index: new(number(f[1])), Data: []byte(f[2])})
			}
		case "data":
			m.Entries = append(m.Entries, &pb.Entry{Data: []byte(v)})
		default:
			panic("unknown field " + a.Key)
		}
	}
	return m
}

// extra are the commands beyond upstream's. They follow its rules: the text of an error is appended, nothing is ok.
func (w *world) extra(d datadriven.TestData) (known bool, err error) {
	node := func() *rafttest.Node { return &w.env.Nodes[number(d.CmdArgs[0].Key)-1] }
	switch d.Cmd {
	case "config":
		w.options = d.CmdArgs
	case "read-index":
		node().ReadIndex([]byte(d.CmdArgs[1].Key))
	case "report-snapshot":
		status := raft.SnapshotFinish
		if d.HasArg("failed") {
			status = raft.SnapshotFailure
		}
		node().ReportSnapshot(number(d.CmdArgs[1].Key), status)
	case "close-snapshots":
		*w.closed[number(d.CmdArgs[0].Key)] = true
	case "open-snapshots":
		*w.closed[number(d.CmdArgs[0].Key)] = false
	case "tick":
		for range number(d.CmdArgs[1].Key) {
			node().Tick()
		}
	case "step":
		err = node().Step(message(d))
	case "bootstrap":
		var peers []raft.Peer
		for _, a := range d.CmdArgs[1:] {
			peers = append(peers, raft.Peer{ID: number(a.Key), Context: []byte("ctx" + a.Key)})
		}
		err = node().Bootstrap(peers)
	case "restart":
		n := node()
		n.Config.Applied = 0
		for _, a := range d.CmdArgs[1:] {
			n.Config.Applied = number(a.Vals[0])
		}
		n.AppendWork, n.ApplyWork = nil, nil
		n.RawNode, err = raft.NewRawNode(n.Config)
	case "progress":
		// The Config of Status() lacks AutoLeave.
		n := node()
		s := n.Status()
		f := reflect.ValueOf(n.RawNode).Elem().FieldByName("raft").Elem().FieldByName("trk").FieldByName("Config")
		c := (*tracker.Config)(unsafe.Pointer(f.UnsafeAddr()))
		fmt.Fprintf(w.env.Output, "%s commit=%d applied=%d\n", c, s.GetCommit(), s.Applied)
	default:
		return false, nil
	}
	return true, err
}

// steady undoes the spaces that protobuf's text form puts in at random.
func steady(out string) string {
	lines := strings.Split(out, "\n")
	for i, l := range lines {
		if head, tail, ok := strings.Cut(l, "ConfState voters"); ok {
			lines[i] = head + "ConfState voters" + strings.ReplaceAll(tail, "  ", " ")
		}
	}
	return strings.Join(lines, "\n")
}

func (w *world) run(line, input string) (out string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v", line, p)
		}
	}()
	cmd, args, err := datadriven.ParseLine(line)
	if err != nil {
		return "", err
	}
	d := datadriven.TestData{Cmd: cmd, CmdArgs: args, Input: input}
	w.env.Output.Reset()
	known, xerr := w.extra(d)
	if !known {
		out = w.env.Handle(&testing.T{}, d)
	} else {
		if xerr != nil {
			w.env.Output.WriteString(xerr.Error())
		}
		out = w.env.Output.String()
		if out == "" {
			out = "ok"
			if xerr != nil {
				out = xerr.Error()
			}
		}
	}
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	return steady(out), nil
}

func rewrite(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	w := newWorld()
	lines := strings.Split(string(text), "\n")
	var b strings.Builder
	for i := 0; i < len(lines); i++ {
		t := strings.TrimSpace(lines[i])
		if i == len(lines)-1 && t == "" {
			break
		}
		b.WriteString(lines[i] + "\n")
		if t == "" || t[0] == '#' {
			continue
		}
		cmd, input := t, ""
		for i++; lines[i] != "----"; i++ {
			input += lines[i] + "\n"
			b.WriteString(lines[i] + "\n")
		}
		b.WriteString("----\n")
		for i+1 < len(lines) && lines[i+1] != "" {
			i++
		}
		out, err := w.run(cmd, strings.TrimSpace(input))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		b.WriteString(out)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func main() {
	seed := flag.Int64("random", 0, "first seed")
	count := flag.Int64("count", 1, "how many")
	steps := flag.Int("steps", 150, "commands in a random transcript")
	flag.Parse()
	var err error
	if *seed == 0 {
		for _, path := range flag.Args() {
			err = errors.Join(err, rewrite(path))
		}
	} else {
		for s := *seed; s < *seed+*count; s++ {
			path := filepath.Join(flag.Arg(0), fmt.Sprintf("random-%d.txt", s))
			err = errors.Join(err, os.WriteFile(path, []byte(draw(s, *steps)), 0o644))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
