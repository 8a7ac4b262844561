// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"sync"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// idSet holds the ids of the messages that are being delivered. Unlike a
// sync.Map, it makes no garbage when they come and go.
type idSet struct {
	mu  sync.Mutex
	ids map[queue.ID]struct{}
}

func (s *idSet) add(id queue.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = make(map[queue.ID]struct{})
	}
	s.ids[id] = struct{}{}
}

func (s *idSet) remove(id queue.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, id)
}

func (s *idSet) has(id queue.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.ids[id]
	return ok
}
