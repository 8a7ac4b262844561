// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"reflect"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// A search looks for the way in which a request is signed, among all that can be
// said with the generic schemes. It is bounded by what it hashes.
type search struct {
	r       *verify.Request
	keys    []secretKey
	origins []string // of {url}, the likeliest first
	left    *int64   // bytes that may still be hashed
}

// A hit is a signature that is right.
type hit struct {
	key       secretKey
	signature signature
	template  string
	moment    *moment
	id        *name
	origin    string
}

// hmacs returns the signatures that are HMACs under one of the keys, of which
// there is rarely more than one. They are in the order of templates, what proves
// more first, and then in that of the algorithms, the strongest first.
func (s search) hmacs() []hit {
	bySize := make(map[int][]signature)
	for _, signature := range signatures(s.r) {
		bySize[len(signature.bytes)] = append(bySize[len(signature.bytes)], signature)
	}
	var hits []hit
	for _, size := range []int{sha512.Size, sha512.Size384, sha256.Size, sha1.Size} {
		list := bySize[size]
		if len(list) == 0 {
			continue
		}
		for _, key := range s.keys {
			mac := newMAC(size, key.bytes)
			if mac == nil {
				continue
			}
			for h := range s.fillings(slices.ContainsFunc(list, inBody)) {
				sum, ok := s.sum(mac, h)
				if !ok {
					continue
				}
				for _, signature := range list {
					if hmac.Equal(sum, signature.bytes) && fits(h, signature) {
						h.key, h.signature = key, signature
						hits = append(hits, h)
					}
				}
			}
		}
	}
	order := append(slices.Clone(templates), bodyless...)
	slices.SortStableFunc(hits, func(a, b hit) int {
		return cmp.Or(
			slices.Index(order, a.template)-slices.Index(order, b.template),
			len(b.signature.bytes)-len(a.signature.bytes),
			b.kinship()-a.kinship(),
		)
	})
	// Where two fields hold the same text, or two signatures are right, once is
	// enough.
	return slices.CompactFunc(hits, func(a, b hit) bool {
		return a.template == b.template && reflect.DeepEqual(a.signature.at, b.signature.at) && bytes.Equal(a.key.bytes, b.key.bytes)
	})
}

// kinship says how much the names of the fields of a timestamp and an id have in
// common with that of the signature.
func (h hit) kinship() int {
	if h.signature.at.JSON != "" {
		return 0
	}
	common := func(name string) int {
		n := 0
		for of := h.signature.at.Headers[0]; n < min(len(name), len(of)) && name[n] == of[n]; {
			n++
		}
		return n
	}
	n := 0
	if h.moment != nil {
		n += common(h.moment.at.Header) + common(h.moment.of)
	}
	if h.id != nil {
		n += common(h.id.header)
	}
	return n
}

func inBody(s signature) bool { return s.at.JSON != "" }

// fits reports whether the template and the timestamp of h can go with a
// signature: a key is one of its own header, and what is in the body covers it.
func fits(h hit, s signature) bool {
	if s.at.JSON != "" {
		return !strings.Contains(h.template, "{body}")
	}
	if !strings.Contains(h.template, "{body}") {
		return false
	}
	return h.moment == nil || h.moment.of == "" || s.at.Key != "" && s.at.Headers[0] == h.moment.of
}

// fillings returns the templates with all that the request has to fill them.
func (s search) fillings(withBodyless bool) func(yield func(hit) bool) {
	times, ids := moments(s.r), ids(s.r)
	list := templates
	if withBodyless {
		list = append(slices.Clone(list), bodyless...)
		ids = append(ids, nonces(s.r)...)
	}
	return func(yield func(hit) bool) {
		for _, template := range list {
			origins := []string{""}
			if strings.Contains(template, "{url}") {
				origins = s.origins
			}
			for _, origin := range origins {
				for _, moment := range choices(times, strings.Contains(template, "{timestamp}")) {
					for _, id := range choices(ids, strings.Contains(template, "{id}")) {
						if !yield(hit{template: template, moment: moment, id: id, origin: origin}) {
							return
						}
					}
				}
			}
		}
	}
}

// choices returns pointers to the elements of list, or only nil if none is needed.
func choices[T any](list []T, needed bool) []*T {
	if !needed {
		return []*T{nil}
	}
	pointers := make([]*T, len(list))
	for i := range list {
		pointers[i] = &list[i]
	}
	return pointers
}

// parts returns what is signed if h is right.
func (s search) parts(h hit) ([][]byte, bool) {
	v := values{r: s.r, origin: h.origin}
	if h.moment != nil {
		v.timestamp = h.moment.text
	}
	if h.id != nil {
		v.id = h.id.text
	}
	return v.parts(h.template)
}

// sum returns the MAC of what is signed if h is right, unless the request has not
// what it takes, or the bound is reached.
func (s search) sum(mac hash.Hash, h hit) ([]byte, bool) {
	parts, ok := s.parts(h)
	if !ok || *s.left <= 0 {
		return nil, false
	}
	mac.Reset()
	*s.left -= 256 // for keying and the like
	for _, part := range parts {
		mac.Write(part)
		*s.left -= int64(len(part))
	}
	return mac.Sum(nil), true
}

// newMAC returns the HMAC of that size, or nil if there is none.
func newMAC(size int, key []byte) hash.Hash {
	switch size {
	case sha1.Size:
		return hmac.New(sha1.New, key)
	case sha256.Size:
		return hmac.New(sha256.New, key)
	case sha512.Size384:
		return hmac.New(sha512.New384, key)
	case sha512.Size:
		return hmac.New(sha512.New, key)
	default:
		return nil
	}
}

// config returns the configuration that h is.
func (h hit) config() verify.HMACConfig {
	config := verify.HMACConfig{Signature: h.signature.at, Signed: h.template}
	if h.template == "{body}" {
		config.Signed = "" // the default
	}
	if config.Algorithm = algorithms[len(h.signature.bytes)]; config.Algorithm == "sha256" {
		config.Algorithm = "" // the default
	}
	if h.moment != nil {
		at := h.moment.at
		config.Timestamp = &at
	}
	switch {
	case h.id == nil:
	case h.id.header != "" && containsAny(h.template, unended...):
		config.Signed = strings.ReplaceAll(h.template, "{id}", "{http.request.header."+h.id.header+"}")
	default:
		config.ID = h.id.id()
	}
	return config
}

// finding returns h as a finding, if the verifier it describes accepts the
// request. The key is given as hex, because the verifiers refuse secrets that can
// only be a mistake; that they do so is said.
func (h hit) finding(d diagnosis) (Finding, bool) {
	config := h.config()
	keys := senders.Keys{Secrets: []string{hex.EncodeToString(h.key.bytes)}, PublicURL: h.origin}
	f, ok := d.try(senders.HMAC{Config: config, Encoding: "hex"}, keys)
	if !ok {
		return Finding{}, false
	}
	scheme := senders.HMAC{Config: config, Encoding: h.key.encoding}
	f.Scheme, f.Secret, f.Altered = scheme, h.key.number, h.key.altered
	if _, err := scheme.Verifier(senders.Keys{Secrets: []string{h.key.text}, PublicURL: h.origin}); err != nil {
		f.Refused = renumber(err.Error(), h.key.number)
	}
	return f, true
}
