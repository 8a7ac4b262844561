// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue"
)

func init() {
	caddy.RegisterModule(BadgerEngine{})
}

// BadgerEngine keeps the messages in a directory on a local disk, with the
// embedded key-value store Badger. A message is synced to the disk before it is
// acknowledged.
//
// The directory belongs to one Caddy process at a time. It must not be on a
// network file system. That nothing acknowledged is lost in a power cut is
// promised on Linux only.
type BadgerEngine struct {
	// The directory, which is made if it is not there. Placeholders such as
	// `{env.STATE_DIRECTORY}` are replaced. Default: `webhook_inbox` in Caddy's
	// data directory.
	Directory string `json:"directory,omitempty"`

	// The most that all messages may take, waiting, kept and dead, in bytes.
	// When it is reached, kept messages make room first, and then new ones are
	// answered 503. Default: 10 GiB.
	MaxSize int64 `json:"max_size,omitempty"`

	// How much of the disk must stay free, in bytes: with less, new messages are
	// answered 503. With less than a quarter of it, or than 32 MiB, nothing is
	// delivered either, because that could not be noted. It must leave room for
	// Badger to tidy up, so it must not be less than 64 MiB; where others use the
	// disk too, it should not be less than the default. Default: 512 MiB.
	MinFreeSpace int64 `json:"min_free_space,omitempty"`

	directory string
	log       *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (BadgerEngine) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_inbox.queues.badger",
		New: func() caddy.Module { return new(BadgerEngine) },
	}
}

// Provision sets up the engine. It touches nothing on disk.
func (e *BadgerEngine) Provision(ctx caddy.Context) error {
	e.log = ctx.Logger()
	orDefault(&e.Directory, filepath.Join(caddy.AppDataDir(), "webhook_inbox"))
	orDefault(&e.MaxSize, 10<<30)
	orDefault(&e.MinFreeSpace, 512<<20)
	if e.MaxSize < 0 || e.MinFreeSpace < 0 {
		return errors.New("max_size and min_free_space must not be negative")
	}
	if e.MinFreeSpace < badgerqueue.LeastFreeSpace {
		return fmt.Errorf("min_free_space is %d bytes: the database needs room to tidy up, so it must not be less than %d MiB",
			e.MinFreeSpace, badgerqueue.LeastFreeSpace>>20)
	}
	directory, err := caddy.NewReplacer().ReplaceOrErr(e.Directory, true, true)
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if e.directory, err = filepath.Abs(directory); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	e.directory = realPath(e.directory)
	return nil
}

// realPath resolves the symbolic links of a path, as far as it exists: a
// directory must not get another name, and be opened twice, by being made.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(realPath(parent), filepath.Base(path))
}

// Key is the directory.
func (e *BadgerEngine) Key() string { return e.directory }

// Dir is the directory, in which the key of issued tokens is kept too.
func (e *BadgerEngine) Dir() string { return e.directory }

// Open implements [Engine].
func (e *BadgerEngine) Open(o EngineObserver, log *zap.Logger) (queue.Queue, error) {
	q, err := badgerqueue.Open(badgerqueue.Options{
		Dir:          e.directory,
		MaxSize:      e.MaxSize,
		MinFreeSpace: e.MinFreeSpace,
		Logger:       log,
		OnCommit:     func(s badgerqueue.CommitStats) { o.Committed(s.Messages, s.Duration) },
	})
	switch {
	case errors.Is(err, badgerqueue.ErrDiskFull):
		return nil, fmt.Errorf("%w: %w", ErrNotYet, err)
	case err != nil:
		return nil, err
	}
	return q, nil
}

// Configure implements [Engine].
func (e *BadgerEngine) Configure(q queue.Queue) {
	if q, ok := q.(*badgerqueue.Queue); ok {
		q.SetLimits(e.MaxSize, e.MinFreeSpace)
	}
}

// Limit implements [Engine].
func (e *BadgerEngine) Limit() int64 { return e.MaxSize }

// Health implements [HealthReporter].
func (e *BadgerEngine) Health(q queue.Queue) Health {
	b, ok := q.(*badgerqueue.Queue)
	if !ok {
		return Health{}
	}
	disk := b.Disk()
	return Health{SizeOnDisk: disk.SizeOnDisk, Free: disk.Free, Lost: b.Lost(), Refusing: disk.Refusing, Err: b.Err()}
}

// UnmarshalCaddyfile reads
//
//	badger [<directory>] {
//		max_size       <size>
//		min_free_space <size>
//	}
func (e *BadgerEngine) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the engine's name
	if d.NextArg() {
		e.Directory = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] {
			return d.Errf("%s is there twice", option)
		}
		seen[option] = true
		var err error
		switch option {
		case "max_size":
			e.MaxSize, err = parseSize(d)
		case "min_free_space":
			e.MinFreeSpace, err = parseSize(d)
		default:
			err = d.Errf("unrecognized option of the badger queue: %s; expected max_size or min_free_space", option)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var (
	_ Engine                = (*BadgerEngine)(nil)
	_ HealthReporter        = (*BadgerEngine)(nil)
	_ caddy.Provisioner     = (*BadgerEngine)(nil)
	_ caddyfile.Unmarshaler = (*BadgerEngine)(nil)
)
