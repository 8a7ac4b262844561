// SPDX-License-Identifier: Apache-2.0

// Package badgerqueue keeps a queue on the local disk: its messages in a journal
// of its own, and in Badger where they are.
//
// # The way of a message
//
//	Publish ─▶ committer ─▶ journal (one sync for all that wait)
//	               │
//	               ├─ durable ─▶ index ─▶ Badger, behind
//	               ▼
//	           scheduler ─▶ Receive ─▶ Lease.Ack, Nack, Bury
//	               ▲                          │
//	               └──── committer ◀──────────┘ written behind, 20 ms at most
//
// One goroutine, the committer, decides all changes: what waits when it looks
// becomes one batch, which is one frame of the journal. A fresh message then goes
// to a waiting Receive, body in hand, without a look at the disk. What nobody
// waits for is buffered within a budget and read from the disk beyond it.
//
// The frame has the messages, which stay there, and the changes of the tables,
// which go to Badger too, but need not be durable there: a restart replays the
// end of the journal. Now and then a checkpoint makes Badger durable, so that
// this end is short. A segment of the journal is dropped when nothing in it is
// wanted any more, and what little is wanted of a large one is moved out of it.
//
// What is in a table of the database is said in keys.go, what is in a record in
// record_*.go, what memory knows of an endpoint in line.go, and the format of
// the journal in its package.
//
// # What holds after a crash
//
// A message, its keys, its place in line and the counters of its endpoint are in
// one frame: all are there or none. So is each settlement. What was settled in
// the last 20 ms may be forgotten, and is delivered again; what was answered is
// not.
//
// # Why a journal
//
// Badger syncs once per transaction, its log and its value log, through memory
// maps; it builds tables of all that passes through, and compacts them again. For
// a message that is delivered a moment later that is many times the work of
// writing it down once.
//
// # What is done about Badger
//
// Badger is fast and small, but not made for this. Each of its gaps has a guard:
//
//   - On a full disk the process dies of a signal: free space is watched, and a
//     ballast kept (space.go).
//   - It passes over what it cannot read of a table: all of them are read at the
//     start (tables.go), and the lines compared with the counters (missing.go).
//   - It cuts its log off at a flipped bit: a replay begins with what is missing,
//     however far back that is (replay.go, logs.go).
//   - It deletes the tables that fell off its list: they are put on it again
//     (unlisted.go).
//   - Deleted keys have reappeared in the past: what is below the low-water mark
//     of an endpoint is not delivered (line.go).
//   - Tombstones make scans slow: every scan starts at a low-water mark.
//   - It drops keys by the wall clock: windows are ours, and the keys of waiting
//     messages are refreshed (refresh.go).
//   - It gives no room back after a drain: we make it (reclaim.go).
//
// And about disks:
//
//   - After a failed write or sync nobody knows what is on the disk: the queue is
//     unavailable until it is opened again, and finds out.
//   - Blobs and frames have checksums: what is damaged is buried or left out and
//     reported, and what is behind it is found. Commits are counted beside the
//     journal, to notice if its end is missing (commitfile.go). What the disk
//     cannot read is treated alike, but may be readable again: while the queue is
//     opened, it is asked for ten seconds, and a segment that was not read then is
//     never deleted, but set aside, also after further starts (journal/aside.go).
//   - A file of the journal may be missing. While something in it is wanted that is
//     said at each start, and its number is not used again: what comes later must
//     not be taken for what was in it (wanted.go).
//
// # Limits
//
// The directory must be on a local disk, and is used by one process at a time.
// Delivered messages may be delivered again after a restore of an older copy of
// the directory.
package badgerqueue
