// SPDX-License-Identifier: Apache-2.0

// Package interop holds the table of senders against the libraries that the
// senders publish, or that most of their customers use: what such a library
// signs is accepted, what is signed as the table says is accepted by the
// library, and what it refuses is refused.
//
// It is a module of its own, so that none of these libraries is a dependency of
// the inbox. Run it with
//
//	go -C testdata/interop test ./...
//
// and, after a change of the modules that the inbox requires, go mod tidy here too.
package interop
