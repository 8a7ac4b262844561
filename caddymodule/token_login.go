// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	maxLogin     = 16 << 10         // bytes of its body
	loginTimeout = 10 * time.Second // for it
)

// A loginError is an answer to a request for a token that cannot be right,
// whatever the passwords are (RFC 6749, section 5.2). It holds nothing of the
// request.
type loginError struct {
	status int
	code   string // error
	text   string // error_description
}

func (e *loginError) Error() string { return e.text }

func invalidRequest(text string) error {
	return &loginError{http.StatusBadRequest, "invalid_request", text}
}

// credentials are a name and what proves it.
type credentials struct{ name, secret string }

// A login is what somebody says to get a token.
type login struct {
	grant  string        // client_credentials, password, or empty
	user   *credentials  // username and password of the body
	client []credentials // client_id and client_secret; several readings of Basic
	basic  bool          // the header field is there, with the client or, beside a user, nothing
}

// name returns whose password it is that somebody could be guessing. However it is
// escaped, a name is the same.
func (l *login) name() string {
	if l.user != nil {
		return l.user.name
	}
	return l.client[len(l.client)-1].name
}

// readLogin reads a request for a token: that of an OAuth client (RFC 6749,
// sections 2.3.1, 4.3.2 and 4.4.2), or a plain login, which has no grant_type.
func readLogin(w http.ResponseWriter, r *http.Request) (l login, err error) {
	fields, err := readFields(w, r)
	if err != nil {
		return l, err
	}
	l.grant = fields["grant_type"]
	if !slices.Contains([]string{"", "client_credentials", "password"}, l.grant) {
		return l, &loginError{http.StatusBadRequest, "unsupported_grant_type", "grant_type is client_credentials, password or left out"}
	}
	name, password, id, secret := fields["username"], fields["password"], fields["client_id"], fields["client_secret"]
	if name != "" || password != "" {
		l.user = &credentials{name, password}
	}
	if err := l.readBasic(r); err != nil {
		return l, err
	}
	isBasic := slices.ContainsFunc(l.client, func(c credentials) bool { return c.name == id })
	switch {
	case l.basic && (secret != "" || id != "" && !isBasic):
		return l, invalidRequest("the client is in the body and in the header field Authorization")
	case !l.basic && (id != "" || secret != ""):
		l.client = []credentials{{id, secret}}
	}
	if l.user != nil && len(l.client) > 0 && l.client[0].secret == "" && (l.basic || id != "") {
		l.client = nil // a public client, or none: it proves nothing (RFC 6749, section 4.3)
	}
	switch {
	case l.user != nil && (name == "" || password == ""):
		return l, invalidRequest("username and password belong together")
	case !l.basic && len(l.client) > 0 && (id == "" || secret == ""):
		return l, invalidRequest("client_id and client_secret belong together")
	case l.grant == "client_credentials" && len(l.client) == 0:
		return l, invalidRequest("client_id and client_secret are missing")
	case l.user == nil && len(l.client) == 0, l.grant == "password" && l.user == nil && !l.basic:
		return l, invalidRequest("username and password are missing")
	}
	return l, nil
}

// readBasic reads Authorization: Basic. Clients write their id and secret as in a
// form, as RFC 6749 wants it, or as they are.
func (l *login) readBasic(r *http.Request) error {
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return invalidRequest("the header field Authorization is there twice")
	}
	if len(values) == 0 || !strings.HasPrefix(strings.ToLower(values[0]), "basic") {
		return nil
	}
	name, secret, ok := r.BasicAuth()
	if !ok {
		return invalidRequest("the header field Authorization is malformed")
	}
	l.basic = true
	l.client = []credentials{{name, secret}}
	plainName, err := url.QueryUnescape(name)
	plainSecret, err2 := url.QueryUnescape(secret)
	if err == nil && err2 == nil {
		l.client = append(l.client, credentials{plainName, plainSecret})
	}
	return nil
}

// readFields reads the fields of a form or of a JSON object, none of which may be
// there twice (RFC 6749, section 3.2).
func readFields(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	body, err := readLoginBody(w, r)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, invalidRequest("the body is compressed")
	}
	// Parameters of the type, such as a charset, change nothing.
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/json":
		return jsonFields(body)
	case "application/x-www-form-urlencoded":
		// Some clients say so of the JSON that they send.
		if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
			return jsonFields(body)
		}
		return formFields(body)
	default:
		return nil, invalidRequest("the body is application/x-www-form-urlencoded or application/json")
	}
}

func readLoginBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	ctrl := http.NewResponseController(w)
	limited := ctrl.SetReadDeadline(time.Now().Add(loginTimeout)) == nil
	body, err := io.ReadAll(io.LimitReader(r.Body, maxLogin+1))
	switch {
	case err != nil:
		refused := bodyRefusal(err)
		return nil, &loginError{refused.outcome.status(), "invalid_request", "the body broke off, took too long or is too large"}
	case len(body) > maxLogin:
		return nil, &loginError{http.StatusRequestEntityTooLarge, "invalid_request", fmt.Sprintf("the body is larger than %d bytes", maxLogin)}
	}
	if limited {
		_ = ctrl.SetReadDeadline(time.Time{})
	}
	return body, nil
}

func formFields(body []byte) (map[string]string, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalidRequest("the body is no form")
	}
	fields := make(map[string]string)
	for name, values := range form {
		if len(values) > 1 {
			return nil, invalidRequest("a field is there twice")
		}
		fields[name] = values[0]
	}
	return fields, nil
}

var errNoObject = errors.New("no JSON object")

// jsonFields reads the texts of an object, and passes over what is none.
func jsonFields(body []byte) (map[string]string, error) {
	fields, err := objectFields(json.NewDecoder(bytes.NewReader(body)))
	switch {
	case err != nil && errors.As(err, new(*loginError)):
		return nil, err
	case err != nil:
		return nil, invalidRequest("the body is no JSON object")
	}
	return fields, nil
}

func objectFields(d *json.Decoder) (map[string]string, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errNoObject
	}
	seen, fields := make(map[string]bool), make(map[string]string)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errNoObject
		}
		if seen[name] {
			return nil, invalidRequest("a field is there twice")
		}
		seen[name] = true
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if text, ok := value.(string); ok {
			fields[name] = text
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errNoObject
	}
	return fields, nil
}

// A register holds hashes of credentials, so that neither the time that a
// comparison takes nor its length tells anything about them.
type register [][sha256.Size]byte

func (c credentials) hash() [sha256.Size]byte {
	// After its length, so that no part of the name is one of the secret.
	text := binary.BigEndian.AppendUint64(nil, uint64(len(c.name)))
	return sha256.Sum256(append(append(text, c.name...), c.secret...))
}

// contains compares with all, whatever the outcome of the first.
func (s register) contains(candidates ...credentials) bool {
	found := 0
	for _, c := range candidates {
		sum := c.hash()
		for i := range s {
			found |= subtle.ConstantTimeCompare(s[i][:], sum[:])
		}
	}
	return found == 1
}
