// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func wrong() bool { return false }
func right() bool { return true }

// A network has ten failures, and one more every six seconds.
func TestFailuresComeBack(t *testing.T) {
	t.Parallel()
	var f failureLimit
	now, network := time.Now(), networkOf("192.0.2.1")
	for i := range failureBurst {
		if _, wait := f.try(network, now, wrong); wait != 0 {
			t.Fatalf("failure %d has to wait %v", i+1, wait)
		}
	}
	ok, wait := f.try(network, now, right)
	if ok || wait < failureEvery-time.Millisecond || wait > failureEvery {
		t.Errorf("after %d failures: %v, waiting %v", failureBurst, ok, wait)
	}
	now = now.Add(failureEvery + time.Millisecond)
	if ok, wait := f.try(network, now, right); !ok || wait != 0 {
		t.Errorf("six seconds later: %v, waiting %v", ok, wait)
	}
	if _, wait := f.try(network, now, wrong); wait != 0 {
		t.Errorf("a success cost something: waiting %v", wait)
	}
	if _, wait := f.try(network, now, wrong); wait == 0 {
		t.Error("two failures in six seconds")
	}
}

// Attempts that come at the same time are no more than those that come in turn.
func TestFailuresAtTheSameTimeAreCounted(t *testing.T) {
	t.Parallel()
	var f failureLimit
	var tried atomic.Int64
	now, network := time.Now(), networkOf("192.0.2.1")
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() { f.try(network, now, func() bool { tried.Add(1); return false }) })
	}
	group.Wait()
	if n := tried.Load(); n != failureBurst {
		t.Errorf("%d were tried", n)
	}
}

// However many networks fail, no more than so many are remembered: not those that
// failed long ago and, if they are too many, not the first.
func TestFailingNetworksTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	var f failureLimit
	now := time.Now()
	network := func(n int) netip.Prefix {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], uint32(n))
		return networkOf(netip.AddrFrom4(ip).String())
	}
	for n := range 2 * maxFailing {
		f.try(network(n), now, wrong)
	}
	if len(f.networks) != maxFailing || f.recent.Len() != maxFailing {
		t.Errorf("%d are remembered, %d in the list", len(f.networks), f.recent.Len())
	}
	if f.networks[network(maxFailing-1)] != nil || f.networks[network(maxFailing)] == nil {
		t.Error("they are not the last")
	}
	f.try(network(0), now.Add(failureBurst*failureEvery), wrong)
	if len(f.networks) != 1 {
		t.Errorf("a minute later %d are remembered", len(f.networks))
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1":          "192.0.2.1/32",
		"::ffff:192.0.2.1":   "192.0.2.1/32",
		"2001:db8:1:2:3::4":  "2001:db8:1:2::/64",
		"fe80::1%eth0":       "fe80::/64",
		"/run/caddy.sock":    "invalid Prefix",
		"":                   "invalid Prefix",
		"192.0.2.1, 192.0.2": "invalid Prefix",
	} {
		if got := networkOf(address).String(); got != want {
			t.Errorf("%q is of %s, want %s", address, got, want)
		}
	}
}
