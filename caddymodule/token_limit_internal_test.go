// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func wrong() bool { return false }
func right() bool { return true }

// networkNumber returns the nth network.
func networkNumber(n int) netip.Prefix {
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], uint32(n))
	return networkOf(netip.AddrFrom4(ip).String())
}

// A name has ten failures in a network, and one more every six seconds.
func TestFailuresComeBack(t *testing.T) {
	t.Parallel()
	f := newFailureLimit()
	now, network := time.Now(), networkOf("192.0.2.1")
	for i := range nameFailureBurst {
		if _, wait := f.try(network, "a", now, wrong); wait != 0 {
			t.Fatalf("failure %d has to wait %v", i+1, wait)
		}
	}
	ok, wait := f.try(network, "a", now, right)
	if ok || wait < nameFailureEvery-time.Millisecond || wait > nameFailureEvery {
		t.Errorf("after %d failures: %v, waiting %v", nameFailureBurst, ok, wait)
	}
	for _, other := range []struct {
		network netip.Prefix
		name    string
	}{{network, "b"}, {networkOf("192.0.2.2"), "a"}} {
		if ok, wait := f.try(other.network, other.name, now, right); !ok || wait != 0 {
			t.Errorf("%v: %v, waiting %v", other, ok, wait)
		}
	}
	now = now.Add(nameFailureEvery + time.Millisecond)
	if ok, wait := f.try(network, "a", now, right); !ok || wait != 0 {
		t.Errorf("six seconds later: %v, waiting %v", ok, wait)
	}
	if _, wait := f.try(network, "a", now, wrong); wait != 0 {
		t.Errorf("a success cost something: waiting %v", wait)
	}
	if _, wait := f.try(network, "a", now, wrong); wait == 0 {
		t.Error("two failures in six seconds")
	}
}

// A network has a hundred failures, whatever the names, and one more each second.
// Then it has to wait before its body is read.
func TestFailuresOfANetworkAreBounded(t *testing.T) {
	t.Parallel()
	f := newFailureLimit()
	now, network := time.Now(), networkOf("192.0.2.1")
	f.try(network, "a", now, right)
	for i := range networkFailureBurst {
		if _, wait := f.try(network, fmt.Sprint(i), now, wrong); wait != 0 {
			t.Fatalf("failure %d has to wait %v", i+1, wait)
		}
	}
	if wait := f.wait(network, now); wait < networkFailureEvery-time.Millisecond || wait > networkFailureEvery {
		t.Errorf("after %d failures: waiting %v", networkFailureBurst, wait)
	}
	if ok, wait := f.try(network, "a", now, right); ok || wait == 0 {
		t.Errorf("with another name: %v, waiting %v", ok, wait)
	}
	if wait := f.wait(networkOf("192.0.2.2"), now); wait != 0 {
		t.Errorf("another network: waiting %v", wait)
	}
	if wait := f.wait(network, now.Add(networkFailureEvery+time.Millisecond)); wait != 0 {
		t.Errorf("a second later: waiting %v", wait)
	}
}

// All networks together have a thousand failures, and ten more each second. Those
// that logged in during the last day go on, and their failures are not counted.
func TestFailuresOfAllNetworksAreBounded(t *testing.T) {
	t.Parallel()
	f := newFailureLimit()
	now := time.Now()
	const known = 1 << 20
	if ok, _ := f.try(networkNumber(known), "a", now, right); !ok {
		t.Fatal("it has to wait")
	}
	for range nameFailureBurst {
		f.try(networkNumber(known), "b", now, wrong)
	}
	for n := range strangerFailureBurst {
		if _, wait := f.try(networkNumber(n), "a", now, wrong); wait != 0 {
			t.Fatalf("failure %d has to wait %v", n+1, wait)
		}
	}
	stranger := networkNumber(strangerFailureBurst)
	if wait := f.wait(stranger, now); wait < strangerFailureEvery-time.Millisecond || wait > strangerFailureEvery {
		t.Errorf("a stranger has to wait %v", wait)
	}
	if ok, wait := f.try(stranger, "a", now, right); ok || wait == 0 {
		t.Errorf("a stranger: %v, waiting %v", ok, wait)
	}
	if ok, wait := f.try(networkNumber(known), "a", now, right); !ok || wait != 0 {
		t.Errorf("who is known: %v, waiting %v", ok, wait)
	}
	now = now.Add(strangerFailureEvery + time.Millisecond)
	if ok, wait := f.try(stranger, "a", now, right); !ok || wait != 0 {
		t.Errorf("a stranger, a little later: %v, waiting %v", ok, wait)
	}

	now = now.Add(knownFor)
	for n := range strangerFailureBurst {
		f.try(networkNumber(n), "a", now, wrong)
	}
	if wait := f.wait(networkNumber(known), now); wait == 0 {
		t.Error("who is known is so for good")
	}
}

// Attempts that come at the same time are no more than those that come in turn.
func TestFailuresAtTheSameTimeAreCounted(t *testing.T) {
	t.Parallel()
	f := newFailureLimit()
	var tried atomic.Int64
	now, network := time.Now(), networkOf("192.0.2.1")
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() { f.try(network, "a", now, func() bool { tried.Add(1); return false }) })
	}
	group.Wait()
	if n := tried.Load(); n != nameFailureBurst {
		t.Errorf("%d were tried", n)
	}
}

// However many names and networks there are, no more than so many are remembered:
// not those of long ago and, if they are too many, not the first.
func TestLoginsTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	f := newFailureLimit()
	now := time.Now()
	for n := range 2 * maxRemembered {
		// Known, so that they may fail at all.
		f.try(networkNumber(n), "a", now, right)
		f.try(networkNumber(n), "a", now, wrong)
	}
	for what, sizes := range map[string][2]int{
		"names":    {len(f.names.byKey), f.names.order.Len()},
		"networks": {len(f.networks.byKey), f.networks.order.Len()},
		"known":    {len(f.known.byKey), f.known.order.Len()},
	} {
		if sizes != [2]int{maxRemembered, maxRemembered} {
			t.Errorf("%s: %d are remembered, %d in the list", what, sizes[0], sizes[1])
		}
	}
	for n, want := range map[int]bool{maxRemembered - 1: false, maxRemembered: true} {
		if _, ok := f.networks.get(networkNumber(n), now); ok != want {
			t.Errorf("network %d is remembered: %v", n, ok)
		}
	}
	later := now.Add(f.networks.keep)
	f.try(networkNumber(0), "a", later, wrong)
	if len(f.names.byKey) != 1 || len(f.networks.byKey) != 1 {
		t.Errorf("a while later %d names and %d networks are remembered", len(f.names.byKey), len(f.networks.byKey))
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
