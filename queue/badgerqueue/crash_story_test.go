// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// A story is what processes said before they were killed, as a ledger. Its time is
// that of their lines, which take a second each:
//
//	S id sum           a message with this sum of its body is about to be published
//	P id               its publish was acknowledged
//	D id sum status    it was handed out, and is about to be settled by the status
//	A id               its ack returned
//	B n                flush n begins
//	F n                flush n ended: what was acked before B n is durable
type story struct {
	ledger.Ledger
	lines        int64
	acknowledged []string
	durable      int // acks
	acking       map[string]storyAttempt
}

// A storyAttempt is one whose ack may not have returned.
type storyAttempt struct {
	ledger.Attempt
	sum string
}

func newStory() *story {
	return &story{Ledger: ledger.Ledger{Noted: time.Second}, acking: make(map[string]storyAttempt)}
}

// read reads what one process said. Its end is a fault, by which it may forget what
// was not durable: that since the last flush, and the acks that did not return.
func (s *story) read(t *testing.T, out []byte) {
	t.Helper()
	type flush struct {
		began time.Time
		acks  int
	}
	flushes, last, acks := make(map[string]flush), flush{began: s.now()}, 0
	for line := range strings.Lines(string(out)) {
		if !strings.HasSuffix(line, "\n") {
			break // cut off by the kill
		}
		s.lines++
		word := strings.Fields(line)
		switch id := word[1]; word[0] {
		case "S":
			s.Sent(id, []byte(word[2]))
		case "P":
			s.Answered(id, 202)
			s.acknowledged = append(s.acknowledged, id)
		case "D":
			status, err := strconv.Atoi(word[3])
			must(t, err)
			s.begin(id, word[2], status)
		case "A":
			acks++
			s.end(id)
		case "B":
			flushes[id] = flush{s.now(), acks}
		case "F":
			last = flushes[id]
		default:
			t.Fatalf("the process says %q", line)
		}
	}
	s.lines++
	for id := range s.acking {
		s.end(id)
	}
	s.Fault(last.began, s.now())
	s.durable += last.acks
}

func (s *story) now() time.Time { return time.Unix(s.lines, 0) }

// begin begins an attempt, which is over at once if it fails.
func (s *story) begin(id, sum string, status int) {
	s.end(id)
	s.lines++
	s.acking[id] = storyAttempt{ledger.Attempt{Message: id, Began: s.now(), Status: status}, sum}
	if status != 204 {
		s.end(id)
	}
}

// end ends an attempt, if there is one.
func (s *story) end(id string) {
	if a, ok := s.acking[id]; ok {
		a.Ended = s.now()
		s.Tried(id, []byte(a.sum), a.Attempt)
		delete(s.acking, id)
	}
}
