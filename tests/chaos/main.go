// chaos: a cluster of etcd processes under faults and load; the history must be linearizable, watches complete, and all members
// equal in the end.
//
//	go build -o chaos .
//	chaos -members ours,ours,go -ours ../../bin/etcd -go ../../build-oracle/etcd -scenario kill,pause,partition -seconds 60
//
// Scenarios, each for its share of the time: quiet, kill (kill -9, one member at a time), pause (SIGSTOP for longer than an election),
// partition (one member cut off, both ways), oneway (its outgoing connections only), leader (as kill, the leader each time), rolling (every member is
// replaced by the other kind on its data directory), snapshot (a member is down until the others' logs no longer reach back), full (a member's
// disk has no room), slow (its disk stands still most of the time), hang (the leader's disk answers nothing for some seconds), clock (the
// wall clock of one of our members jumps by up to an hour). full, slow and hang need root: each member gets a file system of its own.
// Exit code 0: all checks passed; 1: one failed, its line says which; 2: the run could not be made.
package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"
)

func main() {
	members := flag.String("members", "ours,ours,ours", "kind of each member: ours or go")
	ours := flag.String("ours", "", "our etcd")
	goetcd := flag.String("go", "", "Go's etcd")
	scenarios := flag.String("scenario", "kill,pause,partition", "comma-separated")
	seconds := flag.Int("seconds", 60, "of load, in all")
	seed := flag.Int64("seed", time.Now().UnixNano(), "of the faults and the load")
	dir := flag.String("dir", "", "where data and logs go; a new temporary directory if empty")
	clients := flag.Int("clients", 8, "concurrent clients")
	keys := flag.Int("keys", 6, "keys they share")
	clock := flag.String("clock", "clock.c", "source of the library that moves our members' clocks")
	keep := flag.Bool("keep", false, "keep the directory also on success")
	flag.Parse()
	if *dir == "" {
		*dir, _ = os.MkdirTemp("", "chaos")
	}
	os.MkdirAll(*dir, 0700)
	fmt.Printf("members %s, scenarios %s, %d s, seed %d, %s\n", *members, *scenarios, *seconds, *seed, *dir)
	c, err := newCluster(*dir, map[string]string{"ours": *ours, "go": *goetcd}, strings.Split(*members, ","))
	if err == nil {
		err = c.equip(strings.Split(*scenarios, ","), *clock)
	}
	if err == nil {
		err = c.startAll()
	}
	if err != nil {
		fmt.Println("cannot start:", err)
		c.stopAll()
		os.Exit(2)
	}
	ok := run(c, strings.Split(*scenarios, ","), time.Duration(*seconds)*time.Second, rand.New(rand.NewSource(*seed)), *clients, *keys)
	c.stopAll()
	if ok && !*keep {
		os.RemoveAll(*dir)
	}
	if !ok {
		fmt.Println("logs and data:", *dir)
		os.Exit(1)
	}
}

func run(c *cluster, scenarios []string, total time.Duration, rnd *rand.Rand, clients, keys int) bool {
	l := newLoad(c, clients, keys, rnd.Int63())
	l.start()
	for _, s := range scenarios {
		fmt.Printf("%-10s", s)
		began := l.count()
		l.gap()
		n := c.inject(s, time.Now().Add(total/time.Duration(len(scenarios))), rnd)
		fmt.Printf(" %3d faults, %6d operations acknowledged, longest gap between two %4d ms\n", n, l.count()-began, l.gap().Milliseconds())
	}
	c.heal()
	if err := c.waitHealthy(60 * time.Second); err != nil {
		l.stop()
		fmt.Println("FAIL not healthy after healing:", err)
		return false
	}
	time.Sleep(2 * time.Second)
	l.stop()
	ok := l.check()
	return c.checkEqual() && ok
}
