package main

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type opKind int

const (
	opGet opKind = iota
	opPut
	opCas
)

type input struct {
	kind       opKind
	key        int
	value, old int64 // 0: no such key
}

type output struct {
	value   int64 // of a get
	swapped bool
	unknown bool // it may have happened or not
}

type load struct {
	c       *cluster
	clients int
	keys    int
	seed    int64
	mu      sync.Mutex
	ops     []porcupine.Operation
	acked   atomic.Int64
	unknown atomic.Int64
	refused atomic.Int64
	next    atomic.Int64
	began   time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	watch   *watcher
	keeper  *keeper
	last    time.Time // acknowledged; under mu
	longest time.Duration
}

func newLoad(c *cluster, clients, keys int, seed int64) *load {
	l := &load{c: c, clients: clients, keys: keys, seed: seed, began: time.Now()}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.watch, l.keeper = &watcher{}, &keeper{}
	return l
}

func (l *load) count() int64 { return l.acked.Load() }

func (l *load) start() {
	for i := 0; i < l.clients; i++ {
		l.wg.Add(1)
		go l.client(i)
	}
	l.wg.Add(2)
	go func() {
		defer l.wg.Done()
		l.watch.run(l.ctx, l.c)
	}()
	go func() {
		defer l.wg.Done()
		l.keeper.run(l.ctx, l.c)
	}()
}

// The longest time in which nobody was answered, since the last call of this.
func (l *load) gap() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := l.longest
	l.longest, l.last = 0, time.Now()
	return longest
}

func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

func keyName(k int) string { return fmt.Sprintf("reg/%d", k) }

// Each client sticks to one member, so that all of them are asked, also those that others cannot reach.
func (l *load) client(id int) {
	defer l.wg.Done()
	rnd := rand.New(rand.NewSource(l.seed + int64(id)))
	cl := dial(l.c.members[id%len(l.c.members)].client)
	defer cl.Close()
	seen := make([]int64, l.keys)
	for l.ctx.Err() == nil {
		in := input{key: rnd.Intn(l.keys)}
		switch r := rnd.Intn(10); {
		case r < 4:
			in.kind = opGet
		case r < 8:
			in.kind, in.value = opPut, l.next.Add(1)
		default:
			in.kind, in.value, in.old = opCas, l.next.Add(1), seen[in.key]
		}
		call := time.Since(l.began).Nanoseconds()
		out, err := do(l.ctx, cl, in)
		ret := time.Since(l.began).Nanoseconds()
		if err != nil {
			if in.kind == opGet {
				l.refused.Add(1)
				time.Sleep(20 * time.Millisecond)
				continue // no effect, no answer: nothing to check
			}
			l.unknown.Add(1)
			out.unknown, ret = true, math.MaxInt64
		} else {
			l.acked.Add(1)
			if in.kind == opGet {
				seen[in.key] = out.value
			}
		}
		l.mu.Lock()
		if err == nil {
			l.longest, l.last = max(l.longest, time.Since(l.last)), time.Now()
		}
		l.ops = append(l.ops, porcupine.Operation{ClientId: id, Input: in, Call: call, Output: out, Return: ret})
		l.mu.Unlock()
		time.Sleep(time.Duration(1+rnd.Intn(8)) * time.Millisecond)
	}
}

func do(ctx context.Context, cl *clientv3.Client, in input) (out output, err error) {
	ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	key := keyName(in.key)
	value := strconv.FormatInt(in.value, 10)
	switch in.kind {
	case opGet:
		r, err := cl.Get(ctx, key)
		if err != nil {
			return out, err
		}
		if len(r.Kvs) > 0 {
			out.value, _ = strconv.ParseInt(string(r.Kvs[0].Value), 10, 64)
		}
	case opPut:
		_, err = cl.Put(ctx, key, value)
	case opCas:
		cmp := clientv3.Compare(clientv3.Value(key), "=", strconv.FormatInt(in.old, 10))
		if in.old == 0 {
			cmp = clientv3.Compare(clientv3.Version(key), "=", 0)
		}
		r, err := cl.Txn(ctx).If(cmp).Then(clientv3.OpPut(key, value)).Commit()
		if err != nil {
			return out, err
		}
		out.swapped = r.Succeeded
	}
	return out, err
}

// One register per key.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[int][]porcupine.Operation{}
		for _, op := range history {
			k := op.Input.(input).key
			by[k] = append(by[k], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range by {
			out = append(out, ops)
		}
		return out
	},
	Init: func() interface{} { return int64(0) },
	Step: func(state, in, out interface{}) (bool, interface{}) {
		s, i, o := state.(int64), in.(input), out.(output)
		switch i.kind {
		case opGet:
			return o.value == s, s
		case opPut:
			return true, i.value
		default:
			if o.unknown { // its own outcome is not known: either follows from the state
				if s == i.old {
					return true, i.value
				}
				return true, s
			}
			if o.swapped {
				return s == i.old, i.value
			}
			return s != i.old, s
		}
	},
	Equal: func(a, b interface{}) bool { return a.(int64) == b.(int64) },
}

func (l *load) check() bool {
	// What is not known to have happened and was never seen cannot be placed wrongly; porcupine tries all, so only those whose value was
	// read (or swapped against) need a place.
	seen := map[int64]bool{}
	for _, op := range l.ops {
		in, out := op.Input.(input), op.Output.(output)
		if in.kind == opGet {
			seen[out.value] = true
		}
		if in.kind == opCas && out.swapped {
			seen[in.old] = true
		}
		if in.kind == opCas && !out.unknown && !out.swapped {
			continue
		}
	}
	for v := range l.watch.values {
		seen[v] = true
	}
	kept := l.ops[:0]
	for _, op := range l.ops {
		if in := op.Input.(input); op.Output.(output).unknown && !seen[in.value] {
			continue
		}
		kept = append(kept, op)
	}
	fmt.Printf("history: %d operations acknowledged, %d unknown, %d reads refused\n", l.acked.Load(), l.unknown.Load(), l.refused.Load())
	ok := true
	switch porcupine.CheckOperationsTimeout(model, kept, 120*time.Second) {
	case porcupine.Ok:
		fmt.Println("linearizable: yes")
	case porcupine.Illegal:
		fmt.Println("FAIL linearizable: no")
		ok = false
	default:
		fmt.Println("linearizable: not decided within 120 s")
	}
	ok = l.keeper.check() && ok
	return l.watch.check(l.c) && ok
}
