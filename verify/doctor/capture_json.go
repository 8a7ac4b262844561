// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// The names under which tools keep the parts of a request, the surest first. The
// first that is there counts.
var (
	methodNames  = []string{"method", "httpMethod", "http_method", "requestMethod", "request_method", "verb"}
	targetNames  = []string{"url", "fullUrl", "full_url", "requestUrl", "request_url", "uri", "originalUrl", "rawPath", "path"}
	queryNames   = []string{"rawQueryString", "queryString", "querystring", "query_string", "query"}
	headerNames  = []string{"headers", "header", "requestHeaders", "request_headers", "multiValueHeaders"}
	wrapperNames = []string{"request", "data", "event", "log", "entries", "requests", "items", "item", "results"}
)

// An object is a JSON object whose values are as they were written.
type object map[string]json.RawMessage

// parseJSON reads a request that a tool exported.
func parseJSON(data []byte) (draft, error) {
	if !json.Valid(data) {
		return draft{}, errors.New("the capture begins like JSON, but is none")
	}
	o, err := findRequest(data, 8)
	if err != nil {
		return draft{}, err
	}
	// ngrok keeps the bytes, beside what it read from them.
	if raw, ok := decodeBase64(withoutWhiteSpace(o.text("raw"))); ok && len(raw) > 0 {
		return parseRaw(raw)
	}
	d := draft{
		method: strings.ToUpper(o.text(methodNames...)),
		target: o.text(targetNames...),
		query:  o.text(queryNames...),
	}
	if d.target == "" { // Postman
		d.target = asObject(o["url"]).text("raw")
	}
	if d.query == "" {
		d.readParameters(o)
	}
	if d.method == "" { // API Gateway
		d.method = strings.ToUpper(asObject(asObject(o["requestContext"])["http"]).text(methodNames...))
	}
	if err := d.readHeaders(o.first(headerNames)); err != nil {
		return draft{}, err
	}
	d.readBody(o)
	return d, nil
}

// findRequest returns the object that has header fields, if need be within those
// that tools wrap around it.
func findRequest(value json.RawMessage, depth int) (object, error) {
	if list := asList(value); list != nil {
		if len(list) != 1 {
			return nil, fmt.Errorf("the capture is a list of %d requests: export one", len(list))
		}
		value = list[0]
	}
	o := asObject(value)
	if o.first(headerNames) != nil {
		return o, nil
	}
	for _, name := range wrapperNames {
		if depth > 0 && (asObject(o[name]) != nil || asList(o[name]) != nil) {
			return findRequest(o[name], depth-1)
		}
	}
	return nil, errors.New("the capture is JSON without a request: expected an object with method, url, headers and body")
}

// readHeaders reads {"Name": "value"}, {"Name": ["value"]},
// [{"name": "Name", "value": "value"}] and [["Name", "value"]].
func (d *draft) readHeaders(value json.RawMessage) error {
	fields := asObject(value)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		values := asList(fields[name])
		if values == nil {
			values = []json.RawMessage{fields[name]}
		}
		for _, v := range values {
			if err := d.addField(name, v); err != nil {
				return err
			}
		}
	}
	for _, field := range asList(value) {
		if string(asObject(field)["disabled"]) == "true" { // Postman
			continue
		}
		name, v := asObject(field).text("name", "key"), asObject(field)["value"]
		if pair := asList(field); len(pair) == 2 {
			name, _ = asText(pair[0])
			v = pair[1]
		}
		if err := d.addField(name, v); err != nil {
			return err
		}
	}
	if fields == nil && asList(value) == nil {
		return errors.New(`the header fields of the capture are in a form that is not known: expected {"Name": "value"}`)
	}
	return nil
}

// addField adds a field of the header. HTTP/2's :authority stands for Host; its
// other names with a colon are of the request line.
func (d *draft) addField(name string, value json.RawMessage) error {
	text, ok := asText(value)
	switch {
	case name == ":authority":
		name = "Host"
	case strings.HasPrefix(name, ":"):
		return nil
	case !ok:
		return fmt.Errorf("the header field %s of the capture has a value that is no text: remove it, or write its value as a text", quoted(name))
	}
	return d.addHeader(name, text)
}

// readParameters makes a query of what version 1 of API Gateway keeps decoded, in an
// order of its own.
func (d *draft) readParameters(o object) {
	query := make(url.Values)
	for name, value := range asObject(o["multiValueQueryStringParameters"]) {
		for _, v := range asList(value) {
			if text, ok := asText(v); ok {
				query.Add(name, text)
			}
		}
	}
	for name, value := range asObject(o["queryStringParameters"]) {
		if text, ok := asText(value); ok && !query.Has(name) {
			query.Set(name, text)
		}
	}
	if d.query = query.Encode(); d.query != "" && !strings.Contains(d.target, "?") {
		d.remark("The capture holds the query of the URL decoded: it may have been in another order and with other escapes, which counts if the URL is signed.")
	}
}

// quoted returns the name of a header field for an error, unless it can be none.
func quoted(name string) string {
	if !isFieldName(name) || len(name) > 64 {
		return "with a name that can be none"
	}
	return name
}

// first returns the value of the first name that has one.
func (o object) first(names []string) json.RawMessage {
	for _, name := range names {
		if v := o[name]; v != nil && string(v) != "null" {
			return v
		}
	}
	return nil
}

// text returns the first value that is a text and not empty.
func (o object) text(names ...string) string {
	for _, name := range names {
		if text, ok := asText(o[name]); ok && text != "" {
			return text
		}
	}
	return ""
}

func asObject(value json.RawMessage) object {
	var o object
	if json.Unmarshal(value, &o) != nil {
		return nil
	}
	return o
}

func asList(value json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return nil
	}
	return list
}

// asText returns a string, or a number or boolean as it is written.
func asText(value json.RawMessage) (string, bool) {
	if len(value) == 0 || strings.IndexByte("{[n", value[0]) >= 0 {
		return "", false
	}
	if value[0] != '"' {
		return string(value), true
	}
	var text string
	err := json.Unmarshal(value, &text)
	return text, err == nil
}
