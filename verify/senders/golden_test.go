// SPDX-License-Identifier: Apache-2.0

package senders_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// The golden requests are made by testdata/senders/generate.py, which says what
// they hold. None of the code here had a part in their signatures.
const goldenFiles = "../../testdata/senders/*.txt"

type id = senders.ID

func TestThereIsAGoldenRequestOfEachSenderAndOfNobodyElse(t *testing.T) {
	t.Parallel()
	golden := readGolden(t)
	for _, sender := range senders.All() {
		if _, ok := golden[sender.Name]; !ok {
			t.Errorf("there is no golden request of %s: add it to testdata/senders/generate.py", sender.Name)
		}
	}
	for name := range golden {
		if _, ok := senders.Find(name); !ok {
			t.Errorf("there is a golden request of %s, which is no sender", name)
		}
	}
}

func TestEachSenderAcceptsItsGoldenRequest(t *testing.T) {
	t.Parallel()
	forEachGolden(t, func(t *testing.T, sender senders.Sender, g golden) {
		claims, err := g.verifier(t, sender).Verify(g.request, g.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := idOf(g.request, claims, sender.MessageID); got != g.id {
			t.Errorf("the id is %q, want %q", got, g.id)
		}
		if !claims.Timestamp.Equal(g.timestamp) {
			t.Errorf("the timestamp is %v, want %v", claims.Timestamp, g.timestamp)
		}
	})
}

func TestEachSenderRefusesAGoldenRequestWithOneByteChanged(t *testing.T) {
	t.Parallel()
	forEachGolden(t, func(t *testing.T, sender senders.Sender, g golden) {
		verifier := g.verifier(t, sender)
		changes := 0
		refuse := func(p part, from, length int) {
			for at := from; at < from+length; at++ {
				changes++
				changed := withByteChanged(g.request, p, at)
				if _, err := verifier.Verify(changed, g.now); err == nil {
					t.Errorf("accepted with byte %d of %s changed: %q", at, p, p.of(changed))
				} else if verify.Reason(err) == "error" {
					t.Errorf("with byte %d of %s changed, %v wraps no reason", at, p, err)
				}
			}
		}
		for _, p := range g.covered {
			refuse(p, 0, len(p.of(g.request)))
		}
		for _, text := range g.marked {
			refuse("body", bytes.Index(g.request.Body, []byte(text)), len(text))
		}
		if changes < 10 {
			t.Errorf("only %d bytes were changed", changes)
		}
	})
}

func TestGoldenRequestsNameAllThatIsCovered(t *testing.T) {
	t.Parallel()
	forEachGolden(t, func(t *testing.T, sender senders.Sender, g golden) {
		traits := g.verifier(t, sender).Traits()
		named := func(p part) bool {
			return slices.ContainsFunc(g.covered, func(c part) bool { return strings.EqualFold(string(c), string(p)) })
		}
		covers := traits.Covers != nil && traits.Covers("body")
		if covers != named("body") {
			t.Errorf("the body is covered: %t according to its scheme, %t according to its golden request", covers, named("body"))
		}
		for _, header := range traits.Headers {
			// Supabase sends a list of signatures, of which not each byte counts.
			if g.request.Header.Get(header) != "" && !named(part(header)) && sender.Name != "supabase" {
				t.Errorf("its scheme reads %s, which its golden request does not name", header)
			}
		}
	})
}

func TestEachSenderRefusesItsGoldenRequestUnderAnotherSecret(t *testing.T) {
	t.Parallel()
	forEachGolden(t, func(t *testing.T, sender senders.Sender, g golden) {
		other := []byte(g.keys.Secrets[0])
		if at := len(other) / 2; strings.ContainsRune("Aa", rune(other[at])) {
			other[at] = 'B'
		} else {
			other[at] = 'A' // which every encoding has
		}
		keys := g.keys
		keys.Secrets = []string{string(other)}
		verifier, err := sender.Scheme.Verifier(keys)
		if err != nil {
			return // not every text is a public key
		}
		if _, err := verifier.Verify(g.request, g.now); !errors.Is(err, verify.ErrMismatch) {
			t.Errorf("got %v, want a mismatch", err)
		}
	})
}

func TestEachSenderRefusesItsGoldenRequestOnceItIsTooOld(t *testing.T) {
	t.Parallel()
	forEachGolden(t, func(t *testing.T, sender senders.Sender, g golden) {
		verifier := g.verifier(t, sender)
		tolerance := verifier.Traits().Tolerance
		if tolerance != g.tolerance {
			t.Errorf("its tolerance is %v, want %v", tolerance, g.tolerance)
		}
		if needs := sender.Scheme.Needs().Tolerance; tolerance != needs {
			t.Errorf("its tolerance is %v, and %v if asked what it needs", tolerance, needs)
		}
		if g.timestamp.IsZero() {
			return
		}
		for _, direction := range []time.Duration{-1, 1} {
			last := g.timestamp.Add(direction * tolerance)
			if _, err := verifier.Verify(g.request, last); err != nil {
				t.Errorf("at its tolerance of %v: %v", direction*tolerance, err)
			}
			if _, err := verifier.Verify(g.request, last.Add(direction*time.Second)); !errors.Is(err, verify.ErrExpired) {
				t.Errorf("a second beyond its tolerance of %v: got %v, want expired", direction*tolerance, err)
			}
		}
	})
}

// --- Reading them

type golden struct {
	keys      senders.Keys
	now       time.Time
	covered   []part
	marked    []string
	id        string
	timestamp time.Time
	tolerance time.Duration
	request   *verify.Request
}

func (g golden) verifier(t *testing.T, sender senders.Sender) verify.Verifier {
	t.Helper()
	verifier, err := sender.Scheme.Verifier(g.keys)
	if err != nil {
		t.Fatalf("configuring: %v", err)
	}
	return verifier
}

// forEachGolden runs check in a test of its own for each sender that has a golden
// request.
func forEachGolden(t *testing.T, check func(*testing.T, senders.Sender, golden)) {
	all := readGolden(t)
	for _, sender := range senders.All() {
		if g, ok := all[sender.Name]; ok {
			t.Run(sender.Name, func(t *testing.T) {
				t.Parallel()
				check(t, sender, g)
			})
		}
	}
}

func readGolden(t *testing.T) map[string]golden {
	t.Helper()
	files, err := filepath.Glob(goldenFiles)
	if err != nil || len(files) < 60 {
		t.Fatalf("found only %d golden requests (%v)", len(files), err)
	}
	all := map[string]golden{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		g, err := parseGolden(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".txt")] = g
	}
	return all
}

func parseGolden(data []byte) (g golden, err error) {
	meta, raw, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok {
		return g, errors.New("no empty line after the metadata")
	}
	for line := range strings.Lines(string(meta)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if err := g.set(key, value); err != nil {
			return g, fmt.Errorf("%s: %w", key, err)
		}
	}
	g.request, err = parseRequest(raw)
	return g, err
}

func (g *golden) set(key, value string) error {
	switch key {
	case "secrets":
		return json.Unmarshal([]byte(value), &g.keys.Secrets)
	case "user":
		g.keys.User = value
	case "now":
		seconds, err := strconv.ParseInt(value, 10, 64)
		g.now = time.Unix(seconds, 0)
		return err
	case "covered":
		for _, word := range strings.Fields(value) {
			g.covered = append(g.covered, part(word))
		}
	case "marked":
		return json.Unmarshal([]byte(value), &g.marked)
	case "id":
		g.id = value
	case "timestamp":
		ms, err := strconv.ParseInt(value, 10, 64)
		g.timestamp = time.UnixMilli(ms)
		return err
	case "tolerance":
		seconds, err := strconv.Atoi(value)
		g.tolerance = time.Duration(seconds) * time.Second
		return err
	default:
		return errors.New("unknown key")
	}
	return nil
}
