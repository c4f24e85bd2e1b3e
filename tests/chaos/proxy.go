package main

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"sync"
)

// A proxy in front of one member's peer port. It reads the first request's header to know who dials, so that single senders can be
// cut off.
type proxy struct {
	target string
	l      net.Listener
	mu     sync.Mutex
	all    bool
	cut    map[string]bool // by member id, hex
	conns  map[net.Conn]string
}

var fromHeader = regexp.MustCompile(`(?i)\r\nx-server-from: ([0-9a-f]+)`)

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{target: target, l: l, conns: map[net.Conn]string{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p, nil
}

func (p *proxy) url() string { return "http://" + p.l.Addr().String() }

func (p *proxy) close() { p.l.Close() }

func (p *proxy) set(all bool, cut map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all, p.cut = all, cut
	for c, from := range p.conns {
		if all || cut[from] {
			c.Close()
		}
	}
}

// False: it may not pass.
func (p *proxy) admit(c net.Conn, from string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all || p.cut[from] {
		return false
	}
	p.conns[c] = from
	return true
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	head := make([]byte, 0, 4096)
	one := make([]byte, 4096)
	for !bytes.Contains(head, []byte("\r\n\r\n")) && len(head) < 64<<10 {
		n, err := c.Read(one)
		if err != nil {
			return
		}
		head = append(head, one[:n]...)
	}
	from := ""
	if m := fromHeader.FindSubmatch(head); m != nil {
		from = string(m[1])
	}
	if !p.admit(c, from) {
		return
	}
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	t, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer t.Close()
	if _, err := t.Write(head); err != nil {
		return
	}
	go func() {
		io.Copy(t, c)
		t.Close()
		c.Close()
	}()
	io.Copy(c, t)
}
