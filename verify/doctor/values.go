// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

const (
	maxTimes = 8    // how many values of a request are tried as its timestamp
	maxIDs   = 8    // and as its id
	maxDepth = 4    // of the JSON values that are looked at
	maxJSON  = 2000 // and how many
)

// A moment is a value of the request that has the form of a time.
type moment struct {
	at   verify.Timestamp
	text string
	of   string // the signature header, for a key
}

// moments returns the values of the header and the body that could be the
// timestamp, those of the header first.
func moments(r *verify.Request) []moment {
	var list []moment
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if len(r.Header[name]) != 1 {
			continue
		}
		value := r.Header[name][0]
		if unit, ok := unitOf(value); ok {
			list = append(list, moment{at: verify.Timestamp{Header: name, Unit: unit}, text: value})
			continue
		}
		for _, piece := range strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ';' || c == ' ' }) {
			key, rest, ok := strings.Cut(piece, "=")
			if unit, isTime := unitOf(rest); ok && isTime && key != "" {
				list = append(list, moment{at: verify.Timestamp{Key: key, Unit: unit}, text: rest, of: name})
			}
		}
	}
	for _, v := range jsonValues(r.Body) {
		if unit, ok := unitOf(v.text); ok {
			list = append(list, moment{at: verify.Timestamp{JSON: v.path, Unit: unit}, text: v.text})
		}
	}
	return list[:min(len(list), maxTimes)]
}

// unitOf says in which unit a text is a time of this century. The unit is empty
// for seconds, the default.
func unitOf(text string) (unit string, ok bool) {
	const begin, end = 978307200, 4102444800 // 2001, 2100
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		switch {
		case n >= begin && n < end:
			return "", true
		case n >= begin*1000 && n < end*1000:
			return "ms", true
		}
		return "", false
	}
	_, err := time.Parse(time.RFC3339, text)
	return "rfc3339", err == nil
}

// A name is a value of the request that could be the id of its message.
type name struct {
	header, json string
	text         string
}

func (n name) id() *verify.ID { return &verify.ID{Header: n.header, JSON: n.json} }

// ids returns the values of the header whose names speak of an id, the likeliest
// first, and then those at the top of the body.
func ids(r *verify.Request) []name {
	var list []name
	for _, words := range [][]string{{"delivery", "event", "message", "webhook", "notification"}, {""}} {
		for _, field := range slices.Sorted(maps.Keys(r.Header)) {
			segments := strings.Split(strings.ToLower(field), "-")
			speaks := slices.ContainsFunc(segments, func(s string) bool {
				return slices.Contains([]string{"id", "uuid", "guid", "delivery", "nonce", "key"}, s)
			})
			known := slices.ContainsFunc(list, func(n name) bool { return n.header == field })
			if speaks && !known && len(r.Header[field]) == 1 && containsAny(strings.ToLower(field), words...) && isID(r.Header[field][0]) {
				list = append(list, name{header: field, text: r.Header[field][0]})
			}
		}
	}
	for _, path := range []string{"id", "event_id", "eventId", "message_id", "messageId", "notification_id", "webhookEventId", "uuid", "delivery_id", "event.id", "data.id"} {
		if p, err := verify.ParseJSONPath(path); err == nil {
			if text, err := p.Lookup(r.Body); err == nil && isID(text) {
				list = append(list, name{json: path, text: text})
			}
		}
	}
	return list[:min(len(list), maxIDs)]
}

// nonces returns the values of the body that are there to be signed.
func nonces(r *verify.Request) []name {
	var list []name
	for _, v := range jsonValues(r.Body) {
		last := v.path[strings.LastIndex(v.path, ".")+1:]
		if containsAny(strings.ToLower(last), "token", "nonce") && isID(v.text) {
			list = append(list, name{json: v.path, text: v.text})
		}
	}
	return list[:min(len(list), maxIDs)]
}

func isID(text string) bool {
	return text != "" && len(text) <= 256 && !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
}

// A jsonValue is a string or a number somewhere in the body.
type jsonValue struct{ path, text string }

// jsonValues returns those near the top of the body, by their paths.
func jsonValues(body []byte) []jsonValue {
	if !json.Valid(body) {
		return nil
	}
	var list []jsonValue
	var walk func(prefix string, o object, depth int)
	walk = func(prefix string, o object, depth int) {
		for _, key := range slices.Sorted(maps.Keys(o)) {
			path := prefix + key
			if text, ok := asText(o[key]); ok && len(list) < maxJSON {
				if _, err := verify.ParseJSONPath(path); err == nil && !strings.Contains(key, ".") {
					list = append(list, jsonValue{path, text})
				}
			}
		}
		for _, key := range slices.Sorted(maps.Keys(o)) {
			if inner := asObject(o[key]); inner != nil && depth > 1 && !strings.Contains(key, ".") {
				walk(prefix+key+".", inner, depth-1)
			}
		}
	}
	walk("", asObject(body), maxDepth)
	return list
}
