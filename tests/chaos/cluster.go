package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

type member struct {
	i          int
	name, kind string
	dir, log   string
	client     string // URL
	peer       string // where it listens
	proxy      *proxy // what it advertises
	cmd        *exec.Cmd
	done       chan struct{}
	disk       *disk  // nil: it shares that of the others
	clock      string // file with the offset of its wall clock
}

type cluster struct {
	bin     map[string]string
	shim    string // of the clock
	members []*member
	initial string
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func newCluster(dir string, bin map[string]string, kinds []string) (*cluster, error) {
	c := &cluster{bin: bin}
	var initial []string
	for i, k := range kinds {
		if bin[k] == "" {
			return c, fmt.Errorf("no program for kind %q", k)
		}
		peer := fmt.Sprintf("127.0.0.1:%d", freePort())
		p, err := newProxy(peer)
		if err != nil {
			return c, err
		}
		m := &member{i: i, name: fmt.Sprintf("m%d", i+1), kind: k, dir: filepath.Join(dir, fmt.Sprintf("m%d", i+1)), log: filepath.Join(dir, fmt.Sprintf("m%d.log", i+1)),
			client: fmt.Sprintf("http://127.0.0.1:%d", freePort()), peer: "http://" + peer, proxy: p}
		c.members = append(c.members, m)
		initial = append(initial, m.name+"="+p.url())
	}
	c.initial = strings.Join(initial, ",")
	return c, nil
}

func (c *cluster) start(m *member) error {
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0644)
	if err != nil {
		return err
	}
	defer log.Close()
	m.cmd = exec.Command(c.bin[m.kind], "--name", m.name, "--data-dir", m.dir, "--listen-client-urls", m.client,
		"--advertise-client-urls", m.client, "--listen-peer-urls", m.peer, "--initial-advertise-peer-urls", m.proxy.url(),
		"--initial-cluster", c.initial, "--initial-cluster-state", "new", "--snapshot-count", "500", "--snapshot-catchup-entries", "200")
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if c.shim != "" && m.kind == "ours" {
		m.cmd.Env = append(os.Environ(), "LD_PRELOAD="+c.shim, "CHAOS_CLOCK="+m.clock)
	}
	if err := m.cmd.Start(); err != nil {
		return err
	}
	m.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { cmd.Wait(); close(done) }(m.cmd, m.done)
	return nil
}

func (m *member) signal(s syscall.Signal) {
	if m.cmd != nil {
		m.cmd.Process.Signal(s)
	}
}

func (m *member) ended() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

func (m *member) kill(s syscall.Signal) {
	if m.cmd == nil {
		return
	}
	m.signal(s)
	select {
	case <-m.done:
	case <-time.After(20 * time.Second):
		fmt.Printf(" (%s did not end in 20 s) ", m.name)
		m.signal(syscall.SIGKILL)
		<-m.done
	}
	m.cmd = nil
}

// What the scenarios need beside processes: disks of their own, clocks that can be moved.
func (c *cluster) equip(scenarios []string, clockSource string) error {
	for _, s := range scenarios {
		if (s == "full" || s == "slow" || s == "hang") && c.members[0].disk == nil {
			for _, m := range c.members {
				d, err := newDisk(m.dir + ".disk")
				m.disk, m.dir = d, filepath.Join(m.dir+".disk", "data")
				if err != nil {
					return err
				}
			}
		}
		if s == "clock" && c.shim == "" {
			c.shim = filepath.Join(filepath.Dir(c.members[0].log), "clock.so")
			if err := sh("cc", "-O2", "-shared", "-fPIC", "-o", c.shim, clockSource, "-ldl"); err != nil {
				return err
			}
			for _, m := range c.members {
				m.clock = m.log + ".clock"
				m.setClock(0)
			}
		}
	}
	return nil
}

func (m *member) setClock(offset time.Duration) {
	if m.clock == "" {
		return
	}
	f, err := os.OpenFile(m.clock, os.O_CREATE|os.O_WRONLY, 0600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	binary.Write(f, binary.NativeEndian, int64(offset))
}

func (c *cluster) startAll() error {
	for _, m := range c.members {
		if err := c.start(m); err != nil {
			return err
		}
	}
	return c.waitHealthy(30 * time.Second)
}

func (c *cluster) stopAll() {
	for _, m := range c.members {
		m.signal(syscall.SIGCONT)
		if m.disk != nil {
			m.disk.heal()
		}
		m.kill(syscall.SIGTERM)
		m.proxy.close()
		if m.disk != nil {
			m.disk.close()
		}
	}
}

func (c *cluster) endpoints() (out []string) {
	for _, m := range c.members {
		out = append(out, m.client)
	}
	return out
}

func dial(endpoints ...string) *clientv3.Client {
	cl, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 2 * time.Second,
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		panic(err)
	}
	return cl
}

