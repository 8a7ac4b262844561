// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A Message is one webhook as it was received and verified, with all that its
// delivery needs: what arrives at the application is what was sent.
type Message struct {
	// ID is unique among all messages ever published. It is a UUIDv7, so that
	// the order of ids is that of arrival.
	ID ID

	// Endpoint is the name of the inbox that it arrived at.
	Endpoint string

	// ReceivedAt is the wall-clock time of its arrival.
	ReceivedAt time.Time

	// Scheme names the verifier that accepted it.
	Scheme string

	// FreshUntil is when the sender's own timestamp leaves the scheme's
	// tolerance; zero if the scheme has no timestamp. An application that
	// verifies the sender itself refuses the message from then on.
	FreshUntil time.Time

	// Request is what was received.
	Request Request
}

// A Request is an HTTP request at rest.
type Request struct {
	Method string

	// URI is the request target that is delivered, which earlier handlers may
	// have rewritten; OriginalURI is the one that the sender wrote.
	URI, OriginalURI string

	Proto  string // such as HTTP/1.1
	Host   string
	Header http.Header // without hop-by-hop fields
	Body   []byte      // byte for byte

	// Who sent it, as the server saw it then.
	RemoteAddr   string
	ClientIP     string
	TrustedProxy bool // RemoteAddr was a trusted proxy
	TLS          *TLS // nil without TLS

	// Placeholders are what the server found out about the request beyond it and
	// its delivery asks for, by name.
	Placeholders map[string]string
}

// TLS is what is kept of a request's TLS connection.
type TLS struct {
	Version            uint16
	CipherSuite        uint16
	ServerName         string
	NegotiatedProtocol string
}

// An ID is a UUID. Its text is the canonical one, in lower case.
type ID [16]byte

// ParseID reads the text of an ID.
func ParseID(s string) (ID, error) {
	var id ID
	plain := strings.ReplaceAll(s, "-", "")
	if len(s) != 36 || len(plain) != 32 {
		return ID{}, fmt.Errorf("not a message id: %q", s)
	}
	if _, err := hex.Decode(id[:], []byte(plain)); err != nil || id.String() != s {
		return ID{}, fmt.Errorf("not a message id: %q", s)
	}
	return id, nil
}

// String returns the text of the ID.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// MarshalText is String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}
