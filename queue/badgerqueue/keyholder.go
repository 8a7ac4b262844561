// SPDX-License-Identifier: Apache-2.0

package badgerqueue

// A keyHolder is a message that has a key. Where an endpoint is moved to another,
// two may have the same.
type keyHolder struct {
	keyRecord
	dropped int64 // when Badger drops the key, in seconds since 1970
	claim   claim
}

// A claim is what a message makes of its key. The greater goes first.
type claim int

const (
	claimOver   claim = iota // its window is over
	claimDead                // it is dead: who sends it again replaces it
	claimWindow              // the key is known until the end of its window
	claimWaits               // the key is known for as long as the message waits
)

// or returns the message that has the key of both. If both know it, that is for
// the longer of their windows.
func (h keyHolder) or(o keyHolder) keyHolder {
	if h.claim < o.claim || h.claim == o.claim && h.expiry.Before(o.expiry) {
		h, o = o, h
	}
	if o.claim >= claimWindow {
		if o.expiry.After(h.expiry) {
			h.expiry = o.expiry
		}
		h.dropped = max(h.dropped, o.dropped)
	}
	return h
}

// claimOf finds out what the holder of a key makes of it.
func (b *batch) claimOf(n uint32, held keyRecord) (claim, error) {
	if waits, err := b.waits(n, held.seq); waits || err != nil {
		return claimWaits, err
	}
	if _, dead, err := b.deadLetter(n, held.id); dead || err != nil {
		return claimDead, err
	}
	if b.now.Before(held.expiry) {
		return claimWindow, nil
	}
	return claimOver, nil
}
