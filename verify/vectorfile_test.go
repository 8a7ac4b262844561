// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// The format of the vectors is described in testdata/verify/generate.py.
const vectorFiles = "../testdata/verify/*.txt"

// A vector is one of the files, read.
type vector struct {
	name, scheme  string
	config        json.RawMessage
	verifier      verify.Verifier
	now           time.Time
	request       request
	expect, check string
	covered       []string
	claims        verify.Claims
}

func readVectors(t testing.TB) map[string]vector {
	t.Helper()
	files, err := filepath.Glob(vectorFiles)
	if err != nil || len(files) < 130 {
		t.Fatalf("found only %d vectors (%v)", len(files), err)
	}
	vectors := map[string]vector{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if vectors[name], err = parseVector(name, data); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return vectors
}

func parseVector(name string, data []byte) (v vector, err error) {
	v.name = name
	meta, raw, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok {
		return v, fmt.Errorf("no empty line after the metadata")
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(meta)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if seen[key] {
			return v, fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		if err := v.set(key, value); err != nil {
			return v, fmt.Errorf("%s: %w", key, err)
		}
	}
	for _, key := range []string{"why", "scheme", "config", "now", "expect", "check"} {
		if !seen[key] {
			return v, fmt.Errorf("%s is missing", key)
		}
	}
	if v.request, err = parseRequest(raw); err != nil {
		return v, err
	}
	v.verifier, err = newVerifier(v.scheme, v.config)
	return v, err
}

func (v *vector) set(key, value string) error {
	switch key {
	case "why":
	case "scheme":
		v.scheme = value
	case "config":
		v.config = json.RawMessage(value)
	case "now":
		seconds, err := strconv.ParseInt(value, 10, 64)
		v.now = time.Unix(seconds, 0)
		return err
	case "expect":
		v.expect = value
	case "check":
		v.check = value
	case "covered":
		v.covered = strings.Fields(value)
	case "id":
		v.claims.ID = value
	case "timestamp":
		ms, err := strconv.ParseInt(value, 10, 64)
		v.claims.Timestamp = time.UnixMilli(ms).UTC()
		return err
	case "content":
		sum, err := hex.DecodeString(value)
		copy(v.claims.Content[:], sum)
		return err
	default:
		return fmt.Errorf("unknown key")
	}
	return nil
}

func newVerifier(scheme string, config json.RawMessage) (verify.Verifier, error) {
	decode := func(into any) error {
		d := json.NewDecoder(bytes.NewReader(config))
		d.DisallowUnknownFields()
		return d.Decode(into)
	}
	switch scheme {
	case "standard":
		var c verify.StandardConfig
		if err := decode(&c); err != nil {
			return nil, err
		}
		return verify.NewStandard(c)
	case "hmac":
		var c verify.HMACConfig
		if err := decode(&c); err != nil {
			return nil, err
		}
		return verify.NewHMAC(c)
	case "public_key":
		var c verify.PublicKeyConfig
		if err := decode(&c); err != nil {
			return nil, err
		}
		return verify.NewPublicKey(c)
	case "token":
		var c verify.TokenConfig
		if err := decode(&c); err != nil {
			return nil, err
		}
		return verify.NewToken(c)
	case "bearer":
		var c struct{ Tokens []string }
		if err := decode(&c); err != nil {
			return nil, err
		}
		return verify.NewBearer(c.Tokens)
	case "basic":
		var c struct {
			User      string
			Passwords []string
		}
		if err := decode(&c); err != nil {
			return nil, err
		}
		return verify.NewBasic(c.User, c.Passwords)
	case "none":
		return verify.None{}, nil
	default:
		return nil, fmt.Errorf("unknown scheme %q", scheme)
	}
}

// Public keys of which no vector has the private one.
var (
	otherEd25519 = verify.Secret{Text: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}                                                             // RFC 8032, 7.1
	otherECDSA   = verify.Secret{Text: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ=="} // RFC 6979, A.2.5
)

// replaceSecrets returns the configuration with one other secret in place of
// all that it has.
func replaceSecrets(config json.RawMessage) (json.RawMessage, error) {
	var fields map[string]any
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, err
	}
	keys := []verify.Secret{otherEd25519}
	if fields["algorithm"] == "ecdsa-p256" {
		keys = []verify.Secret{otherECDSA}
	}
	for name, value := range map[string]any{
		"keys":      keys,
		"secrets":   []verify.Secret{{Text: "someone else's", Encoding: "raw"}},
		"tokens":    []string{"someone-else's"},
		"passwords": []string{"someone else's"},
	} {
		if _, ok := fields[name]; ok {
			fields[name] = value
		}
	}
	return json.Marshal(fields)
}
