// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"strings"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
)

// badgerLog tells our log what Badger says. Its news is our detail. Some of it is all
// that is known of what Badger does by itself, and the queue acts on it.
type badgerLog struct {
	*zap.SugaredLogger
	q *Queue // nil if there is none yet
}

// listen lets the queue act on what Badger says.
func (q *Queue) listen(b *badger.Options) {
	*b = b.WithLogger(badgerLog{q.log.Named("badger").Sugar(), q})
}

func (l badgerLog) Errorf(format string, args ...any) {
	l.SugaredLogger.Errorf(strings.TrimSpace(format), args...)
	if l.q == nil || !strings.HasPrefix(format, flushFailed) {
		return
	}
	var cause error
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			cause = err
		}
	}
	l.q.couldNotFlush(cause)
}

func (l badgerLog) Warningf(format string, args ...any) {
	l.Warnf(strings.TrimSpace(format), args...)
}

func (l badgerLog) Infof(format string, args ...any) {
	l.SugaredLogger.Debugf(strings.TrimSpace(format), args...)
}

// Debugf says nothing: Badger has a line for every commit.
func (l badgerLog) Debugf(format string, _ ...any) {
	switch {
	case l.q == nil:
	case strings.HasPrefix(format, rotates):
		l.q.spares.release()
	case strings.HasPrefix(format, tableIsNext) && l.q.opened.Load():
		// Before that, an open that fails would wait for the compaction to end.
		l.q.space.awaitRoom()
	}
}
