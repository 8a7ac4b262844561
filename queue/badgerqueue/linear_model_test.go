// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// linearizable reports whether the calls are those of a queue, in some order.
func linearizable(t *testing.T, history []porcupine.Operation) bool {
	t.Helper()
	switch result := porcupine.CheckOperationsTimeout(keyModel(), history, time.Minute); result {
	case porcupine.Ok:
		return true
	case porcupine.Illegal:
		return false
	default:
		t.Fatalf("after a minute it is %v whether there is an order", result)
		return false
	}
}

// A keyState is where the message of a key is.
type keyState struct {
	where whereabouts
	id    queue.ID
}

type whereabouts int

const (
	keyUnknown whereabouts = iota
	keyWaiting
	keyInFlight
	keySettled
	keyDead
)

// keyModel says what may happen to a key, whatever happens to others.
func keyModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return keyState{} },
		Step: func(state, input, output any) (bool, any) {
			s := state.(keyState)
			ok := s.step(input.(call), output.(reply))
			return ok, s
		},
		Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
			byKey := make(map[string][]porcupine.Operation)
			for _, op := range history {
				key := op.Input.(call).key
				byKey[key] = append(byKey[key], op)
			}
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
	}
}

// step reports whether a call may get this reply, and changes the state by it.
func (s *keyState) step(in call, out reply) bool {
	switch in.do {
	case "publish":
		return s.publish(in, out)
	case "receive":
		return s.moves(keyWaiting, keyInFlight, out.id)
	case "ack":
		return s.moves(keyInFlight, keySettled, in.id)
	case "nack":
		return s.moves(keyInFlight, keyWaiting, in.id)
	case "bury":
		return s.moves(keyInFlight, keyDead, in.id)
	}
	if out.missing {
		return s.where != keyDead || s.id != in.id
	}
	if in.do == "redrive" {
		return s.moves(keyDead, keyWaiting, in.id)
	}
	return s.moves(keyDead, keyUnknown, in.id)
}

func (s *keyState) publish(in call, out reply) bool {
	switch s.where {
	case keyUnknown, keyDead:
		want := queue.Accepted
		if s.where == keyDead {
			want = queue.Revived
		}
		s.where, s.id = keyWaiting, in.id
		return out == reply{outcome: want, id: in.id}
	default:
		return out == reply{outcome: queue.Duplicate, id: s.id}
	}
}

func (s *keyState) moves(from, to whereabouts, id queue.ID) bool {
	ok := s.where == from && s.id == id
	s.where = to
	return ok
}
