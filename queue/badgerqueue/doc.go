// SPDX-License-Identifier: Apache-2.0

// Package badgerqueue keeps a queue on the local disk, in Badger.
//
// # The way of a message
//
//	Publish ─▶ committer ─▶ Badger (one sync for all that wait)
//	               │
//	               ▼ durable
//	           scheduler ─▶ Receive ─▶ Lease.Ack, Nack, Bury
//	               ▲                          │
//	               └──── committer ◀──────────┘ written behind, 20 ms at most
//
// One goroutine, the committer, owns all writes: what waits when it looks becomes
// one transaction. A fresh message then goes to a waiting Receive, body in hand,
// without a look at the disk. What nobody waits for is buffered within a budget
// and read from the disk beyond it.
//
// What is in a table of the database is said in keys.go, what is in a record in
// record_*.go, what memory knows of an endpoint in line.go.
//
// # What holds after a crash
//
// A message, its keys, its place in line and the counters of its endpoint are in
// one transaction: all are there or none. So is each settlement. What was
// settled in the last 20 ms may be forgotten, and is delivered again; what was
// answered is not.
//
// # What is done about Badger
//
// Badger is fast and small, but not made for this. Each of its gaps has a guard:
//
//   - It syncs once per transaction: hence the committer.
//   - A failed commit stays visible, so that a retry would pass for a duplicate
//     of what is not on disk: after any failed commit the queue is unavailable
//     until it is opened again.
//   - It swallows the errors of its value log: nothing is ever put there.
//   - On a full disk the process dies of a signal: free space is watched, and a
//     ballast kept (space.go).
//   - It passes over what it cannot read of a table: all of them are read at the
//     start (tables.go), and the lines compared with the counters (missing.go).
//   - It cuts a damaged log off in silence: commits are counted beside it
//     (commitfile.go).
//   - Deleted keys have reappeared in the past: what is below the low-water mark
//     of an endpoint is not delivered (line.go).
//   - Tombstones make scans slow: every scan starts at a low-water mark.
//   - It drops keys by the wall clock: windows are ours, and the keys of waiting
//     messages are refreshed (refresh.go).
//   - It gives no room back after a drain: we make it (reclaim.go).
//
// Bodies are checked against their hash before each delivery that reads them.
//
// # Limits
//
// Durability is claimed on Linux only. The directory must be on a local disk, and
// is used by one process at a time. Delivered messages may be delivered again
// after a restore of an older copy of the directory.
package badgerqueue
