// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import "go.uber.org/zap"

// Badger says that there is nothing where it cannot read what is there. A line
// that ends before all that waits was found has lost sight of messages: that is
// said, and the low-water marks stay where they are.

// notFound is how often in a row messages must be missing before it is said. The
// counters are a moment ahead of the line when something arrives.
const notFound = 3

// missing returns how many messages wait by the counters but are nowhere.
func (l *line) missing() int64 {
	if l.gap() || l.more || l.loading || l.paused > 0 {
		return 0 // not all was looked for
	}
	return l.e.stats.waiting - int64(len(l.held)+len(l.buffer)+len(l.retries))
}

// loaded keeps the marks from passing what a load may have missed.
func (l *line) loaded() {
	if l.short == 0 && !l.loading && l.missing() > 0 {
		l.short = 1
	}
}

// lookForMissing compares the lines with the counters.
func (s *scheduler) lookForMissing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.endpoints {
		missing := e.line.missing()
		if missing <= 0 {
			e.line.short = 0
			continue
		}
		e.line.short++
		if e.line.short == notFound {
			s.q.log.Error("messages cannot be found on the disk and are not delivered: the database may be damaged",
				zap.String("endpoint", name), zap.Int64("messages", missing))
		}
	}
}