// Every member answers a linearizable read.
func (c *cluster) waitHealthy(limit time.Duration) error {
	var last error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		last = nil
		for _, m := range c.members {
			cl := dial(m.client)
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			_, err := cl.Get(ctx, "health")
			cancel()
			cl.Close()
			if err != nil {
				last = fmt.Errorf("%s: %w", m.name, err)
				break
			}
		}
		if last == nil {
			return nil
		}
	}
	return last
}

func (c *cluster) leader() *member {
	for _, m := range c.members {
		cl := dial(m.client)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		st, err := cl.Status(ctx, m.client)
		cancel()
		cl.Close()
		if err == nil && st.Leader == st.Header.MemberId {
			return m
		}
	}
	return c.members[0]
}

// ---- faults ----

func between(rnd *rand.Rand, lo, hi int) time.Duration {
	return time.Duration(lo+rnd.Intn(hi-lo)) * time.Millisecond
}

func (c *cluster) heal() {
	for _, m := range c.members {
		m.proxy.set(false, nil)
		m.signal(syscall.SIGCONT)
		if m.disk != nil {
			m.disk.heal()
		}
		if m.cmd != nil && m.ended() {
			m.cmd = nil // its disk was full
		}
		if m.cmd == nil {
			if err := c.start(m); err != nil {
				fmt.Println(err)
			}
		}
	}
}

func (c *cluster) memberID(m *member) string {
	cl := dial(m.client)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	st, err := cl.Status(ctx, m.client)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", st.Header.MemberId)
}

func (c *cluster) isolate(m *member, inbound bool) {
	id := c.memberID(m)
	for _, o := range c.members {
		if o != m && id != "" {
			o.proxy.set(false, map[string]bool{id: true})
		}
	}
	if inbound {
		m.proxy.set(true, nil)
	}
}

func (c *cluster) inject(scenario string, until time.Time, rnd *rand.Rand) (count int) {
	for time.Now().Before(until) {
		m := c.members[rnd.Intn(len(c.members))]
		switch scenario {
		case "quiet":
			time.Sleep(500 * time.Millisecond)
			continue
		case "leader", "kill":
			if scenario == "leader" {
				m = c.leader()
			}
			m.kill(syscall.SIGKILL)
			time.Sleep(between(rnd, 100, 2500))
		case "pause":
			m.signal(syscall.SIGSTOP)
			time.Sleep(between(rnd, 1500, 4000))
			m.signal(syscall.SIGCONT)
		case "partition", "oneway":
			c.isolate(m, scenario == "partition")
			time.Sleep(between(rnd, 1000, 4000))
		case "snapshot":
			m.kill(syscall.SIGKILL)
			time.Sleep(between(rnd, 5000, 8000))
		case "rolling":
			m = c.members[count%len(c.members)]
			m.kill(syscall.SIGTERM)
			if m.kind = "ours"; count/len(c.members)%2 == 0 {
				m.kind = "go"
			}
			time.Sleep(between(rnd, 100, 500))
		case "full":
			m.disk.fill()
			time.Sleep(between(rnd, 2000, 6000))
		case "slow":
			m.disk.slow(time.Now().Add(between(rnd, 2000, 5000)), between(rnd, 20, 300), between(rnd, 5, 50))
		case "hang": // of the leader
			m = c.leader()
			m.disk.freeze(true)
			time.Sleep(between(rnd, 3000, 6000))
		case "clock": // in steps that last: none is taken back at once
			m.setClock(time.Duration(rnd.Intn(7200)-3600) * time.Second)
			time.Sleep(between(rnd, 500, 2000))
		default:
			panic("unknown scenario " + scenario)
		}
		c.heal()
		count++
		if err := c.waitHealthy(30 * time.Second); err != nil {
			fmt.Print(" (not healthy in 30 s: ", err, ") ")
		}
		time.Sleep(between(rnd, 100, 1500))
	}
	return count
}

// ---- the end ----

func (c *cluster) checkEqual() bool {
	var hashes []string
	var rev int64
	for try := 0; try < 50; try++ {
		hashes, rev = nil, 0
		for _, m := range c.members {
			cl := dial(m.client)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if rev == 0 {
				if r, err := cl.Get(ctx, "health"); err == nil {
					rev = r.Header.Revision
				}
			}
			h, err := cl.HashKV(ctx, m.client, rev)
			cancel()
			cl.Close()
			if err != nil {
				hashes = append(hashes, err.Error())
			} else {
				hashes = append(hashes, fmt.Sprintf("%08x/%d", h.Hash, h.CompactRevision))
			}
		}
		equal := true
		for _, h := range hashes {
			equal = equal && h == hashes[0]
		}
		if equal {
			fmt.Printf("equal: HashKV %s at revision %d on all %d members\n", hashes[0], rev, len(c.members))
			return true
		}
		time.Sleep(200 * time.Millisecond)
	}
	fmt.Println("FAIL members differ at revision", rev, hashes)
	return false
}
