// SPDX-License-Identifier: Apache-2.0

// Package queue is the vocabulary and the policy of a durable, at-least-once
// message queue with deduplication.
//
// A [Message] is published once and handed out until it is settled:
//
//	Publish ──▶ waiting ──Receive──▶ in flight ──Ack──▶ kept ──▶ gone
//	   ▲           ▲                     │
//	   │           ├─────── Nack ────────┤
//	   │           │                     └──Bury──▶ dead ──▶ gone
//	   │           └────── Redrive ──────────────────┤
//	   └──── a re-send of the same message replaces ─┘
//
// A waiting message is either ready, which means handed out to whoever asks
// next, or backing off until it is due. Deliveries that nobody settled, because
// the process died, are waiting again when the queue is next opened.
//
// Where messages live is up to an engine, an implementation of [Queue]:
// badgerqueue keeps them on the local disk. Engines are dumb. They store and
// hand out; when to retry, when to give up and when to pause a whole endpoint
// is decided by [Dispatcher], the only consumer of an engine.
//
// Nothing here assumes that an engine is used by a single process. Package
// queuetest holds the contract as a test suite.
package queue

import (
	"context"
	"errors"
	"iter"
	"time"
)

// The errors that engines return, wrapped with what was being done.
var (
	// ErrFull: the message was not stored, because the queue, the endpoint's
	// share of it or the disk has no room. Nothing was recorded.
	ErrFull = errors.New("queue is full")

	// ErrUnavailable: the engine cannot promise anything any more, for
	// instance after a failed write, until it is opened again.
	ErrUnavailable = errors.New("queue is unavailable")

	// ErrClosed: the queue was closed.
	ErrClosed = errors.New("queue is closed")

	// ErrLeaseLost: the delivery was settled before, or its lease ran out.
	ErrLeaseLost = errors.New("delivery is not held any more")

	// ErrNotFound: no such message or endpoint.
	ErrNotFound = errors.New("not found")

	// ErrBusy: the endpoint has deliveries in flight.
	ErrBusy = errors.New("endpoint has deliveries in flight")
)

// Queue is the contract of an engine. Its parts are split by who calls them.
// All methods are safe for concurrent use. After Close they return [ErrClosed].
type Queue interface {
	Publisher
	Receiver
	Admin

	// Close makes every settlement taken so far durable and releases what the
	// queue holds. Receive and Probe calls that wait return ErrClosed.
	// Deliveries that are not settled are waiting when it is opened again.
	Close() error
}

// Publisher takes messages in.
type Publisher interface {
	// Publish stores p.Message, or finds that it is a duplicate.
	//
	// It is one if any of p.Keys is known for the endpoint, which a key is for
	// its window, counted from when it was recorded, and beyond that while its
	// message is waiting or in flight. A key whose message is dead is not
	// known: the dead letter is replaced by the new message.
	//
	// Once Publish returns without an error, the message that the receipt names
	// survives a crash, and so do all of its keys; a message and its keys become
	// durable together or not at all. A duplicate records nothing.
	//
	// With ErrFull nothing was stored. After any other error, that of a done
	// ctx included, the message may or may not be stored: publishing it again
	// with the same keys is always safe.
	//
	// The message and its body must not be modified afterwards.
	Publish(ctx context.Context, p Publication) (Receipt, error)
}

// A Publication is a message with what else Publish needs to know.
type Publication struct {
	Message *Message

	// Keys are what makes a later message a duplicate of this one. Without any,
	// Message is always stored.
	Keys []Key

	// MaxSize is the endpoint's share of the queue in bytes, of waiting, kept
	// and dead messages together. Zero is no limit of its own.
	MaxSize int64
}

// A Key identifies a message for deduplication, within its endpoint.
type Key struct {
	Kind   KeyKind
	Hash   [32]byte
	Window time.Duration // how long the key is known at least
}

// KeyKind tells keys of different origins apart. Engines store it as it is.
type KeyKind byte

// The kinds of keys.
const (
	KeyID      KeyKind = 1 // a hash of the id that the sender gave the message
	KeyContent KeyKind = 2 // a hash of the content that was verified
)

// A Receipt is what became of a published message.
type Receipt struct {
	Outcome Outcome
	ID      ID // of the message stored now, or of the one it is a duplicate of
}

// Outcome says what Publish did.
type Outcome int

// The outcomes of Publish.
const (
	Accepted  Outcome = iota + 1 // stored
	Duplicate                    // known already, and durable
	Revived                      // stored, and took the place of a dead letter
)

// Receiver hands messages out.
type Receiver interface {
	// Receive hands out the next ready message of endpoint, oldest first,
	// messages that are due after a Nack before fresh ones. It waits for one
	// until ctx is done.
	//
	// The message is the caller's until it settles the delivery, for the given
	// lease at least; after that an engine shared by several processes may hand
	// it out again. A message is handed out only if it is as it was published:
	// one that was damaged on disk is buried instead, as corrupt, or as unreadable
	// if the disk may read it again.
	Receive(ctx context.Context, endpoint string, lease time.Duration) (Delivery, error)

	// Probe is Receive for an endpoint in an outage: it picks any one waiting
	// message, backing off or not.
	Probe(ctx context.Context, endpoint string, pick Pick, lease time.Duration) (Delivery, error)

	// MakeReady makes every message of endpoint that is backing off ready at
	// once, and takes back the refunds from the histories of their messages.
	// Messages in flight are not changed. It is durable on return; after a crash
	// before that some messages may be ready and others not.
	MakeReady(ctx context.Context, endpoint string, refunds []Refund) error

	// Outage returns what SetOutage stored for the endpoint, nil if nothing.
	Outage(ctx context.Context, endpoint string) (*Outage, error)

	// SetOutage stores o for the endpoint; nil removes it. It is durable on
	// return.
	SetOutage(ctx context.Context, endpoint string, o *Outage) error
}

