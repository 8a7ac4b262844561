// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// A signature is of one text, which can be cut into an id, a time and a body in
// many ways. Only the one that was meant is accepted: a captured request would
// otherwise be a new message under another id.
func TestAttackerMovesTheEndsOfAnID(t *testing.T) {
	t.Parallel()
	// Times that are as fresh as the real one are everywhere.
	const (
		id   = "m1700000007-1700000008"
		at   = "1700000000"
		body = `a--b::{"at":1700000001,"in":"x.1700000002.y","on":1700000003}.1700000004x-1700000005:.z`
	)
	for _, signed := range []string{
		"{id}.{body}",
		"{id}::{body}",
		"{body}.{id}",
		"{body}::{id}",
		"<{body}> {id}",
		"{id}.{timestamp}.{body}",
		"{id}.{timestamp}{body}",
		"{id}{timestamp}.{body}",
		"{timestamp}{id}.{body}",
		"{timestamp}-{id}.{body}",
		"{body}.{id}{timestamp}",
		"{body}.{id}-{timestamp}",
		"{body}.{timestamp}.{id}",
		"{body}.{timestamp}{id}",
		"{timestamp}.{body}.{id}",
	} {
		t.Run(signed, func(t *testing.T) {
			t.Parallel()
			v := newHMAC(t, signedWithID(signed))
			text := strings.NewReplacer("{id}", id, "{timestamp}", at, "{body}", body).Replace(signed)
			accepted := 0
			for values := range cuts(signed, text) {
				err := verifyCut(v, text, values)
				switch {
				case err == nil && (values["id"] != id || values["body"] != body):
					t.Errorf("accepted: the id %q of the body %q", values["id"], values["body"])
				case err == nil:
					accepted++
				case outcome(err) == "mismatch":
					t.Fatalf("the premise of this test is wrong: %q is not what is signed", values)
				}
			}
			if accepted != 1 {
				t.Errorf("the genuine request was accepted %d times", accepted)
			}
		})
	}
}

// Of a literal such as ::, half could belong to the id.
func TestAttackerMovesHalfOfWhatEndsAnID(t *testing.T) {
	t.Parallel()
	for signed, text := range map[string]string{
		"{id}::{body}": "a:::b",
		"{body}::{id}": "b:::a",
	} {
		v := newHMAC(t, signedWithID(signed))
		accepted := map[string]bool{}
		for values := range cuts(signed, text) {
			if verifyCut(v, text, values) == nil {
				accepted[values["id"]] = true
			}
		}
		if len(accepted) != 1 {
			t.Errorf("%s: %s is the message of several ids: %v", signed, text, accepted)
		}
	}
}

// Where nothing that varies is beyond the literal, it may be in the id.
func TestAnIDMayContainWhatDoesNotEndIt(t *testing.T) {
	t.Parallel()
	for _, signed := range []string{"{timestamp}-{id}.{body}", "v1-{id}.{body}", "{timestamp}{id}.{body}", "{body}.{id}-v1", "{body}.{id}-{timestamp}"} {
		const id = "9c5b94b1-35ad-49bb-b118-8e8fc24abf80"
		text := strings.NewReplacer("{id}", id, "{timestamp}", strconv.Itoa(now), "{body}", "{}").Replace(signed)
		values := map[string]string{"id": id, "timestamp": strconv.Itoa(now), "body": "{}"}
		if err := verifyCut(newHMAC(t, signedWithID(signed)), text, values); err != nil {
			t.Errorf("%s: %v", signed, err)
		}
	}
}

func signedWithID(signed string) verify.HMACConfig {
	config := github()
	withID(&config, signed)
	if strings.Contains(signed, "{timestamp}") {
		config.Timestamp = &verify.Timestamp{Header: "X-Time"}
	}
	return config
}

// verifyCut verifies a request with these values and the signature of text.
func verifyCut(v verify.Verifier, text string, values map[string]string) error {
	r := newRequest(http.MethodPost, "/", []byte(values["body"]))
	r.Header.Set("X-Id", values["id"])
	r.Header.Set("X-Time", values["timestamp"])
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac(key, text)))
	_, err := v.Verify(r.Request, time.Unix(now, 0))
	return err
}

// cuts are the values of all the ways to read text as what is signed.
func cuts(signed, text string) func(yield func(map[string]string) bool) {
	return func(yield func(map[string]string) bool) {
		literal, rest, found := strings.Cut(signed, "{")
		text, ok := strings.CutPrefix(text, literal)
		if !ok {
			return
		}
		if !found {
			if text == "" {
				yield(map[string]string{})
			}
			return
		}
		name, rest, _ := strings.Cut(rest, "}")
		for end := range len(text) + 1 {
			for values := range cuts(rest, text[end:]) {
				values[name] = text[:end]
				if !yield(values) {
					return
				}
			}
		}
	}
}
