// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	promise "github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// faultSeed is the environment variable with the seed of what is random in a test.
const faultSeed = "BADGERQUEUE_FAULT_SEED"

// seeded returns what is random in a test, for several goroutines too, and logs how
// to have the same again, but for the order in which these come.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv(faultSeed), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("%s=%d", faultSeed, seed)
	return rand.New(&sharedSource{Source: rand.NewPCG(seed, 0)})
}

// A sharedSource is a source for several goroutines.
type sharedSource struct {
	mu sync.Mutex
	rand.Source
}

func (s *sharedSource) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Source.Uint64()
}

// A past is what was done with a queue before its files were damaged, seen from
// outside. All of it is durable, and the process was killed then.
type past struct {
	t       testing.TB
	random  *rand.Rand
	opts    Options
	all     []*remembered
	waiting int
	ended   time.Time
}

// A remembered message was accepted. Its key is its id, in text.
type remembered struct {
	*queue.Message
	attempts   []promise.Attempt
	dead       bool
	unanswered bool // the process was killed before it said that it is accepted
}

func newPast(t testing.TB, random *rand.Rand) *past {
	return &past{t: t, random: random, opts: Options{
		Dir:     t.TempDir(),
		tune:    smaller,
		segment: tiny,
		every:   undisturbed,
		sync:    func(*os.File) error { return nil }, // a kill loses nothing that was written
	}}
}

// open opens a queue in the directory of the past.
func (p *past) open() *Queue {
	p.t.Helper()
	return openTest(p.t, p.opts)
}

// kill returns a copy of the directory as a kill of the process leaves it now.
func (p *past) kill(q *Queue) (dir string) {
	p.t.Helper()
	p.ended = time.Now()
	for flushing(p.t, p.opts.Dir) {
		runtime.Gosched()
	}
	dir = p.t.TempDir()
	copyFiles(p.t, p.opts.Dir, dir)
	return dir
}

// use does n things with the queue at random: messages arrive, and are delivered,
// handed back, kept and buried.
func (p *past) use(q *Queue, n int) {
	p.t.Helper()
	for range n {
		if what := p.random.IntN(12); what < 6 || p.waiting == 0 {
			p.publish(q, p.random.IntN(2000))
		} else {
			p.deliver(q, what)
		}
	}
	must(p.t, q.flush(p.t.Context()))
}

func (p *past) publish(q *Queue, size int) {
	p.t.Helper()
	m := sender.Message("here")
	m.Request.Body = make([]byte, size)
	for i := range m.Request.Body {
		m.Request.Body[i] = byte(p.random.Uint32())
	}
	publish(p.t, q, queue.Accepted, queue.Publication{Message: m, Keys: keyOf(m.ID)})
	p.all = append(p.all, &remembered{Message: m})
	p.waiting++
}

func (p *past) deliver(q *Queue, what int) {
	p.t.Helper()
	d := receive(p.t, q, "here")
	h := queue.History{Attempts: d.History.Attempts + 1}
	a := attempt(d, 204)
	r := p.find(d.Message.ID)
	p.waiting--
	switch what {
	case 6:
		a.Status = 500
		p.waiting++
		must(p.t, d.Lease.Nack(0, h))
	case 7:
		a.Status, r.dead = 410, true
		must(p.t, d.Lease.Bury("gone", h, 0))
	case 8:
		must(p.t, d.Lease.Ack(1000*time.Hour))
	default:
		must(p.t, d.Lease.Ack(0))
	}
	r.attempts = append(r.attempts, a)
}

func attempt(d queue.Delivery, status int) promise.Attempt {
	now := time.Now()
	return promise.Attempt{
		Number:  d.History.Attempts + 1,
		Message: d.Message.ID.String(),
		Began:   now,
		Ended:   now,
		Status:  status,
	}
}

func (p *past) find(id queue.ID) *remembered {
	for _, r := range p.all {
		if r.ID == id {
			return r
		}
	}
	p.t.Fatalf("%s was never sent", id)
	return nil
}
