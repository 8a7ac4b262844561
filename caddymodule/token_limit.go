// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A network may fail to log in a few times at once, and after that now and then:
// somebody who mistypes never notices, and a password cannot be guessed.
const (
	failureBurst = 10
	failureEvery = 6 * time.Second

	// maxFailing is how many networks are remembered. Each takes some 200 bytes.
	maxFailing = 10_000
)

// A failureLimit bounds failed logins, for each network by itself. A login that
// succeeds costs nothing. The zero value is ready.
type failureLimit struct {
	mu       sync.Mutex
	networks map[netip.Prefix]*list.Element
	recent   list.List // of *failing, the one that failed last in front
}

type failing struct {
	network netip.Prefix
	limiter *rate.Limiter
	last    time.Time
}

// wait returns how long a network has to wait until it may try again; zero: it
// need not.
func (f *failureLimit) wait(network netip.Prefix, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waitLocked(network, now)
}

func (f *failureLimit) waitLocked(network netip.Prefix, now time.Time) time.Duration {
	e, ok := f.networks[network]
	if !ok {
		return 0
	}
	if lack := 1 - e.Value.(*failing).limiter.TokensAt(now); lack > 0 {
		return time.Duration(lack * float64(failureEvery))
	}
	return 0
}

// try calls right, which is quick, and returns what it returned, unless the
// network has to wait. However many attempts come at the same time, no more are
// made than it has left.
func (f *failureLimit) try(network netip.Prefix, now time.Time, right func() bool) (ok bool, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := f.waitLocked(network, now); wait > 0 {
		return false, wait
	}
	if right() {
		return true, 0
	}
	f.fail(network, now)
	return false, 0
}

// fail notes a failure. Networks that could fail as often as any other by now are
// forgotten, and if there are too many, those that failed the longest ago.
func (f *failureLimit) fail(network netip.Prefix, now time.Time) {
	if f.networks == nil {
		f.networks = make(map[netip.Prefix]*list.Element)
	}
	e, ok := f.networks[network]
	if !ok {
		e = f.recent.PushFront(&failing{network: network, limiter: rate.NewLimiter(rate.Every(failureEvery), failureBurst)})
		f.networks[network] = e
	}
	f.recent.MoveToFront(e)
	n := e.Value.(*failing)
	n.limiter.AllowN(now, 1)
	n.last = now
	for oldest := f.recent.Back(); oldest != e; oldest = f.recent.Back() {
		n := oldest.Value.(*failing)
		if len(f.networks) <= maxFailing && now.Sub(n.last) < failureBurst*failureEvery {
			return
		}
		f.recent.Remove(oldest)
		delete(f.networks, n.network)
	}
}

// networkOf returns the network that an address counts as: an IPv6 address is one
// of a /64, which a single subscriber has. What is no address is all one.
func networkOf(address string) netip.Prefix {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits) // it has that many bits
	return network
}
