// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"strings"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// followingCore is the core of a logger that outlives configurations. It
// passes entries to the core of the newest one: Caddy closes the outputs of an
// old configuration's loggers.
type followingCore struct {
	current *atomic.Pointer[zapcore.Core]
	fields  []zapcore.Field
}

func newFollowingCore(log *zap.Logger) *followingCore {
	c := &followingCore{current: new(atomic.Pointer[zapcore.Core])}
	c.follow(log)
	return c
}

func (c *followingCore) follow(log *zap.Logger) {
	core := log.Core()
	c.current.Store(&core)
}

func (c *followingCore) Enabled(l zapcore.Level) bool { return (*c.current.Load()).Enabled(l) }

func (c *followingCore) With(fields []zapcore.Field) zapcore.Core {
	return &followingCore{c.current, append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c *followingCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *followingCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	e.LoggerName = strings.TrimSuffix(appName+"."+e.LoggerName, ".")
	core := *c.current.Load()
	if checked := core.Check(e, nil); checked != nil {
		checked.Write(append(c.fields[:len(c.fields):len(c.fields)], fields...)...)
	}
	return nil
}

func (c *followingCore) Sync() error { return (*c.current.Load()).Sync() }
