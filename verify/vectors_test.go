// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// The format of the vectors is described in testdata/verify/generate.py.
const vectorFiles = "../testdata/verify/*.txt"

func TestVectors(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := v.request.clone()
			claims, err := v.verifier.Verify(v.request.Request, v.now)
			if got := outcome(err); got != v.expect {
				t.Fatalf("Verify: got %s (%v), want %s", got, err, v.expect)
			}
			if err == nil && claims != v.claims {
				t.Errorf("claims\n got %+v\nwant %+v", claims, v.claims)
			}
			if err != nil && claims != (verify.Claims{}) {
				t.Errorf("a refused request has the claims %+v", claims)
			}
			if !v.request.equal(before) {
				t.Error("Verify modified the request")
			}
		})
	}
}

func TestVectorsOnHeadersAlone(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		checker, ok := v.verifier.(verify.HeaderChecker)
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := v.request.clone()
			r.Body = nil
			if got := outcome(checker.CheckHeader(r.Request, v.now)); got != v.check {
				t.Errorf("CheckHeader: got %s, want %s", got, v.check)
			}
		})
	}
}

func TestVectorsWithAnyCoveredBitChangedAreRefused(t *testing.T) {
	t.Parallel()
	for name, v := range readVectors(t) {
		for _, part := range v.covered {
			t.Run(name+"/"+part, func(t *testing.T) {
				t.Parallel()
				flips := 0
				for r := range v.request.flips(part) {
					flips++
					if _, err := v.verifier.Verify(r.Request, v.now); err == nil {
						t.Fatalf("accepted with a changed %s:\n%q", part, r)
					}
				}
				if flips == 0 && len(v.request.Body) > 0 {
					t.Error("there was nothing to change")
				}
			})
		}
	}
}

func TestVectorsOfAnotherSecretAreRefused(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t)
	other := map[string]verify.Verifier{}
	for _, v := range vectors {
		if v.scheme == "none" || v.expect != "ok" {
			continue
		}
		config, err := replaceSecrets(v.config)
		if err != nil {
			t.Fatal(err)
		}
		if other[string(config)] == nil {
			if other[string(config)], err = newVerifier(v.scheme, config); err != nil {
				t.Fatalf("%s: %v", config, err)
			}
		}
		if _, err := other[string(config)].Verify(v.request.Request, v.now); err == nil {
			t.Errorf("%s is accepted with another secret", v.name)
		}
	}
}

// outcome is the word that the vectors have for an error.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return verify.Reason(err)
}

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

// replaceSecrets returns the configuration with one other secret in place of
// all that it has.
func replaceSecrets(config json.RawMessage) (json.RawMessage, error) {
	var fields map[string]any
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, err
	}
	for name, value := range map[string]any{
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

// A request is one that answers lookups the way a server does.
type request struct {
	*verify.Request
	host string
}

func parseRequest(raw []byte) (request, error) {
	head, body, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		return request{}, fmt.Errorf("no empty line after the header")
	}
	lines := bufio.NewScanner(bytes.NewReader(head))
	lines.Scan()
	first := strings.Fields(lines.Text())
	if len(first) != 3 {
		return request{}, fmt.Errorf("%q is no request line", lines.Text())
	}
	r := newRequest(first[0], first[1], body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			return request{}, fmt.Errorf("%q is no header line", lines.Text())
		}
		r.Header.Add(name, strings.Trim(value, " \t"))
	}
	r.host = r.Header.Get("Host")
	r.Header.Del("Host")
	r.setLookup()
	return r, lines.Err()
}

func newRequest(method, uri string, body []byte) request {
	r := request{&verify.Request{Method: method, URI: uri, Header: http.Header{}, Body: body}, "hooks.example.com"}
	r.setLookup()
	return r
}

func (r *request) setLookup() {
	req, host := r.Request, r.host
	req.Lookup = func(name string) (string, bool) {
		switch name {
		case "http.request.method":
			return req.Method, true
		case "http.request.scheme":
			return "https", true
		case "http.request.hostport":
			return host, true
		case "http.request.uri":
			return req.URI, true
		default:
			return "", false
		}
	}
}

func (r request) clone() request {
	c := request{&verify.Request{Method: r.Method, URI: r.URI, Header: r.Header.Clone(), Body: slices.Clone(r.Body)}, r.host}
	c.setLookup()
	return c
}

func (r request) equal(other request) bool {
	return r.Method == other.Method && r.URI == other.URI && bytes.Equal(r.Body, other.Body) &&
		maps.EqualFunc(r.Header, other.Header, slices.Equal)
}

// flips yields the request once for each bit of a part, with that bit changed.
func (r request) flips(part string) iter.Seq[request] {
	return func(yield func(request) bool) {
		for bit := range uint(8 * len(r.text(part))) {
			if changed, ok := r.flip(part, bit); ok && !yield(changed) {
				return
			}
		}
	}
}

// flip returns the request with one bit of a part changed, if that changes what
// it says. Bits are counted around.
func (r request) flip(part string, bit uint) (request, bool) {
	text := r.text(part)
	if text == "" {
		return r, false
	}
	bit %= uint(8 * len(text))
	flipped := []byte(text)
	flipped[bit/8] ^= 1 << (bit % 8)
	// A digit of hex in the other case is the same digit. (Base64 is padded.)
	hexSignature := strings.Contains(part, "Signature") && !strings.HasSuffix(text, "=")
	if hexSignature && strings.EqualFold(string(flipped), text) {
		return r, false
	}
	changed := r.clone()
	switch part {
	case "body":
		changed.Body = flipped
	case "method":
		changed.Method = string(flipped)
	case "uri":
		changed.URI = string(flipped)
	default:
		changed.Header.Set(part, string(flipped))
	}
	return changed, true
}

// text returns a part of the request: body, method, uri or a header field.
func (r request) text(part string) string {
	switch part {
	case "body":
		return string(r.Body)
	case "method":
		return r.Method
	case "uri":
		return r.URI
	default:
		return r.Header.Get(part)
	}
}

// Format prints the request in a failure.
func (r request) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%s %s %v %q", r.Method, r.URI, r.Header, r.Body)
}
