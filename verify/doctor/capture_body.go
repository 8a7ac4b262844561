// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// The names under which tools keep the body, those of its bytes first.
var (
	bodyNames   = []string{"bodyRaw", "rawBody", "raw_body", "body_raw", "bodyBase64", "body_base64", "text_content", "content", "postData", "body", "payload", "data", "text"}
	base64Names = []string{"isBase64Encoded", "is_base64_encoded", "is_base64", "base64", "bodyIsBase64", "bodyBase64", "body_base64"}
)

const lostBody = "The capture holds the body as parsed data, so that its bytes are lost and were guessed: the tool re-serialised it. Capture it raw."

// readBody takes the first text there is; where there is none, the first value
// that was JSON once.
func (d *draft) readBody(o object) {
	isBase64 := slices.ContainsFunc(base64Names, func(name string) bool { return string(o[name]) == "true" })
	var parsed json.RawMessage
	for _, name := range bodyNames {
		value := o[name]
		text, isText := asText(value)
		if slices.Contains(base64Names, name) && len(value) > 0 && value[0] != '"' {
			continue // a flag
		}
		if har := asObject(value); har["mimeType"] != nil {
			text, isText = asText(har["text"])
			isBase64 = har.text("encoding") == "base64"
		}
		if postman := asObject(value); postman.text("mode") == "raw" {
			text, isText = asText(postman["raw"])
		}
		switch {
		case isText && text != "":
			d.setBody(text, isBase64 || strings.Contains(strings.ToLower(name), "base64"))
			return
		case parsed == nil && (len(asObject(value)) > 0 || asList(value) != nil):
			parsed = value
		}
	}
	switch form := asObject(o["form"]); {
	case parsed != nil:
		var compact bytes.Buffer
		if json.Compact(&compact, parsed) == nil {
			d.body = compact.Bytes()
		}
		d.remark("%s", lostBody)
	case len(form) > 0:
		d.remark("%s", lostBody)
	}
}

func (d *draft) setBody(text string, isBase64 bool) {
	// What httpbin makes of a body that is not UTF-8.
	if media, encoded, ok := strings.Cut(text, ";base64,"); ok && strings.HasPrefix(media, "data:") {
		text, isBase64 = encoded, true
	}
	d.body = []byte(text)
	if !isBase64 {
		return
	}
	if body, ok := decodeBase64(withoutWhiteSpace(text)); ok {
		d.body = body
	} else {
		d.remark("The capture says that the body is base64, which it is not: it is taken as it stands.")
	}
}

// withoutWhiteSpace undoes the wrapping of lines.
func withoutWhiteSpace(text string) string { return strings.Join(strings.Fields(text), "") }

// decodeBase64 decodes base64 in either alphabet, padded or not.
func decodeBase64(text string) ([]byte, bool) {
	text = strings.TrimRight(text, "=")
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	b, err := encoding.DecodeString(text)
	return b, err == nil && !strings.ContainsAny(text, "\r\n")
}

func decodeHex(text string) ([]byte, bool) {
	b, err := hex.DecodeString(text)
	return b, err == nil && len(b) > 0
}