// A Pick says which waiting message Probe hands out.
type Pick struct {
	Newest bool // the one that arrived last rather than first
	Except []ID // passed over while there is another
}

// A Refund takes failures back that turned out not to be the message's own.
type Refund struct {
	ID       ID
	Failures int
	Delayed  time.Duration
}

// A Delivery is a message handed out for one attempt. It is settled exactly
// once, with a method of Lease.
type Delivery struct {
	Message *Message // not to be modified
	History History
	Lease   Lease
}

// A Lease is the hold on a message in flight.
//
// Its methods return once the engine has taken note. The settlement is durable
// with the next commit, at most 20 ms later; a crash before that forgets it, and
// the message is handed out again. They return ErrLeaseLost if the message is
// not held any more, and ErrUnavailable or ErrClosed if the engine cannot
// settle, with which the message stays undelivered as far as the disk knows.
type Lease interface {
	// Ack ends the message: it was delivered. It is kept for the given time, or
	// erased at once if that is zero.
	Ack(keep time.Duration) error

	// Nack makes the message wait: ready again after delay. The engine stores h
	// as its history.
	Nack(delay time.Duration, h History) error

	// Bury makes the message a dead letter with h as its history and reason
	// as the reason, kept for the given time.
	Bury(reason string, h History, keep time.Duration) error
}

// A History is what has been tried with a message. Engines store it with the
// message and never interpret it.
type History struct {
	// Attempts counts every attempt that began.
	Attempts int

	// Failures counts the attempts whose failure was the message's own, rather
	// than part of an outage or of a shutdown.
	Failures int

	// Delayed is the sum of the delays given after counted failures.
	Delayed time.Duration

	// LastError says why the last attempt failed. It holds nothing of the
	// message and nothing secret.
	LastError string
}

// An Outage is an endpoint's own trouble, as the dispatcher remembers it across
// restarts.
type Outage struct {
	Since     time.Time
	Probes    int       // that failed so far
	NextProbe time.Time // not before
	LastError string

	// Route identifies what deliveries went through when the outage began:
	// under another route it is worth probing at once.
	Route string
}

// Admin is for operators: what is there, and what to do about it.
type Admin interface {
	// Endpoints returns the statistics of every endpoint that has messages, an
	// outage, or keys in the queue, by name. It reads counters, not messages.
	Endpoints(ctx context.Context) (map[string]Stats, error)

	// DeadLetters yields the dead letters of endpoint in the order of their ids,
	// which is that of their arrival, from the first after the given id on.
	// Their messages come without header and body.
	DeadLetters(ctx context.Context, endpoint string, after ID) iter.Seq2[Settled, error]

	// DeadLetter returns one dead letter whole, or ErrNotFound. One that was damaged
	// on disk is returned as far as it can be read.
	DeadLetter(ctx context.Context, endpoint string, id ID) (Settled, error)

	// Redrive makes a dead letter ready as if it had just arrived, with an empty
	// history; its keys are recorded anew unless a newer message holds them.
	// It is durable on return. ErrNotFound if there is no such dead letter.
	Redrive(ctx context.Context, endpoint string, id ID) error

	// RedriveAll is Redrive for all dead letters of endpoint, and returns how
	// many there were. After an error or a crash a part may be done; calling it
	// again does the rest.
	RedriveAll(ctx context.Context, endpoint string) (int, error)

	// Discard erases a dead letter and frees its keys. It is durable on return.
	// ErrNotFound if there is no such dead letter.
	Discard(ctx context.Context, endpoint string, id ID) error

	// DiscardAll is Discard for all dead letters of endpoint, in the manner of
	// RedriveAll.
	DiscardAll(ctx context.Context, endpoint string) (int, error)

	// Kept yields the messages of endpoint that were delivered and are kept,
	// those that are kept for the shortest time from now first. Their messages
	// come without header and body.
	Kept(ctx context.Context, endpoint string) iter.Seq2[Settled, error]

	// Forget removes a key, so that a message with it is accepted again. It is
	// durable on return. ErrNotFound if the key is not known.
	Forget(ctx context.Context, endpoint string, kind KeyKind, hash [32]byte) error

	// Move gives everything of the endpoint from, its keys and dead letters
	// included, to the endpoint to, where it is ready at once, and returns how
	// many waiting and dead messages that were. Each message moves whole; after
	// an error or a crash a part may have moved, and calling it again moves the
	// rest. ErrNotFound if from is unknown, ErrBusy if it has deliveries in flight.
	Move(ctx context.Context, from, to string) (int, error)
}

// Settled is a message that is dead or kept.
type Settled struct {
	Message *Message
	Damaged bool // Message lacks what cannot be read; a list does not look at bodies
	History History
	Reason  string    // why it is dead; empty if it was delivered
	At      time.Time // when it was settled
	Until   time.Time // when it is erased; zero if it was not said
}

// Stats counts the messages of an endpoint.
type Stats struct {
	Waiting  int64 // not settled: ready, backing off or in flight
	Retrying int64 // those of Waiting that were tried before
	InFlight int64 // those of Waiting that are handed out, by this process
	Dead     int64
	Kept     int64
	Bytes    int64 // that all of these take on disk, before compression

	// Oldest is when the waiting message that is oldest was received; zero if
	// none waits.
	Oldest time.Time
}
