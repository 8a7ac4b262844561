// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// The power is cut under load, while nothing is delivered yet. What was answered 202
// is delivered when it is back, once, and everything that was not is accepted then.
// That the disk had begun to fail before makes no difference.
func TestFaultPowerCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  string
		rounds int
	}{
		"alone":                {"", rounds(1, 20)},
		"after a failed sync":  {"fdatasync:error=EIO", rounds(1, 10)},
		"after a failed write": {"pwrite64:error=EIO", rounds(0, 10)},
		"while syncs are slow": {"fdatasync:delay_enter=100000", rounds(0, 10)},
		"while nothing works":  {"fdatasync,fsync,msync,pwrite64:error=EIO", rounds(0, 10)},
	} {
		if c.rounds == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for round := range c.rounds {
				if c := report(t, powerCut(t, round, c.fault), ledger.End{}); c.Accepted < 50 || c.Unanswered+c.Unavailable == 0 {
					t.Errorf("that is no load: %+v", c)
				}
			}
		})
	}
}

// The test before would notice: if the syncs of the journal are not done, or their
// errors are swallowed, the same power cut loses messages.
func TestFaultPowerCutNoticesWhatIsNotSynced(t *testing.T) {
	t.Parallel()
	expectBroken(t, powerCut(t, 0, "fdatasync:retval=0"), ledger.End{}, ledger.Loss)
}

// powerCut lets webhooks come in, has strace inject a fault unless it is empty, cuts
// the power, starts Caddy on what is left of the disk, sends again what was not
// accepted, and returns what happened.
func powerCut(t *testing.T, round int, fault string) *ledger.Ledger {
	t.Helper()
	l := new(ledger.Ledger)
	var ready atomic.Bool
	app := witness(t, l, onlyIf(&ready))
	s, volatile := newServer(t), newVolatileDisk(t)
	s.on(volatile.dir)
	config := s.caddyfile("", retrySite(app.addr, quickly))
	p := startCaddy(t, s, config)
	tr := startTraffic(t, l, s.addr, strconv.Itoa(round), 8)
	eventually(t, "there is load", func() bool { return l.Counts().Accepted >= 50 })
	if fault != "" {
		disk := p.inject([]string{fault})
		eventually(t, "the fault happens", func() bool { return disk.injected() > 0 })
	}
	time.Sleep(time.Duration(100+chance(t).IntN(rounds(100, 2000))) * time.Millisecond)
	p.kill(l, app)
	tr.stop()
	volatile.cut()
	ready.Store(true)
	startCaddy(t, s, config)
	tr.finish(s.addr)
	rest(t, s, "demo")
	volatile.release()
	return l
}

// on puts the directory of the queue on a disk, and nothing else.
func (s *server) on(disk string) {
	s.t.Helper()
	there := filepath.Join(disk, "queue")
	if err := os.Mkdir(there, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(there, s.dir); err != nil {
		s.t.Fatal(err)
	}
}
