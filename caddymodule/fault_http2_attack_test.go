// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// timeout is the attempt_timeout. What is to be delivered has time for it.
func (f frameFault) timeout() time.Duration {
	switch {
	case f.ends > 0:
		return f.ends
	case f.delivers || f.once:
		return patience / 2
	case f.long: // which needs time, also to encrypt and on a machine that is busy
		return 3 * rogueTimeout
	default:
		return rogueTimeout
	}
}

// site is an endpoint for the application.
func (r *framer) site(options string) string {
	proxy := "reverse_proxy h2c://" + r.addr
	if r.fault.secure {
		proxy = "reverse_proxy https://" + r.addr + " {\ntransport http {\nversions 2\ntls_insecure_skip_verify\n}\n}"
	}
	return fmt.Sprintf(`
	handle /%[1]s {
		webhook_inbox %[1]s {
			verify token X-Webhook-Token secret-token
			message_id header X-Webhook-Id
			attempt_timeout %[2]s
			retry {
				backoff %[3]s
			}
			%[4]s
			deliver {
				%[5]s
			}
		}
	}
`, r.fault.name, r.fault.timeout(), 2*rogueBackoff, options, proxy)
}

// attackWithFrames sends each fault a message of its own, and waits until nothing
// waits. An inbox without mutations must then hold no more than before.
func attackWithFrames(t *testing.T, l *ledger.Ledger, faults []frameFault, mutations ...string) {
	t.Helper()
	noteStalls(t, l, rogueTimeout/4)
	site, apps := "", make([]*framer, 0, len(faults))
	for _, f := range faults {
		r := newFramer(t, l, f)
		apps = append(apps, r)
		site += r.site("")
	}
	other := newBystander(t, l)
	well := fmt.Sprintf(`
	handle /bystander {
		webhook_inbox bystander {
			verify token X-Webhook-Token secret-token
			message_id header X-Webhook-Id
			deliver %s
		}
	}
`, other.app.addr)
	s := newServer(t)
	if err := s.tryLoad(s.caddyfile(s.brokenBy(mutations...), site+well)); err != nil {
		t.Fatal(err)
	}
	before := takeResources()
	most := watchMemory(t)
	other.start(s, "/bystander")
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	turns := rounds(1, 10)
	if len(mutations) > 0 {
		turns = 1 // more would be an outage, of which nothing is noticed
	}
	for round := range turns {
		for _, f := range faults {
			key := fmt.Sprintf("%s-%d", f.name, round)
			body := []byte(key)
			switch {
			case f.long:
				body = longBody
			case f.empty:
				body = nil
			}
			sendTo(t, l, client, "http://"+s.addr+"/"+f.name, key, body)
		}
		for _, f := range faults {
			s.settled(f.name)
		}
	}
	for _, r := range apps {
		close(r.over)
	}
	other.finish(2 * time.Second)
	// A long body is received, delivered and held by the application, and each of these
	// is garbage for a while; what the faults answer with would be gigabytes.
	long := 0
	for _, f := range faults {
		if f.long {
			long++
		}
	}
	l.Measured("MiB of memory", float64(most()-before.heap)/(1<<20), float64(64+2*3*long*len(longBody)>>20))
	client.CloseIdleConnections()
	if len(mutations) > 0 {
		return
	}
	// Of each application there may be a connection now that it is well in, but none
	// that got no answer. When no endpoint leads to it any more, there is none.
	// One that hangs in a write is closed when that has its timeout, for which there is
	// no other sign.
	deadline := time.Now().Add(patience)
	for _, r := range apps {
		for r.open() > 1 && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		l.Measured("connections kept to "+r.fault.name, float64(r.open()), 1)
		r.conns.Range(func(_, number any) bool {
			if !r.fault.delivers && !r.fault.answers && !r.fault.once {
				l.Measured("connections kept to "+r.fault.name+" in which it did not answer", 1/float64(number.(int64)), 0.9)
			}
			return true
		})
	}
	if err := s.tryLoad(s.caddyfile(s.brokenBy(), well)); err != nil {
		t.Fatal(err)
	}
	deadline = time.Now().Add(patience)
	for _, r := range apps {
		for r.open() > 0 && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		l.Measured("connections to "+r.fault.name+" that outlive its endpoint", float64(r.open()), 0)
	}
	now := takeResources()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && now.goroutines > before.goroutines+5; now = takeResources() {
		time.Sleep(5 * time.Millisecond)
	}
	l.Measured("goroutines", float64(now.goroutines), float64(before.goroutines+5))
	l.Measured("open files", float64(now.files), float64(before.files+rounds(5, 40))) // the engine's too
}

// open returns how many connections are open.
func (r *framer) open() (n int) {
	r.conns.Range(func(any, any) bool { n++; return true })
	return n
}

// Whatever an application does in HTTP/2, the attempt ends in its time, and so does
// the connection that got no answer. Only a whole answer with 2xx is a delivery;
// anything else is tried again, after its backoff, and what the application says
// that it did not take is repeated once. Nobody else is delayed.
func TestFaultHTTP2(t *testing.T) {
	l := &ledger.Ledger{Backoff: rogueBackoff}
	faults := frameFaults()
	for n, f := range faults {
		if n%4 == 0 || faultsAreLong {
			f.name, f.secure = f.name+"-over-tls", true
			faults = append(faults, f)
		}
	}
	attackWithFrames(t, l, faults)
	counts := report(t, l, ledger.End{})
	if want := rounds(1, 10) * len(faults); counts.Delivered < want {
		t.Errorf("%d messages were delivered, want the %d of the faults and those of the bystander", counts.Delivered, want)
	}
}

// An engine that takes an attempt for a delivery loses messages here, and one that
// forgets to wait is noticed.
func TestFaultHTTP2IsNoticed(t *testing.T) {
	for mutation, broken := range map[string]ledger.Invariant{
		ackBeforeAnswer: ledger.Loss,
		ignoresBackoff:  ledger.Haste,
		changesAByte:    ledger.Invention,
	} {
		t.Run(mutation, func(t *testing.T) {
			l := &ledger.Ledger{Backoff: rogueBackoff}
			var faults []frameFault
			for _, f := range frameFaults() {
				if f.name == "resets-after-header-8" || f.name == "closes" || f.name == "answers" {
					faults = append(faults, f)
				}
			}
			attackWithFrames(t, l, faults, mutation)
			expectBroken(t, l, ledger.End{}, broken)
		})
	}
}
