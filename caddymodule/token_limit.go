// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"container/list"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Logins may fail a few times at once, and after that now and then: somebody who
// mistypes never notices, and a password cannot be guessed.
const (
	// With one name, from one network: the others behind the same address go on.
	nameFailureBurst = 10
	nameFailureEvery = 6 * time.Second

	// From one network, with whatever names.
	networkFailureBurst = 100
	networkFailureEvery = time.Second

	// From all networks together that have not logged in before. Who has many
	// addresses cannot guess faster, and cannot keep out who is known.
	strangerFailureBurst = 1000
	strangerFailureEvery = time.Second / 10

	// knownFor is how long a network is known after a login.
	knownFor = 24 * time.Hour

	// maxRemembered is how many there are of each kind at most. Each takes some
	// 300 bytes.
	maxRemembered = 10_000
)

// A failureLimit bounds failed logins. A login that succeeds costs nothing.
type failureLimit struct {
	mu        sync.Mutex
	names     recent[failingName, *rate.Limiter]
	networks  recent[netip.Prefix, *rate.Limiter]
	known     recent[netip.Prefix, struct{}] // by a login that succeeded
	strangers *rate.Limiter
}

// failingName is a name in a network. It is hashed, because it can be long.
type failingName struct {
	network netip.Prefix
	name    [sha256.Size]byte
}

func newFailureLimit() *failureLimit {
	f := &failureLimit{strangers: rate.NewLimiter(rate.Every(strangerFailureEvery), strangerFailureBurst)}
	// After that time, a limit is what it was before the first failure.
	f.names.keep = nameFailureBurst * nameFailureEvery
	f.networks.keep = networkFailureBurst * networkFailureEvery
	f.known.keep = knownFor
	return f
}

// wait returns how long a network has to wait until it may try again, with any
// name; zero: it need not.
func (f *failureLimit) wait(network netip.Prefix, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waitLocked(network, now)
}

func (f *failureLimit) waitLocked(network netip.Prefix, now time.Time) (wait time.Duration) {
	if limiter, ok := f.networks.get(network, now); ok {
		wait = waitFor(limiter, networkFailureEvery, now)
	}
	if _, ok := f.known.get(network, now); !ok {
		wait = max(wait, waitFor(f.strangers, strangerFailureEvery, now))
	}
	return wait
}

func waitFor(limiter *rate.Limiter, every time.Duration, now time.Time) time.Duration {
	lack := 1 - limiter.TokensAt(now)
	return max(0, time.Duration(lack*float64(every)))
}

// try calls right, which is quick, and returns what it returned, unless the name
// has to wait in the network, or the network. However many attempts come at the
// same time, no more are made than are left.
func (f *failureLimit) try(network netip.Prefix, name string, now time.Time, right func() bool) (ok bool, wait time.Duration) {
	failing := failingName{network, sha256.Sum256([]byte(name))}
	f.mu.Lock()
	defer f.mu.Unlock()
	wait = f.waitLocked(network, now)
	if limiter, ok := f.names.get(failing, now); ok {
		wait = max(wait, waitFor(limiter, nameFailureEvery, now))
	}
	if wait > 0 {
		return false, wait
	}
	if right() {
		f.known.note(network, struct{}{}, now)
		return true, 0
	}
	fail(&f.names, failing, nameFailureEvery, nameFailureBurst, now)
	fail(&f.networks, network, networkFailureEvery, networkFailureBurst, now)
	if _, ok := f.known.get(network, now); !ok {
		f.strangers.AllowN(now, 1)
	}
	return false, 0
}

// fail notes a failure of who.
func fail[K comparable](of *recent[K, *rate.Limiter], who K, every time.Duration, burst int, now time.Time) {
	limiter, ok := of.get(who, now)
	if !ok {
		limiter = rate.NewLimiter(rate.Every(every), burst)
	}
	limiter.AllowN(now, 1)
	of.note(who, limiter, now)
}

// recent holds what was noted of late, and of that the last [maxRemembered].
type recent[K comparable, V any] struct {
	keep  time.Duration
	byKey map[K]*list.Element
	order list.List // of noted[K, V], the last one in front
}

type noted[K comparable, V any] struct {
	key   K
	value V
	at    time.Time
}

func (r *recent[K, V]) get(key K, now time.Time) (value V, ok bool) {
	e := r.byKey[key]
	if e == nil {
		return value, false
	}
	n := e.Value.(noted[K, V])
	return n.value, now.Sub(n.at) < r.keep
}

// note notes something for the time of keep, and forgets what is older.
func (r *recent[K, V]) note(key K, value V, now time.Time) {
	if r.byKey == nil {
		r.byKey = make(map[K]*list.Element)
	}
	if e := r.byKey[key]; e != nil {
		r.order.Remove(e)
	}
	last := r.order.PushFront(noted[K, V]{key, value, now})
	r.byKey[key] = last
	for e := r.order.Back(); e != last; e = r.order.Back() {
		oldest := e.Value.(noted[K, V])
		if len(r.byKey) <= maxRemembered && now.Sub(oldest.at) < r.keep {
			return
		}
		r.order.Remove(e)
		delete(r.byKey, oldest.key)
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
