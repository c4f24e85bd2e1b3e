package main

import (
	"fmt"
	"math/rand"
	"strings"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// drawer writes a transcript command by command, looking at the nodes to draw commands that make sense often enough.
type drawer struct {
	r     *rand.Rand
	w     *world
	b     strings.Builder
	async bool
	sized bool // limits in bytes count
	n     int
	data  int
	dead  bool // upstream panicked or gave up: the transcript ends before that command
}

func (d *drawer) do(line string, input ...string) {
	if d.dead {
		return
	}
	out, err := d.w.run(line, strings.Join(input, "\n"))
	// The environment, not raft, cannot store a snapshot and entries that came together.
	if err != nil || strings.Contains(out, "can't apply snapshot and entries") {
		d.dead = true
		return
	}
	d.b.WriteString(line + "\n")
	for _, in := range input {
		d.b.WriteString(in + "\n")
	}
	d.b.WriteString("----\n" + out + "\n")
}

func (d *drawer) id() int { return 1 + d.r.Intn(d.n) }

func (d *drawer) leader() int {
	var ids []int
	for i := range d.w.env.Nodes {
		if d.w.env.Nodes[i].Status().RaftState == raft.StateLeader {
			ids = append(ids, i+1)
		}
	}
	if len(ids) == 0 || d.r.Intn(8) == 0 {
		return d.id()
	}
	return ids[d.r.Intn(len(ids))]
}

func (d *drawer) flag(key string, odds int) string {
	if d.r.Intn(odds) == 0 {
		return " " + key + "=true"
	}
	return ""
}

func (d *drawer) nodes() {
	d.n = 1 + d.r.Intn(5)
	if d.n == 2 {
		d.n = 3
	}
	d.async = d.r.Intn(2) == 0
	d.sized = d.r.Intn(2) == 0
	if d.sized {
		size := []int{0, 20, 60}[d.r.Intn(3)]
		opts := fmt.Sprintf("config max-size-per-msg=%d", size)
		if d.r.Intn(2) == 0 {
			opts += fmt.Sprintf(" max-uncommitted-size=%d", 10+d.r.Intn(40))
		}
		if d.r.Intn(2) == 0 {
			opts += fmt.Sprintf(" max-inflight-bytes=%d", size+1+d.r.Intn(30))
		}
		if d.r.Intn(4) == 0 {
			opts += " disable-proposal-forwarding=true"
		}
		d.do(opts)
	}
	voters, learners := []string{}, []string{}
	for i := 1; i <= d.n; i++ {
		switch {
		case i == 1 || d.r.Intn(4) > 0:
			voters = append(voters, fmt.Sprint(i))
		case d.r.Intn(2) == 0:
			learners = append(learners, fmt.Sprint(i))
		}
	}
	line := fmt.Sprintf("add-nodes %d voters=(%s) index=%d", d.n, strings.Join(voters, ","), 2+d.r.Intn(9))
	if len(learners) > 0 {
		line += fmt.Sprintf(" learners=(%s)", strings.Join(learners, ","))
	}
	if d.async {
		line += " async-storage-writes=true"
	}
	line += d.flag("prevote", 2)
	switch d.r.Intn(3) {
	case 0:
		line += " checkquorum=true"
	case 1:
		line += " checkquorum=true read-only=lease-based"
	}
	line += d.flag("step-down-on-removal", 3)
	if d.r.Intn(2) == 0 {
		line += fmt.Sprintf(" inflight=%d", 1+d.r.Intn(3))
	}
	if d.sized {
		// Never 0 for both sizes: upstream refuses to run.
		line += fmt.Sprintf(" max-committed-size-per-ready=%d", 1+d.r.Intn(100))
	}
	d.do(line)
}

func (d *drawer) change() {
	ops := func(n int) string {
		var s []string
		for range n {
			s = append(s, fmt.Sprintf("%c%d", "vvlllrru"[d.r.Intn(8)], d.id()))
		}
		return strings.Join(s, " ")
	}
	id := d.leader()
	switch d.r.Intn(6) {
	case 0, 1:
		d.do(fmt.Sprintf("propose-conf-change %d v1=true", id), ops(1))
	case 2:
		d.do(fmt.Sprintf("propose-conf-change %d", id), ops(1+d.r.Intn(3)))
	case 3:
		d.do(fmt.Sprintf("propose-conf-change %d transition=explicit", id), ops(1+d.r.Intn(3)))
	case 4:
		d.do(fmt.Sprintf("propose-conf-change %d transition=implicit", id), ops(1+d.r.Intn(3)))
	case 5:
		d.do(fmt.Sprintf("propose-conf-change %d", id), "")
	}
}

func (d *drawer) ready() {
	for i := range d.w.env.Nodes {
		if d.r.Intn(2) == 0 && d.w.env.Nodes[i].HasReady() {
			d.do(fmt.Sprintf("process-ready %d", i+1))
		}
	}
}

func (d *drawer) work() {
	for i := range d.w.env.Nodes {
		if d.r.Intn(2) == 0 {
			d.do(fmt.Sprintf("process-append-thread %d", i+1))
		}
		if d.r.Intn(2) == 0 {
			d.do(fmt.Sprintf("process-apply-thread %d", i+1))
		}
	}
}

func (d *drawer) deliver() {
	line := "deliver-msgs"
	for _, i := range d.r.Perm(d.n)[:1+d.r.Intn(d.n)] {
		if d.r.Intn(6) == 0 {
			line += fmt.Sprintf(" drop=(%d)", i+1)
		} else {
			line += fmt.Sprintf(" %d", i+1)
		}
	}
	if d.r.Intn(5) == 0 {
		line += " type=" + []string{"MsgApp", "MsgAppResp", "MsgHeartbeat", "MsgHeartbeatResp", "MsgVote", "MsgSnap"}[d.r.Intn(6)]
	}
	d.do(line)
}

func (d *drawer) tick() {
	id := d.id()
	if d.r.Intn(2) == 0 {
		id = d.leader()
	}
	d.do(fmt.Sprintf("set-randomized-election-timeout %d timeout=%d", id, 3+d.r.Intn(3)))
	d.do(fmt.Sprintf("tick %d %d", id, 1+d.r.Intn(3)))
}

func (d *drawer) compact() { d.compactNode(d.id()) }

func (d *drawer) compactNode(id int) {
	n := &d.w.env.Nodes[id-1]
	first, _ := n.Storage.FirstIndex()
	last, _ := n.Storage.LastIndex()
	applied := n.Status().Applied
	if last > applied {
		last = applied
	}
	if first <= last {
		d.do(fmt.Sprintf("compact %d %d", id, first+uint64(d.r.Intn(int(last-first+1)))))
	}
}

// partition lets some nodes go on without the others, who lose what was sent to them.
func (d *drawer) partition() {
	perm := d.r.Perm(d.n)
	k := d.n/2 + 1
	in, out := "", []string{}
	for i, id := range perm {
		if i < k {
			in += fmt.Sprintf(" %d", id+1)
		} else {
			out = append(out, fmt.Sprint(id+1))
		}
	}
	for range 1 + d.r.Intn(2) {
		d.do(fmt.Sprintf("propose %d part%d", perm[d.r.Intn(k)]+1, d.data))
		d.data++
	}
	d.do("stabilize" + in)
	if len(out) > 0 {
		d.do(fmt.Sprintf("deliver-msgs drop=(%s)", strings.Join(out, ",")))
	}
	if d.r.Intn(2) == 0 {
		for _, id := range perm[:k] {
			d.compactNode(id + 1)
		}
	}
}

// snapshots looks for a peer that a leader sent a snapshot to.
func (d *drawer) snapshots() {
	for i := range d.w.env.Nodes {
		for id, p := range d.w.env.Nodes[i].Status().Progress {
			if p.State == tracker.StateSnapshot {
				d.do(fmt.Sprintf("report-snapshot %d %d%s", i+1, id, []string{"", " failed"}[d.r.Intn(2)]))
				return
			}
		}
	}
}

func (d *drawer) step() {
	switch p := d.r.Intn(100); {
	case p < 18:
		d.do(fmt.Sprintf("propose %d data%d%s", d.leader(), d.data, strings.Repeat("x", d.r.Intn(20))))
		d.data++
	// A refused change becomes an empty entry; its type is explicit in Go, which makes it two bytes longer.
	case p < 22 && !d.sized:
		d.change()
	case p < 40:
		d.ready()
	case p < 58:
		d.deliver()
	case p < 66 && d.async:
		d.work()
	case p < 72:
		d.tick()
	case p < 76:
		d.do(fmt.Sprintf("campaign %d", d.id()))
	case p < 80:
		d.do(fmt.Sprintf("read-index %d ctx%d", d.leader(), d.data))
		d.data++
	case p < 82:
		d.do(fmt.Sprintf("transfer-leadership from=%d to=%d", d.leader(), d.id()))
	case p < 84:
		d.do(fmt.Sprintf("forget-leader %d", d.id()))
	case p < 86:
		d.do(fmt.Sprintf("report-unreachable %d %d", d.leader(), d.id()))
	case p < 87:
		d.do(fmt.Sprintf("report-snapshot %d %d%s", d.leader(), d.id(), []string{"", " failed"}[d.r.Intn(2)]))
	case p < 90:
		d.compact()
	case p < 91:
		d.do(fmt.Sprintf("%s-snapshots %d", []string{"close", "open"}[d.r.Intn(2)], d.id()))
	case p < 92 && !d.async:
		d.do(fmt.Sprintf("restart %d", d.id()))
	case p < 94:
		d.partition()
	case p < 95:
		d.snapshots()
	case p < 97:
		d.do(fmt.Sprintf("status %d", d.leader()))
		d.do(fmt.Sprintf("progress %d", d.id()))
	default:
		d.do("stabilize")
		d.do("raft-state")
	}
}

// draw returns a transcript for a seed.
func draw(seed int64, steps int) string {
	d := &drawer{r: rand.New(rand.NewSource(seed)), w: newWorld()}
	fmt.Fprintf(&d.b, "# Drawn from seed %d (../oracle).\n\n", seed)
	d.nodes()
	d.do("campaign 1")
	for i := 0; i < steps && !d.dead; i++ {
		d.step()
	}
	return strings.TrimSuffix(d.b.String(), "\n")
}
